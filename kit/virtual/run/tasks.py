"""The board's asyncio: tasks, and what they wait for, with MicroPython's order of things (extmod/asyncio of v1.26)."""

from __future__ import annotations

import contextlib
import heapq
import itertools
import select
import socket as host
import time
import traceback
import types
from collections import deque
from collections.abc import Awaitable, Callable, Iterator

from .interrupt import pending
from .memory import memory
from .sockets import POLL, POLLIN, POLLOUT, events

LONGEST_SLEEP = (1 << 29) - 1  # ms: ticks_add takes no more
DEAF = 0.02  # s between two looks whether the board hears again


class CancelledError(BaseException):
    """What a task that is cancelled finds at the place where it waits."""


class TimeoutError(Exception):
    """What wait_for raises when it is too late."""


@types.coroutine
def suspend() -> Iterator[None]:
    """Wait until somebody puts the current task into the loop's queue again."""
    yield


class Task:
    """A coroutine that runs by itself. One that is awaited gives its result, or raises its error."""

    def __init__(self, coro: object, loop: Loop) -> None:
        self.coro, self._loop = coro, loop
        self.outcome: BaseException | None = None  # StopIteration with the result, or an error
        self.to_raise: BaseException | None = None
        self.due = 0  # ms; when it runs, where it waits in the loop's queue
        self.place: object = None  # where it waits, if not in the loop's queue: something with `remove`
        self.waiters: deque[Task] | None = None  # who wait for it
        self.on_done: Callable[[Task], None] | None = None  # of a gather
        self.is_retrieved = False

    def done(self) -> bool:
        return self.outcome is not None

    def cancel(self) -> bool:
        if self.done():
            return False
        if self is self._loop.current:
            raise RuntimeError("can't cancel self")
        while isinstance(self.place, Task):
            self = self.place
        if self.place is not None:
            self.place.remove(self)
            self._loop.push(self)
        elif self.due > now():  # else it keeps its turn
            self._loop.push(self)
        self.to_raise = CancelledError()
        return True

    def remove(self, task: Task) -> None:
        """Forget one who waits for this one."""
        self.waiters.remove(task)

    def __await__(self) -> Iterator[None]:
        if self.outcome is None:
            if self.on_done:
                raise RuntimeError("can't wait")
            self.waiters = deque() if self.waiters is None else self.waiters
            self.waiters.append(self._loop.wait_in(self))
            yield
        self.is_retrieved = True
        if not isinstance(self.outcome, StopIteration):
            raise self.outcome
        return self.outcome.value


class Loop:
    """Runs the tasks of a life of the interpreter; those that are left when `run` returns go on with the next one."""

    def __init__(self, print: Callable, print_exception: Callable) -> None:
        self._print, self._print_exception = print, print_exception
        self._numbers = itertools.count()
        self._queue: list[tuple[int, int, Task]] = []
        self._io: dict[object, dict[int, Task]] = {}  # by stream and event the task that waits
        self.living: set[Task] = set()  # kept, since one that is thrown away would run its `finally`
        self.current: Task | None = None
        self._handler: Callable | None = None
        self._stopper: Task | None = None
        self._waker, self._wakened = host.socketpair()
        self._waker.setblocking(False)
        pending.on_calls = self._wake

    def _wake(self) -> None:
        """Have the loop look again: an interrupt may have changed what it waits for."""
        with contextlib.suppress(BlockingIOError):  # it is awake
            self._waker.send(b".")

    def push(self, task: Task, delay: int = 0) -> None:
        """Have a task run in so many milliseconds, and no more than once."""
        with pending:  # an interrupt may set an event, which pushes
            self._queue = [entry for entry in self._queue if entry[2] is not task]
            heapq.heapify(self._queue)
            task.place, task.due = None, now() + delay
            heapq.heappush(self._queue, (task.due, next(self._numbers), task))

    def wait_in(self, place: object) -> Task:
        """Note where the current task waits, and return it."""
        self.current.place = place
        return self.current

    async def until(self, stream: object, event: int) -> None:
        """Wait until a stream can be read or written."""
        self._io.setdefault(stream, {})[event] = self.wait_in(self)
        await suspend()

    def remove(self, task: Task) -> None:
        """Forget a task that waits for a stream."""
        self._io = {
            stream: rest
            for stream, waiting in self._io.items()
            if (rest := {event: other for event, other in waiting.items() if other is not task})
        }

    def _poll(self, ms: int | None) -> None:
        """Wait for streams, no longer than this, and have those run that wait for them."""
        wanted = {stream: sum(waiting) for stream, waiting in self._io.items()}
        fileno = {stream: stream.fileno() for stream in wanted if hasattr(stream, "fileno")}
        seconds = None if ms is None else ms / 1000
        if memory.is_deaf or len(fileno) < len(wanted):
            seconds = min(DEAF if memory.is_deaf else POLL, POLL if seconds is None else seconds)
        if min(fileno.values(), default=0) < 0:
            seconds = 0
        if memory.is_deaf:
            time.sleep(seconds)
        else:
            reads, writes = (
                [number for stream, number in fileno.items() if number >= 0 and wanted[stream] & event]
                for event in (POLLIN, POLLOUT)
            )
            if self._wakened in select.select([self._wakened, *reads], writes, [], seconds)[0]:
                self._wakened.recv(4096)
        for stream, mask in wanted.items():
            found = events(stream, mask)
            for event, task in list(self._io.get(stream, {}).items()):
                if found & ~(POLLIN | POLLOUT) or found & event:
                    self.remove(task)
                    self.push(task)

    def run_until_complete(self, aw: Awaitable) -> object:
        return self._run(self.promote(aw))

    def run_forever(self) -> None:
        self._stopper = Task(_nothing(), self)
        self._run(self._stopper)

    def stop(self) -> None:
        if self._stopper:
            self.push(self._stopper)
            self._stopper = None

    def close(self) -> None:
        """Does nothing, as on the chip."""

    def _run(self, main: Task | None) -> object:
        memory.is_serving = True
        while True:
            if not self._queue and not self._io:
                self.current = None
                if main is None or main.done():
                    return None
            left = max(0, self._queue[0][0] - now()) if self._queue else None
            self._poll(left)
            if not self._queue or self._queue[0][0] > now():
                continue
            task = self.current = heapq.heappop(self._queue)[2]
            try:
                if task.outcome is not None:
                    self._report(task)
                elif error := task.to_raise:
                    task.to_raise = None
                    task.coro.throw(error)
                else:
                    task.coro.send(None)
            except (CancelledError, Exception) as error:
                task.is_retrieved = task is main  # by who called
                self._end(task, error)
                if task is main:
                    self.current = None
                    if isinstance(error, StopIteration):
                        return error.value
                    raise

    def _end(self, task: Task, error: BaseException) -> None:
        traceback.clear_frames(error.__traceback__)  # a chip's error holds numbers of lines, not what was there
        task.outcome = error
        self.living.discard(task)
        if task.on_done:
            task.on_done(task)
        elif task.waiters:
            for waiter in task.waiters:
                self.push(waiter)
        elif not task.is_retrieved and not isinstance(error, CancelledError | StopIteration):
            self.push(task)  # somebody may await it until then

    def _report(self, task: Task) -> None:
        if not task.is_retrieved:
            message = "Task exception wasn't retrieved"
            self.call_exception_handler({"message": message, "exception": task.outcome, "future": task})

    def create_task(self, coro: object) -> Task:
        if not hasattr(coro, "send"):
            raise TypeError("coroutine expected")
        task = Task(coro, self)
        self.living.add(task)
        self.push(task)
        return task

    def promote(self, aw: Awaitable) -> Task:
        return aw if isinstance(aw, Task) else self.create_task(aw)

    def set_exception_handler(self, handler: Callable | None) -> None:
        self._handler = handler

    def get_exception_handler(self) -> Callable | None:
        return self._handler

    def default_exception_handler(self, context: dict) -> None:
        self._print(context["message"])
        self._print("future:", context["future"], "coro=", context["future"].coro)
        self._print_exception(context["exception"])

    def call_exception_handler(self, context: dict) -> None:
        if self._handler:
            self._handler(self, context)
        else:
            self.default_exception_handler(context)

    def current_task(self) -> Task:
        if self.current is None:
            raise RuntimeError("no running event loop")
        return self.current

    async def sleep_ms(self, ms: int) -> None:
        if ms > LONGEST_SLEEP:
            raise OverflowError("ticks interval overflow")
        self.push(self.current, max(0, int(ms)))
        await suspend()

    async def sleep(self, seconds: float) -> None:
        await self.sleep_ms(int(seconds * 1000))

    async def wait_for(self, aw: Awaitable, timeout: float | None, sleep: Callable | None = None) -> object:
        task, caller, mark, found = self.promote(aw), self.current, CancelledError(), []
        if timeout is None:
            return await task

        async def run() -> None:
            try:
                found.append((True, await task))
            except BaseException as error:
                found.append((False, error))
            if caller.place is None and caller.to_raise is None and caller.cancel():  # it sleeps
                caller.to_raise = mark  # a cancellation from outside replaces it

        runner = self.create_task(run())
        try:
            await (sleep or self.sleep)(timeout)
        except CancelledError as error:
            if error is not mark:
                runner.cancel()
                raise
            is_good, result = found.pop()
            if is_good:
                return result
            try:
                raise result from None
            finally:
                del result, task, runner  # its traceback holds this frame, which would hold it
        runner.cancel()
        await runner
        raise TimeoutError

    async def wait_for_ms(self, aw: Awaitable, timeout: int | None) -> object:
        return await self.wait_for(aw, timeout, self.sleep_ms)

    async def gather(self, *aws: Awaitable, return_exceptions: bool = False) -> list:
        tasks, caller = [self.promote(aw) for aw in aws], self.current
        if any(task.waiters or task.on_done for task in tasks):
            raise RuntimeError("can't gather")
        left, place = [task for task in tasks if not task.done()], _Nowhere()

        def is_bad(task: Task) -> bool:
            return not return_exceptions and task.done() and not isinstance(task.outcome, StopIteration)

        def done(task: Task) -> None:
            left.remove(task)
            if caller.place is place and (not left or is_bad(task)):
                self.push(caller)

        for task in left:
            task.on_done = done
        cancelled = None
        if left and not any(map(is_bad, tasks)):
            self.wait_in(place)
            try:
                await suspend()
            except CancelledError as error:
                cancelled = error
        for task in left:
            task.on_done = None
            if cancelled:
                task.cancel()
        for task in tasks:
            task.is_retrieved = True
        if error := cancelled or next((task.outcome for task in tasks if is_bad(task)), None):
            raise error
        results = [task.outcome for task in tasks]
        return [result.value if isinstance(result, StopIteration) else result for result in results]


async def _nothing() -> None:
    pass


class _Nowhere:
    """A place where nothing has to be done for a task that is called away."""

    def remove(self, task: Task) -> None:
        pass


def now() -> int:
    return int(time.monotonic() * 1000)


class Event:
    """Something to wait for."""

    loop: Loop  # of a subclass: one for each life of the interpreter

    def __init__(self) -> None:
        self._is_set, self._waiting = False, deque()

    def is_set(self) -> bool:
        return self._is_set

    def set(self) -> None:
        while self._waiting:
            self.loop.push(self._waiting.popleft())
        self._is_set = True

    def clear(self) -> None:
        self._is_set = False

    async def wait(self) -> bool:
        if not self._is_set:
            self._waiting.append(self.loop.wait_in(self._waiting))
            await suspend()
        return True


class ThreadSafeFlag:
    """An event for one task, that interrupts may set; a wait clears it."""

    loop: Loop

    def __init__(self) -> None:
        self._state = 0

    def events(self, wanted: int) -> int:
        return self._state * wanted

    def set(self) -> None:
        self._state = 1
        self.loop._wake()

    def clear(self) -> None:
        self._state = 0

    async def wait(self) -> None:
        if not self._state:
            await self.loop.until(self, POLLIN)
        self._state = 0


class Lock:
    """Held by one task at a time; others get it in the order in which they asked."""

    loop: Loop

    def __init__(self) -> None:
        self._owner: object = None  # True: held; a task: given to it, which has not run since
        self._waiting: deque[Task] = deque()

    def locked(self) -> bool:
        return self._owner is True

    def release(self) -> None:
        if self._owner is not True:
            raise RuntimeError("Lock not acquired")
        self._owner = self._waiting.popleft() if self._waiting else None
        if self._owner:
            self.loop.push(self._owner)

    async def acquire(self) -> bool:
        if self._owner is not None:
            self._waiting.append(self.loop.wait_in(self._waiting))
            try:
                await suspend()
            except CancelledError:
                if self._owner is self.loop.current:
                    self._owner = True
                    self.release()
                raise
        self._owner = True
        return True

    async def __aenter__(self) -> bool:
        return await self.acquire()

    async def __aexit__(self, *_: object) -> None:
        self.release()


loops: list[Loop] = []  # the last one counts; the others keep their tasks


def waiting() -> set[Task]:
    """Return the tasks that have not come to their end."""
    return loops[-1].living if loops else set()


def asyncio_names(connections: Callable, *prints: Callable) -> dict[str, object]:
    """Return the module's names for one life of the interpreter.

    Args:
        connections: gives those of streams and servers, for a loop.
        prints: print a text and an exception.
    """
    loops.append(Loop(*prints))

    def now_called(name: str) -> Callable:
        return lambda *args, **kwargs: getattr(loops[-1], name)(*args, **kwargs)

    class Current:
        """The loop that counts, whichever it is."""

        def __getattr__(self, name: str) -> object:
            return getattr(loops[-1], name)

    def new_event_loop() -> Loop:
        loops.append(Loop(*prints))
        return loops[-1]

    of_loop = ("create_task", "current_task", "gather", "sleep", "sleep_ms", "wait_for", "wait_for_ms")
    current = Current()
    bound = [type(cls.__name__, (cls,), {"loop": current}) for cls in (Event, Lock, ThreadSafeFlag)]
    return {
        **{name: now_called(name) for name in of_loop},
        **{cls.__name__: cls for cls in bound},
        **connections(current),
        "CancelledError": CancelledError,
        "Loop": current,
        "Task": Task,
        "TimeoutError": TimeoutError,
        "get_event_loop": lambda runq_len=0, waitq_len=0: loops[-1],
        "new_event_loop": new_event_loop,
        "run": lambda coro: loops[-1].run_until_complete(coro),
        "run_until_complete": now_called("run_until_complete"),
    }
