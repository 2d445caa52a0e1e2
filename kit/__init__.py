"""A small helper package for learning over-the-air firmware updates on an ESP32 with MicroPython.

A board:
    connect          give the board on USB, or the virtual one
    find             look for boards that run, and what each of them runs
    preflight        check what a board needs, and name the next step
    Board            what one does by cable: flash, install, reset, partitions, otadata, ...

An update, and where it goes:
    build            make an update image: MicroPython and an application
    new_app          copy the kit's application, to edit it
    set_constant     change one line of an application
    read_function    show a function of an application
    base_image       choose the MicroPython to build on
    AppImage         take an image apart
    OtaClient        what one does through the air: login, upload, info, history, ...
    PartitionTable   read a partition table, from bytes or CSV
    compare_schemes  see what fits into the usual partition tables

Boards that fetch their updates:
    release          lay out a signed image in a folder, with the manifest that boards read
    serve_releases   bring such a folder to boards, by a small web server on this computer

Who may send one:
    new_key          make a key that signs updates: image.sign(key), board.install(signers=[key])
    new_certificate  make the certificate of a board, for HTTPS: board.install(certificate=certificate)

Who gets to know:
    notify           send a message by apprise: Telegram, e-mail, ...
    receive_events   take what boards tell: ota.tell(webhook=events.url)

The lessons:
    lessons          see what there is, and what is done
    check            compare an answer with what the board says
    resume           bring board and notebook to where a part of a lesson starts

When it goes wrong:
    faults           break links, images, flash and power on purpose
    attacks          attack a board of your own: guess, replay, forge, tamper, ...
    audit            see which boxes of a security checklist a board ticks
    KitError         the errors of the kit; each names the cause and the next step

More of each: help(kit.connect), or kit.connect? in a notebook.
"""

import importlib

__version__ = "0.1.0"

_HOMES = {
    "connect": "kit.board.connection",
    "find": "kit.board.found",
    "preflight": "kit.board.preflight",
    "Board": "kit.board.board",
    "build": "kit.image.update_image",
    "new_app": "kit.image.application",
    "set_constant": "kit.image.application",
    "read_function": "kit.image.application",
    "base_image": "kit.image.release",
    "AppImage": "kit.image.app_image",
    "OtaClient": "kit.ota.client",
    "PartitionTable": "kit.image.table",
    "compare_schemes": "kit.image.schemes",
    "release": "kit.releases.release",
    "serve_releases": "kit.releases.server",
    "new_certificate": "kit.security.certificate",
    "new_key": "kit.security.keys",
    "notify": "kit.message",
    "receive_events": "kit.ota.events",
    "lessons": "kit.lesson.lessons",
    "check": "kit.lesson.check",
    "resume": "kit.lesson.resume",
    "faults": "kit.faults",
    "attacks": "kit.attacks",
    "audit": "kit.security.audit",
    "KitError": "kit.errors",
}


def __getattr__(name: str) -> object:
    """Import on first use: the virtual board's child starts with this package and needs none of it (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'kit' has no attribute {name!r}")
    home = importlib.import_module(_HOMES[name])
    return home if name in ("faults", "attacks") else getattr(home, name)


def __dir__() -> list[str]:
    """Return what TAB offers. Without `__all__` help(kit) stays as short as the table above."""
    return [*_HOMES]
