"""What is true of a board in lesson 05, and how its parts begin."""

import hashlib
import hmac
from pathlib import Path

from kit.board.connection import connect
from kit.board.readiness import bring_first_version, is_open, runs
from kit.errors import KitError
from kit.image.partition import SECTOR
from kit.image.update_image import build
from kit.lesson.begin import begin, log_in
from kit.lesson.names import MissingError, Names
from kit.security.audit import audit
from kit.security.keys import new_key

TEAM, SIGNED = "team.pem", "1.4.0"  # whose key, and the version with which part 4 begins
AGAIN = "Run this section from its beginning, then this cell again."
CHANGED = b"admin.3720.7f3a"
HEARD = {("password", "token"): "both", ("password",): "the password", ("token",): "the token", (): "nothing"}


def _heard(names: Names) -> str:
    return HEARD[tuple(sorted({secret.kind for secret in names.seen.secrets} & {"password", "token"}))]


def _tries(names: Names) -> int:
    first = names.guessing.steps[0].tried.split()[0]
    if not first.isdigit():
        raise KitError("The board had locked the door before the first guess.", f"`board.reset()` opens it. {AGAIN}")
    return int(first)


def _stolen(names: Names) -> str:
    if names.stolen_token.steps[0].answer.startswith("401"):
        raise KitError("This token was over when it was used.", AGAIN)
    return "yes" if names.stolen_token.succeeded else "no"


def _tampered(names: Names) -> str:
    if "VERSION" in names.changed.steps[0].answer:
        raise KitError("The board runs this version already.", "`kit.resume(5, part=3)`, then this section again.")
    return "runs it" if names.changed.succeeded else "refuses it"


def _owner(names: Names) -> str:
    names.ota.config()  # who is not logged in gets the kit's words for that
    return "yes"


def _clear(names: Names) -> str:
    [box] = [row for row in names.after if row.number == "box 5"]
    return "the OTA password" if "OTA password" in box.tried else "the Wi-Fi password"


def _rotated(names: Names) -> bool:
    info = names.ota.info()
    return (info["version"], info["signers"]) == ("1.5.1", 2)


def _digest(names: Names) -> bool:
    function, signed = names.key_digest, names.signed
    data = signed.data[:-SECTOR] + bytes(SECTOR)  # of a key that is all zeros
    try:
        told = function(signed.data), function(data)
    except Exception as error:  # whatever a learner's function can do
        cause = f"`key_digest` stops with {type(error).__name__}: {error}."
        raise KitError(cause, "Correct it, and run its cell and this one again.") from None
    if not all(isinstance(digest, bytes) and len(digest) == 32 for digest in told):
        raise KitError("`key_digest` has to return 32 bytes.", "`.digest()` gives bytes, `.hexdigest()` a text.")
    return told == (signed.signers[0].digest, hashlib.sha256(bytes(776)).digest())


def _pin(names: Names) -> str:
    """The pin, as the learner writes it: with colons, as the boot log does, or without."""
    pin, given = names.certificate.pin, names.pin
    return given.strip() if isinstance(given, str) and given.strip().lower().replace(":", "") == pin else pin


def _open(names: Names) -> bool:
    return is_open(names.board)


TRUTHS = {
    "heard": _heard,
    "tries": _tries,
    "owner": _owner,
    "stolen": _stolen,
    "restarted": lambda names: "yes" if names.late.succeeded else "no",
    "seal": lambda names: hmac.new(names.key, CHANGED, hashlib.sha256).hexdigest(),
    "tampered": _tampered,
    "cheats": lambda names: len(names.tries) - len(names.errors),
    "floor": lambda names: names.again.steps[-1].answer.split()[0],
    "silence": _heard,
    "clear": _clear,
    "rotated": _rotated,
    "digest": _digest,
    "pin": _pin,
    "open": _open,
}


def _begin_known(names: Names) -> None:
    """As `begin`; the board knows this computer."""
    begin(names)
    log_in(names)


def _begin_signed(names: Names) -> None:
    """A board that trusts the key of the team alone, and runs what that has signed."""
    board = names.board = connect()
    if not (Path(TEAM).exists() and runs(board, SIGNED)):
        bring_first_version(board)
        _audit_once(names)
    if not Path(TEAM).exists():
        new_key(TEAM)
    names.signed = build(SIGNED, board=board, secure_version=1).sign(TEAM)
    board.install(signers=[TEAM])  # by plain HTTP again, and for everybody
    log_in(names)
    if not runs(board, SIGNED):
        names.ota.upload(names.signed)
        log_in(names)
    _audit_once(names)


def _audit_once(names: Names) -> None:
    try:
        names.before  # noqa: B018 - the one from the beginning is kept
    except MissingError:
        names.before = audit(names.board)
        log_in(names)  # it has restarted the board


PARTS = [_begin_known, _begin_known, _begin_known, _begin_signed]
