"""Take an update image into the next slot: judge, write, verify, commit.

Whatever happens, and wherever the power goes, the board boots the old application or the new one, whole: the first
sector of the slot is erased before any other write and written last, and set_boot comes after everything is verified.
"""

import asyncio
import gc
import hashlib
import time

import boot_files
import parts
import slot
from errors import FetchError, UpdateError
from esp32 import Partition
from micropython import const
from seldom import load

_SECTOR = const(4096)
_ERASE = const(6)  # ioctl of a block device: erase one block
_TURN = const(4)  # sectors after which others have a turn: LEDs, GET /progress, the watchdog
_HAS_HASH = const(23)  # in esp_image_header_t: set_boot compares a SHA-256, else a checksum of one byte
_UNLIKE = "The flash does not hold what was written to it."


class Updater:
    """Takes one update into the target slot of an Ota, whose progress it keeps."""

    def __init__(self, ota):
        self._ota = ota
        self.running, self.target, self.progress = ota.running, ota.target, ota.progress
        self._is_open = False  # the first sector of the slot is erased
        self._what = {}  # slot, version and bytes

    async def receive(self, body, size, force=False, sha256=None, md5=None, base=None):
        """Take an image; the next reset starts it. Raises UpdateError, after which the next update can come, and what
        the body raises.

        Args:
            body: its `await readinto(view)` gives the number of bytes read, 0 at the end.
            size: bytes of the image.
            force: take the same or an older version too.
            sha256, md5: digests of the image, bytes.
            base: None for a whole image. Else the body is Changes, or the like, of what the slot held when it had this
                ETag; if it `is_exact`, it has no sector that the slot has already.

        Returns: dict of slot, version, bytes, seconds by phase.
        """
        if self._ota.is_busy():
            raise UpdateError("BUSY", "Another update is running.")
        self.progress.update({"phase": "check", "received": 0, "written": 0, "size": size, "error": None})
        try:
            self._is_delta = base is not None
            self._take_buffers(body)
            return await self._run(body, size, force, sha256, md5, base)
        except OSError as error:
            raise self._failed(UpdateError("WRITE", f"The flash refused to work: {error.args[-1]}."))
        except MemoryError:  # a heap in many pieces may have no place for a buffer
            self._first = self._buffer = self._held = None
            gc.collect()
            advice = "POST to /restart, and send the image again."
            raise self._failed(UpdateError("BUSY", "The board has no memory left for an update.", advice))
        except UpdateError as error:
            raise self._failed(error)
        except FetchError as error:  # of a body that is fetched
            self._failed(UpdateError("ABORT", error.args[0]))
            raise
        finally:
            if self.progress["phase"] != "restart":
                self.progress["phase"] = "idle"

    def _take_buffers(self, body):
        gc.collect()
        self._first, self._buffer = bytearray(_SECTOR), bytearray(_SECTOR)
        # What the slot has where a sector comes, which may be the same.
        self._held = bytearray(_SECTOR) if self._is_delta and not body.is_exact else None

    def _failed(self, error):
        print(f"Update Error: {error.name} {error.message}")
        error.update = self._what
        if self._is_open:
            self._ota.last = boot_files.note("end_update", error.name)
        self.progress["error"] = error.name
        return error

    async def _run(self, body, size, force, sha256, md5, base):
        self._seconds = {"receive": 0, "write": 0, "verify": 0, "commit": 0}
        self._mark = time.ticks_ms()
        self._check_target(size, base)
        self._sha, self._md5 = hashlib.sha256(), hashlib.md5() if md5 else None
        self._trusted = self._signers()
        self._signed = hashlib.sha256() if self._trusted else None  # of what a signature is for
        self._parts = parts.Parts()
        self._coming = size if base is None else body.left
        await self._take(body, self._first, 0, size)
        found = self._judge(size, force)

        self.progress["phase"] = "write"
        print("Update: version {}, {} bytes".format(found["version"], size))
        self._what = {"slot": self.target.info()[4], "version": found["version"], "bytes": size}
        boot_files.log("UPDATE_START", self._ota.address, **self._what)
        if base is None:
            self._open()
        await self._write(body, size)
        digest = self._sha.digest()
        is_announced = not sha256 or sha256 == digest
        if not is_announced and base is not None:
            raise UpdateError("BASE", "What the slot held and what came do not make the announced image.")
        if not is_announced or (md5 and md5 != self._md5.digest()):
            raise UpdateError("MD5", "The digest of the image is not the announced one.")
        has_signature = self._check_signature(size)

        self.progress["phase"] = "verify"
        await self._verify(size, digest, size - _SECTOR if has_signature else size)
        if await body.readinto(memoryview(self._buffer)[:1]):
            raise UpdateError("SPACE", "More bytes came than were announced.")
        self._lap("verify")
        self.progress["phase"] = "commit"
        await self._commit(size, digest)
        self._lap("commit")
        self.progress["phase"] = "restart"
        print(f"Update Success: {size} bytes")
        taken = sum(self._seconds.values()) / 1000
        self._ota.last = boot_files.note("end_update", None)
        boot_files.log("UPDATE_COMPLETE", self._ota.address, seconds=taken, **self._what)
        seconds = {name: milliseconds / 1000 for name, milliseconds in self._seconds.items()}
        return dict(self._what, seconds=seconds)

    # Not in `_run`, whose stack would keep the module, and a fetched image needs the memory.
    def _signers(self):
        return load("signature").signers()

    def _judge(self, size, force):
        """Return the app descriptor of what comes, by its first sector. Raises UpdateError where it is not taken."""
        judge = load("judge")
        found = judge.judge(self._first, size)
        load("signature").check_floor(self._first)
        if not force:
            judge.check_version(found["version"], load("image").describe(self.running)["version"])
        return found

    def _check_signature(self, size):
        """Tell whether the image ends with a signature, which must be right where this board trusts signers."""
        signature = load("signature")
        has_signature = size % _SECTOR == 0 and size > _SECTOR and signature.is_signature(self._buffer)
        if self._trusted:
            last = self._buffer if has_signature else b""  # the last sector is still there
            signature.check(last, self._signed.digest(), self._trusted)
        return has_signature

    def _check_target(self, size, base):
        self._ota.check_target()
        if slot.is_unconfirmed():
            raise UpdateError("UNCONFIRMED", "The running version is not confirmed yet, and may need the other slot.")
        _, _, _, space, label, _ = self.target.info()
        if not 0 < size <= space:
            raise UpdateError("SIZE", f"The image has {size} bytes, and the slot {label} takes 1 to {space}.")
        if base is not None and self._ota.tag() not in [tag.strip() for tag in base.split(",")]:
            raise UpdateError("BASE", "If-Match does not name what the slot holds now.")

    # Nothing that is not whole can be booted: the first sector goes before any other write, and comes back last.
    def _open(self):
        if not self._is_open:
            self._is_open = True
            boot_files.note("note_update", "{slot} {version}".format(**self._what).encode())
            self._erase_first()

    def _erase_first(self):
        self._ota.writes += 1
        self.target.ioctl(_ERASE, 0)

    # Add the time since the last mark to a phase.
    def _lap(self, name):
        now = time.ticks_ms()
        self._seconds[name] += time.ticks_diff(now, self._mark)
        self._mark = now

    async def _take(self, body, buffer, index, size):
        """Put a sector of the image into a buffer, hashed, and 0xFF behind it; tell whether the slot lacks it."""
        n = min(_SECTOR, size - index * _SECTOR)
        comes = not self._is_delta or await body.bring(index)
        if comes:
            await self._fill(body, memoryview(buffer)[: _SECTOR if self._is_delta else n])
        if self._is_delta and not (comes and self._held is None):
            self.target.readblocks(index, self._held if comes else buffer)
            self._lap("verify")
        view = memoryview(buffer)[:n]
        self._sha.update(view)
        self._parts.feed(index, view)
        if self._signed and (index + 1) * _SECTOR < size:
            self._signed.update(view)
        if self._md5:
            self._md5.update(view)
        if comes:
            for rest in range(n, _SECTOR):
                buffer[rest] = 0xFF
        return comes and buffer != self._held

    async def _fill(self, body, view):
        done = 0
        while done < len(view):
            got = await body.readinto(view[done:])
            if not got:
                received = self.progress["received"]
                raise UpdateError("ABORT", f"The upload ended after {received} of {self._coming} bytes.")
            done += got
            self.progress["received"] += got
        self._lap("receive")

    # writeblocks erases a sector and writes it. While it does, the network brings the next one.
    async def _write(self, body, size):
        shown = 0
        for offset in range(_SECTOR, size, _SECTOR):
            index = offset // _SECTOR
            if await self._take(body, self._buffer, index, size):
                self._open()
                self.target.writeblocks(index, self._buffer)
            self.progress["written"] = min(offset, size - _SECTOR)
            self._lap("write")
            tenth = (offset + _SECTOR) * 10 // size
            if tenth > shown:
                shown = tenth
                print(f"Progress: {tenth}0%")
            if index % _TURN == 0:
                await asyncio.sleep(0)

    # Prove from flash what will run: here the application, as the next start does, and the app image by set_boot.
    async def _verify(self, size, digest, end):
        if not self._first[_HAS_HASH] and await self._read_back(size) != digest:
            raise UpdateError("WRITE", _UNLIKE)
        try:
            start, length = slot.check(self._read, size, self._buffer)
        except slot.SlotError as error:
            raise await self._refusal(f"The image cannot be started: {error}.", size, digest)
        if start + length < end:  # as where a form has fields behind the file
            raise UpdateError("SPACE", f"The image ends after {start + length} of {size} bytes.")

    async def _refusal(self, message, size, digest):
        """Return the error that fits: the image's where the slot holds what came, else the flash's."""
        if await self._read_back(size) == digest:
            return UpdateError("ACTIVATE", message)
        return UpdateError("WRITE", _UNLIKE)

    async def _read_back(self, size):
        """Return the SHA-256 of what the slot holds, the first sector from its buffer."""
        sha = hashlib.sha256(memoryview(self._first)[: min(size, _SECTOR)])
        view = memoryview(self._buffer)
        for offset in range(_SECTOR, size, _SECTOR):
            self.target.readblocks(offset // _SECTOR, self._buffer)
            sha.update(view[: min(_SECTOR, size - offset)])
            if offset // _SECTOR % _TURN == 0:
                await asyncio.sleep(0)
        return sha.digest()

    # Read from the slot: the first sector from its buffer, and the header of the application as it came.
    def _read(self, offset, buf):
        view = memoryview(buf)
        if self._parts.header and offset == self._parts.start:
            view[:] = self._parts.header[: len(view)]
            return
        held = max(0, min(len(view), _SECTOR - offset))
        view[:held] = memoryview(self._first)[offset : offset + held]
        if held < len(view):
            self.target.readblocks(0, view[held:], offset + held)

    async def _commit(self, size, digest):
        try:
            self.target.readblocks(0, self._buffer)
            if self._buffer != self._first:
                self._open()
                self.target.writeblocks(0, self._first, 0)
                self.target.readblocks(0, self._buffer)
            if self._buffer != self._first:
                raise UpdateError("WRITE", _UNLIKE)
            if not self._is_as_it_came():
                raise UpdateError("WRITE", _UNLIKE)
            refusal = self._set_boot()
            if refusal:
                raise await self._refusal(refusal, size, digest)
        except Exception:
            self._erase_first()
            self._keep_running()
            raise
        self.progress["written"] = size

    # What is started is proved by the hashes that the slot holds: set_boot's and slot.check's. They have to be those
    # that came.
    def _is_as_it_came(self):
        came, found = self._parts, bytearray(32)
        if came.app_hash:
            self._read(came.hash_at, found)
        if came.header:
            self.target.readblocks(came.start // _SECTOR, self._buffer)
        is_header = not came.header or hashlib.sha256(self._buffer).digest() == came.header_sha
        return is_header and (not came.app_hash or found == came.app_hash)

    def _set_boot(self):
        """Make the slot the boot slot; return what speaks against it, None if nothing does."""
        try:
            self._keep_running()
            self.target.set_boot()
        except OSError as error:
            return f"The board does not take the image: {error.args[-1]}."
        if slot.state(self.target) != slot.NEW:  # it would run without probation, or not at all
            return "The flash does not hold the record that names the image."
        return None

    # Where otadata names a slot that the bootloader refused, set_boot would write over the record of the running one,
    # and a version that fails would have nothing to go back to.
    def _keep_running(self):
        if Partition(Partition.BOOT).info() != self.running.info():
            self.running.set_boot()
            Partition.mark_app_valid_cancel_rollback()
