"""Requests to other servers by HTTP/1.1, one a connection. Loaded when there are any.

The caller sees to it that no other connection stands in its way: see outgoing.py.
"""

import address
from answer import Answer
from errors import FetchError
from link import Link
from micropython import const

_REDIRECTS = const(3)  # one after the other
_MOVED = const((301, 302, 303, 307, 308))
_LATER = const((408, 425, 429))  # of 4xx: another time it may do


async def get(url, headers=None, start=0, etag=None, certificate=None, token=None):
    """Return the Answer to a GET: 2xx, 304, or 416 where a part was asked for. Raises FetchError.

    Args:
        headers: more of them; they go where a redirect leads, too.
        start: where in the file the body is to begin, if the file is still the one of this `etag`. An answer of status
            200 begins at 0 all the same.
        certificate: SHA-256 of the server's, 64 hex digits, None for any. It is for the origin of `url`.
        token: goes as Bearer to the origin of `url`, and to no other.
    """
    headers = dict(headers or {})
    if start and not (etag and etag.startswith("W/")):  # what is the same only in meaning cannot be continued
        headers["Range"] = f"bytes={start}-"
        if etag:
            headers["If-Range"] = etag
    else:
        start = 0
    if token:
        headers["Authorization"] = "Bearer " + token
    where = _split(url)
    origin = where[:3]
    for _ in range(_REDIRECTS + 1):
        answer = await _ask("GET", where, headers, b"", certificate if where[:3] == origin else None, start)
        if answer.status not in _MOVED:
            return answer
        answer.close()
        url, where = _moved(url, where, answer.header(b"location"))
        if where[:3] != origin:  # nor does it go back there from another one
            headers.pop("Authorization", None)
    raise FetchError(f"{where[1]} redirects once more, after {_REDIRECTS} redirects.", True)


async def post(url, body, headers=None, certificate=None):
    """Return the Answer to a POST of some bytes, 2xx. Raises FetchError, also where it is redirected."""
    where = _split(url)
    headers = dict(headers or {}, **{"Content-Length": len(body)})
    answer = await _ask("POST", where, headers, body, certificate, 0)
    if answer.status >= 300:
        answer.close()
        raise FetchError(f"{where[1]} redirects a POST, which is not followed.", True)
    return answer


def _split(url):
    try:
        return address.split(url)
    except ValueError as error:
        raise FetchError(error.args[0], True)


def _moved(url, where, location):
    """Return an address and its parts."""
    if not location:
        raise FetchError(f"{where[1]} redirects, and does not say where.", True)
    url = address.join(url, location)
    there = _split(url)
    if where[0] == "https" and there[0] != "https":
        raise FetchError(f"{where[1]} redirects from https to http.", True)
    return url, there


async def _ask(method, where, headers, body, certificate, start):
    """Return the answer of one server, with a status that the caller knows what to do with."""
    scheme, host, port, path = where
    is_tls = scheme == "https"
    if certificate and not is_tls:
        raise FetchError(f"{host} is to have a certificate, and its address begins with http://.", True)
    name = host if port == (443 if is_tls else 80) else f"{host}:{port}"
    known = {"Host": name, "User-Agent": "esp32-ota", "Connection": "close", "Accept": "*/*"}
    known["Accept-Encoding"] = "identity"  # nothing here unpacks
    known.update(headers)
    lines = [f"{method} {path} HTTP/1.1"] + [f"{name}: {value}" for name, value in known.items()]
    if not all(" " <= c <= "~" for line in lines for c in line):
        raise FetchError("What goes into the head of a request has visible characters of ASCII only.", True)
    link = Link(host)
    answer = Answer(link)
    is_good = False
    try:
        await link.connect(port, is_tls, certificate)
        await link.send(("\r\n".join(lines) + "\r\n\r\n").encode() + body)
        await answer.begin(start)
        _check(answer, host, start)
        is_good = True
        return answer
    except (OSError, ValueError) as error:
        raise FetchError(error.args[0], isinstance(error, ValueError))
    finally:
        if not is_good:
            link.close()


def _check(answer, host, start):
    status = answer.status
    if status < 300 or status == 304 or status in _MOVED or (status == 416 and start):
        return
    wait = answer.header(b"retry-after")  # a date says nothing to a board that may not know the time
    wait = int(wait) if wait and wait.isdigit() and len(wait) < 7 else None
    is_final = status < 500 and status not in _LATER and wait is None
    raise FetchError(f"{host} answers with status {status}.", is_final, wait)
