"""What a server of releases was asked for, and what it sent."""

import threading
import time
from dataclasses import dataclass, replace

IMAGE = ".bin"


@dataclass(frozen=True, repr=False)
class Request:
    """A request, and what came of it.

    Attributes:
        time: seconds from the server's beginning to the request.
        path: as it was asked for.
        first: place in the file of the first byte that was sent.
        sent: bytes of the file that were sent.
        seconds: from the request until they were.
        is_broken: whether the connection ended before all of the answer was sent.
    """

    time: float
    method: str
    path: str
    status: int
    first: int
    sent: int = 0
    seconds: float = 0.0
    is_broken: bool = False

    @property
    def is_of_image(self) -> bool:
        return self.path.endswith(IMAGE)

    def __repr__(self) -> str:
        start = f" from byte {self.first:,} on" if self.first else ""
        size = "broken off" if self.is_broken else f"{self.sent:,} bytes"
        return f"{self.method} {self.path}: {self.status}, {size}{start}"


class Journal:
    """Requests in the order in which they came, also those that are being answered; written by many threads."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._requests: list[Request] = []
        self._lock = threading.Lock()
        self._left = 0  # bytes of images after which the link breaks; 0: it does not

    @property
    def requests(self) -> list[Request]:
        with self._lock:
            return [*self._requests]

    def break_after(self, count: int) -> None:
        with self._lock:
            self._left = count

    def begin(self, method: str, path: str, status: int, first: int) -> int:
        """Put a request down and return its number."""
        with self._lock:
            self._requests.append(Request(self._now(), method, path, status, first))
            return len(self._requests) - 1

    def send(self, number: int, size: int) -> tuple[int, bool]:
        """Put down bytes that will be sent, before they are; return how many may be, and whether the link breaks then.

        Who has received the last of them finds them here.
        """
        with self._lock:
            request = self._requests[number]
            breaks = request.is_of_image and 0 < self._left <= size
            size = self._left if breaks else size
            if request.is_of_image and self._left:
                self._left -= size
            self._requests[number] = replace(request, sent=request.sent + size, seconds=self._now() - request.time)
            return size, breaks

    def break_off(self, number: int) -> None:
        with self._lock:
            self._requests[number] = replace(self._requests[number], is_broken=True)

    def _now(self) -> float:
        return time.monotonic() - self._began
