"""The file in a multipart/form-data body (RFC 7578), read as it comes: only what stands before it is held in memory."""

from errors import UpdateError
from micropython import const

_BLOCK = const(512)  # of the littlefs at the end of an image
_HEAD = const(1024)  # bytes within which the file must begin


class File:
    """The file of a form. `left`, the bytes still to come, is all that stands before the closing boundary."""

    def __init__(self, client, left):
        self.left = left
        self._client = client

    async def readinto(self, view):
        """Fill as much of `view` as the file has; return the number of bytes, 0 at its end or if the client is gone."""
        if not self.left:
            return 0
        n = await self._client.readinto(view[: min(len(view), self.left)])
        self.left -= n
        return n


async def open_file(client):
    """Return the file, of whatever field, in the form that a client sends. Raises UpdateError if there is none."""
    length = min(_HEAD, client.left)
    head = await client.whole(length)
    if len(head) < max(length, 1):
        raise UpdateError("ABORT", "The upload ended before its file began.")
    head = head.lstrip(b"\r\n")
    at = head.lower().find(b"filename=")
    start = head.find(b"\r\n\r\n", at) + 4
    if at < 0 or start < 4:
        raise UpdateError("SIZE", "The form has no file.", "Send an update image as the first part of the form.")
    client.unread(head[start:])
    boundary = head.partition(b"\r\n")[0]  # as the body has it: a Content-Type can quote it, and more
    size = client.left - len(b"\r\n" + boundary + b"--\r\n")
    if size % _BLOCK == _BLOCK - 2:
        size += 2  # an image is whole blocks: this form ends without the CRLF, as RFC 2046 allows
    return File(client, max(size, 0))
