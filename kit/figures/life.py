"""The life of an image: the states that otadata has for it."""

from matplotlib.figure import Figure

from kit.figures.style import BLUE, GREEN, RED, titled_figure

# Where each state stands; from where to where an arrow goes, its colour, place and text of label
STATES = {"NEW": (0.27, 0.52), "PENDING_VERIFY": (0.57, 0.52), "VALID": (0.92, 0.86), "ABORTED": (0.92, 0.18)}
STEPS = [
    ((0.02, 0.52), (0.225, 0.52), BLUE, (0.11, 0.66), "updater\nwrites, set_boot"),
    ((0.31, 0.52), (0.465, 0.52), RED, (0.385, 0.66), "bootloader\ntries it"),
    ((0.65, 0.62), (0.87, 0.83), GREEN, (0.66, 0.83), "application confirms:\nself-test passed"),
    ((0.65, 0.42), (0.85, 0.22), RED, (0.64, 0.2), "bootloader, next start:\nnever confirmed"),
]

ALT = (
    "The states of an image and who leads from one to the next. The updater writes NEW. The bootloader makes it "
    "PENDING_VERIFY and starts it. The program makes that VALID; if it does not, the bootloader makes it ABORTED "
    "at the next start."
)


def life_of_an_image() -> Figure:
    """Draw the states that otadata has for an image, and who leads from one to the next."""
    with titled_figure("The life of an image", ALT, False, 3.6) as figure:
        axes = figure.add_axes((0, 0, 1, 0.9))
        for start, end, color, (x, y), text in STEPS:
            arrow = {"arrowstyle": "-|>", "color": color, "linewidth": 2.5, "mutation_scale": 20}
            axes.annotate("", end, start, arrowprops=arrow)
            axes.text(x, y, text, color=color, ha="center", va="center")
        for name, place in STATES.items():
            axes.text(*place, name, ha="center", va="center", fontweight="bold", bbox={"facecolor": "white", "pad": 9})
        axes.axis("off")
    return figure
