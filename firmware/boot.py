# MicroPython runs this file after every reset, hard or soft. After a soft reset (mpremote) a host reaches the REPL;
# main.py, which only a start without a host runs, starts the application.

import machine

# A watchdog may be running that a soft reset has not stopped, unlike the timer that fed it.
if machine.reset_cause() == machine.SOFT_RESET:
    import slot
    import watchdog

    if not slot.is_unconfirmed():
        watchdog.start()
        watchdog.feed_by_timer()
