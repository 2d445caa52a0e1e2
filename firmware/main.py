"""Start the application of the running slot. Ctrl-C leads to the REPL."""

import sys

import slot
import starts
import watchdog

try:
    watchdog.start()
    starts.count()
    slot.start(watchdog.feed)
except slot.SlotError as error:
    print(f"No application was started: {error}.")
    starts.leave()
except KeyboardInterrupt:
    starts.forget()  # somebody is here: this start did not fail
    raise
except SystemExit:  # it asks for a soft reset
    raise
except BaseException as error:  # asyncio's CancelledError is no Exception
    sys.print_exception(error)
    starts.again()
finally:
    if not slot.is_unconfirmed():
        watchdog.feed_by_timer()  # the REPL comes next
