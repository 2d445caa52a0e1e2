"""Run mode of the virtual board: the process in which the board's programs run."""
