"""The kit as pip installs it: in an environment of its own, without the network."""

import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SAME = ("00_start.ipynb", "docs/troubleshooting.md", "images/wiring.svg", "lab.toml", "solutions/01_flash.ipynb")


def start(*command: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    line, ours = [*map(str, command)], ("PIP_", "PYTHON")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return subprocess.run(line, cwd=cwd, env=environment, capture_output=True, text=True, timeout=120, check=False)


def run(*command: object, cwd: Path) -> str:
    done = start(*command, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment with the kit's wheel in it, and nothing else."""
    folder = tmp_path_factory.mktemp("installed")
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder, cwd=ROOT)
    venv.create(folder / "venv")
    python = folder / "venv" / Path(sysconfig.get_path("scripts")).name / Path(sys.executable).name
    (wheel,) = folder.glob("*.whl")
    options = ("--no-index", "--no-deps", "--disable-pip-version-check")
    run(sys.executable, "-m", "pip", "--python", python, "install", *options, wheel, cwd=folder)
    return python


def files(folder: Path) -> dict[str, bytes]:
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def test_the_lessons_are_laid_out(python: Path, tmp_path: Path):
    for name, interpreter in (("installed", python), ("checkout", sys.executable)):
        run(interpreter, "-m", "kit", "lessons", name, "--solved", cwd=tmp_path)
    laid = files(tmp_path / "installed")
    assert set(SAME) <= set(laid)
    assert laid == files(tmp_path / "checkout")
    shown = run(python, "-c", "import kit; print(kit.lessons())", cwd=tmp_path / "installed")
    assert "01 · Flash a board" in shown


def test_no_lessons_inside_the_package(python: Path, tmp_path: Path):
    package = run(python, "-c", "import kit; print(kit.__path__[0])", cwd=tmp_path).strip()
    done = start(python, "-m", "kit", "lessons", f"{package}/_files/mine", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert "belongs to the kit itself" in done.stderr


def test_an_image_is_built_with_what_travels_along(python: Path, tmp_path: Path):
    site = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=tmp_path).strip())
    libraries = site / "libraries.pth"
    libraries.write_text(sysconfig.get_path("purelib"))  # with what the kit needs; the .pth of the checkout is not read
    try:
        built = run(python, "-c", "import kit; print(kit.__file__); print(kit.build('1.0.0'))", cwd=tmp_path)
    finally:
        libraries.unlink()
    assert built.startswith(str(site))
    assert "UpdateImage 1.0.0: " in built
