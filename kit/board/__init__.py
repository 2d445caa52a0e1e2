"""By cable: where a board is, and what one does with it over its serial port."""
