from dataclasses import replace

import matplotlib.pyplot as plt
import pytest
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Text

from kit.figures import flash_map, throughput
from kit.ota import UploadResult
from kit.table import APP, DATA, MICROPYTHON_OTA, Partition, PartitionTable

SIZE = 1_380_352
SEED = PartitionTable(  # the tutorial's
    (
        Partition("nvs", DATA, 2, 0x9000, 0x5000),
        Partition("otadata", DATA, 0, 0xE000, 0x2000),
        Partition("app0", APP, 0x10, 0x10000, 0x180000),
        Partition("app1", APP, 0x11, 0x190000, 0x180000),
        Partition("spiffs", DATA, 0x82, 0x310000, 0xE0000),
        Partition("coredump", DATA, 3, 0x3F0000, 0x10000),
    )
)


def words(figure: Figure) -> str:
    return "\n".join(text.get_text() for text in figure.findobj(Text))


def boxes(figure: Figure) -> list[tuple[float, float]]:
    """Left edge and width of each box of the upper strip, in shares of it."""
    top = [box for box in figure.axes[0].patches if isinstance(box, Rectangle) and box.get_y() > 0.5]
    return [(box.get_x(), box.get_width()) for box in top]


def result(samples: int = 20, restart: float | None = 3.0, virtual: bool = True) -> UploadResult:
    times = [23.0 * n / (samples - 1) for n in range(samples)]
    rows = tuple((t, int(SIZE * t / 23), int(SIZE * t / 23), "write") for t in times)
    seconds = {"receive": 6.0, "write": 15.0, "verify": 1.2, "commit": 0.1}
    return UploadResult("1.1.0", "ota_1", SIZE, seconds, rows, restart, virtual)


def overlaps(figure: Figure) -> list[tuple[str, str]]:
    figure.canvas.draw()
    texts = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text().strip()]
    extents = [(text.get_text(), text.get_window_extent()) for text in texts]
    return [(a, b) for n, (a, x) in enumerate(extents) for b, y in extents[n + 1 :] if x.overlaps(y)]


@pytest.mark.parametrize("table", [MICROPYTHON_OTA, MICROPYTHON_OTA.with_vfs(0x400000), SEED])
def test_flash_map_names_each_partition_with_address_and_size(table):
    figure = flash_map(table, None, virtual=False)
    text = words(figure)
    for row in table:
        assert row.label in text
        assert f"{row.offset:#x} · " in text
    assert "1.5 MiB" in text
    assert "bootloader" in text
    assert "partition table" in text
    assert overlaps(figure) == []


def test_flash_map_is_to_scale_and_shows_what_is_used():
    figure = flash_map(MICROPYTHON_OTA, {"ota_0": SIZE}, virtual=False)
    slot = 0x10000 / 0x400000
    widths = [width for x, width in boxes(figure) if x == pytest.approx(slot)]
    whole = 0x180000 / 0x400000
    assert widths == pytest.approx([whole, SIZE / 0x400000, whole])  # free, used, outline
    assert "1.32 MiB used" in words(figure)
    assert "not in the table" in words(figure)


@pytest.mark.parametrize("rows", [(), (Partition("nvs", DATA, 2, 0x9000, 0),)])
def test_flash_map_of_a_table_that_makes_no_sense(rows):
    assert "partition table" in words(flash_map(PartitionTable(rows), {"nvs": 5}, virtual=False))


def test_flash_map_title():
    assert "Flash, 4 MiB" in words(flash_map(MICROPYTHON_OTA, None, virtual=False))
    assert "Flash, 8 MiB" in words(flash_map(MICROPYTHON_OTA.with_vfs(0x800000), None, virtual=False))
    assert "After the update" in words(flash_map(MICROPYTHON_OTA, None, virtual=False, title="After the update"))


def test_only_figures_of_a_virtual_board_say_virtual():
    for virtual in (True, False):
        assert ("virtual board" in words(flash_map(MICROPYTHON_OTA, None, virtual))) == virtual
        assert ("virtual board" in words(throughput(result(virtual=virtual)))) == virtual


@pytest.mark.parametrize("samples", [2, 3, 60])
@pytest.mark.parametrize("restart", [None, 0.4, 12.0])
def test_throughput_marks_phases_and_speed(samples, restart):
    figure = throughput(result(samples, restart))
    text = words(figure)
    assert "receive + write\n6 s + 15.0 s" in text
    assert "verify\n1.2 s" in text
    assert "commit\n0.1 s" in text
    assert ("restart" in text) == (restart is not None)
    assert "mean 64 kB/s" in text  # 1,380,352 bytes in 21.7 s
    assert "1.1.0 into ota_1: 1,380,352 bytes" in text
    assert overlaps(figure) == []


def test_throughput_draws_what_the_board_wrote():
    top, _ = throughput(result(24)).axes
    *_, line = top.lines
    assert line.get_ydata()[0] == 0
    assert line.get_ydata()[-1] == pytest.approx(SIZE / 1e6)
    assert line.get_xdata()[-1] == pytest.approx(23)


def test_throughput_of_an_upload_too_fast_to_poll():
    samples = ((0.0, 0, 0, "check"), (0.25, SIZE, SIZE, "restart"))
    seconds = {"receive": 0.1, "write": 0.1, "verify": 0.02, "commit": 0.001}
    figure = throughput(replace(result(), samples=samples, seconds=seconds, restart_seconds=0.9))
    assert "kB/s" in words(figure)
    assert overlaps(figure) == []


def test_figures_are_closed_so_that_a_notebook_shows_them_once():
    before = plt.get_fignums()
    flash_map(MICROPYTHON_OTA, None, virtual=True)
    throughput(result())
    assert plt.get_fignums() == before
