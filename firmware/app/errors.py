"""Refusals. Those of the updater have the names that the Arduino Update library has for them."""

# UPDATE_ERROR_..., HTTP status, advice. One text takes half of the memory of a dict
_KINDS = """
SIZE 413 Send an update image, or make the application smaller.
SPACE 413 Send the image and nothing behind it, in a form as its last part.
ABORT 400 Check the connection to the board. Send the image again.
MD5 422 Send the image again.
MAGIC_BYTE 415 Send the .bin file that kit.build() or `python -m kit build` makes.
WRITE 500 Send the image again.
ACTIVATE 422 Send the .bin file that kit.build() or `python -m kit build` makes.
VERSION 409 Build a higher version, or add ?force=1 to the address.
BUSY 409 Wait until GET /progress says idle.
UNCONFIRMED 409 Wait until GET /info says VALID. Send the image again.
NO_PARTITION 409 Flash the OTA variant by USB: board.flash(image, erase=True, confirm=True), then board.install().
PASSWORD 403 POST password=admin123 and new=... to /password, or run board.install() over USB.
"""


class HttpError(Exception):
    """A request was refused: HTTP status, name, one sentence of cause, one of advice, and headers of the answer."""

    def __init__(self, status, name, message, advice, headers=None):
        super().__init__(message)
        self.status = status
        self.name = name
        self.message = message
        self.advice = advice
        self.headers = headers or {}

    def body(self):
        """Return the answer to a client: a dict, or the bare message where it has no name."""
        if self.name is None:
            return self.message
        return {"error": self.name, "message": self.message, "advice": self.advice}


class UpdateError(HttpError):
    """An update was refused: UPDATE_ERROR_<kind>. Advice and status are the usual ones where none are given."""

    def __init__(self, kind, message, advice=None, status=None):
        usual = _KINDS.partition(f"\n{kind} ")[2].partition("\n")[0]
        usual_status, _, usual_advice = usual.partition(" ")
        super().__init__(status or int(usual_status), "UPDATE_ERROR_" + kind, message, advice or usual_advice)
