"""Locks on files, which the system lets go of when their process ends, by whatever cause."""

import os


def lock_file(descriptor: int) -> None:
    """Hold a file for this opening of it alone, until it is closed.

    Raises:
        BlockingIOError: another one, in this process or elsewhere, holds it.
        OSError: no file here can be held.
    """
    if os.name != "nt":
        import fcntl

        return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    import msvcrt

    try:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
    except PermissionError as error:
        raise BlockingIOError from error
