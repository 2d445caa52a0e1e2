"""Faults made on purpose: links that fail, damaged images, flash that fails, power cuts, and what came of them."""

import importlib

from kit.faults.blank import blank_slot as blank_slot
from kit.faults.client import another_upload as another_upload
from kit.faults.cuts import every_cut as every_cut
from kit.faults.damage import *  # noqa: F403
from kit.faults.flash import *  # noqa: F403
from kit.faults.gallery import Gallery as Gallery
from kit.faults.link import Link as Link

_FIGURES = {"compare_links": "transfer", "life_of_an_image": "life", "retries": "transfer"}


def __getattr__(name: str) -> object:
    """Import figures on first use: matplotlib is slow to load."""
    if name not in _FIGURES:
        raise AttributeError(f"module 'kit.faults' has no attribute {name!r}")
    return getattr(importlib.import_module(f"kit.figures.{_FIGURES[name]}"), name)


def __dir__() -> list[str]:
    """Return what TAB offers: the verbs and nouns, and no inner modules."""
    return [*_FIGURES, *(name for name, value in globals().items() if callable(value))]
