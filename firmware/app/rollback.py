"""Go back to the other slot on request."""

import boot_files
import image
import signature
import slot
from errors import UpdateError

_ADVICE = "Send the version that is wanted to POST /update?force=1."


async def select(ota):
    """Make the other slot the boot slot, and return its name and version. Raises UpdateError: nothing was changed.

    It has to be signed as an update has.
    """
    if ota.is_busy():
        raise UpdateError("BUSY", "An update is running.")
    if ota.target is None:
        raise UpdateError("NO_PARTITION", "The partition table has no second slot.")
    if slot.is_unconfirmed():
        advice = "Wait until GET /info says VALID, or POST to /restart: unconfirmed it loses its place."
        raise UpdateError("UNCONFIRMED", "The running version is not confirmed yet.", advice)
    ota.progress["phase"] = "verify"  # no update may change what was checked
    try:
        return await _select(ota)
    finally:
        ota.progress["phase"] = "idle"


async def _select(ota):
    _, _, _, size, label, _ = ota.target.info()
    try:
        buffer, trusted = bytearray(slot.SECTOR), signature.signers()
        ota.target.readblocks(0, buffer)
        signature.check_floor(buffer)
        if trusted:
            await signature.prove(ota.target, trusted)
        slot.check(slot.reader(ota.target), size, buffer)
        ota.target.set_boot()  # NEW: it has to confirm itself
        version = image.describe(ota.target)["version"]
        boot_files.note("note_update", f"{label} {version}".encode())
        ota.last = boot_files.note("end_update", None)
    except (OSError, slot.SlotError) as error:
        raise UpdateError("ACTIVATE", f"The slot {label} cannot be started: {error.args[-1]}.", _ADVICE, 409)
    return {"slot": label, "version": version}
