"""Each check of lesson 05, on boards in two states: what is right of one is wrong of the other."""

import hashlib
import hmac
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import SimpleNamespace

import pytest

import kit
from kit.attacks.attack import Attack, Step
from kit.errors import BoardError
from kit.image.update_image import UpdateImage
from kit.lesson.check import tasks
from kit.security.audit import Audit, Row
from kit.security.keys import new_key

TEXT = b"admin.3720.7f3a"


def seen(*kinds: str) -> dict:
    return {"seen": SimpleNamespace(secrets=[SimpleNamespace(kind=kind) for kind in kinds])}


def attack(*answers: str, tried: str = "") -> Attack:
    return Attack("", tuple(Step(tried, answer) for answer in answers), answers[-1].startswith("200"))


def guessed(wrong: int) -> dict:
    return {"guessing": attack("401 each", tried=f"{wrong} known passwords, one after the other")}


def sent(refused: int) -> dict:
    return {"tries": dict.fromkeys("abcdef"), "errors": dict.fromkeys("abcdef"[:refused])}


def audited(found: str) -> dict:
    return {"after": Audit((Row("box 4", "", "met", ""), Row("box 5", "", "open", f"NVS by cable: {found}")), True)}


def seal(key: bytes) -> str:
    return hmac.new(key, TEXT, hashlib.sha256).hexdigest()


def serves(version: str, signers: int) -> dict:
    return {"ota": SimpleNamespace(info=lambda: {"version": version, "signers": signers})}


STOLEN, LATE = {"stolen_token": attack("200 OK")}, {"late": attack("401 UNAUTHORIZED")}
KNOWN, NEW = attack("409 UPDATE_ERROR_VERSION", "409 UPDATE_ERROR_VERSION"), attack("409 X", "200 OK: 1.0.1 runs")

# for each check the names in two states, and the answer that is right in each; None where nothing is answered.
# "owner", "digest" and "open" stand below.
STATES = {
    "heard": (seen("password", "token"), "both", seen("token"), "the token"),
    "tries": (guessed(5), 5, guessed(8), 8),
    "stolen": (STOLEN, "yes", {"stolen_token": attack("403 X")}, "no"),
    "restarted": (LATE, "no", {"late": attack("200 OK")}, "yes"),
    "seal": ({"key": b"one"}, seal(b"one"), {"key": b"other"}, seal(b"other")),
    "tampered": (
        {"changed": attack("200 OK: version 1.1.0 runs")},
        "runs it",
        {"changed": attack("403 X")},
        "refuses it",
    ),
    "cheats": (sent(6), 0, sent(4), 2),
    "floor": ({"again": KNOWN}, "409", {"again": NEW}, "200"),
    "silence": (seen(), "nothing", seen("password", "token", "Wi-Fi password"), "both"),
    "clear": (
        audited("Wi-Fi password and private key in clear"),
        "the Wi-Fi password",
        audited("OTA password in clear"),
        "the OTA password",
    ),
    "rotated": (serves("1.5.1", 2), None, serves("1.5.1", 1), None),
    "pin": ({"certificate": SimpleNamespace(pin="aa" * 32)}, "aa" * 32, {"certificate": SimpleNamespace(pin="b")}, "b"),
}


def verdict(task: str, names: dict, answer: object = None):
    name = tasks()[f"05-{task}"].get("name")
    return kit.check(f"05-{task}", names | ({name: answer} if name else {}))


def test_all_checks_are_here():
    here = {f"05-{name}" for name in [*STATES, "owner", "digest", "open"]}
    assert here == {task for task in tasks() if task.startswith("05-")}


@pytest.mark.parametrize("task", STATES)
def test_the_verdict_changes_with_the_board(task: str):
    one, right_of_one, other, right_of_other = STATES[task]
    is_asked = "name" in tasks()[f"05-{task}"]
    assert verdict(task, one, right_of_one).state == "right"
    assert verdict(task, other, right_of_one).state == ("wrong" if is_asked else "not yet")
    if is_asked and right_of_other in tasks()[f"05-{task}"].get("answers", [right_of_other]):
        assert verdict(task, other, right_of_other).state == "right"
        assert verdict(task, one, right_of_other).state == "wrong"


@pytest.mark.parametrize("task", [*STATES, "owner", "digest", "open"])
def test_what_is_no_answer(task: str, refuses: Callable):
    names, right, *_ = STATES.get(task, ({"ota": SimpleNamespace(config=dict)}, "yes"))
    refuses(f"05-{task}", names, right)


@pytest.mark.parametrize("task", [task for task in STATES if "answers" in tasks()[f"05-{task}"]])
def test_the_answers_to_choose_from(task: str):
    names, one, *_ = STATES[task]
    answers = tasks()[f"05-{task}"]["answers"]
    if isinstance(one, str):
        assert one in answers
        assert all(str(answer) in verdict(task, names, "nonsense").text for answer in answers)


def test_an_owner_who_is_let_in():
    assert verdict("owner", {"ota": SimpleNamespace(config=dict)}, "yes").state == "right"
    assert verdict("owner", {"ota": SimpleNamespace(config=dict)}, "no").state == "wrong"

    def config() -> None:
        raise BoardError("Nobody is logged in.", "Log in: ota.login().")

    told = verdict("owner", {"ota": SimpleNamespace(config=config)}, "yes")
    assert told.text == "Not yet: Nobody is logged in. Log in: ota.login()."


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> UpdateImage:
    return kit.build("1.1.0").sign(new_key(tmp_path_factory.mktemp("keys") / "team.pem"))


def right_digest(data: bytes) -> bytes:
    return hashlib.sha256(data[-4096:][36 : 36 + 776]).digest()


@pytest.mark.parametrize(
    ("function", "state"),
    [
        (right_digest, "right"),
        (lambda data: hashlib.sha256(data[-4096:]).digest(), "not yet"),
        (lambda data: right_digest(data).hex(), "not yet"),
        (lambda data: right_digest(data)[:16], "not yet"),
        (lambda data: None, "not yet"),
    ],
)
def test_the_digest_of_a_key(signed: UpdateImage, function: Callable, state: str):
    assert verdict("digest", {"signed": signed, "key_digest": function}).state == state


def test_a_digest_that_was_only_looked_up(signed: UpdateImage):
    known = signed.signers[0].digest
    assert verdict("digest", {"signed": signed, "key_digest": lambda data: known}).state == "not yet"


def test_a_function_that_stops(signed: UpdateImage):
    told = verdict("digest", {"signed": signed, "key_digest": lambda data: data.key})
    assert "`key_digest` stops with AttributeError" in told.text


def test_what_came_too_late():
    """The door was locked, the token was over, or the version runs already: no answer is right or wrong then."""
    late = {
        "tries": {"guessing": attack("429 LOCKED_OUT", tried="one password more"), "most": 5},
        "stolen": {"stolen_token": attack("401 UNAUTHORIZED"), "stolen": "no"},
        "tampered": {"changed": attack("409 UPDATE_ERROR_VERSION"), "tampered": "refuses it"},
    }
    for task, names in late.items():
        told = kit.check(f"05-{task}", names)
        assert told.state == "not yet"
        assert "again" in told.text


@pytest.mark.parametrize("pin", ["aa" * 32, "AA" * 32, ":".join(["AA"] * 32), f" {'aa' * 32} "])
def test_a_pin_as_the_boot_log_writes_it(pin: str):
    assert verdict("pin", {"certificate": SimpleNamespace(pin="aa" * 32)}, pin).state == "right"


@contextmanager
def page(info: dict) -> Iterator[str]:
    """The address of a board that says this of itself."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            body = json.dumps({"version": "1.5.1", "running": "ota_0", "uptime": 1} | info).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize(("signers", "state"), [(0, "right"), (1, "not yet")])
def test_a_board_that_is_given_back(signers: int, state: str):
    with page({"signers": signers}) as url:
        assert verdict("open", {"board": SimpleNamespace(url=url)}).state == state
        https = url.replace("http:", "https:")
        assert verdict("open", {"board": SimpleNamespace(url=https)}).state == "not yet"


def test_no_secret_of_a_learner_is_told(tmp_path: Path):
    """Hints and verdicts name no key and no pin but the one that is asked for."""
    told = verdict("pin", {"certificate": SimpleNamespace(pin="aa" * 32)}, "bb" * 32)
    assert "aa" * 32 not in told.text
