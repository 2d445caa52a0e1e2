"""A real MQTT broker for tests, with a subscriber."""

import asyncio
import contextlib
import logging
import socket
import threading
from collections.abc import Iterator

from amqtt.broker import Broker
from amqtt.client import MQTTClient

ANYONE = {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}}
for name in ("amqtt", "transitions"):
    logging.getLogger(name).setLevel(logging.CRITICAL)


class RealBroker:
    """amqtt in a thread, with a subscriber to everything. Its port stays ours while it is dead."""

    def __init__(self, plugins: dict | None, listener: dict) -> None:
        self._holder = socket.socket()
        self._holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._holder.bind(("127.0.0.1", 0))
        self.port = self._holder.getsockname()[1]
        self._plugins, self._listener = plugins or ANYONE, listener | {"bind": f"127.0.0.1:{self.port}", "type": "tcp"}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._news = threading.Condition()
        self.heard: list[tuple[str, bytes]] = []
        self.start()

    def run(self, work) -> object:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    def start(self) -> None:
        self.run(self._start())

    def stop(self) -> None:
        self.run(self._broker.shutdown())

    def close(self) -> None:
        with contextlib.suppress(Exception):  # a test may have stopped it
            self.stop()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(60)
        self._loop.close()
        self._holder.close()

    async def _start(self) -> None:
        self._broker = Broker({"listeners": {"default": self._listener}, "plugins": self._plugins})
        await self._broker.start()

    def retained(self, topic: str) -> bytes | None:
        message = self._broker.retained_messages.get(topic)
        return message and bytes(message.data)

    def sessions(self) -> set[str]:
        return {
            name for name, (session, _) in self._broker.sessions.items() if session.transitions.state == "connected"
        }

    @contextlib.contextmanager
    def subscriber(self) -> Iterator[list[tuple[str, bytes]]]:
        """Give what comes on every topic, as it comes."""
        heard: list[tuple[str, bytes]] = []
        client, task = self.run(self._subscribe(heard))
        yield heard
        self._loop.call_soon_threadsafe(task.cancel)
        self.run(client.disconnect())

    async def _subscribe(self, heard: list) -> tuple:
        client = MQTTClient(config={"auto_reconnect": False})
        await client.connect(f"mqtt://127.0.0.1:{self.port}/")
        await client.subscribe([("#", 1)])

        async def listen() -> None:
            while True:
                message = await client.deliver_message()
                heard.append((message.topic, bytes(message.data)))

        return client, asyncio.create_task(listen())
