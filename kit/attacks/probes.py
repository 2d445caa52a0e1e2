"""The probes of an audit: what is tried on a board, and what comes back. None of them believes a setting."""

import hashlib
import json
import re
import secrets
import socket
import struct
from collections.abc import Callable
from urllib.parse import urlsplit

from kit.attacks.attack import came_back, target
from kit.attacks.case import Case
from kit.attacks.origin import ORIGIN
from kit.board.board import Board
from kit.board.installation import DEFAULT_PASSWORD, SALT_SIZE
from kit.errors import KitError
from kit.image.partition import SECTOR
from kit.ota.devices import mark_for
from kit.ota.exchange import CONNECT, Answer
from kit.ota.parcel import SECTORS, sha256_digest
from kit.ota.web import JSON
from kit.security.audit import MET, OPEN, Finding
from kit.settings import hash_password

MOST_GUESSES = 20
OTHER = "127.0.0.2"  # of this computer, too: a virtual board can be asked from there
NVS_ENTRY = 32  # bytes, at a multiple of which a value begins (nvs_page.hpp)
SECRETS = {b"wifi_password\0": "Wi-Fi password", b"token_key\0": "token key"}  # by their keys in NVS
HASH = SALT_SIZE + hashlib.sha256().digest_size
KEYS = (b"PRIVATE KEY", b"\x30\x77\x02\x01\x01\x04\x20")  # how one begins in PEM, and in DER for P-256 (RFC 5915)


def find_out(board: Board) -> dict[str, Finding]:
    """Run all probes on a board, and return their findings by name.

    Raises:
        KitError: the board does not serve, is being updated, or is in no private network.
    """
    case = Case(board)
    return {probe.__name__: run(probe, case) for probe in PROBES}


def run(probe: Callable[[Case], Finding], case: Case) -> Finding:
    """Return the finding of a probe; what could not be found out is open."""
    try:
        return probe(case)
    except KitError as error:
        return Finding(OPEN, f"not found out: {error.cause.rpartition(': ')[2]}")


def default_password(case: Case) -> Finding:
    """Log in with the password that all know."""
    return _refused(case.log_in(DEFAULT_PASSWORD), "401", f"POST /login with {DEFAULT_PASSWORD}")


def token(case: Case) -> Finding:
    """Ask for the settings without a token, and with one."""
    without, owner = case.stranger.request("GET", "/config"), case.owner.request("GET", "/config")
    tried = f"GET /config: {without.status} without a token, {owner.status} with one"
    return _finding((without.status, owner.status) == (401, 200), tried)


def configuration(case: Case) -> Finding:
    """Change the settings without a token; there is nothing to change in what is sent."""
    answer = case.stranger.request("PUT", "/config", body=b"{}", headers=JSON)
    return _refused(answer, "401", "PUT /config without a token")


def origin(case: Case) -> Finding:
    """Ask with the token, as the browser does on behalf of a foreign page."""
    answer = case.owner.request("GET", "/config", headers={"Origin": ORIGIN})
    return _refused(answer, "FOREIGN_ORIGIN", "the owner's browser on a foreign page")


def signature(case: Case) -> Finding:
    """Send what nobody has signed, by force."""
    found = _refused(_send_first_sector(case, "?force=1"), "UPDATE_ERROR_SIGN", "an update that nobody signed")
    return found if found.state == MET else Finding(OPEN, f"{found.tried}, and not for its signature")


def version(case: Case) -> Finding:
    """Send the version that runs once more."""
    return _refused(_send_first_sector(case), "UPDATE_ERROR_VERSION", "an update that is not newer")


def change(case: Case) -> Finding:
    """Change the password to one that is none."""
    body = json.dumps({"password": case.password, "new": ""}).encode()
    answer = case.owner.request("POST", "/password", body=body, headers=JSON)
    return _refused(answer, "BAD_PASSWORD", "POST /password with an empty one")


def page(case: Case) -> Finding:
    """Look at the page for updates."""
    answer = case.owner.request("GET", "/update", headers={"Accept": "text/html"})
    is_page = b'type="file"' in answer.body and b"Restart" in answer.body
    what = "a page that asks for a file, and names the restart" if is_page else came_back(answer)
    return _finding(is_page, f"GET /update: {what}")


def hashed(case: Case) -> Finding:
    """Look in NVS for a digest of the password."""
    if not (password := case.password):
        return Finding(OPEN, "not found out: the password of the settings is not the board's")
    values = (case.flash.nvs[at : at + HASH] for at in range(0, len(case.flash.nvs), NVS_ENTRY))
    is_hashed = any(hash_password(password, value[:SALT_SIZE]) == value[SALT_SIZE:] for value in values)
    return _finding(is_hashed, f"NVS by cable: {'a' if is_hashed else 'no'} salted hash of the password")


def stored(case: Case) -> Finding:
    """Look in NVS for secrets in clear."""
    nvs = case.flash.nvs
    kept = [name for key, name in SECRETS.items() if any(_size(nvs, at.start()) for at in re.finditer(key, nvs))]
    names = ", ".join(dict.fromkeys([*_secrets_in(nvs, case), *kept]))
    return _finding(not names, f"NVS by cable: {names or 'no secret'} in clear")


def hardcoded(case: Case) -> Finding:
    """Look in the application for secrets."""
    names = ", ".join(_secrets_in(case.flash.application, case))
    default = f", but for {DEFAULT_PASSWORD}" if DEFAULT_PASSWORD.encode() in case.flash.application else ""
    return _finding(not names, f"the application by cable: {names or 'no secret'} in it{default}")


def pull(case: Case) -> Finding:
    """Ask where updates are fetched from."""
    return Finding(OPEN, f"GET /pull: {came_back(case.owner.request('GET', '/pull'))}")


def guesses(case: Case) -> Finding:
    """Guess until the board takes no more, and then come as its owner."""
    if case.password:
        case.log_in(case.password)  # the wrong ones before do not count any more
    wrong, answer = 0, case.log_in(secrets.token_hex())
    while answer.status == 401 and wrong < MOST_GUESSES:
        wrong, answer = wrong + 1, case.log_in(secrets.token_hex())
    if answer.status != 429:
        return Finding(OPEN, f"{wrong} wrong passwords, then {came_back(answer)}")
    mark = mark_for(str(case.info.get("hostname")))
    owner = case.log_in(case.password, mark) if case.password and mark else answer
    inside = f"; the owner's own device: {came_back(owner)}" if owner.is_ok else ""
    return Finding(MET, f"after {wrong} wrong passwords {came_back(answer)}{inside}")


def log(case: Case) -> Finding:
    """Read the log, after the guesses."""
    text = _log(case)
    secret = [value for value in (case.password, case.wifi_password, case.owner.token) if value and value in text]
    if secret:
        return Finding(OPEN, "GET /log: a secret stands in it")
    is_named = '"LOGIN_FAILED"' in text
    return _finding(is_named, f"GET /log: {'the' if is_named else 'not even the'} logins that failed, and no secret")


def watch(case: Case) -> Finding:
    """See who hears of the lock-out."""
    is_named = '"LOCKED_OUT"' in _log(case)
    return Finding(OPEN, f"the lock-out: the log {'names' if is_named else 'does not name'} it, and nobody is told")


def restarted(case: Case) -> Finding:
    """Use the token after a restart."""
    case.restart()
    return _refused(case.owner.request("GET", "/config"), "401", "the same token after a restart")


def https(case: Case) -> Finding:
    """Log in by plain HTTP, and ask by TLS."""
    body = json.dumps({"password": ""}).encode()  # no guess
    answer = target(case.plain, True).request("POST", "/login", body=body, headers=JSON)
    plain = _refused(answer, "HTTPS_REQUIRED", "a password by plain HTTP")
    if plain.state == OPEN or not case.stranger.url.startswith("https:"):
        return Finding(OPEN, f"{plain.tried}, after it was read")
    secure = case.stranger.request("GET", "/info")
    return _finding(secure.is_ok, f"{plain.tried}; GET /info by TLS, certificate known: {secure.status}")


def allow(case: Case) -> Finding:
    """Ask from another address."""
    url = urlsplit(target(case.plain, True).url)
    if not url.hostname.startswith("127."):
        return Finding(OPEN, "not found out: ask it from another address, which should get no answer")
    try:
        with socket.create_connection((url.hostname, url.port), CONNECT, (OTHER, 0)) as line:
            line.sendall(b"GET /info HTTP/1.0\r\n\r\n")
            is_answered = bool(line.recv(1))
    except (ConnectionError, TimeoutError):
        is_answered = False
    except OSError:
        return Finding(OPEN, f"not found out: this computer does not know {OTHER} as its own")
    return _finding(not is_answered, f"GET /info from {OTHER}: {'an' if is_answered else 'no'} answer")


# Guesses lock strangers out, which the log then tells, and the restart lets them in again.
PROBES = (default_password, token, configuration, origin, signature, version, change, page, hashed, stored, hardcoded)
PROBES += (pull, guesses, log, watch, restarted, https, allow)


def _finding(is_met: bool, tried: str) -> Finding:
    return Finding(MET if is_met else OPEN, tried)


def _refused(answer: Answer, name: str, tried: str) -> Finding:
    """Return the finding for what the board has to refuse by a name, or with a status."""
    return _finding(name in came_back(answer).split(), f"{tried}: {came_back(answer)}")


def _secrets_in(data: bytes, case: Case) -> list[str]:
    """Return which of the board's secrets stand in what the cable has read."""
    known = {"OTA password": case.password, "Wi-Fi password": case.wifi_password}
    names = [name for name, value in known.items() if value and value.encode() in data]
    return [*names, *["private key"] * any(key in data for key in KEYS)]


def _size(nvs: bytes, key: int) -> int:
    """Return the bytes of the entry of NVS whose key stands at a place (nvs_page.hpp: 16 bytes, then the size)."""
    return int.from_bytes(nvs[key + 16 : key + 18], "little")


def _log(case: Case) -> str:
    answer = case.owner.request("GET", "/log")
    return answer.body.decode("utf-8", "replace") if answer.is_ok else ""


def _send_first_sector(case: Case, query: str = "") -> Answer:
    """Announce an image of one sector, the first one of the version that runs, and send that.

    It is right in all but that no application stands behind it, and nobody has signed it: so it is refused in any case,
    before anything is written (the first sector of a slot is written last).
    """
    tag = case.owner.request("GET", "/sectors").headers.get("ETag", "")
    headers = {"Content-Type": SECTORS.format(SECTOR), "If-Match": tag, "Repr-Digest": sha256_digest(case.flash.head)}
    body = struct.pack("<H", 0) + case.flash.head
    return case.owner.request("PATCH", f"/update{query}", body=body, headers=headers)
