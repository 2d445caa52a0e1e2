"""Attacks on a board of one's own: what each tried, and what came back.

They reach loopback and private addresses only; a board that is not virtual needs confirm=True.
"""

from kit.attacks.connections import exhaust as exhaust
from kit.attacks.guessing import guess as guess
from kit.attacks.images import downgrade as downgrade
from kit.attacks.images import tamper as tamper
from kit.attacks.origin import foreign_page as foreign_page
from kit.attacks.origin import forge_request as forge_request
from kit.attacks.replay import replay as replay
from kit.attacks.sniffer import sniff as sniff


def __dir__() -> list[str]:
    """Return what TAB offers: the attacks, and no inner modules."""
    return [name for name, value in globals().items() if callable(value) and not name.startswith("_")]
