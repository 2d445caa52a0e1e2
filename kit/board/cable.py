"""Work over the cable that stops what runs on a board."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import serial

from kit.board.boot_log import read_boot_log, restarted
from kit.board.port import open_port
from kit.board.repl import restart
from kit.errors import BoardError, KitError
from kit.uploads import uploader


def refuse_under_upload(address: str, force: bool = False) -> None:
    """Raise BoardError where a restart would break an upload off, unless that is meant."""
    if not force and (who := uploader(address)):
        raise BoardError(
            f"This would restart the board in the middle of an update ({who}).",
            "Wait until it is over, or break it off: board.reset(force=True).",
        )


@contextmanager
def disturbed(address: str, force: bool = False) -> Iterator[serial.SerialBase]:
    """Open the port for work that stops what runs; start the board again afterwards, also when the work fails.

    Raises:
        BoardError: an upload to the board runs, and `force` is not given.
    """
    refuse_under_upload(address, force)
    with open_port(address) as port:
        try:
            yield port
        except BaseException:
            port.close()  # as esptool does when no chip answers
            with suppress(KitError, OSError), open_port(address) as again:  # the first error is to be told
                if restart(again):
                    read_boot_log(address, again)
            raise
        restarted(address, port)
