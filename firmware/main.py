"""Start the application of the running slot. Ctrl-C leads to the REPL."""

import sys

import slot
import starts
import watchdog

try:
    if slot.is_unconfirmed():
        watchdog.start()
    starts.count()
    slot.start()
except slot.SlotError as error:
    print(f"No application was started: {error}.")
    starts.leave()
except KeyboardInterrupt:
    starts.clear()  # somebody is here: this start did not fail
    raise
except Exception as error:
    sys.print_exception(error)
    slot.roll_back()
    starts.again()
