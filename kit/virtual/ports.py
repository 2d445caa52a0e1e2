"""TCP ports of the virtual board: loopback only, kept for it while nothing listens there."""

import socket
import sys

HOST = "127.0.0.1"


def reserve(port: int) -> tuple[socket.socket, int]:
    """Take a port (0: one that the system chooses) without listening, so that connections are refused.

    Returns the socket that holds the port, and its number. On Linux a second socket may bind and listen there
    beside it, since both say SO_REUSEADDR and this one never listens (socket(7)); elsewhere it is let go at once.
    """
    holder = socket.socket()
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    holder.bind((HOST, port))
    number = holder.getsockname()[1]
    if not sys.platform.startswith("linux"):
        holder.close()
    return holder, number
