import pytest
from IPython.core.interactiveshell import InteractiveShell

from kit.errors import ImageError, KitError, UpdateError


def test_an_error_reads_as_cause_and_advice():
    error = ImageError("The file is empty.", "Build it again.")
    assert str(error) == "The file is empty. Build it again."
    assert (error.cause, error.advice) == ("The file is empty.", "Build it again.")
    assert isinstance(error, KitError)


def test_an_update_error_carries_the_answer_of_the_board():
    error = UpdateError("UPDATE_ERROR_SIZE", "It is too large.", "Make it smaller.", 413)
    assert (error.error, error.status) == ("UPDATE_ERROR_SIZE", 413)
    assert str(error) == "UPDATE_ERROR_SIZE: It is too large. Make it smaller."


def test_ipython_shows_no_traceback(capsys: pytest.CaptureFixture[str]):
    shell = InteractiveShell()
    shell.run_cell("from kit.errors import TableError\nraise TableError('Cause.', 'Advice.')")
    assert capsys.readouterr().out.strip() == "TableError: Cause. Advice."
