"""Signatures of images, and the keys that a board trusts. Loaded when an image is judged, and once at each start.

The last sector of a signed image has one to three blocks of Secure Boot V2, the sector's rest is 0xFF:

    E7 02 00 00 | SHA-256 of all before the sector | key: n[384] e[4] rinv[384] m'[4] | signature[384] | CRC-32 | 0[16]

(ESP-IDF 5.4, esp_secure_boot.h; little-endian, RSA-3072, PSS with a salt of 32 bytes.) All of them must be right. The
key travels with the image; a board keeps the SHA-256 of those it trusts, in NVS as the blob "signers<n>", of which the
number "signers" names the one that counts: 0 or none, and everything is taken.

Anybody can add a block of their own to an image. So a new key is trusted where a trusted one has signed its SHA-256,
which stands in the header sector (64 bytes from its start, up to three of them), and only if it has signed as well.
"""

import asyncio
import binascii
import hashlib
import struct

import boot_files
import settings
import slot
import web
from errors import UpdateError
from esp32 import NVS
from micropython import const

_SECTOR = const(4096)
_BLOCK, _MOST = const(1216), const(3)
_KEY, _KEY_END, _SIGNATURE_END, _CRC_END = const(36), const(812), const(1196), const(1200)
_DIGEST = const(32)
_RSA = const(384)  # bytes of a number
_SALT_AT = const(319)  # in the 351 bytes of DB, RFC 8017, 9.1.2
_NAMED = const(64)  # in the header sector
_SECURITY = const(0x24)  # of the app image: secure_version of esp_app_desc_t
_NOT_FOUND = const(-4354)  # ESP_ERR_NVS_NOT_FOUND
_TURN = const(8)  # sectors after which others have a turn
_UNSIGNED = "The image is not signed."


def signers():
    """Return the SHA-256 of each key that this board trusts, none where everything is taken. Raises UpdateError."""
    number = _number("signers")
    kept = settings.blob(f"signers{number}") or b"" if number else b""
    is_lost = not number and _is_missing("signers") and (settings.blob("signers1") or settings.blob("signers2"))
    if is_lost or (number and (not kept or len(kept) % _DIGEST)):  # whoever damages NVS must not open the door
        raise UpdateError("SIGN", "The board cannot read the keys that it trusts.", "Run board.install(signers=[...]).")
    return [kept[at : at + _DIGEST] for at in range(0, len(kept), _DIGEST)]


def check_floor(head):
    """Raise UpdateError where the security version of an image, by its first bytes, is below the highest confirmed."""
    security, least = _security(head), _floor()
    if security < least:
        cause = f"The image has security version {security}, and this board takes {least} or higher."
        raise UpdateError("VERSION", cause, "Build it with secure_version=... of kit.build(). Force does not help.")


def is_signature(sector):
    """Tell whether a sector begins as a signature does, right or wrong."""
    return bytes(sector[:2]) == b"\xe7\x02"


def check(sector, digest, trusted):
    """Raise UpdateError unless all blocks of a signature sector are right and a trusted key is among them.

    Args:
        sector: 4,096 bytes.
        digest: SHA-256 of all that stands before it.
        trusted: as signers() returns them.

    Returns: the SHA-256 of the keys that signed.
    """
    if not is_signature(sector):
        raise UpdateError("SIGN", _UNSIGNED)
    keys, at = [], 0
    while at < _MOST * _BLOCK and sector[at] != 0xFF:
        block = bytes(memoryview(sector)[at : at + _BLOCK])
        if not _is_right(block, digest):
            raise UpdateError("SIGN", "The signature of the image is wrong.")
        keys.append(hashlib.sha256(block[_KEY:_KEY_END]).digest())
        at += _BLOCK
    if not all(sector[place] == 0xFF for place in range(at, len(sector))):
        raise UpdateError("SIGN", "The signature of the image is wrong.")
    if not [key for key in keys if key in trusted]:
        raise UpdateError("SIGN", "The image is signed by nobody whom this board trusts.")
    return keys


async def prove(partition, trusted):
    """Check the signature of what a slot holds; see check. Raises UpdateError and slot.SlotError too."""
    start, length, _ = slot.find(slot.reader(partition), partition.info()[3])
    end = start + length
    sha, buffer = hashlib.sha256(), bytearray(_SECTOR)
    for offset in range(0, end, _SECTOR):
        partition.readblocks(offset // _SECTOR, buffer)
        sha.update(memoryview(buffer)[: end - offset])
        if offset // _SECTOR % _TURN == 0:
            await asyncio.sleep(0)
    if end % _SECTOR or end + _SECTOR > partition.info()[3]:
        raise UpdateError("SIGN", _UNSIGNED)
    partition.readblocks(end // _SECTOR, buffer)
    return check(buffer, sha.digest(), trusted)


async def settle(partition):
    """Take over what the running version, which is confirmed, brings: a higher floor, and keys. Again and again.

    The bootloader and the boot files go back to a slot whoever signed it: the log says where nobody did.

    Raises UpdateError, slot.SlotError and OSError; then nothing has changed, or a part that the next start completes.
    """
    trusted, head, keys = signers(), bytearray(_SECURITY + 4), []
    web.ota.signers, web.ota.security = len(trusted), _floor()
    if trusted:
        print(f"Signed updates only. Trusted keys: {len(trusted)}")
        try:
            keys = await prove(partition, trusted)
        except UpdateError:
            boot_files.log("NOT_SIGNED", slot=partition.info()[4])
            raise
    partition.readblocks(0, head, 0)
    security = _security(head)
    if security > web.ota.security:
        nvs = NVS("kit")
        nvs.set_i32("floor", security - (security >> 31 << 32))
        nvs.commit()
        web.ota.security = security
        print(f"Security version from now on: {security} or higher")
    if trusted:
        _trust([key for key in _named(partition) if key in keys], keys, trusted)


def _trust(named, keys, trusted):
    new = [key for key in named if key not in trusted]
    if not new:
        return
    # The oldest first of those that did not sign this one; one that did stays, so the last one never goes.
    kept = [key for key in trusted if key not in keys] + [key for key in trusted if key in keys] + new
    kept = kept[-_MOST:]
    number = 2 if _number("signers") == 1 else 1  # not the one that counts
    settings.store(f"signers{number}", b"".join(kept))
    nvs = NVS("kit")
    nvs.set_i32("signers", number)
    nvs.commit()
    web.ota.signers = len(kept)
    print(f"Trusted keys from now on: {len(kept)}")


def _named(partition):
    """Return the keys that the header sector of a slot names."""
    start, _, _ = slot.find(slot.reader(partition), partition.info()[3])
    names = bytearray(_MOST * _DIGEST)
    partition.readblocks(0, names, start - _SECTOR + _NAMED)
    found = [bytes(names[at : at + _DIGEST]) for at in range(0, len(names), _DIGEST)]
    return [key for key in found if key.strip(b"\xff")]


def _number(key):
    return 0 if _is_missing(key) else NVS("kit").get_i32(key)


def _is_missing(key):
    try:
        NVS("kit").get_i32(key)
        return False
    except OSError as error:
        if error.args[0] != _NOT_FOUND:
            raise
        return True


def _floor():
    return _number("floor") & 0xFFFFFFFF


def _security(head):
    return struct.unpack_from("<I", head, _SECURITY)[0]


def _is_right(block, digest):
    crc = struct.unpack_from("<I", block, _SIGNATURE_END)[0]
    if block[:4] != b"\xe7\x02\0\0" or block[_CRC_END:].strip(b"\0") or block[4:_KEY] != digest:
        return False
    return crc == binascii.crc32(block[:_SIGNATURE_END]) and _is_signature(block, digest)


# RSASSA-PSS-VERIFY and EMSA-PSS-VERIFY of RFC 8017, for 3,072 bits, SHA-256 and a salt of 32 bytes.
def _is_signature(block, digest):
    n = int.from_bytes(block[_KEY : _KEY + _RSA], "little")
    e = struct.unpack_from("<I", block, _KEY + _RSA)[0]
    s = int.from_bytes(block[_KEY_END:_SIGNATURE_END], "little")
    if n >> 3071 != 1 or not n & e & 1 or e < 3 or s >= n:
        return False
    message = pow(s, e, n).to_bytes(_RSA, "big")
    salted, seed = bytearray(message[:-33]), message[-33:-1]
    if message[-1] != 0xBC or salted[0] & 0x80:
        return False
    for number in range(11):
        mask = hashlib.sha256(seed + struct.pack(">I", number)).digest()
        for index in range(number * _DIGEST, min((number + 1) * _DIGEST, len(salted))):
            salted[index] ^= mask[index % _DIGEST]
    salted[0] &= 0x7F
    padding = bytes(_SALT_AT - 1) + b"\1"
    right = hashlib.sha256(bytes(8) + digest + bytes(salted[_SALT_AT:])).digest()
    return bytes(salted[:_SALT_AT]) == padding and seed == right
