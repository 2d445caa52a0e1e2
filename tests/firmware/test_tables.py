"""Partition tables without otadata, without a second slot, with a factory partition: the application serves."""

from pathlib import Path

import pytest

from kit.image import otadata
from kit.image.table import MICROPYTHON_OTA, PartitionTable

PASSWORD = "a password of our own"
OTADATA, OTA_0, OTA_1, SLOT = 0xD000, 0x10000, 0x190000, 0x180000
CSV = Path(__file__).parents[2] / "kit/image/partitions/micropython.csv"
FACTORY = f"nvs,data,nvs,0x9000,0x4000\notadata,data,ota,{OTADATA},0x2000\nfactory,app,factory,{OTA_0},{SLOT}\n"
TABLES = {
    "micropython.csv": PartitionTable.from_csv(CSV.read_text()),
    "no otadata": PartitionTable(tuple(row for row in MICROPYTHON_OTA if row.label != "otadata")),
    "factory": PartitionTable.from_csv(FACTORY),
    "one slot": PartitionTable(tuple(row for row in MICROPYTHON_OTA if row.label != "ota_1")),
}
BOOT = {"micropython.csv": None, "no otadata": None, "factory": "factory", "one slot": "ota_0"}


@pytest.fixture(params=TABLES)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def flash(name: str, make_flash) -> Path:
    path = make_flash(table=TABLES[name])
    if name != "one slot":  # what is at its place is something else, or blank
        with path.open("r+b") as file:
            file.seek(OTADATA)
            file.write(b"\xff" * 0x2000)
    return path


def test_serves_and_refuses(name: str, flash: Path, interpreter, serve, make_image, assert_refused) -> None:
    board = serve(interpreter, flash, password=PASSWORD)
    info = board.get("/info").json()
    running = "factory" if name in ("factory", "micropython.csv") else "ota_0"
    assert (info["boot"], info["running"], info["next"]) == (BOOT[name], running, None)
    assert info["free_sketch_space"] == 0
    board.log_in(PASSWORD)
    before = flash.read_bytes()
    for force in ("", "?force=1"):
        answer = board.post(f"/update{force}", data=make_image("1.1.0").data, headers=board.bearer)
        assert_refused(answer, 409, "UPDATE_ERROR_NO_PARTITION")
    assert_refused(board.post("/rollback", headers=board.bearer), 409, "UPDATE_ERROR_NO_PARTITION")
    assert "ESP32" in board.get("/", headers={"Accept": "text/html"}).text
    assert flash.read_bytes() == before
    assert "Traceback" not in board.output()


@pytest.mark.parametrize("function", ["starts_and_stays", "counts_without_another_slot"])
def test_boot_files(function: str, flash: Path, interpreter) -> None:
    done = interpreter.run("boots", function, flash)
    assert done.code == 0, done.output


def test_from_the_factory_to_its_only_slot(interpreter, make_flash, make_image, serve) -> None:
    """An update of what came from the factory; from there on there is no second slot."""
    table = PartitionTable.from_csv(f"{FACTORY}ota_0,app,ota_0,{OTA_1},{SLOT}\n")
    flash = make_flash(table=table)
    with flash.open("r+b") as file:
        file.seek(OTADATA)
        file.write(b"\xff" * 0x2000)
    board = serve(interpreter, flash, password=PASSWORD)
    info = board.get("/info").json()
    assert (info["running"], info["boot"], info["next"]) == ("factory", "factory", "ota_0")
    board.log_in(PASSWORD)
    assert board.update(make_image("1.1.0").data).status_code == 200
    assert board.wait() == 42
    assert board.records()[0] == (1, otadata.NEW)
    board = serve(interpreter, flash, running=OTA_1)
    board.wait_for("Update confirmed")
    info = board.get("/info").json()
    assert (info["running"], info["boot"], info["next"], info["image_state"]) == ("ota_0", "ota_0", None, "VALID")
