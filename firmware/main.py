"""Start the application of the running slot. Ctrl-C leads to the REPL."""

import sys

import slot
import starts
import watchdog


def _come(step):
    watchdog.feed()
    starts.reach(step)


try:
    watchdog.start()
    starts.count()
    starts.quietly("probation", "begin")
    slot.start(_come)
    starts.quietly("probation", "note", "its program came to an end")
except slot.SlotError as error:
    print(f"No application was started: {error}.")
    starts.leave(str(error))
except KeyboardInterrupt:
    starts.forget()  # somebody is here: this start did not fail
    starts.quietly("probation", "note", "Ctrl-C ended it")
    raise
except SystemExit:  # it asks for a soft reset
    raise
except BaseException as error:  # asyncio's CancelledError is no Exception
    sys.print_exception(error)
    starts.again(error)
finally:
    if not slot.is_unconfirmed():
        watchdog.feed_by_timer()  # the REPL comes next
