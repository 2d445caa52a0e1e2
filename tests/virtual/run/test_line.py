"""What is typed at the friendly prompt."""

import pytest

UP, DOWN, RIGHT, LEFT, HOME, END, DELETE = (b"\x1b[" + code for code in (b"A", b"B", b"C", b"D", b"H", b"F", b"3~"))
CTRL_A, CTRL_C, CTRL_D, CTRL_E, CTRL_K, CTRL_U = b"\x01", b"\x03", b"\x04", b"\x05", b"\x0b", b"\x15"
BACKSPACE, TAB = b"\x7f", b"\t"


@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        (b"1 + 2", b"3"),
        (b"13" + LEFT + b"2", b"123"),
        (b"23" + HOME + b"1", b"123"),
        (b"13" + CTRL_A + RIGHT + b"2" + END + b"4", b"1234"),
        (b"1x2" + LEFT + BACKSPACE, b"12"),
        (b"x12" + HOME + DELETE, b"12"),
        (b"12x" + LEFT + CTRL_D, b"12"),
        (b"12345" + LEFT * 2 + CTRL_K, b"123"),
        (b"12345" + LEFT * 2 + CTRL_U, b"45"),
        (b"'" + "äö".encode() + LEFT + BACKSPACE + b"u'", None),
        (b"ord('" + "ä".encode() + b"')", b"228"),
        (b"x\x1b[5~" + BACKSPACE + b"7", b"7"),
        (b"xy" + BACKSPACE * 5 + b"7", b"7"),
    ],
)
def test_a_line_is_edited(life, typed: bytes, shown: bytes | None):
    if shown is None:
        typed, shown = b"'" + "äö".encode() + LEFT + BACKSPACE + b"u" + END + b"'", "'uö'".encode()
    life.send(typed + b"\r")
    assert life.prompt().endswith(b"\r\n" + shown + b"\r\n>>> ")


def test_history(life):
    for number in b"123456789":
        life.send(bytes([number]) + b"\r")
        life.prompt()
    for keys, shown in (
        (UP, b"9"),
        (UP, b"9"),
        (UP * 2, b"8"),
        (UP * 20, b"3"),
        (UP * 3 + DOWN, b"8"),
        (UP + DOWN + b"7", b"7"),
    ):
        life.send(keys + b"\r")
        assert life.prompt().endswith(b"\r\n" + shown + b"\r\n>>> "), keys


def test_names_are_completed(life):
    life.send(b"import machine\r")
    life.prompt()
    life.send(b"long_name = 5\r")
    life.prompt()
    for typed, shown in (
        (b"lo" + TAB + b"\r", b"long_name\r\n5\r\n>>> "),
        (b"machine.res" + TAB + b"_c" + TAB + b"()\r", b"machine.reset_cause()\r\n1\r\n>>> "),
        (b"nothing" + TAB + BACKSPACE * 7 + b"1\r", b"1\r\n1\r\n>>> "),
        (b"imp" + TAB + b"os\r", b"import os\r\n>>> "),
    ):
        life.send(typed)
        assert life.prompt().endswith(shown)
    life.send(b"machine.Pin.P" + TAB)
    assert life.until(b"machine.Pin.PULL_").endswith(b"machine.Pin.PULL_")
    life.send(TAB)
    assert life.until(b">>> machine.Pin.PULL_") == b"\r\nPULL_DOWN       PULL_UP\r\n>>> machine.Pin.PULL_"
    life.send(CTRL_C)
    life.prompt()
    life.send(b"import os" + TAB * 2 + CTRL_C)
    life.prompt()


def test_blocks_are_indented(life):
    life.send(b"for n in range(2):\r")
    life.until(b"...     ")
    life.send(b"if n:\r")
    life.until(b"...         ")
    life.send(b"print('n', n)\r")
    life.until(b"...         ")
    life.send(BACKSPACE + b"else:\r")
    life.until(b"...         ")
    life.send(b"print('zero')\r\r")
    life.until(b"... ")
    life.send(b"\r")
    assert life.prompt().endswith(b"zero\r\nn 1\r\n>>> ")


def test_paste_mode(life):
    life.send(CTRL_E)
    life.until(b"\r\npaste mode; Ctrl-C to cancel, Ctrl-D to finish\r\n=== ")
    life.send(b"for n in range(2):\r    print('n', n)\rprint('end')\r" + CTRL_D)
    assert life.prompt().endswith(b"n 0\r\nn 1\r\nend\r\n>>> ")
    life.send(CTRL_E + b"print('never')\r" + CTRL_C)
    assert b"\r\nnever" not in life.prompt()
