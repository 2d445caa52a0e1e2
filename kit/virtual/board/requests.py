# Runs on CPython and on MicroPython.
"""HTTP requests, with the interface and the limits of MicroPython's frozen `requests`.

Like that one it has HTTP/1.0 only, takes no chunked answer, follows `Location` and trusts any certificate.
"""

import socket


class Response:
    """An answer; its body is read when it is first asked for, up to the end of the connection."""

    def __init__(self, raw, status, reason, headers):
        self.raw, self.status_code, self.reason, self.headers = raw, status, reason, headers
        self.encoding = "utf-8"
        self._content = None

    def close(self):
        if self.raw:
            self.raw.close()
            self.raw = None
        self._content = None

    @property
    def content(self):
        if self._content is None:
            try:
                self._content = self.raw.read()
            finally:
                self.raw.close()
                self.raw = None
        return self._content

    @property
    def text(self):
        return str(self.content, self.encoding)

    def json(self):
        import json

        return json.loads(self.content)


def _connect(scheme, host, port, timeout):
    wire = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        wire.settimeout(timeout)
        wire.connect(socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM)[0][-1])
        if scheme == "https":
            import tls

            context = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)
            context.verify_mode = tls.CERT_NONE
            wire = context.wrap_socket(wire, server_hostname=host)
    except OSError:
        wire.close()
        raise
    return wire


def _fields(data, json, headers, auth):
    fields = dict(headers or {})
    if auth:
        import binascii

        pair = binascii.b2a_base64("%s:%s" % auth)[:-1]
        fields["Authorization"] = "Basic " + str(pair, "utf-8")
    if json is not None:
        import json as codec

        data = codec.dumps(json)
        fields["Content-Type"] = "application/json"
    if data is not None:
        data = data.encode() if isinstance(data, str) else data
        fields["Content-Length"] = str(len(data))
    return data, fields


def request(method, url, data=None, json=None, headers=None, stream=None, auth=None, timeout=None, parse_headers=True):
    scheme, _, place, path = (url.split("/", 3) + [""])[:4]
    scheme = scheme[:-1]
    if scheme not in ("http", "https"):
        raise ValueError("Unsupported protocol: " + scheme)
    host, _, port = place.partition(":")
    body, fields = _fields(data, json, headers, auth)
    fields.setdefault("Host", host)
    wire = _connect(scheme, host, int(port or (443 if scheme == "https" else 80)), timeout)
    try:
        lines = ["%s /%s HTTP/1.0" % (method, path), "Connection: close"]
        lines += ["%s: %s" % item for item in fields.items()]
        wire.write("\r\n".join(lines) + "\r\n\r\n")
        if body is not None:
            wire.write(body)
        status = wire.readline().split(None, 2)
        if len(status) < 2:
            raise ValueError("HTTP error: BadStatusLine:\n%s" % status)
        found, target = _read_headers(wire, parse_headers)
    except Exception:
        wire.close()
        raise
    code, reason = int(status[1]), status[2].rstrip() if len(status) > 2 else ""
    if target and 301 <= code <= 308 and code != 304:
        wire.close()
        return request("GET" if code == 303 else method, target, data, json, headers, stream, auth, timeout)
    return Response(wire, code, reason, found if parse_headers else None)


def _read_headers(wire, wanted):
    """The headers, and where a redirection leads."""
    found, target = {}, None
    while (line := wire.readline()) not in (b"", b"\r\n"):
        if line.startswith(b"Transfer-Encoding:") and b"chunked" in line:
            raise ValueError("Unsupported " + str(line, "utf-8"))
        if line.startswith(b"Location:"):
            target = str(line, "utf-8")[9:].strip()
        if wanted:
            name, _, value = str(line, "utf-8").partition(":")
            found[name] = value.strip()
    return found, target


def _verb(method):
    return lambda url, **options: request(method, url, **options)


head, get, post, put = _verb("HEAD"), _verb("GET"), _verb("POST"), _verb("PUT")
patch, delete = _verb("PATCH"), _verb("DELETE")
