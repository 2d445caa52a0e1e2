"""What this board asks others. Of 10 sockets two are for that, and of memory there is enough for one TLS session."""

import asyncio

turn = asyncio.Lock()  # held as long as a connection is open; one to a broker that stays, without TLS, does without
