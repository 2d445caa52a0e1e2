# Runs on CPython and on MicroPython.
"""In place of the application's: in the folder of these tests nothing is packed."""
