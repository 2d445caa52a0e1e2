"""What a board says of itself (`GET /info`)."""

from kit.ota.answer import one_line
from kit.ota.cause import last_update, outcome_text
from kit.ota.web import Web
from kit.shown import html_table

VIRTUAL_CHIP = "ESP32 (virtual)"
SHAPE = {"version": str, "running": str, "uptime": float}  # on which the kit relies


class Info(dict):
    """What the board says of itself (`GET /info`); its repr keeps to what is the same in every run."""

    def __repr__(self) -> str:
        slots = ", ".join(f"{key} {self.get(key)}" for key in ("running", "boot", "next"))
        name, version, chip, state = (self.get(key) for key in ("name", "version", "chip", "image_state"))
        return one_line(f"{name} {version} on {chip}: {slots}, {state}")

    def _repr_html_(self) -> str:
        last = last_update(self)
        return html_table((self | ({"last_update": outcome_text(last)} if last else {})).items())


def read_info(web: Web) -> Info:
    """Return what the board says of itself.

    Raises:
        BoardError: nothing answers at this address, or something that is no board of ours.
    """
    return Info(web.ask("GET", "/info", SHAPE))
