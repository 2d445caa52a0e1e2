import hashlib
import socket
from collections.abc import Callable

import pytest

import kit
from kit.attacks.images import tampered
from kit.board.board import Board
from kit.errors import BoardError, ImageError, KitError
from kit.faults import damage
from kit.image.app_image import AppImage
from kit.image.update_image import UpdateImage, build
from kit.ota.client import OtaClient
from kit.security.keys import Key

ANYWHERE = "http://8.8.8.8"


def open_sniffer(board: object, **options: bool) -> None:
    with kit.attacks.sniff(board, **options):
        pass


ATTACKS: dict[str, Callable] = {
    "sniff": open_sniffer,
    "guess": kit.attacks.guess,
    "replay": lambda board, **options: kit.attacks.replay(board, None, **options),
    "foreign_page": kit.attacks.foreign_page,
    "forge_request": kit.attacks.forge_request,
    "downgrade": lambda board, **options: kit.attacks.downgrade(board, b"", **options),
    "tamper": lambda board, **options: kit.attacks.tamper(board, b"", **options),
    "exhaust": kit.attacks.exhaust,
}


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("somebody connects")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket.socket, "connect_ex", refuse)


def test_every_attack_is_here():
    assert sorted(ATTACKS) == sorted(dir(kit.attacks))


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("board", [Board("nowhere", url="http://127.0.0.1:9"), "http://127.0.0.1:9"])
def test_a_real_board_is_attacked_only_if_that_is_meant(attack: str, board: object):
    with pytest.raises(BoardError, match=r"would attack a real board\. .*add confirm=True"):
        ATTACKS[attack](board)


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize(
    "url", [ANYWHERE, "https://8.8.8.8:444", "http://172.32.0.1", "http://0.0.0.0", "http://100.64.0.1", "8.8.8.8"]
)
def test_nothing_outside_is_attacked(attack: str, url: str):
    with pytest.raises(KitError, match="is in no private network"):
        ATTACKS[attack](url, confirm=True)


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize("attack", ATTACKS)
def test_a_virtual_board_that_says_it_is_elsewhere(attack: str):
    """As by KIT_URL."""
    with pytest.raises(KitError, match="is in no private network"):
        ATTACKS[attack](Board("nowhere", url=ANYWHERE, control="none"))


@pytest.mark.usefixtures("no_network")
def test_a_name_that_leads_outside(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: [(2, 1, 6, "", ("93.184.215.14", 80))])
    with pytest.raises(KitError, match=r"board\.example is in no private network"):
        kit.attacks.guess("http://board.example", confirm=True)


def test_a_name_that_changes_its_mind(board: Board, monkeypatch: pytest.MonkeyPatch):
    """What was found private is what is attacked: the name is not looked up once more."""
    port = int(board.url.rpartition(":")[2])
    places = iter([("127.0.0.1", port), ("93.184.215.14", port)])
    real, asked = socket.getaddrinfo, []

    def look_up(host: str, *options: object, **more: object) -> list:
        if host != "board.test":
            return real(host, *options, **more)
        asked.append(host)
        return [(2, 1, 6, "", next(places))]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    assert kit.attacks.exhaust(f"http://board.test:{port}", 1, confirm=True).steps[1].answer == "200 OK"
    assert asked == ["board.test"]


def test_a_name_that_nobody_knows(monkeypatch: pytest.MonkeyPatch):
    def fail(*_: object) -> None:
        raise socket.gaierror

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(BoardError, match=r"Nobody here knows the name 'board\.test'"):
        kit.attacks.guess("http://board.test", confirm=True)


def test_guessing_ends_at_the_lock_out_and_the_owner_comes_in(board: Board):
    ota = OtaClient(board.url)
    ota.login()
    attack = kit.attacks.guess(board)
    assert repr(attack).splitlines() == [
        "Guessing the password: it failed",
        "tried                                                   came back",
        "5 known passwords, one after the other                  401 each",
        "one password more                                       429 LOCKED_OUT",
    ]
    assert "s more" in attack._repr_html_()
    assert not attack.succeeded
    assert [step.tried for step in kit.attacks.guess(board).steps] == ["one password more"]
    ota.login()
    board.reset()


def test_guessing_finds_the_default_password(default_board: Board):
    attack = kit.attacks.guess(default_board)
    assert attack.succeeded
    assert [(step.tried, step.answer) for step in attack.steps] == [
        ("3 known passwords, one after the other", "401 each"),
        ("the password 'admin123'", "200 OK"),
    ]


def test_a_token_that_was_seen_is_good_until_the_restart(board: Board):
    with kit.attacks.sniff(board) as capture:
        OtaClient(capture.url).login()
    attack = kit.attacks.replay(board, capture)
    assert attack.succeeded
    assert attack.steps[0].answer == "200 OK"
    board.reset()
    attack = kit.attacks.replay(board, capture)
    assert not attack.succeeded
    assert attack.steps[0].answer == "401 UNAUTHORIZED"


def test_a_sniffer_that_has_seen_no_token(board: Board):
    with kit.attacks.sniff(board) as capture, pytest.raises(KitError, match="seen no token"):
        kit.attacks.replay(board, capture)


def test_a_foreign_origin_is_refused_cookie_and_all(board: Board):
    before = OtaClient(board.url).info()["uptime"]
    attack = kit.attacks.forge_request(board)
    assert not attack.succeeded
    assert attack.steps[0].answer == "403 FOREIGN_ORIGIN"
    assert OtaClient(board.url).info()["uptime"] >= before


def test_the_foreign_page_ends(board: Board):
    with kit.attacks.foreign_page(board) as page:
        assert repr(page) == "a page of another origin: it promises a prize"
        assert page.url in page._repr_html_()
        port = int(page.url.rpartition(":")[2])
        socket.create_connection(("127.0.0.1", port)).close()
    with page:  # twice
        pass
    with pytest.raises(OSError, match=r"."):
        socket.create_connection(("127.0.0.1", port))


def test_a_downgrade_by_force(board: Board):
    attack = kit.attacks.downgrade(board, build("0.9.0", board=board))
    assert [(step.tried, step.answer) for step in attack.steps] == [
        ("an older version", "409 UPDATE_ERROR_VERSION"),
        ("the same with force=1", "200 OK: version 0.9.0 runs"),
    ]
    assert attack.succeeded


def test_a_version_that_gives_itself_up(board: Board):
    attack = kit.attacks.downgrade(board, damage.crashing("1.1.0", board))
    assert not attack.succeeded
    assert attack.steps[0].answer.startswith("taken, and given up: Version 1.1.0 was given up")


@pytest.fixture(scope="module")
def image() -> UpdateImage:
    return build("1.3.0")


def test_one_bit_is_changed_and_all_digests_are_right(image: UpdateImage):
    data = tampered(image.data)
    changed = [at for at, (old, new) in enumerate(zip(image.data, data, strict=True)) if old != new]
    parsed = AppImage.read(data)
    assert (parsed.checksum_ok, parsed.hash_ok, parsed.application_ok) == (True, True, True)
    digest = changed[:-1]  # in the application's header
    assert len(digest) <= hashlib.sha256().digest_size
    assert digest[-1] - digest[0] < hashlib.sha256().digest_size
    assert (image.data[changed[-1]] ^ data[changed[-1]]).bit_count() == 1


def test_a_board_that_knows_no_signers_takes_what_was_changed(board: Board, image: UpdateImage):
    attack = kit.attacks.tamper(board, image)
    assert attack.succeeded
    assert attack.steps[0].answer == "200 OK: version 1.3.0 runs"


def test_a_changed_bit_behind_a_signature_is_refused(strict_board: Board, key: Key, image: UpdateImage):
    """Every digest that the image carries is right; only the signature tells."""
    before = repr(OtaClient(strict_board.url).info())
    attack = kit.attacks.tamper(strict_board, image.sign(key))
    assert not attack.succeeded
    assert attack.steps[0].answer == "403 UPDATE_ERROR_SIGN"
    assert kit.attacks.tamper(strict_board, image).steps == attack.steps  # without a signature
    assert repr(OtaClient(strict_board.url).info()) == before


def test_an_old_signed_image_below_the_floor_is_refused_force_or_not(strict_board: Board, key: Key):
    ota = OtaClient(strict_board.url)
    ota.login()
    ota.upload(build("1.1.0", secure_version=1).sign(key))
    attack = kit.attacks.downgrade(strict_board, build("1.0.0").sign(key))
    assert [step.answer for step in attack.steps] == ["409 UPDATE_ERROR_VERSION"] * 2
    assert not attack.succeeded
    assert kit.attacks.downgrade(strict_board, build("1.0.0", secure_version=1).sign(key)).succeeded


def test_what_has_no_page_cannot_be_changed(board: Board, image: UpdateImage):
    with pytest.raises(ImageError, match="no page in this image"):
        tampered(damage.without_application(image).data)
    with pytest.raises(ImageError, match="no update image"):
        kit.attacks.tamper(board, 5)


def test_an_honest_request_comes_through(board: Board):
    attack = kit.attacks.exhaust(board)
    assert [(step.tried, step.answer) for step in attack.steps] == [
        ("20 connections, half of them with half a head", "held, and closed again"),
        ("meanwhile an honest GET /info", "200 OK"),
    ]
    assert not attack.succeeded
    assert " on a virtual board" in attack._repr_html_()
    assert repr(kit.attacks.exhaust(board)) == repr(attack)


def test_a_server_that_serves_one_after_the_other_is_exhausted(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("kit.ota.web.SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as server:
        attack = kit.attacks.exhaust(f"http://127.0.0.1:{server.getsockname()[1]}", 3, confirm=True)
    assert attack.succeeded
    assert attack.steps[1].answer == "nothing"


@pytest.mark.parametrize("number", [0, -1, 101, "20", 2.5, None])
def test_what_is_no_number_of_connections(board: Board, number: object):
    with pytest.raises(KitError, match="is no number of connections"):
        kit.attacks.exhaust(board, number)
