# Runs on CPython and on MicroPython.
"""Requests to a server that lies. Its tricks are in test_fetch.py: a path has in hex what is answered."""

import asyncio
import binascii
import gc
import json

import _literals  # noqa: F401
import address
import fetch
import link
import tls
from _expect import error_of

OK = b"HTTP/1.1 200 OK\r\n"
MOST = 4096


class Net:
    """Addresses of the servers, by the name of their port."""

    def __init__(self, ports):
        self._ports = json.loads(ports)

    def url(self, name, path="", host="127.0.0.1"):
        scheme = "https" if name in ("tls", "tls_other", "pieces") else "http"
        return f"{scheme}://{host}:{self._ports[name]}/{path}"

    def says(self, *data, name="plain", trick="say"):
        parts = [trick] + [binascii.hexlify(part).decode() for part in data]
        return self.url(name, "/".join(parts))

    def moves(self, location, name="plain", status=302):
        return self.says(b"HTTP/1.1 %d x\r\nLocation: %s\r\n\r\n" % (status, location.encode()), name=name)

    def seen(self):
        """The heads that have come since the last time; all connections are closed by then."""
        return json.loads(read(self.url("plain", "seen"), most=20_000)[1])


def read(url, most=MOST, **options):
    """Return answer and body."""

    async def run():
        answer = await fetch.get(url, **options)
        try:
            return answer, await answer.whole(most)
        finally:
            answer.close()

    return asyncio.run(run())


def refused(url, is_final, **options):
    """Return the text of the error."""
    error = error_of(fetch.FetchError, lambda: read(url, **options))
    text = error.args[0]
    assert error.is_final == is_final, text
    assert text[-1] == "." and text[0] == text[0].upper(), text
    return text


def test_good(ports, pin):
    net = Net(ports)
    answer, body = read(net.says(OK + b'ETag: "x"\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello'))
    assert (answer.status, answer.start, answer.length, answer.total) == (200, 0, 5, 5)
    assert (answer.etag, answer.type, body) == ('"x"', "text/plain", b"hello")
    head = net.seen()[0]
    lines = head.split("\r\n")
    for line in (
        "Host: " + net.url("plain").split("/")[2],
        "User-Agent: esp32-ota",
        "Accept: */*",
        "Connection: close",
    ):
        assert line in lines, head
    assert "Range" not in head and "Authorization" not in head
    read(net.says(OK + b"\r\n"), headers={"Accept": "application/json", "If-None-Match": '"x"'})
    lines = net.seen()[0].split("\r\n")
    assert "Accept: application/json" in lines and 'If-None-Match: "x"' in lines and "Accept: */*" not in lines


def test_lengths(ports, pin):
    net = Net(ports)
    assert read(net.says(OK + b"\r\nuntil the end"))[1] == b"until the end"
    assert read(net.says(OK + b"content-LENGTH:3\r\n\r\nlong"))[1] == b"lon"
    assert read(net.says(OK + b"Content-Length: 0\r\n\r\n"))[1] == b""
    assert read(net.says(OK + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\nab"))[1] == b"ab"
    assert read(net.says(b"HTTP/1.0 200\n\nold"))[1] == b"old"
    assert "hung up" in refused(net.says(OK + b"Content-Length: 6\r\n\r\nshort"), False)
    for length in (b"-1", b"x", b"", b"+1", b"1 1", b"1, 1", b"0x1", b"1" * 10, b"1\r\nContent-Length: 2"):
        text = refused(net.says(OK + b"Content-Length: " + length + b"\r\n\r\na"), True)
        assert "content-length" in text, (length, text)


def test_too_long_for_the_caller(ports, pin):
    net = Net(ports)
    assert len(read(net.says(OK + b"Content-Length: 9\r\n\r\n" + b"x" * 9), most=9)[1]) == 9
    assert len(read(net.says(OK + b"\r\n" + b"x" * 9), most=9)[1]) == 9
    assert "10" in refused(net.says(OK + b"Content-Length: 10\r\n\r\n" + b"x" * 10), True, most=9)
    assert "9" in refused(net.says(OK + b"\r\n" + b"x" * 10), True, most=9)
    assert "9" in refused(net.says(OK + b"\r\n", b"x" * 100, trick="endless"), True, most=9)


def chunked(net, body, **options):
    return net.says(OK + b"Transfer-Encoding: chunked\r\n\r\n" + body, **options)


def test_chunks(ports, pin):
    net = Net(ports)
    assert read(chunked(net, b"5\r\nhello\r\n0\r\n\r\n"))[1] == b"hello"
    assert (
        read(chunked(net, b"05;a=b\r\nhello\r\nA \r\n, you all.\r\n00\r\nX-Trailer: 1\r\n\r\n"))[1]
        == b"hello, you all."
    )
    assert read(chunked(net, b"0\r\n\r\n"))[1] == b""
    many = b"".join([b"%x\r\n%s\r\n" % (n, b"x" * n) for n in range(1, 60)])
    assert read(chunked(net, many + b"0\r\n\r\n"))[1] == b"x" * 1770
    assert read(chunked(net, b"5\r\nhello\r\n0\r\n\r\n", trick="drip"))[1] == b"hello"
    for bad in (
        b"x\r\n",
        b"\r\n",
        b"-1\r\na\r\n",
        b"0x1\r\na\r\n",
        b"100000000\r\n",
        b"1_0\r\n",
        b"2\r\nabc\r\n0\r\n\r\n",
    ):
        assert "chunk" in refused(chunked(net, bad), True), bad
    for cut in (
        b"",
        b"5",
        b"5\r\n",
        b"5\r\nhel",
        b"5\r\nhello",
        b"5\r\nhello\r\n",
        b"5\r\nhello\r\n0\r\n",
        b"0\r\nX: 1\r\n",
    ):
        refused(chunked(net, cut), False)
    endless = net.says(OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X-Trailer: 1\r\n", trick="endless")
    assert "without an end" in refused(endless, True)
    for coding in (b"gzip, chunked", b"identity", b"", b"chunked\r\nContent-Length: 5"):
        refused(net.says(OK + b"Transfer-Encoding: " + coding + b"\r\n\r\n5\r\nhello\r\n0\r\n\r\n"), True)


def test_packed(ports, pin):
    net = Net(ports)
    assert "404" in refused(net.says(b"HTTP/1.1 404 x\r\nContent-Encoding: gzip\r\n\r\n\x1f"), True)
    assert "packed" in refused(net.says(OK + b"Content-Encoding: gzip\r\n\r\n\x1f\x8b"), True)
    assert read(net.says(OK + b"Content-Encoding: Identity\r\n\r\nx"))[1] == b"x"


def test_no_http(ports, pin):
    net = Net(ports)
    for garbage in (
        b"\n",
        b"hello\r\n\r\n",
        b"HTTP/2 200\r\n\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/1.1  200 OK\r\n\r\n",
        b"HTTP/1.1\r\n\r\n",
        b"SSH-2.0-x\r\n",
        b"<html>old as HTTP/0.9</html>\n",
        b"\xff" * 3000 + b"\n",
        OK + b"no colon\r\n\r\n",
        OK + b" Folded: 1\r\n\r\n",
        OK + b"Space : 1\r\n\r\n",
        OK + b"ETag: \xff\r\n\r\n",
        OK + b"ETag: a\0b\r\n\r\n",
    ):
        refused(net.says(garbage), True)
    for cut in (b"", b"H", b"HTTP/1.1 200 OK", OK, OK + b"Content-Length: 5\r\n", b"no line end"):
        refused(net.says(cut), False)
        refused(net.says(cut, trick="reset"), False)
    refused(net.url("mute"), False)


def test_interim_answers(ports, pin):
    net = Net(ports)
    early = b"HTTP/1.1 103 Early Hints\r\nETag: a\r\n\r\n"
    answer, body = read(net.says(early + early + OK + b"\r\nx"))
    assert (answer.status, answer.etag, body) == (200, None, b"x")
    assert "head" in refused(net.says(early, early, trick="endless"), True)


def test_endless_heads(ports, pin):
    net = Net(ports)
    refused(net.says(OK, b"X-Header: 1\r\n", trick="endless"), True)
    assert "without an end" in refused(net.says(OK + b"X-Header: ", b"x" * 100, trick="endless"), True)
    assert "without an end" in refused(net.says(b"", b"x", trick="endless"), True)
    gc.collect()
    before = gc.mem_alloc()
    refused(net.says(OK + b"X-Header: ", b"x" * 100, trick="endless"), True)
    gc.collect()
    assert gc.mem_alloc() - before < 2000


def test_heads_as_large_as_github_has_them(ports, pin):
    net = Net(ports)
    signed = net.says(OK + b"\r\nthe file", name="other") + "?" + "y" * 1000
    line = b"Location: " + signed.encode() + b"\r\n"
    assert read(net.says(b"HTTP/1.1 302 Found\r\n", line, trick="policy"))[1] == b"the file"
    assert "location" in refused(net.says(b"HTTP/1.1 302 x\r\nLocation: /" + b"z" * 2100 + b"\r\n\r\n"), True)
    assert read(net.says(OK + b"X: 1\r\n" * 64 + b"\r\nx"))[1] == b"x"
    refused(net.says(OK + b"X: 1\r\n" * 65 + b"\r\nx"), True)


def test_statuses(ports, pin):
    net = Net(ports)

    def error(status, line=b""):
        url = net.says(b"HTTP/1.1 %d Reason\r\n%s\r\nbody" % (status, line))
        found = error_of(fetch.FetchError, lambda: read(url))
        assert str(status) in found.args[0] and found.args[0][-1] == "."
        return found.is_final, found.wait

    for status in (400, 401, 403, 404, 410, 416, 300, 305):
        assert error(status) == (True, None), status
    for status in (408, 429, 500, 502, 503, 599):
        assert error(status) == (False, None), status
    assert error(429, b"Retry-After: 120\r\n") == (False, 120)
    assert error(503, b"retry-after:0\r\n") == (False, 0)
    assert error(403, b"Retry-After: 60\r\n") == (False, 60)
    for bad in (b"Wed, 21 Oct 2026 07:28:00 GMT", b"-5", b"1.5", b"soon", b"9" * 40, b""):
        assert error(429, b"Retry-After: " + bad + b"\r\n") == (False, None)
    for status in (204, 304):
        answer, body = read(net.says(b'HTTP/1.1 %d x\r\nETag: "x"\r\nContent-Length: 9\r\n\r\n' % status))
        assert (answer.status, answer.length, answer.etag, body) == (status, 0, '"x"', b"")


def test_parts(ports, pin):
    net = Net(ports)

    def part(span, body=b"cdef", length=b"", status=b"206", **options):
        head = b"HTTP/1.1 %s x\r\nContent-Range: %s\r\n%s\r\n" % (status, span, length)
        return net.says(head + body), dict({"start": 2, "etag": '"x"'}, **options)

    def lies(*arguments, **how):
        url, options = part(*arguments, **how)
        return refused(url, True, **options)

    for span, total in ((b"bytes 2-5/6", 6), (b"Bytes 2-5/*", None)):
        url, options = part(span)
        answer, body = read(url, **options)
        assert (answer.status, answer.start, answer.length, answer.total, body) == (206, 2, 4, total, b"cdef")
    head = net.seen()[0]
    assert "\r\nRange: bytes=2-\r\n" in head and '\r\nIf-Range: "x"\r\n' in head
    for span in (
        b"bytes 1-4/6",
        b"bytes 3-6/7",
        b"bytes 0-5/6",
        b"bytes 2-5/5",
        b"bytes 2-1/6",
        b"bytes 2-5",
        b"2-5/6",
    ):
        assert "part" in lies(span), span
    for span in (b"", b"bytes */6", b"bytes -5/6", b"bytes 2-/6", b"bytes a-b/c", b"items 2-5/6", b"bytes 2-5/"):
        assert "part" in lies(span), span
    lies(b"bytes 2-5/6", length=b"Content-Length: 5\r\n")
    lies(b"bytes 0-5/6", start=0)  # nobody asked for a part
    url, options = part(b"bytes 2-5/6", b"cd")
    refused(url, False, **options)
    url, options = part(b"bytes 2-5/6", b"4\r\ncdef\r\n0\r\n\r\n", b"Transfer-Encoding: chunked\r\n")
    assert read(url, **options)[1] == b"cdef"
    for body, is_final in ((b"5\r\ncdefg\r\n0\r\n\r\n", True), (b"3\r\ncde\r\n0\r\n\r\n", False)):
        url, options = part(b"bytes 2-5/6", body, b"Transfer-Encoding: chunked\r\n")
        refused(url, is_final, **options)
    answer, body = read(net.says(OK + b"Content-Length: 6\r\n\r\nabcdef"), start=2)
    assert (answer.status, answer.start, body) == (200, 0, b"abcdef")
    url, options = part(b"bytes */6", b"", status=b"416")
    assert read(url, **options)[0].status == 416


def test_what_a_part_is_asked_with(ports, pin):
    net = Net(ports)
    url = net.says(OK + b"\r\n")
    for etag, wanted in ((None, ["Range: bytes=7-"]), ('"x"', ["Range: bytes=7-", 'If-Range: "x"']), ('W/"x"', [])):
        read(url, start=7, etag=etag)
        lines = net.seen()[0].split("\r\n")
        assert sorted([line for line in lines if "Range" in line]) == sorted(wanted), lines
    read(url, start=0, etag='"x"')
    assert "Range" not in net.seen()[0]


def test_redirects(ports, pin):
    net = Net(ports)
    good = net.says(OK + b"\r\ngood")
    path = "/" + good.partition("://")[2].partition("/")[2]
    for status in (301, 302, 303, 307, 308):
        assert read(net.moves(good, status=status))[1] == b"good"
    for location in (path, "//" + good.partition("://")[2], good.upper().replace("/SAY/", "/say/"), good + "#there"):
        assert read(net.moves(location))[1] == b"good", location
    assert read(net.moves(good.rpartition("/")[2]))[1] == b"good"  # beside it
    assert read(net.moves(net.says(OK + b"\r\nother", name="other")))[1] == b"other"
    assert read(net.moves(net.says(OK + b"\r\ntls", name="tls")))[1] == b"tls"
    assert read(net.moves(net.moves(net.moves(good))))[1] == b"good"
    assert "3" in refused(net.moves(net.moves(net.moves(net.moves(good)))), True)
    for location in (
        "",
        "file:///etc/passwd",
        "ftp://127.0.0.1/x",
        "javascript:1",
        "http:/x",
        "http://",
        "http://a b/",
    ):
        refused(net.moves(location), True)
    refused(net.says(b"HTTP/1.1 302 x\r\n\r\n"), True)
    refused(net.says(b"HTTP/1.1 302 x\r\nLocation: /a\r\nLocation: /b\r\n\r\n"), True)
    refused(net.moves("http://me:secret@127.0.0.1/"), True)
    refused(net.moves("/with space"), True)


def test_loops(ports, pin):
    net = Net(ports)
    net.seen()
    assert "redirects" in refused(net.moves("?"), True)  # to itself
    assert len(net.seen()) == 4


def test_never_from_https_to_http(ports, pin):
    net = Net(ports)
    good = net.says(OK + b"\r\n")
    net.seen()
    assert "https" in refused(net.moves(good, name="tls"), True)
    assert "https" in refused(net.moves(net.moves(good, name="tls")), True)
    assert not [
        head for head in net.seen() if good.rpartition("/")[2] in head.split("\r\n")[0].rpartition("/say/")[2][:40]
    ]


def test_secrets_stay_where_they_belong(ports, pin):
    net = Net(ports)

    def tokens(url, **options):
        net.seen()
        read(url, token="secret", **options)
        return ["Bearer secret" in head for head in net.seen()]

    here, there = net.says(OK + b"\r\n"), net.says(OK + b"\r\n", name="other")
    assert tokens(here) == [True]
    assert tokens(net.moves(here)) == [True, True]
    assert tokens(net.moves(there)) == [True, False]  # another port
    assert tokens(net.moves(here.replace("127.0.0.1", "localhost"))) == [True, False]  # another host
    assert tokens(net.moves(net.says(OK + b"\r\n", name="tls"))) == [True, False]  # another scheme
    assert tokens(net.moves(net.moves(here, name="other"))) == [True, False, False]  # and back
    text = refused(net.says(b"HTTP/1.1 404 x\r\n\r\n") + "?signature=secret", True, token="secret")
    assert "secret" not in text
    assert "secret" not in refused(here, True, token="secret\r\nX-More: 1")
    assert net.seen()[1:] == []


def test_post(ports, pin):
    net = Net(ports)

    def post(url, **options):
        async def run():
            answer = await fetch.post(url, b'{"a": 1}', {"Content-Type": "application/json"}, **options)
            answer.close()
            return answer.status

        return asyncio.run(run())

    assert post(net.says(b"HTTP/1.1 202 x\r\n\r\n")) == 202
    head = net.seen()[0]
    assert head.startswith("POST /") and head.endswith('\r\n\r\n{"a": 1}'), head
    assert "\r\nContent-Length: 8\r\n" in head and "\r\nContent-Type: application/json\r\n" in head
    assert post(net.says(b"HTTP/1.1 204 x\r\n\r\n", name="tls"), certificate=pin) == 204
    net.seen()
    for status in (301, 302, 303, 307, 308, 304):
        error = error_of(fetch.FetchError, post, net.moves(net.says(OK + b"\r\n"), status=status))
        assert error.is_final
    assert len(net.seen()) == 6
    assert not error_of(fetch.FetchError, lambda: post(net.says(b"HTTP/1.1 500 x\r\n\r\n"))).is_final


def test_tls(ports, pin):
    net = Net(ports)
    url = net.says(OK + b"Content-Length: 3000\r\n\r\n" + b"y" * 3000, name="tls")
    for certificate in (None, pin, pin.upper()):
        assert read(url, certificate=certificate)[1] == b"y" * 3000
    assert read(url.replace("127.0.0.1", "localhost"), certificate=pin)[1] == b"y" * 3000
    assert read(net.says(OK + b"\r\nto the end", name="tls"))[1] == b"to the end"
    for trick in ("say", "rude"):
        refused(net.says(OK + b"Content-Length: 9\r\n\r\nto some", name="tls", trick=trick), False)
    net.seen()
    wrong = pin[:-1] + ("1" if pin[-1] == "0" else "0")
    for certificate in (wrong, "0" * 64):
        assert "certificate" in refused(url, True, certificate=certificate)
    assert net.seen() == []  # no byte of a request


def test_pin_is_for_the_first_origin(ports, pin):
    net = Net(ports)
    wrong = "0" * 64
    there = net.says(OK + b"\r\nthere", name="tls_other")
    assert read(net.moves(there, name="tls"), certificate=pin)[1] == b"there"
    assert "http://" in refused(net.moves(there), True, certificate=wrong)  # nobody there could have it
    back = net.moves(net.moves(net.says(OK + b"\r\nback", name="tls"), name="tls_other"), name="tls")
    assert read(back, certificate=pin)[1] == b"back"
    assert "certificate" in refused(back, True, certificate=wrong)


class Blind:
    """In place of tls and of its context: asks nobody about a certificate."""

    PROTOCOL_TLS_CLIENT, CERT_NONE, CERT_OPTIONAL = tls.PROTOCOL_TLS_CLIENT, tls.CERT_NONE, tls.CERT_OPTIONAL

    def SSLContext(self, protocol):  # noqa: N802
        return self

    def wrap_socket(self, connection, **options):
        context = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)
        context.verify_mode = tls.CERT_NONE
        return context.wrap_socket(connection, **options)


def test_certificate_that_nobody_looked_at(ports, pin):
    net = Net(ports)
    link.tls, link.SECONDS = Blind(), 0.5
    refused(net.says(OK + b"\r\n", name="tls"), False, certificate=pin)
    assert net.seen() == []


def test_wrong_kind_of_server(ports, pin):
    net = Net(ports)
    plain, tls = net.url("plain", "x"), net.url("tls", "x")
    assert "TLS" in refused(plain.replace("http:", "https:"), False, certificate=pin)
    for certificate in (None, pin):
        assert "TLS" in refused(net.url("mute").replace("http:", "https:"), False, certificate=certificate)
        assert "TLS" in refused(net.url("dead").replace("http:", "https:"), False, certificate=certificate)
    error_of(fetch.FetchError, lambda: read(tls.replace("https:", "http:")))


def test_records_in_pieces(ports, pin):
    net = Net(ports)
    data = bytes(range(256)) * 64
    url = net.url("pieces", "file")

    async def run():
        answer = await fetch.get(url, certificate=pin)
        buffer, size = bytearray(4096), 0
        while True:
            got = await answer.readinto(memoryview(buffer))
            if not got:
                break
            size += got
        answer.close()
        return answer.length, size

    length, size = asyncio.run(run())
    assert length == size > len(data)


def test_no_server(ports, pin):
    net = Net(ports)
    assert "takes no connection" in refused(net.url("dead"), False)
    assert "No TLS connection" in refused(net.url("dead").replace("http:", "https:"), False)
    assert "No address of nobody" in refused(net.url("plain", host="nobody"), False)


def test_silence(ports, pin):
    net = Net(ports)
    link.SECONDS = 0.3
    for url in (
        net.url("full"),
        net.url("silent"),
        net.url("silent").replace("http:", "https:"),
        net.says(b"", trick="hold"),
        net.says(OK, trick="hold"),
        net.says(OK + b"Content-Length: 5\r\n\r\nhel", trick="hold"),
        net.says(OK + b"\r\nhel", trick="hold"),
        net.says(OK + b"Content-Length: 5\r\n\r\nhel", trick="hold", name="tls"),
        chunked(net, b"5\r\nhello\r\n", trick="hold"),
        chunked(net, b"5\r\nhello\r\n0\r\nX: 1\r\n", trick="hold"),
        net.says(OK + b"X-Slow: ", b"x", trick="trickle"),  # each byte comes in time
        net.says(OK, b"X: 1\r\n", trick="trickle"),
    ):
        assert "0.3 seconds" in refused(url, False), url
    assert "0.3 seconds" in refused(net.url("silent").replace("http:", "https:"), False, certificate=pin)
    link.SECONDS = 10
    assert read(net.says(OK + b"\r\nslow", trick="drip"))[1] == b"slow"
    net.seen()  # all are closed


def test_others_have_their_turn(ports, pin):
    net = Net(ports)
    link.SECONDS = 0.5
    turns = 0

    async def count():
        nonlocal turns
        while True:
            await asyncio.sleep(0.01)
            turns += 1

    async def run(url):
        counting = asyncio.create_task(count())
        try:
            await (await fetch.get(url)).whole(MOST)
        except fetch.FetchError:
            pass
        counting.cancel()

    for url in (net.url("full"), net.url("silent"), net.url("silent").replace("http:", "https:")):
        turns = 0
        asyncio.run(run(url))
        assert turns > 5, turns


def test_who_is_cancelled_hangs_up(ports, pin):
    net = Net(ports)

    async def run(url):
        asking = asyncio.create_task(fetch.get(url))
        await asyncio.sleep(0.1)
        asking.cancel()
        try:
            await asking
        except asyncio.CancelledError:
            return True

    for url in (net.says(OK, trick="hold"), net.says(OK, trick="hold", name="tls")):
        assert asyncio.run(run(url))
    net.seen()


def sockets_do_not_run_out(ports, pin):
    net = Net(ports)
    for _ in range(30):
        refused(net.says(b"no"), False)
        refused(net.url("dead"), False)
        refused(net.url("tls", "say/"), False)
        refused(net.url("tls"), True, certificate="0" * 64)
    net.seen()


def test_addresses(ports, pin):
    for url, parts in (
        ("http://a", ("http", "a", 80, "/")),
        ("HTTPS://A.Example:8443/b?c#d", ("https", "a.example", 8443, "/b?c")),
        ("https://a?b/c:d", ("https", "a", 443, "/?b/c:d")),
        ("http://a:1#b", ("http", "a", 1, "/")),
    ):
        assert address.split(url) == parts, url
    for url in (
        "",
        "a",
        "a/b",
        "http:a",
        "http://",
        "http:///a",
        "ftp://a",
        "http://a:",
        "http://a:0",
        "http://a:65536",
    ):
        error_of(ValueError, address.split, url)
    for url in (
        "http://a:-1",
        "http://a:1:2",
        "http://u@a",
        "http://u:p@a",
        "http://[::1]/",
        "http://a_b",
        "http://a b",
    ):
        error_of(ValueError, address.split, url)
    for path in ("a b", "a\r\nb", "\xe4", "a\tb", "\x7f"):
        error_of(ValueError, address.split, "http://a/" + path)
    base = "http://a:1/b/c?d/e#f"
    for reference, url in (
        ("https://x/y", "https://x/y"),
        ("//x/y", "http://x/y"),
        ("/y", "http://a:1/y"),
        ("y", "http://a:1/b/y"),
        ("y/z?w:v", "http://a:1/b/y/z?w:v"),
        ("?y", "http://a:1/b/c?y"),
        ("x:y", "x:y"),
    ):
        assert address.join(base, reference) == url, reference
    assert address.join("http://a", "y") == "http://a/y"
    assert address.join("http://a?b", "y") == "http://a/y"
