# MicroPython runs this file after every reset, hard or soft. It does nothing, so that a soft reset (mpremote) always
# reaches the REPL; main.py, which only a start without a host runs, starts the application.
