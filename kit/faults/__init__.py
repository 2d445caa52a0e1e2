"""Faults that are made on purpose: a link that fails, images that are damaged or misbehave, and what came of them."""

from kit.faults.client import another_upload as another_upload
from kit.faults.damage import *  # noqa: F403
from kit.faults.gallery import Gallery as Gallery
from kit.faults.link import Link as Link


def __getattr__(name: str) -> object:
    """Import figures on first use: matplotlib is slow to load."""
    from kit.faults import figures

    return getattr(figures, name)
