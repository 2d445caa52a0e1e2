"""kit.notify through apprise, to real servers on this computer."""

import json
import logging
import re
import socket
import sys
import threading
import traceback
from collections.abc import Iterator
from email import message_from_bytes
from email.policy import default
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from aiosmtpd.controller import Controller

import kit
from kit.errors import KitError
from kit.message import NOBODY, send

SECRET = "t0ken-of-a-learner"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.delenv("KIT_NOTIFY", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def receiver() -> Iterator[ThreadingHTTPServer]:
    """A web server that keeps what is posted to it as JSON, in `got`, and answers by `status`."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.server.got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(self.server.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nobody reads it."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.got, server.status = [], 200
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield server
        server.shutdown()


def address(server: ThreadingHTTPServer, user: str = "") -> str:
    return f"json://{user}127.0.0.1:{server.server_port}/"


def refusal(*names: str) -> str:
    """Return what the error says, which holds no secret wherever one looks."""
    with pytest.raises(KitError) as caught:
        kit.notify("A title", "A text.")
    error = caught.value
    error.__traceback__ = error.__traceback__.tb_next  # without the test's own variables
    chain = traceback.TracebackException.from_exception(error, capture_locals=True)
    assert SECRET not in "".join(chain.format()) + repr(vars(error)) + repr(error.__context__)
    for name in names:
        assert name in error.cause
    return error.advice


def test_without_an_address_nobody_is_told(capsys):
    kit.notify("A title", "A text.")
    assert capsys.readouterr().out == f"{NOBODY}\n"
    assert send("A title", "A text.") is False


def test_without_an_address_apprise_is_not_needed(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "apprise", None)
    kit.notify("A title", "A text.")
    assert capsys.readouterr().out == f"{NOBODY}\n"


def test_json(capsys, receiver, monkeypatch):
    monkeypatch.setenv("KIT_NOTIFY", address(receiver))
    kit.notify("esp32-ota-0110", "version 1.2.0 was rolled back")
    assert capsys.readouterr().out == "Told: esp32-ota-0110\n"
    [message] = receiver.got
    assert (message["title"], message["message"]) == ("esp32-ota-0110", "version 1.2.0 was rolled back")


def test_mail(monkeypatch):
    class Inbox:
        def __init__(self) -> None:
            self.got = []

        async def handle_DATA(self, server, session, envelope) -> str:  # noqa: N802
            self.got.append((envelope.rcpt_tos, message_from_bytes(envelope.content, policy=default)))
            return "250 OK"

    inbox = Inbox()
    listener = socket.create_server(("127.0.0.1", 0))
    controller = _Mail(inbox, listener)
    controller.start()
    try:
        port = listener.getsockname()[1]
        monkeypatch.setenv(
            "KIT_NOTIFY", f"mailto://127.0.0.1:{port}?from=board@example.org&to=me@example.org&mode=insecure"
        )
        kit.notify("A title", "Ein Text mit Umläuten: grün.")
    finally:
        controller.stop()
    [(recipients, mail)] = inbox.got
    assert recipients == ["me@example.org"]
    assert mail["Subject"] == "A title"
    assert "Ein Text mit Umläuten: grün." in mail.get_body(("html", "plain")).get_content()


class _Mail(Controller):
    """A mail server on a socket that listens already, so that its port is the system's choice."""

    def __init__(self, handler: object, listener: socket.socket) -> None:
        super().__init__(handler, hostname="127.0.0.1", port=listener.getsockname()[1])
        self._listener = listener

    def _create_server(self):
        return self.loop.create_server(self._factory_invoker, sock=self._listener)


def test_several_addresses(receiver, monkeypatch):
    monkeypatch.setenv("KIT_NOTIFY", f"{address(receiver)}one\n {address(receiver)}two ")
    assert send("A title", "A text.") is True
    assert len(receiver.got) == 2


def test_addresses_in_lab_toml(folder, receiver):
    (folder / "lab.toml").write_text(f'[notify]\nurls = ["{address(receiver)}"]\n')
    assert send("A title", "A text.") is True
    assert len(receiver.got) == 1


def test_the_environment_wins(folder, receiver, monkeypatch):
    (folder / "lab.toml").write_text('[notify]\nurls = ["json://127.0.0.1:1"]\n')
    monkeypatch.setenv("KIT_NOTIFY", address(receiver))
    assert send("A title", "A text.") is True


def test_a_missing_extra(monkeypatch):
    monkeypatch.setenv("KIT_NOTIFY", f"json://{SECRET}@127.0.0.1")
    monkeypatch.setitem(sys.modules, "apprise", None)  # import raises ImportError
    assert "pip install 'esp32-ota-kit[notify]'" in refusal("apprise")


def test_a_dead_receiver(monkeypatch, caplog, capsys):
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and does not listen
        url = f"json://user:{SECRET}@127.0.0.1:{nobody.getsockname()[1]}/{SECRET}"
        monkeypatch.setenv("KIT_NOTIFY", url)
        with caplog.at_level(logging.DEBUG):
            refusal("address 1 (JSON)")
    assert SECRET not in caplog.text
    assert capsys.readouterr() == ("", "")


def test_the_others_have_the_message(receiver, monkeypatch):
    other = address(receiver)
    monkeypatch.setenv("KIT_NOTIFY", f"json://{SECRET}@127.0.0.1:1 {other} nonsense://{SECRET} {SECRET}")
    refusal("address 1 (JSON)", "address 3, which apprise does not know", "address 4, which apprise")
    assert len(receiver.got) == 1


def test_a_service_that_refuses(receiver, monkeypatch):
    receiver.status = 403
    monkeypatch.setenv("KIT_NOTIFY", address(receiver, f"user:{SECRET}@"))
    refusal("address 1 (JSON)")


def test_a_service_with_a_mistake(receiver, monkeypatch):
    import apprise

    def fail(*_: object, **__: object):
        raise ValueError(SECRET)

    monkeypatch.setattr(apprise.Apprise, "notify", fail)
    monkeypatch.setenv("KIT_NOTIFY", address(receiver, f"user:{SECRET}@"))
    refusal("address 1 (JSON)")


@pytest.mark.parametrize(
    "lab",
    [
        f'notify = "{SECRET}"\n',
        f'[notify]\nurls = "json://{SECRET}"\n',
        f'[notify]\nurls = ["json://a", ["{SECRET}"]]\n',
        "[notify]\nurls = 5\n",
    ],
)
def test_lab_toml_that_holds_something_else(folder, lab):
    (folder / "lab.toml").write_text(lab)
    assert 'urls = ["…"]' in refusal("urls in [notify] is no list of texts")


def test_an_address_that_is_no_utf_8(monkeypatch):
    monkeypatch.setenv("KIT_NOTIFY", f"json://{SECRET}\udcff")
    refusal("KIT_NOTIFY is not UTF-8")


def test_the_log_of_apprise_is_as_before(receiver, monkeypatch):
    monkeypatch.setenv("KIT_NOTIFY", address(receiver))
    send("A title", "A text.")
    assert logging.getLogger("apprise").disabled is False


def test_kit_notify_stays_a_function():
    """A module of the same name would take its place once it is imported."""
    assert callable(kit.notify)
    assert re.match("Send a message", kit.notify.__doc__)
