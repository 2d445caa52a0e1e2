"""The file in a multipart/form-data body (RFC 7578), read as it comes: only what stands before it is held in memory."""

from errors import UpdateError
from micropython import const

_HEAD = const(1024)  # bytes within which the file must begin


class File:
    """The file of a form. `size` is known before it is read: all that stands before the closing boundary."""

    def __init__(self, client, size):
        self.size = self._left = size
        self._client = client

    async def readinto(self, view):
        """Fill as much of `view` as the file has; return the number of bytes, 0 at its end or if the client is gone."""
        n = await self._client.readinto(view[: min(len(view), self._left)])
        self._left -= n
        return n


async def open_file(client, content_type):
    """Return the file, of whatever field, in the form that a client sends. Raises UpdateError if there is none."""
    head = bytearray(min(_HEAD, client.left))
    if not await client.readinto(memoryview(head)):
        raise UpdateError("ABORT", "The upload ended before its file began.")
    _, _, rest = bytes(head).partition(b"filename=")
    _, is_there, start = rest.partition(b"\r\n\r\n")
    if not is_there:
        raise UpdateError("SIZE", "The form has no file.", "Choose an update image, and send it again.")
    client.unread(start)
    boundary = content_type.partition("boundary=")[2].split(";")[0].strip('"')
    return File(client, client.left - len("\r\n--" + boundary + "--\r\n"))
