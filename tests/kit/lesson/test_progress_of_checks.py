"""What a check leaves in a folder that was laid out."""

import json
from pathlib import Path

import pytest

import kit
from kit.lesson.progress import FILE, RECORD


class Image:
    size = 1_413_120


@pytest.mark.parametrize(("answer", "noted"), [(102_400, {"01-missing": "right"}), (3, {"01-missing": "wrong"})])
def test_a_verdict_is_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: int, noted: dict):
    monkeypatch.chdir(tmp_path)
    (tmp_path / RECORD).write_text("{}")
    kit.check("01-missing", {"image": Image, "missing": ...})
    assert not (tmp_path / FILE).exists()  # what is not answered is no state
    kit.check("01-missing", {"image": Image, "missing": answer})
    assert json.loads((tmp_path / FILE).read_text()) == noted


def test_nothing_is_noted_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    assert kit.check("01-missing", {"image": Image, "missing": 102_400}).state == "right"
    assert list(tmp_path.iterdir()) == []
