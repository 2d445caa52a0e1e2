"""Faults made on purpose: links that fail, damaged images, flash that fails, power cuts, and what came of them."""

from importlib import import_module

from kit.faults.client import another_upload as another_upload
from kit.faults.cuts import every_cut as every_cut
from kit.faults.damage import *  # noqa: F403
from kit.faults.flash import *  # noqa: F403
from kit.faults.gallery import Gallery as Gallery
from kit.faults.link import Link as Link


def __getattr__(name: str) -> object:
    """Import figures on first use: matplotlib is slow to load."""
    return getattr(import_module("kit.figures.failures"), name)
