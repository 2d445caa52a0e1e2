"""Through the air: the client of the board's web server."""
