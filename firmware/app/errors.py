"""The refusals of the updater, under the names that the Arduino Update library has for them."""

_STATUS = {
    "SIZE": 413,
    "SPACE": 413,
    "ABORT": 400,
    "MD5": 422,
    "MAGIC_BYTE": 415,
    "WRITE": 500,
    "ACTIVATE": 422,
    "VERSION": 409,
    "BUSY": 409,
    "UNCONFIRMED": 409,
    "NO_PARTITION": 409,
    "PASSWORD": 403,
}


class UpdateError(Exception):
    """An update was refused: UPDATE_ERROR_<kind>, one sentence of cause, one of advice, an HTTP status."""

    def __init__(self, kind, message, advice, status=None):
        super().__init__(message)
        self.name = "UPDATE_ERROR_" + kind
        self.message = message
        self.advice = advice
        self.status = status or _STATUS[kind]

    def body(self):
        return {"error": self.name, "message": self.message, "advice": self.advice}
