"""Tell somebody by apprise: Telegram, e-mail and many more, whatever the settings name."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

from kit.errors import KitError, interruptible
from kit.settings import NOTIFY, notify_urls

NOBODY = f"Nobody is told: neither {NOTIFY[0]} nor lab.toml names an address."


@interruptible
def notify(title: str, text: str) -> None:
    """Send a message to the addresses in the settings, and print what became of it; without any nobody is told.

    The addresses hold passwords and tokens, and so no error shows more of one than its number and what service it is.

    Raises:
        KitError: apprise is missing, or the message did not reach each address; the others have it then.
        SettingsError: the addresses cannot be read.
    """
    print(f"Told: {title}" if send(title, text) else NOBODY)


def send(title: str, text: str) -> bool:
    """Do what `notify` does without printing it; False where there is nobody to tell."""
    if not notify_urls():
        return False
    if missed := _missed(_apprise(), title, text):
        advice = f"Compare {NOTIFY[0]}, or lab.toml, with https://github.com/caronc/apprise, and check the network."
        raise KitError(f"The message did not reach {', '.join(missed)}.", advice)
    return True


def _apprise() -> ModuleType:
    try:
        import apprise
    except ImportError:
        raise KitError("Messages need apprise, which is missing.", "Run pip install 'esp32-ota-kit[notify]'.") from None
    return apprise


def _missed(apprise: ModuleType, title: str, text: str) -> list[str]:
    """Send a message, and return what may be shown of the addresses that it did not reach."""
    missed = []
    for number, url in enumerate(notify_urls(), 1):  # not given: where an error is raised no variable may hold them
        service = apprise.Apprise()
        with _silent():
            if not service.add(url):
                missed.append(f"address {number}, which apprise does not know")
            elif not _takes(service, title, text):
                missed.append(f"address {number} ({service[0].service_name})")
    return missed


def _takes(service: object, title: str, text: str) -> bool:
    try:
        return bool(service.notify(body=text, title=title))
    except Exception:  # whatever one of 180 services makes of it
        return False


@contextmanager
def _silent() -> Iterator[None]:
    """Keep apprise's log, which shows addresses, out of everybody's while a block runs."""
    log = logging.getLogger("apprise")
    was, log.disabled = log.disabled, True
    try:
        yield
    finally:
        log.disabled = was
