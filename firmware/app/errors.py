"""Refusals. Those of the updater have the names that the Arduino Update library has for them."""

from seldom import load


class HttpError(Exception):
    """A request was refused: HTTP status, name, one sentence of cause, one of advice, and headers of the answer."""

    def __init__(self, status, name, message, advice, headers=None):
        super().__init__(message)
        self.status = status
        self.name = name
        self.message = message
        self.advice = advice
        self.headers = headers or {}
        self.update = {}  # slot, version and bytes of the update that it ended, where that had begun

    def body(self):
        """Return the answer to a client: a dict, or the bare message where it has no name."""
        if self.name is None:
            return self.message
        return {"error": self.name, "message": self.message, "advice": self.advice}


class UpdateError(HttpError):
    """An update was refused: UPDATE_ERROR_<kind>. Advice and status are the usual ones where none are given."""

    def __init__(self, kind, message, advice=None, status=None):
        usual = load("kinds").KINDS.partition(f"\n{kind} ")[2].partition("\n")[0]
        usual_status, _, usual_advice = usual.partition(" ")
        super().__init__(status or int(usual_status), "UPDATE_ERROR_" + kind, message, advice or usual_advice)


class FetchError(Exception):
    """What another server was asked for does not come: one sentence.

    `wait`: seconds after which the server wants to be asked again, None where it says none. `is_final`: the same
    request again does no good now.
    """

    def __init__(self, message, is_final=False, wait=None):
        super().__init__(message)
        self.is_final = is_final
        self.wait = wait
