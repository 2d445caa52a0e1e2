"""Faults made on purpose: links that fail, damaged images, flash that fails, power cuts, and what came of them."""

from importlib import import_module

from kit.faults.client import another_upload as another_upload
from kit.faults.cuts import every_cut as every_cut
from kit.faults.damage import *  # noqa: F403
from kit.faults.flash import half_write as half_write
from kit.faults.flash import lying_read as lying_read
from kit.faults.flash import power_cut as power_cut
from kit.faults.flash import stuck_bit as stuck_bit
from kit.faults.flash import stuck_sector as stuck_sector
from kit.faults.gallery import Gallery as Gallery
from kit.faults.link import Link as Link


def __getattr__(name: str) -> object:
    """Import figures on first use: matplotlib is slow to load."""
    return getattr(import_module("kit.faults.figures"), name)
