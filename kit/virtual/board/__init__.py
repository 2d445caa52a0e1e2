"""Modules of the board: what `import esp32` and friends find on the virtual board."""
