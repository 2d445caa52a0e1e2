"""MicroPython's raw REPL over a port that gives up a read before the board has answered."""

import pytest
from mpremote.transport import TransportError

import kit.board.repl
from kit.board.repl import Repl

CODE = b"x = 1\n" * 100  # more than a window
WINDOW = (128).to_bytes(2, "little")


class LatePort:
    """A board on a busy computer: whatever it says, the port gives up once before it comes.

    Args:
        knows_paste: whether its MicroPython has the raw paste mode, as all since 1.14.
    """

    port = "late"

    def __init__(self, knows_paste: bool = True) -> None:
        self.code, self._says, self._is_late, self._pasting = b"", b">", False, False
        self._knows_paste = knows_paste

    def write(self, data: bytes) -> None:
        if data == b"\x05A\x01":
            self._pasting = self._knows_paste
            self._says += b"R\x01" + WINDOW if self._knows_paste else b"raw REPL; CTRL-B to exit\r\n>"
        elif data == b"\x04":
            self._says += b"\x04" if self._pasting else b"OK"
        else:
            self.code += data
            if self._pasting:
                self._says += b"\x01"

    def inWaiting(self) -> int:  # noqa: N802 - pyserial's name
        return 0

    def read(self, size: int) -> bytes:
        self._is_late = not self._is_late
        if self._is_late:
            return b""
        data, self._says = self._says[:size], self._says[size:]
        return data


@pytest.mark.parametrize("knows_paste", [True, False])
def test_code_reaches_a_board_that_answers_late(knows_paste: bool):
    port = LatePort(knows_paste)
    repl = Repl(port)
    repl.exec_raw_no_follow(CODE)
    assert port.code == CODE
    assert repl.serial is port


def test_a_board_that_falls_silent_is_given_up(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(kit.board.repl, "ANSWER_SECONDS", 0)
    port = LatePort()
    port.write = lambda data: None
    repl = Repl(port)
    read_until = repl.read_until
    monkeypatch.setattr(repl, "read_until", lambda n, ending, **_: read_until(n, ending, timeout=0.1))
    with pytest.raises(TransportError):
        repl.exec_raw_no_follow(CODE)
    assert repl.serial is port
