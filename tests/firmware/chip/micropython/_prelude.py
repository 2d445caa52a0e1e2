"""The unix port of MicroPython lacks nothing."""
