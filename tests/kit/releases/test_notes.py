from pathlib import Path

import pytest

from kit.errors import ReleaseError
from kit.releases.notes import find_notes, section

CHANGELOG = """# Changelog

All that changed.

## [Unreleased]

- Not yet

## [1.2.0-rc.1] - 2026-12-01

- Tried out

## [1.1.0] - 2026-11-30

### Added

- A green LED

### Fixed

- The [door](https://example.org)

## [1.0.0] - 2026-11-01 [YANKED]

- The first

[Unreleased]: https://example.org/compare/1.1.0...HEAD
[1.0.0]: https://example.org/1.0.0
"""
SECTIONS = {
    "1.2.0-rc.1": "- Tried out",
    "1.1.0": "### Added\n\n- A green LED\n\n### Fixed\n\n- The [door](https://example.org)",
    "1.0.0": "- The first",
}


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
@pytest.mark.parametrize("version", SECTIONS)
def test_the_section_of_a_version(version: str, ends: str):
    assert section(version, CHANGELOG.replace("\n", ends)) == SECTIONS[version]


@pytest.mark.parametrize("version", ["1.2.0", "1.1", "1.1.0-rc.1", "11.1.0", "0.0", "1x1.0"])
def test_no_section(version: str):
    assert section(version, CHANGELOG) is None


@pytest.mark.parametrize(
    "heading",
    ["## 1.1.0", "## [1.1.0]", "## v1.1.0", "## [v1.1.0] - 2026-11-30", "## [1.1.0](https://a.b) (2026)", "##\t1.1.0:"],
)
def test_headings(heading: str):
    assert section("1.1.0", f"# Log\n{heading}\n- new\n\n## 1.0.0\n- old") == "- new"
    assert section("1.1.0", heading) == ""


def test_a_text_without_sections_is_for_any_version():
    assert find_notes("1.1.0", "  A green LED.\n\n## Why\n") == "A green LED.\n\n## Why"
    assert find_notes("1.1.0", "") == ""


def test_files(here: Path):
    assert find_notes("1.1.0", None) == ""
    (here / "CHANGELOG.md").write_text(CHANGELOG)
    assert find_notes("1.1.0", None) == SECTIONS["1.1.0"]
    assert find_notes("3.0.0", None) == ""  # nobody asked for it
    (here / "notes.txt").write_bytes("\ufeffGrün.\r\n".encode())
    for given in ("notes.txt", Path("notes.txt"), here / "notes.txt"):
        assert find_notes("1.1.0", given) == "Grün."
    assert find_notes("1.1.0", CHANGELOG) == find_notes("1.1.0", "CHANGELOG.md") == SECTIONS["1.1.0"]


def test_notes_that_cannot_be_used(here: Path):
    (here / "CHANGELOG.md").write_text(CHANGELOG)
    (here / "latin.md").write_bytes("Grün".encode("latin-1"))
    (here / "folder").mkdir()
    for given, words in (
        ("CHANGELOG.md", r"CHANGELOG.md has no section of 3.0.0. Write one, with the heading ## \[3.0.0\]."),
        (CHANGELOG, "The text has no section of 3.0.0"),
        (Path("nothing.md"), "nothing.md cannot be read: No such file"),
        (Path("folder"), "folder cannot be read: Is a directory"),
        (Path("a\0b"), "cannot be read: embedded null"),
        ("latin.md", "latin.md is not UTF-8"),
        (3, "A int is no notes"),
    ):
        with pytest.raises(ReleaseError, match=words):
            find_notes("3.0.0", given)
