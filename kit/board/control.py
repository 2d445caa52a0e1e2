"""Ask a virtual board for what no chip can be asked: its pins, its power, faults in its flash."""

import json

import requests

from kit.errors import BoardError

TIMEOUT = 10  # seconds; the answer comes from this computer


def ask(control: str | None, command: str, **arguments: object) -> object:
    """Run a command of a virtual board's control side, and return its answer.

    Args:
        control: address of the control side; None for a real board.
        command, arguments: as kit.virtual.control has them.

    Raises:
        BoardError: it is a real board, it is not there, or it refuses.
    """
    if control is None:
        raise BoardError("Only a virtual board can do this.", 'Take one: kit.connect("virtual").')
    try:
        body = json.dumps(arguments, allow_nan=False)
    except (TypeError, ValueError):
        raise BoardError("These arguments are no JSON.", "Give whole numbers, as in board.press(18).") from None
    try:
        with requests.Session() as session:
            session.trust_env = False  # past any proxy
            response = session.post(f"{control}/{command}", data=body, timeout=TIMEOUT)
    except requests.RequestException:  # its text would show the key
        raise BoardError("The virtual board does not answer.", "Connect again: kit.connect().") from None
    if response.status_code == 404:
        raise BoardError(f"The virtual board has no command {command!r}.", "Connect again: kit.connect().")
    if response.status_code != 200:
        raise BoardError(f"The virtual board refuses: {response.json()}.", "Check the arguments.")
    return response.json()
