import sys
from collections.abc import Callable

import pytest

import kit
from kit.attacks import case, probes
from kit.board.board import Board
from kit.board.loader import download_mode
from kit.board.port import open_port
from kit.errors import BoardError, KitError
from kit.figures.checklist import COLORS
from kit.ota.client import OtaClient
from kit.ota.web import Web
from kit.security.audit import CHECKLIST, CLAUSES, Audit, Finding, Row
from kit.security.keys import Key
from kit.settings import DEMO

SECRETS = (DEMO.password, DEMO.wifi_password)


def states(audit: Audit) -> dict[str, str]:
    return {row.number: row.state for row in audit}


def tried(audit: Audit, number: str) -> str:
    return next(row.tried for row in audit if row.number == number)


def test_a_board_of_lesson_02(board: Board):
    audit = kit.audit(board)
    assert {number for number, state in states(audit).items() if state == "met" and number.startswith("box")} == {
        "box 1",
        "box 4",
        "box 6",
        "box 7",
        "box 12",
    }
    assert {number for number, state in states(audit).items() if state == "open" and number.startswith("5.")} == {
        "5.1-3",
        "5.3-1",
        "5.3-2",
        "5.3-4…6",
        "5.3-7",
        "5.3-9, 10",
        "5.4-1",
        "5.5-1",
        "5.5-6, 7",
    }
    assert tried(audit, "box 1") == "POST /login with admin123: 401"
    assert tried(audit, "box 3") == "an update that nobody signed: 422 UPDATE_ERROR_ACTIVATE, and not for its signature"
    assert tried(audit, "box 4").startswith("after 5 wrong passwords 429 LOCKED_OUT; the owner's own device: 200 OK")
    assert tried(audit, "box 5") == "NVS by cable: Wi-Fi password, token key in clear"
    assert tried(audit, "box 8") == "GET /info from 127.0.0.2: an answer"
    assert "the same token after a restart: 401 UNAUTHORIZED" in tried(audit, "box 7")
    assert [secret for secret in SECRETS if secret in repr(audit) + audit._repr_html_()] == []


def test_it_leaves_the_board_as_it_was_and_says_the_same_again(board: Board):
    image = kit.build("1.1.0", board=board)
    ota = OtaClient(board.url)
    ota.login()
    ota.upload(image)
    before, slots = repr(ota.info()), [board.read(slot.offset, slot.size) for slot in board.partitions().slots]
    records = repr(board.otadata())
    first = repr(kit.audit(board))
    assert repr(ota.info()) == before
    assert [board.read(slot.offset, slot.size) for slot in board.partitions().slots] == slots
    assert repr(board.otadata()) == records
    assert kit.attacks.guess(board).steps[0].answer == "401 each"  # nobody is locked out
    assert repr(kit.audit(board)) == first


def test_a_board_with_the_default_password(default_board: Board):
    audit = kit.audit(default_board)
    assert tried(audit, "box 1") == "POST /login with admin123: 200 OK"
    assert {states(audit)[number] for number in ("box 1", "box 3", "5.1-1", "5.1-3", "5.4-3")} == {"open"}
    assert tried(audit, "box 3").endswith("403 UPDATE_ERROR_PASSWORD, and not for its signature")
    assert states(audit)["5.1-4"] == "met"
    assert "429 LOCKED_OUT" in tried(audit, "box 4")


def test_a_board_that_knows_its_signers(strict_board: Board):
    audit = kit.audit(strict_board)
    assert tried(audit, "box 3") == "an update that nobody signed: 403 UPDATE_ERROR_SIGN"
    assert {states(audit)[number] for number in ("box 3", "5.3-2", "5.3-7", "5.3-9, 10")} == {"met"}
    assert "409 UPDATE_ERROR_VERSION" in tried(audit, "5.3-2")


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere this computer has one address of its own")
def test_a_board_that_lets_in_only_some(board: Board):
    ota = OtaClient(board.url)
    ota.login()
    ota.configure(allow=["127.0.0.1/32"])
    ota.restart()
    try:
        audit = kit.audit(board)  # its login confirms the list
        assert tried(audit, "box 8") == "GET /info from 127.0.0.2: no answer"
        assert states(audit)["box 8"] == "met"
        assert states(kit.audit(board)) == states(audit)
    finally:
        board.install()
    assert tried(kit.audit(board), "box 8") == "GET /info from 127.0.0.2: an answer"


def test_a_board_of_which_every_door_is_closed(changed_board: Board, key: Key):
    """What stays open then is what docs/security.md says."""
    info = OtaClient(changed_board.url).info()
    certificate = kit.new_certificate(info["hostname"], info["ip"])
    changed_board.install(certificate=certificate, signers=[key])
    for setting in ({"https": True}, {"allow": ["127.0.0.1/32"]}):
        ota = OtaClient(changed_board.url)
        ota.login()
        ota.configure(**setting)
        changed_board.reset()
    audit = kit.audit(changed_board)
    assert tried(audit, "box 2") == (
        "a password by plain HTTP: 403 HTTPS_REQUIRED; GET /info by TLS, certificate known: 200"
    )
    assert tried(audit, "5.4-1") == "NVS by cable: Wi-Fi password, private key, token key in clear"
    still = {number for number, state in states(audit).items() if state == "open"}
    assert still == {"box 5", "box 9", "box 10", "5.3-1", "5.3-4…6", "5.4-1"}
    assert OtaClient(changed_board.url).info()["https"] is True


def test_a_certificate_that_is_not_known(changed_board: Board, monkeypatch: pytest.MonkeyPatch):
    info = OtaClient(changed_board.url).info()
    changed_board.install(certificate=kit.new_certificate(info["hostname"], info["ip"]))
    ota = OtaClient(changed_board.url)
    ota.login()
    ota.configure(https=True)
    changed_board.reset()
    OtaClient(changed_board.url).login()
    monkeypatch.setattr("kit.attacks.attack.pin_for", lambda url: "0" * 64)
    monkeypatch.setattr("kit.ota.waiting.CONFIRM_TIMEOUT", 1)
    with pytest.raises(BoardError, match="served no confirmed version"):
        kit.audit(changed_board)


def test_a_board_whose_password_nobody_knows(board: Board, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("KIT_PASSWORD", "another password")
    audit = kit.audit(board)
    assert "429 LOCKED_OUT" in tried(audit, "box 4")
    assert tried(audit, "box 1") == "POST /login with admin123: 401"
    assert {states(audit)[number] for number in ("box 3", "box 6", "box 7", "5.1-3", "5.1-4")} == {"open"}
    assert "another password" not in repr(audit)


def test_a_real_board_of_which_the_settings_know_only_the_password(board: Board, monkeypatch: pytest.MonkeyPatch):
    """Real to the kit: it has no control side."""
    monkeypatch.setenv("KIT_PASSWORD", DEMO.password)
    audit, virtual = kit.audit(Board(board.address, url=board.url)), kit.audit(board)
    assert repr(audit) == repr(virtual)
    assert (audit.virtual, virtual.virtual) == (False, True)


def test_a_board_that_is_locked(board: Board):
    kit.attacks.guess(board)
    assert states(kit.audit(board))["box 4"] == "met"


def test_a_board_that_is_silent_is_restarted(board: Board):
    with open_port(board.address) as port, download_mode(port):
        pass  # no program runs
    assert Web(board.url).look("/info") is None
    assert states(kit.audit(board))["box 7"] == "met"


def test_a_board_that_cannot_serve(board: Board, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("kit.ota.waiting.CONFIRM_TIMEOUT", 0.5)
    with kit.faults.Link("http://127.0.0.1:9") as nowhere:
        silent = Board(board.address, url=nowhere.url, control=board.control)
        with pytest.raises(BoardError, match="served no confirmed version"):
            kit.audit(silent)


def test_a_probe_that_fails_is_open_and_says_why(board: Board, monkeypatch: pytest.MonkeyPatch):
    def fails(_: case.Case) -> Finding:
        raise BoardError("It burns.", "Run.")

    fails.__name__ = "default_password"
    monkeypatch.setattr(probes, "PROBES", (fails, *probes.PROBES[1:]))
    audit = kit.audit(board)
    assert tried(audit, "box 1") == "not found out: It burns."
    assert states(audit)["box 1"] == "open"


def test_every_probe_is_asked_for_and_has_its_row():
    names = {name for _, _, *asked in (*CHECKLIST, *CLAUSES) for name in asked if isinstance(name, str)}
    assert names == {probe.__name__ for probe in probes.PROBES}
    assert [number for number, *_ in CHECKLIST] == [f"box {number}" for number in range(1, 13)]
    assert len({number for number, *_ in CLAUSES}) == len(CLAUSES)


def test_the_same_value_that_is_stored_in_clear_is_seen(changed_board: Board):
    """What else stands in NVS, or in the log, counts as well as what belongs there."""
    with changed_board.repl() as repl:
        code = f'from esp32 import NVS; nvs = NVS("kit"); nvs.set_blob("note", {DEMO.password.encode()}); nvs.commit()'
        repl.exec(code)
    assert tried(kit.audit(changed_board), "5.4-1") == "NVS by cable: OTA password, Wi-Fi password, token key in clear"


def audit_of(*found: str) -> Audit:
    return Audit(tuple(Row(f"5.1-{n}", "something", state, "tried") for n, state in enumerate(found)), True)


def test_figure_before_and_after():
    before, after = audit_of("open", "open", "not applicable"), audit_of("met", "open", "not applicable")
    figure = after.plot(before)
    axes = figure.axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["before: 2 open", "after: 1 open"]
    assert [text.get_text() for text in axes.texts] == [row.state for audit in (before, after) for row in audit]
    assert len({patch.get_facecolor() for patch in axes.patches}) == len(COLORS)
    assert "0 met, 2 open, 1 not applicable; then 1 met, 1 open, 1 not applicable" in figure.alt
    assert "virtual board" in figure.alt


def test_figure_of_one():
    figure = audit_of("met", "open").plot()
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == ["state: 1 open"]
    with pytest.raises(KitError, match="A str is no audit"):
        audit_of("met").plot("before")


def test_table(cells: Callable[[str], list[list[str]]]):
    audit = audit_of("met", "open")
    assert cells(audit._repr_html_()) == [
        ["", "asked for", "state", "what was tried"],
        ["5.1-0", "something", "met", "tried"],
        ["5.1-1", "something", "open", "tried"],
    ]
    assert len(audit) == 2
