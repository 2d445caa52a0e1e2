"""What is true of a board in lesson 05, and how its parts begin."""

import hashlib
import hmac
from pathlib import Path

from kit.attacks.attack import Attack
from kit.errors import KitError
from kit.image.partition import SECTOR
from kit.image.update_image import build
from kit.lesson.begin import begin
from kit.lesson.names import MissingError, Names
from kit.ota.client import OtaClient
from kit.security.audit import audit
from kit.security.keys import new_key

TEAM = "team.pem"
CHANGED = b"admin.3720.7f3a"
HEARD = {("password", "token"): "both", ("password",): "the password", ("token",): "the token", (): "nothing"}


def _heard(names: Names) -> str:
    return HEARD[tuple(sorted({secret.kind for secret in names.seen.secrets} & {"password", "token"}))]


def _success(attack: Attack) -> str:
    return "yes" if attack.succeeded else "no"


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
        return (function(signed.data), function(data)) == (
            signed.signers[0].digest,
            hashlib.sha256(bytes(776)).digest(),
        )
    except Exception as error:  # whatever a learner's function can do
        cause = f"`key_digest` stops with {type(error).__name__}: {error}."
        raise KitError(cause, "Correct it, and run its cell and this one again.") from None


def _open(names: Names) -> bool:
    url = names.board.url
    return url.startswith("http:") and not OtaClient(url).info().get("signers")


TRUTHS = {
    "heard": _heard,
    "tries": lambda names: int(names.guessing.steps[0].tried.split()[0]),
    "owner": _owner,
    "stolen": lambda names: _success(names.stolen_token),
    "restarted": lambda names: _success(names.late),
    "seal": lambda names: hmac.new(names.key, CHANGED, hashlib.sha256).hexdigest(),
    "tampered": lambda names: "runs it" if names.changed.succeeded else "refuses it",
    "cheats": lambda names: len(names.tries) - len(names.errors),
    "floor": lambda names: names.again.steps[-1].answer.split()[0],
    "silence": _heard,
    "clear": _clear,
    "rotated": _rotated,
    "digest": _digest,
    "pin": lambda names: names.certificate.pin,
    "open": _open,
}


def _begin_signed(names: Names) -> None:
    """A board that trusts the key of the team, and runs what that has signed."""
    _begin_audited(names)
    if not Path(TEAM).exists():
        new_key(TEAM)
    names.board.install(signers=[TEAM])
    names.ota = OtaClient(names.board.url)
    names.ota.login()
    names.signed = build("1.4.0", board=names.board, secure_version=1).sign(TEAM)
    names.ota.upload(names.signed)


def _begin_audited(names: Names) -> None:
    board = begin(names)
    try:
        names.before  # noqa: B018 - the one from the beginning is kept
    except MissingError:
        names.before = audit(board)


PARTS = [begin, begin, begin, _begin_signed]
