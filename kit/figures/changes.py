"""Which sectors of an image travelled, and what that saved."""

from matplotlib.figure import Figure

from kit.figures.style import BLUE, KB, PALE, seconds_text, titled_figure
from kit.image.partition import SECTOR
from kit.ota.result import UploadResult

MARK = 1.5  # points: a sector alone must be seen


def changed_sectors(result: UploadResult) -> Figure:
    """Draw the slot as a strip of sectors, those that travelled marked, and their bytes beside those of the image."""
    numbers, count = result.sectors or (), -(-result.bytes // SECTOR)
    took = seconds_text(sum(result.seconds.values()))
    title = f"{result.version} into {result.slot}: {len(numbers):,} of {count:,} sectors travelled"
    alt = (
        "The slot as a strip of sectors: marked are those that travelled. Below it their bytes, and the whole image's."
    )
    with titled_figure(title, alt, result.virtual, 3.4) as figure:
        place = {"left": 0.14, "right": 0.98, "top": 0.84, "bottom": 0.16, "hspace": 0.75}
        strip, bars = figure.subplots(2, 1, height_ratios=(2, 3), gridspec_kw=place)
        strip.axvspan(0, count, color=PALE, alpha=0.5, linewidth=0)
        for number in numbers:
            strip.axvspan(number, number + 1, color=BLUE, linewidth=MARK)
        strip.set(xlim=(0, count), yticks=[], ylabel="sectors", xlabel="number of the sector in the image")
        rows = (("travelled", len(numbers) * SECTOR, f"; {took} on the board", BLUE), ("image", result.bytes, "", PALE))
        for name, size, more, color in rows:
            bars.barh(name, size / KB, color=color)
            bars.text(size / KB, name, f" {size / KB:,.0f} kB{more}", va="center")
        bars.set(xlim=(0, result.bytes / KB * 1.45), xlabel="kB")
        bars.invert_yaxis()
    return figure
