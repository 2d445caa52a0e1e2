from collections.abc import Callable
from dataclasses import replace
from html import escape

import matplotlib.pyplot as plt
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Text

from kit.faults.gallery import KEPT, NEW, REFUSED, ROLLED_BACK, SILENT
from kit.figures.failures import heat_strip, outcome_gallery
from kit.figures.flash import flash_map, scheme_map
from kit.figures.life import life_of_an_image
from kit.figures.transfer import compare_links, retries, throughput
from kit.image.partition import APP, DATA, Partition
from kit.image.schemes import FLASH_SIZE as FLASH
from kit.image.schemes import Scheme, compare_schemes
from kit.image.table import MICROPYTHON_OTA, PartitionTable
from kit.ota.result import UploadResult

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
OUTCOMES = [
    ("Digest mismatch (SHA-256)", REFUSED, "1.0.0 in ota_0", 5.1),
    ("Dropped link", KEPT, "1.0.0 in ota_0", 0.04),
    ("Crash at start", ROLLED_BACK, "1.0.0 in ota_0", 12.0),
    ("Power cut in set_boot", NEW, "1.1.0-rc.1 in ota_1", 3.0),
    ("Confirms too early", SILENT, "nothing", 90.0),
]
CUTS = [("slot", "old")] * 340 + [("otadata", "old"), ("otadata", "new"), ("nvs", "new"), ("vfs", "broken")]


def words(figure: Figure) -> str:
    return "\n".join(text.get_text() for text in figure.findobj(Text))


def boxes(figure: Figure) -> list[tuple[float, float]]:
    """Left edge and width of each box of the upper strip, in shares of it."""
    top = [box for box in figure.axes[0].patches if isinstance(box, Rectangle) and box.get_y() > 0.5]
    return [(box.get_x(), box.get_width()) for box in top]


def bars(figure: Figure, y: float) -> list[tuple[float, float, str | None]]:
    """Left edge, width and hatch of the boxes that stand at this height."""
    rectangles = [box for box in figure.axes[0].patches if isinstance(box, Rectangle) and box.get_height()]
    return [(box.get_x(), box.get_width(), box.get_hatch()) for box in rectangles if box.get_y() == y]


def schemes(image: int) -> tuple[Scheme, ...]:
    return compare_schemes(image or None).schemes


def result(samples: int = 20, restart: float | None = 3.0, virtual: bool = True) -> UploadResult:
    times = [23.0 * n / (samples - 1) for n in range(samples)]
    rows = tuple((t, int(SIZE * t / 23), int(SIZE * t / 23), "write") for t in times)
    seconds = {"receive": 6.0, "write": 15.0, "verify": 1.2, "commit": 0.1}
    return UploadResult("1.1.0", "ota_1", SIZE, seconds, rows, restart, virtual)


def overlaps(figure: Figure) -> list[tuple[str, str]]:
    """Texts that cover each other; the numbers at the axes, of which not all are drawn, are left to matplotlib."""
    FigureCanvasAgg(figure).draw()  # where a text stands is settled when it is drawn
    numbers = [label for axes in figure.axes for axis in (axes.xaxis, axes.yaxis) for label in axis.get_ticklabels()]
    texts = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text().strip()]
    extents = [(text.get_text(), text.get_window_extent()) for text in texts if text not in numbers]
    return [(a, b) for n, (a, x) in enumerate(extents) for b, y in extents[n + 1 :] if x.overlaps(y)]


@pytest.mark.parametrize("table", [MICROPYTHON_OTA, MICROPYTHON_OTA.with_vfs(0x400000), SEED])
def test_flash_map_names_each_partition_with_address_and_size(table):
    figure = flash_map(table, {}, virtual=False)
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
    assert "Flash, 4 MiB" in words(flash_map(MICROPYTHON_OTA, {}, virtual=False))
    assert "Flash, 8 MiB" in words(flash_map(MICROPYTHON_OTA.with_vfs(0x800000), {}, virtual=False))


def test_only_figures_of_a_virtual_board_say_virtual():
    for virtual in (True, False):
        assert ("virtual board" in words(flash_map(MICROPYTHON_OTA, {}, virtual))) == virtual
        assert ("virtual board" in words(scheme_map(schemes(SIZE), SIZE, virtual))) == virtual
        assert ("virtual board" in words(throughput(result(virtual=virtual)))) == virtual


@pytest.mark.parametrize("image", [0, 1_000_000, SIZE, 2_050_000, 3_000_000, 9_000_000])
def test_schemes_are_named_and_judged(image: int):
    figure = scheme_map(schemes(image), image, virtual=False)
    text = words(figure)
    for scheme in schemes(image):
        assert scheme.name in text
        assert scheme.verdict in text
    assert (f"An image of {image:,} bytes" in text) == ("the image" in text) == (image > 0)
    assert "4 MiB" in text
    assert overlaps(figure) == []


def test_the_image_is_drawn_to_scale_and_what_exceeds_is_hatched():
    figure = scheme_map(schemes(SIZE), SIZE, virtual=False)
    default, minimal, *_ = [bars(figure, y) for y in (0, -1)]
    assert [(x, width) for x, width, hatch in default if hatch] == [
        (pytest.approx(0x150000 / FLASH), pytest.approx((SIZE - 0x140000) / FLASH))
    ]
    assert not any(hatch for _, _, hatch in minimal)
    for slot in (0x10000, 0x1F0000):
        widths = [width for x, width, _ in minimal if x == pytest.approx(slot / FLASH)]
        assert widths == pytest.approx([0x1E0000 / FLASH, SIZE / FLASH, 0x1E0000 / FLASH])  # free, image, outline


@pytest.mark.parametrize("samples", [2, 3, 60])
@pytest.mark.parametrize("restart", [None, 0.4, 12.0])
def test_throughput_marks_phases_and_speed(samples, restart):
    figure = throughput(result(samples, restart))
    text = words(figure)
    assert "receive + write 6 s + 15.0 s" in text
    assert "verify 1.2 s" in text
    assert "commit 0.1 s" in text
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
    flash_map(MICROPYTHON_OTA, {}, virtual=True)
    scheme_map(schemes(SIZE), SIZE, virtual=True)
    throughput(result())
    outcome_gallery(OUTCOMES, virtual=True)
    heat_strip(CUTS)
    compare_links({"as it is": result()})
    retries(result())
    life_of_an_image()
    assert plt.get_fignums() == before


@pytest.mark.parametrize("count", [1, len(OUTCOMES), 4 * len(OUTCOMES)])
def test_outcome_gallery_names_outcome_version_and_time(count):
    outcomes = (OUTCOMES * 4)[:count]
    figure = outcome_gallery(outcomes, virtual=True)
    text = words(figure)
    for name, outcome, runs, _ in outcomes:
        assert {name, outcome, runs} <= set(text.split("\n"))
    assert " 5.1 s" in text
    assert "virtual board" in text
    assert "virtual board" not in words(outcome_gallery(outcomes, virtual=False))
    assert overlaps(figure) == []


@pytest.mark.parametrize("count", [3, 100, len(CUTS)])
def test_heat_strip_has_a_cell_for_each_operation(count):
    cuts = CUTS[-count:]
    figure = heat_strip(cuts)
    [image] = figure.axes[0].images
    pixels = image.get_array()
    drawn = [tuple(pixel) for line in pixels[4::8] for pixel in line][:count]  # through the middle of the cells
    assert len(set(drawn)) == len({outcome for _, outcome in cuts})
    assert drawn[-1] == (0, 0, 0)
    assert [drawn.index(color) for color in dict.fromkeys(drawn)] == [
        [outcome for _, outcome in cuts].index(outcome) for outcome in dict.fromkeys(outcome for _, outcome in cuts)
    ]
    text = words(figure)
    assert f"The power cut at {count:,} moments of an update" in text
    assert {"broken 1", "new 2" if count > 2 else "new 1", *(region for region, _ in cuts)} <= set(text.split("\n"))
    assert "virtual board" in text
    assert overlaps(figure) == []


@pytest.mark.parametrize("virtual", [True, False])
def test_links_are_compared_on_the_same_axes(virtual):
    figure = compare_links({"as it is": result(virtual=virtual), "half as fast": slower(result(virtual=virtual))})
    left, right = figure.axes
    assert (left.get_xlim(), left.get_ylim()) == (right.get_xlim(), right.get_ylim())
    assert right.lines[0].get_xdata()[-1] == pytest.approx(46)
    assert {"as it is", "60 kB/s", "half as fast", "30 kB/s"} <= set(words(figure).split("\n"))
    assert ("virtual board" in words(figure)) == virtual
    assert overlaps(figure) == []


@pytest.mark.parametrize("virtual", [True, False])
@pytest.mark.parametrize("broken", [0, 1, 3, 8])
def test_retries_are_drawn_one_after_the_other(broken, virtual):
    whole = result(virtual=virtual)
    half = whole.samples[: len(whole.samples) // 2]
    figure = retries(replace(whole, broken=(half,) * broken))
    [axes] = figure.axes
    lines = [line for line in axes.lines if len(line.get_xdata()) > 2]
    starts = [line.get_xdata()[0] for line in lines]
    assert starts == pytest.approx([n * half[-1][0] for n in range(broken + 1)])
    assert [line.get_ydata()[-1] for line in lines] == [half[-1][2] / 1e6] * broken + [SIZE / 1e6]
    sent = (broken * half[-1][1] + SIZE) / 1e6
    text = words(figure)
    assert f"{broken + 1} {'tries' if broken else 'try'}, {sent:,.1f} MB for an image of {SIZE / 1e6:.1f} MB" in text
    assert (text.count("broken"), text.count("arrived")) == (broken, 1)
    assert ("virtual board" in text) == virtual
    assert overlaps(figure) == []


def test_what_little_was_sent_is_told_in_kilobytes():
    small = replace(result(), samples=((0.0, 0, 0, "check"), (0.5, 20_480, SIZE, "restart")), sectors=(0, 1, 2, 3, 4))
    assert "1 try, 20 kB for an image of 1.4 MB" in words(retries(small))


@pytest.mark.parametrize("virtual", [True, False])
@pytest.mark.parametrize("numbers", [(), (0,), (0, 319, 320, 336), tuple(range(336)), tuple(range(0, 337, 2))])
def test_changed_sectors_are_marked_in_the_slot(numbers: tuple[int, ...], virtual: bool):
    upload = replace(result(virtual=virtual), sectors=numbers)
    figure = upload.plot()
    strip, bars = figure.axes
    slot, *marks = strip.patches
    assert (slot.get_x(), slot.get_width()) == (0, 337)  # 1,380,352 bytes
    assert [(mark.get_x(), mark.get_width()) for mark in marks] == [(number, 1) for number in numbers]
    assert [bar.get_width() for bar in bars.patches] == pytest.approx([len(numbers) * 4.096, SIZE / 1000])
    text = words(figure)
    assert f"1.1.0 into ota_1: {len(numbers)} of 337 sectors travelled" in text
    assert f"{len(numbers) * 4.096:,.0f} kB" in text
    assert ("virtual board" in text) == virtual
    assert overlaps(figure) == []


@pytest.mark.parametrize("seconds", [0.3, 10.1, 60, 200])
def test_numbers_of_one_link_stay_off_the_next(seconds):
    upload = slower(result(), seconds / result().samples[-1][0])
    figure = compare_links({"one": upload, "two": upload, "three": upload, "four": upload})
    FigureCanvasAgg(figure).draw()
    numbers = [label.get_window_extent() for axes in figure.axes for label in drawn_labels(axes)]
    assert len(numbers) >= 4
    assert not any(a.overlaps(b) for n, a in enumerate(numbers) for b in numbers[n + 1 :])


def drawn_labels(axes: Axes) -> list[Text]:
    """The numbers along the x axis that can be seen."""
    low, high = axes.get_xlim()
    return [label for label in axes.get_xticklabels() if low <= label.get_position()[0] <= high]


def slower(upload: UploadResult, factor: float = 2) -> UploadResult:
    return replace(upload, samples=tuple((factor * seconds, *rest) for seconds, *rest in upload.samples))


def test_life_of_an_image_says_who_leads_to_each_state():
    figure = life_of_an_image()
    text = words(figure)
    for word in ("NEW", "PENDING_VERIFY", "VALID", "ABORTED", "updater", "bootloader", "application"):
        assert word in text
    assert "virtual" not in text
    assert overlaps(figure) == []


@pytest.mark.parametrize(
    ("figure", "alt"),
    [
        (lambda: flash_map(SEED, {}, False), "A map of the flash, 4 MiB, with its partitions in their order: "),
        (lambda: flash_map(SEED, {}, True), "The numbers are a virtual board's."),
        (lambda: life_of_an_image(), "The bootloader makes it PENDING_VERIFY and starts it."),
        (lambda: heat_strip(CUTS), "by what boots afterwards: old, new, broken."),
        (lambda: outcome_gallery(OUTCOMES, False), "Dropped link, old version kept, 1.0.0 in ota_0;"),
    ],
)
def test_a_figure_says_what_it_shows(figure: Callable[[], Figure], alt: str):
    """To who cannot see it, and in a notebook's text; the same whatever was measured."""
    figure = figure()
    assert alt in repr(figure)
    html = figure._repr_html_()
    assert html.startswith(f'<img alt="{escape(repr(figure))}" src="data:image/png;base64,')


def test_no_measured_number_is_in_the_words_of_a_figure():
    slower = [(*outcome[:3], outcome[3] * 7) for outcome in OUTCOMES]
    assert repr(outcome_gallery(OUTCOMES, False)) == repr(outcome_gallery(slower, False))
