import asyncio
import gc
import select
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import pytest

from kit.errors import AddressError, BoardError, KitError, UpdateError
from kit.faults import Link
from kit.image.update_image import UpdateImage, build
from kit.ota.client import OtaClient

SECTOR = 4096
NOBODY = "http://127.0.0.1:9"


@pytest.fixture(scope="module")
def image() -> UpdateImage:
    return build("1.1.0")


@pytest.fixture
def link(board):
    with Link(board) as link:
        yield link
    assert "link" not in [thread.name for thread in threading.enumerate()]


@pytest.fixture
def ota(link) -> OtaClient:
    ota = OtaClient(link.url)
    ota.login()
    return ota


def test_it_passes_everything_unless_it_is_told_to_fail(link, ota: OtaClient, image: UpdateImage):
    assert repr(link) == "Link: passes everything"
    assert repr(ota.upload(image, whole=True)) == f"1.1.0 in ota_1: {image.size:,} bytes accepted, confirmed"
    assert repr(link) == "Link: passes everything"


def test_an_upload_that_ends_before_its_fault(link, ota: OtaClient, image: UpdateImage):
    link.drop(5_000_000)
    with pytest.raises(UpdateError):
        ota.upload(image.data[:50_000], whole=True)
    assert repr(link) == "Link: the last upload was not dropped after 5,000,000 bytes"


@pytest.mark.parametrize("count", [20, 3 * SECTOR + 5, 1_000_000])
def test_a_dropped_upload(link, ota: OtaClient, image: UpdateImage, count: int):
    """The client tells what the board has, exactly: whole sectors, of which the updater holds back the first."""
    assert repr(link.drop(count)) == f"Link: the next upload will be dropped after {count:,} bytes"
    before = repr(ota.info())
    assert repr(link) == f"Link: the next upload will be dropped after {count:,} bytes"
    with pytest.raises(BoardError) as caught:
        ota.upload(image, whole=True)
    done = max(0, count // SECTOR * SECTOR - SECTOR)
    assert str(caught.value) == (
        f"The link broke after the board had acknowledged {done:,} of {image.size:,} bytes."
        " The old version 1.0.0 still runs: upload again."
    )
    assert repr(link) == f"Link: the last upload was dropped after {count:,} bytes"
    assert ota.progress()["error"] == "UPDATE_ERROR_ABORT"
    assert repr(ota.info()) == before


def test_a_stalled_upload(link, ota: OtaClient, image: UpdateImage):
    """The board hangs up after 10 s; meanwhile other requests pass."""
    link.stall(200_000)
    with pytest.raises(BoardError, match=r"The link broke after the board had acknowledged 192,512 of"):
        ota.upload(image, whole=True)
    assert repr(link) == "Link: the last upload was stalled after 200,000 bytes"
    assert ota.progress()["error"] == "UPDATE_ERROR_ABORT"


def test_a_corrupted_upload(link, ota: OtaClient, image: UpdateImage):
    link.corrupt(300_000)
    with pytest.raises(UpdateError) as caught:
        ota.upload(image, whole=True)
    assert caught.value.error == "UPDATE_ERROR_MD5"
    assert repr(link) == "Link: the last upload was changed by one bit in byte 300,000"
    assert ota.upload(image).version == "1.1.0"  # a fault is for one upload


def test_slow_uploads(link, ota: OtaClient):
    """They take no less than they must; how much more is this computer's business."""
    for version, plan, words, seconds in (
        ("1.1.0", lambda: link.throttle(2_000_000), "throttled to 2,000,000 bytes per second", 0.69),
        ("1.2.0", lambda: link.delay(0.005), "delayed by 0.005 s for every 5,760 bytes", 1.2),
        ("1.3.0", lambda: link.stutter(0.01), "held up for 0.2 s at 1.0% of its packets", 1.0),
    ):
        assert f"the next upload will be {words}" in repr(plan())
        ota.login()
        assert ota.upload(build(version), whole=True).samples[-1][0] >= seconds
        assert f"the last upload was {words}" in repr(link)


def test_a_flaky_link(link, ota: OtaClient, image: UpdateImage):
    """It breaks upload after upload, wherever the die says, until another fault is planned."""
    words = "dropped by chance, after 700,000 bytes in the mean"
    assert repr(link.flaky(700_000)) == f"Link: the next upload will be {words}"
    result = ota.upload(image, tries=9, whole=True)
    done = [samples[-1][2] for samples in result.broken]
    assert len(done) == len(set(done)) == 3
    assert repr(link) == f"Link: the next upload will be {words}"
    ota.login()
    link.drop(100_000)
    with pytest.raises(BoardError, match="acknowledged 94,208 of"):
        ota.upload(build("1.2.0"), whole=True)


def test_what_a_board_has_not_taken_has_not_passed():
    """Else a client would learn of a break long before the board has had what came before it."""
    with socket.create_server(("127.0.0.1", 0)) as deaf, Link(f"http://127.0.0.1:{deaf.getsockname()[1]}") as link:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 5760)
        link.drop(100_000)
        with socket.create_connection(("127.0.0.1", urlsplit(link.url).port)) as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            client.sendall(b"POST /update HTTP/1.1\r\n\r\n")
            while select.select([], [client], [], 0.5)[1]:
                client.send(bytes(4096))
            assert "was not dropped" in repr(link)


@pytest.mark.parametrize("plan", [None, "drop", "corrupt", "flaky"])
def test_a_connection_that_is_over_leaves_no_task(plan: str | None):
    """One that waits for a side that is gone would be collected as rubbish one day, and Python would say so."""
    with socket.create_server(("127.0.0.1", 0)) as board, Link(f"http://127.0.0.1:{board.getsockname()[1]}") as link:
        if plan:
            getattr(link, plan)(1000)
        client, end = socket.socketpair()

        async def relay() -> set[asyncio.Task]:
            relay = asyncio.create_task(link._relay(end))
            await asyncio.to_thread(lambda: board.accept()[0].close())
            await relay
            return asyncio.all_tasks() - {asyncio.current_task()}

        with client:
            client.sendall(b"POST /update HTTP/1.1\r\n\r\n" + bytes(5000))
            assert asyncio.run(relay()) == set()


def test_links_that_end_while_clients_come(capfd: pytest.CaptureFixture):
    for _ in range(20):
        with socket.create_server(("127.0.0.1", 0)) as board:
            link = Link(f"http://127.0.0.1:{board.getsockname()[1]}")
            clients = [socket.create_connection(("127.0.0.1", urlsplit(link.url).port)) for _ in range(5)]
            with link:
                pass
            for client in clients:
                client.close()
    gc.collect()
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("value", [0, -1, "200_000", None, float("nan")])
@pytest.mark.parametrize("verb", ["drop", "flaky", "stall", "corrupt", "throttle", "delay", "stutter"])
def test_what_is_no_number(verb: str, value: object):
    with Link(NOBODY) as link:
        with pytest.raises(KitError, match=r"is no (whole )?number above 0"):
            getattr(link, verb)(value)
        assert repr(link) == "Link: passes everything"


@pytest.mark.parametrize(
    ("verb", "value"),
    [("drop", 1.5), ("corrupt", 1.5), ("throttle", float("inf")), ("stutter", 1.5), ("delay", float("inf"))],
)
def test_a_number_that_makes_no_sense(verb: str, value: float):
    with Link(NOBODY) as link:
        with pytest.raises(KitError, match=r"is no (whole )?number above 0"):
            getattr(link, verb)(value)
        assert repr(link) == "Link: passes everything"


@pytest.mark.parametrize("address", [None, 3, "", "foo bar", "http://[::", "ftp://board"])
def test_what_is_no_board(address: object):
    with pytest.raises(AddressError, match="is not the address of a web server"):
        Link(address)


def test_a_board_that_is_not_there():
    with Link(NOBODY) as link, pytest.raises(BoardError, match="no proper answer"):
        OtaClient(link.url).info()


def test_it_ends_twice_and_while_it_is_used(link, ota: OtaClient, image: UpdateImage, caplog):
    link.throttle(100_000)
    with ThreadPoolExecutor(1) as pool:
        uploading = pool.submit(ota.upload, image, whole=True)
        while ota.progress()["phase"] != "write":
            assert not uploading.done()
        with link:
            pass
        assert "The link broke" in str(uploading.exception(60))
    assert caplog.text == ""


def test_it_ends_with_python():
    code = "import kit; link = kit.faults.Link('http://127.0.0.1:9'); print(link)"
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert (done.stdout, done.stderr) == ("Link: passes everything\n", "")
