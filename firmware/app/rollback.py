"""Go back to the other slot on request."""

import image
import slot
from errors import UpdateError

_ADVICE = "Send the version that is wanted to POST /update?force=1."


def select(updater):
    """Make the other slot the boot slot, and return its name and version. Raises UpdateError: nothing was changed."""
    if updater.is_busy():
        raise UpdateError("BUSY", "An update is running.")
    if updater.target is None:
        raise UpdateError("NO_PARTITION", "The partition table has no second slot.")
    if slot.is_unconfirmed():
        advice = "Wait until GET /info says VALID, or POST to /restart: unconfirmed it loses its place."
        raise UpdateError("UNCONFIRMED", "The running version is not confirmed yet.", advice)
    _, _, _, size, label, _ = updater.target.info()
    try:
        slot.check(slot.reader(updater.target), size, bytearray(slot.SECTOR))
        updater.target.set_boot()  # NEW: it has to confirm itself
    except (OSError, slot.SlotError) as error:
        raise UpdateError("ACTIVATE", f"The slot {label} cannot be started: {error.args[-1]}.", _ADVICE, 409)
    updater.progress["phase"] = "restart"
    return {"slot": label, "version": image.describe(updater.target)["version"]}
