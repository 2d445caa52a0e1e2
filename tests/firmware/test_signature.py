"""Signed updates on both interpreters, and each way around a signature that somebody has found in the field."""

import hashlib
import re
import struct
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS, PKCS1v15
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256

from kit.image.layout import seal
from kit.image.update_image import UpdateImage
from kit.security.keys import Key, new_key
from kit.security.signature import SECTOR, signature_sector

BLOCK = 1216
SIGNATURE, CRC = 812, 1196  # in a block
SECURE_VERSION = 0x24


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> list[Key]:
    """Two keys of ours, and two of others."""
    folder = tmp_path_factory.mktemp("keys")
    return [new_key(folder / f"{number}.pem") for number in range(4)]


def as_text(argument: object, path: Path) -> object:
    """What a body gets: an image as a file, a key as the digest by which a board knows it."""
    if isinstance(argument, Key):
        return argument.digest.hex()
    if isinstance(argument, UpdateImage | bytes):
        path.write_bytes(getattr(argument, "data", argument))
        return path
    return argument


@pytest.fixture
def run(interpreter, make_flash, tmp_path: Path) -> Callable[..., str]:
    """Function that runs a body, and returns what it prints; images become files, keys their digests."""

    def run(function: str, *arguments: object) -> str:
        told = [as_text(argument, tmp_path / f"{number}.bin") for number, argument in enumerate(arguments)]
        done = interpreter.run("signatures", function, make_flash(), *told)
        assert done.code == 0, done.output
        assert done.output.endswith("PASSED\n")
        return done.output

    return run


@pytest.fixture(scope="module")
def signed(make_image, keys: list[Key]) -> UpdateImage:
    return make_image("1.1.0").sign(keys[0])


def secured(image: UpdateImage, secure_version: int) -> bytes:
    """An image with a security version, unsigned."""
    app = bytearray(image.data[: image.app_length])
    struct.pack_into("<I", app, SECURE_VERSION, secure_version)
    return bytes(seal(app)) + image.data[image.app_length :]


def of_version(image: UpdateImage, secure_version: int, *keys: Key) -> UpdateImage:
    """The same image with a security version, signed."""
    return replace(image, data=secured(image, secure_version)[: image._signed_size], signers=()).sign(*keys)


def with_crc(sector: bytearray, block: int = 0) -> bytes:
    """The sector with the right CRC-32 of a block."""
    start = block * BLOCK
    struct.pack_into("<I", sector, start + CRC, zlib.crc32(sector[start : start + CRC]))
    return bytes(sector)


def by_hand(data: bytes, key: Key, signature: bytes) -> bytes:
    """A signature sector whose signature, most significant byte first, was made in another way."""
    sector = bytearray(signature_sector(data, [key]))
    sector[SIGNATURE:CRC] = signature[::-1]
    return with_crc(sector)


def test_takes_what_is_signed(run, signed: UpdateImage, keys: list[Key]) -> None:
    run("takes", signed, keys[0])


def test_takes_what_one_of_several_keys_signed(run, signed: UpdateImage, keys: list[Key]) -> None:
    run("takes", signed, keys[1], keys[0])


def test_takes_two_signatures(run, make_image, keys: list[Key]) -> None:
    run("takes", make_image("1.1.0").sign(keys[2], keys[1], keys[0]), keys[0])


def test_without_signers_it_takes_everything(run, make_image, signed: UpdateImage) -> None:
    run("takes_whatever_comes_without_signers", signed, make_image("1.1.0"))


def forgeries(image: UpdateImage, keys: list[Key]) -> dict[str, bytes]:
    """What no board that trusts keys[0] may take, whatever it looks like."""
    data = image.data
    good = bytearray(signature_sector(data, [keys[0]]))
    digest = Prehashed(SHA256())
    hashed = hashlib.sha256(data).digest()
    private = keys[0].private
    found = {
        "no signature": data,
        "an empty sector": data + b"\xff" * SECTOR,
        "all zeros": data + bytes(SECTOR),
        "a block of zeros": data + bytes(BLOCK).ljust(SECTOR, b"\xff"),
        "the magic alone": data + b"\xe7\x02\0\0".ljust(SECTOR, b"\xff"),
        "a wrong key": data + signature_sector(data, [keys[2]]),
        "another image's": data + signature_sector(data + b"\xff" * SECTOR, [keys[0]]),
        "a sector too early": data[:-SECTOR] + signature_sector(data[:-SECTOR], [keys[0]]) + data[-SECTOR:],
        "behind an empty sector": (longer := data + b"\xff" * SECTOR) + signature_sector(longer, [keys[0]])[:BLOCK],
        "not at the end": data + bytes(good) + b"\xff" * SECTOR,
        "in the second place": data + (b"\xff" * BLOCK + bytes(good[:BLOCK])).ljust(SECTOR, b"\xff"),
        "signature of zeros": data + by_hand(data, keys[0], bytes(384)),
        "signature of one": data + by_hand(data, keys[0], bytes(383) + b"\1"),
        "PKCS1": data + by_hand(data, keys[0], private.sign(hashed, PKCS1v15(), digest)),
        "no salt": data + by_hand(data, keys[0], private.sign(hashed, PSS(MGF1(SHA256()), 0), digest)),
        "a longer salt": data + by_hand(data, keys[0], private.sign(hashed, PSS(MGF1(SHA256()), 64), digest)),
        "hashed twice": data + by_hand(data, keys[0], private.sign(hashed, PSS(MGF1(SHA256()), 32), SHA256())),
        "two, the second bad": data + two(data, [keys[0], keys[2]], 1),
        "two, the first bad": data + two(data, [keys[2], keys[0]], 0),
        "something behind the block": data + bytes(good[:2000]) + b"\0" + bytes(good[2001:]),
    }
    for name, place in {"version 3": 1, "reserved": 2, "digest": 4, "n": 36, "e": 420, "rinv": 424, "m": 808}.items():
        found[f"changed: {name}"] = data + with_crc(flipped(good, place))
        found[f"changed without CRC: {name}"] = data + flipped(good, place)
    for place in (SIGNATURE, 1000, CRC - 1):
        found[f"changed: signature, byte {place}"] = data + with_crc(flipped(good, place))
    for place in (CRC, CRC + 4, BLOCK - 1):
        found[f"changed: end, byte {place}"] = data + flipped(good, place)
    header = -(-image.app_length // SECTOR) * SECTOR
    for name, place in {"its app": image.app_length - 40, "its header": header + 8, "its end": len(data) - 1}.items():
        found[f"the image changed at {name}"] = flipped(data, place) + bytes(good)
    return {name: bytes(data) for name, data in found.items()}


def flipped(data: bytes, place: int) -> bytearray:
    changed = bytearray(data)
    changed[place] ^= 1
    return changed


def two(data: bytes, keys: list[Key], bad: int) -> bytes:
    """Two blocks, of which one has a signature that is wrong."""
    return with_crc(flipped(signature_sector(data, keys), bad * BLOCK + 1000), bad)


NAMES = [
    *("no signature", "an empty sector", "all zeros", "a block of zeros", "the magic alone", "a wrong key"),
    *("another image's", "a sector too early", "behind an empty sector", "not at the end", "in the second place"),
    *("signature of zeros", "signature of one", "PKCS1", "no salt", "a longer salt", "hashed twice"),
    *("two, the second bad", "two, the first bad", "something behind the block"),
    *(f"changed: {name}" for name in ("version 3", "reserved", "digest", "n", "e", "rinv", "m")),
    *(f"changed without CRC: {name}" for name in ("version 3", "reserved", "digest", "n", "e", "rinv", "m")),
    *(f"changed: signature, byte {place}" for place in (SIGNATURE, 1000, CRC - 1)),
    *(f"changed: end, byte {place}" for place in (CRC, CRC + 4, BLOCK - 1)),
    *(f"the image changed at {place}" for place in ("its app", "its header", "its end")),
]


@pytest.fixture(scope="module")
def forged(make_image, keys: list[Key]) -> dict[str, bytes]:
    return forgeries(make_image("1.1.0"), keys)


@pytest.mark.parametrize("name", NAMES)
def test_refuses(run, forged: dict[str, bytes], keys: list[Key], name: str) -> None:
    run("refuses", forged[name], keys[0], keys[1])


def test_the_list_of_forgeries_is_whole(forged: dict[str, bytes]) -> None:
    assert sorted(NAMES) == sorted(forged)


def test_refuses_a_version_for_development(run, make_image, keys: list[Key]) -> None:
    run("refuses", make_image("1.1.0-dev"), keys[0])


def test_changed_sectors(run, make_image, signed: UpdateImage, keys: list[Key]) -> None:
    """What the slot will hold has to be signed, whoever signed what it holds."""
    later = make_image("1.2.0")
    run("takes_changed_sectors", later.sign(keys[0]), signed, keys[0])
    run("refuses_by_changed_sectors", later, signed, keys[0])
    run("refuses_by_changed_sectors", later.data + signed.data[-SECTOR:], signed, keys[0])
    run("refuses_by_changed_sectors", later.sign(keys[2]), signed, keys[0])


def test_security_version(run, make_image, keys: list[Key]) -> None:
    image = make_image("1.1.0")
    lower, higher = of_version(image, 1, keys[0]), of_version(image, 2, keys[0])
    run("refuses_below_the_floor", lower, higher, keys[0])
    run("refuses_below_the_floor", secured(image, 1), secured(image, 2))
    run("takes_the_highest_floor", of_version(image, 0xFFFFFFFF, keys[0]), keys[0])


def test_keys_that_cannot_be_read(run, signed: UpdateImage, keys: list[Key]) -> None:
    run("shuts_the_door_where_keys_cannot_be_read", signed, keys[0])
    run("shuts_the_door_where_the_number_of_the_keys_is_lost", signed, keys[0])


def test_flash_that_becomes_another_image(run, make_image, signed: UpdateImage, keys: list[Key]) -> None:
    """Its parts fit each other, but not what was signed."""
    other = make_image("1.1.0", application="def run():\n    print('another one.')\n")
    assert other.size == signed.size - SECTOR
    header = other.app_length // SECTOR + 1
    run("swap", signed, other, header, keys[0])
    forged = bytearray(signed.data[: signed.app_length])
    forged[SECTOR * 2] ^= 1
    run("swap", signed, bytes(seal(forged)) + signed.data[signed.app_length :], 1, keys[0])


def test_flash_that_changes_a_byte(run, signed: UpdateImage, keys: list[Key]) -> None:
    header = -(-signed.app_length // SECTOR) * SECTOR
    in_app = (SECTOR, signed.app_length - 40, signed.app_length - 1)
    in_header = (header, header + 10, header + 64, header + SECTOR - 1)
    in_application = (header + SECTOR, header + SECTOR + signed.application_length - 1)
    run("refuses_where_the_flash_changes_a_byte", signed, keys[0], *in_app, *in_header, *in_application)


def test_parts(run, signed: UpdateImage) -> None:
    run("picks_the_parts_as_they_come", signed)


def test_rollback(run, make_image, signed: UpdateImage, forged: dict[str, bytes], keys: list[Key]) -> None:
    run("goes_back", signed, keys[0], "")
    run("goes_back", make_image("1.1.0"), keys[0], "SIGN")
    for name in ("a wrong key", "all zeros", "another image's", "the image changed at its end"):
        run("goes_back", forged[name], keys[0], "SIGN")
    run("goes_back_not_below_the_floor", signed, keys[0])


def test_a_new_key_comes_with_an_image_that_both_signed(run, make_image, keys: list[Key]) -> None:
    both = make_image("1.1.0").sign(keys[0]).sign(keys[1])
    expected = f"{keys[0].digest.hex()},{keys[1].digest.hex()}"
    run("adopts", both, expected, keys[0])
    run("adopts", both, expected, keys[0], keys[1])
    run("survives_cuts_while_it_adopts", of_version(make_image("1.1.0"), 2, *keys[:2]), expected, keys[0])
    run("keeps_its_keys_where_nvs_is_full", both, keys[0])


def test_the_key_that_did_not_sign_goes_for_a_new_one(run, make_image, keys: list[Key]) -> None:
    a, b, c, d = (key.digest.hex() for key in keys)
    image = make_image("1.1.0")
    run("adopts", image.sign(keys[1], keys[3]), f"{c},{b},{d}", keys[0], keys[1], keys[2])
    run("adopts", image.sign(keys[0], keys[1], keys[3]), f"{a},{b},{d}", keys[0], keys[1], keys[2])
    run("adopts", image.sign(keys[2], keys[3], keys[1]), f"{c},{d},{b}", keys[0], keys[2])


def test_nobody_brings_a_key_of_their_own(run, make_image, signed: UpdateImage, keys: list[Key]) -> None:
    """Anybody can sign an image that was signed; what the first signature is for does not name their key."""
    data = signed.data[:-SECTOR]
    appended = signed.data[: -SECTOR + BLOCK] + signature_sector(data, [keys[2]])[:-BLOCK]
    run("adopts", appended, keys[0].digest.hex(), keys[0])
    named = make_image("1.1.0").sign(keys[0], keys[2])
    alone = named.data[: -SECTOR + BLOCK].ljust(named.size, b"\xff")  # the one who is named has not signed
    run("adopts", alone, keys[0].digest.hex(), keys[0])
    for image in (named.data[:-SECTOR], make_image("1.1.0").sign(keys[2]), of_version(named, 2, keys[2])):
        run("adopts_nothing", image, keys[0])


def test_the_floor_rises_without_keys_too(run, make_image) -> None:
    run("raises_the_floor_only_without_keys", secured(make_image("1.1.0"), 2))


def test_a_hundred_checks(run, signed: UpdateImage, keys: list[Key], record_property: Callable) -> None:
    took = re.search(r"^TOOK (\d+)$", run("takes_so_long", signed, keys[0]), re.MULTILINE)
    record_property("milliseconds", int(took[1]) / 100)  # of one, for benchmarks/
