"""Start the application of the running slot. Ctrl-C leads to the REPL."""

import sys

import slot

try:
    slot.start()
except slot.SlotError as error:
    print(f"No application was started: {error}. Flash one: board.flash(kit.build('1.0.0')).")
    slot.roll_back()
except Exception as error:
    sys.print_exception(error)
    slot.roll_back()
