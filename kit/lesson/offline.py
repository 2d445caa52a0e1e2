"""All that a room without the internet needs, in one folder."""

import shutil
import subprocess
import sys
from pathlib import Path

from kit.errors import ImageError, LessonError
from kit.image.release import RELEASE, RELEASE_URL, download_release
from kit.lesson.folder import lay_out
from kit.origin import origin

HOW = """On each computer:
  pip install --no-index --find-links {folder} esp32-ota-kit
  python -m kit lessons my_lessons"""


def gather(folder: str | Path) -> str:
    """Put wheels, lessons and MicroPython into a folder; return how they are used.

    The wheels are for this platform and this Python: pip judges by the computer that it runs on.

    Raises:
        LessonError: this is no checkout, or the folder cannot be filled.
    """
    path, home = Path(folder), origin()
    if not (home / "pyproject.toml").is_file():
        raise LessonError("The kit's own wheel can be made from a checkout only.", "Run this in a clone of the course.")
    lay_out(path / "lessons")
    command = [sys.executable, "-m", "pip", "wheel", "--wheel-dir", path, "-c", home / "constraints.txt", home]
    if subprocess.run(command, check=False).returncode:
        raise LessonError(
            "pip could not bring or make all wheels.", "It says why above; run this again when that is mended."
        )
    try:
        shutil.copy(download_release(), path / RELEASE)
        release = f"For real boards: kit.build(…, base=kit.base_image(file={str(path / RELEASE)!r}))"
    except ImageError as error:
        release = f"For real boards {RELEASE} is missing: {error.cause}\nPut it into {path} by hand, from {RELEASE_URL}"
    return f"{HOW.format(folder=path)}\n{release}"
