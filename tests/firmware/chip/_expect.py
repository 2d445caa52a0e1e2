# Runs on CPython and on MicroPython.
"""What pytest.raises is on CPython."""


def error_of(kind, function, *arguments):
    """Call a function, and return the error of this kind that it raises."""
    try:
        function(*arguments)
    except kind as error:
        return error
    raise AssertionError("no " + kind.__name__)
