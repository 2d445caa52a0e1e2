import base64
import json
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

import kit
from kit.attacks.sniffer import Capture
from kit.faults.link import Link
from kit.settings import DEMO

SECRET = "gone with the wind"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


def captured(sent: bytes, answered: bytes = OK) -> Capture:
    return Capture("http://127.0.0.1:9", [(bytearray(sent), bytearray(answered))])


def post(body: bytes, head: bytes = b"") -> bytes:
    return b"POST /login HTTP/1.1\r\nHost: x\r\n%sContent-Length: %d\r\n\r\n%s" % (head, len(body), body)


def test_a_login_over_plain_http_is_read(board: kit.Board):
    with kit.attacks.sniff(board) as capture:
        ota = kit.OtaClient(capture.url)
        ota.login()
        ota.config()
    assert [(secret.kind, secret.message) for secret in capture.secrets] == [
        ("password", "POST /login"),
        ("token", "answer to POST /login"),
    ]
    assert DEMO.password in capture
    assert "no such text" not in capture
    assert repr(capture).splitlines() == [
        "secret            seen in                   as",
        'password          POST /login               {"password": "virtual-ota"}',
        "token             answer to POST /login     Set-Cookie: token=••••••",
    ]
    token = capture.secrets[1].value
    assert len(token) > 20
    assert token in capture
    assert token not in repr(capture) + capture._repr_html_() + repr(capture.secrets)


FORMS = {
    "JSON": post(json.dumps({"password": SECRET}).encode()),
    "JSON with escapes": post(f'{{"password": "{SECRET}"}}'.replace("g", r"\u0067").encode()),
    "a form": post(SECRET.replace(" ", "+").encode().join([b"password=", b"&x=1"])),
    "a form in percents": post(b"password=" + b"".join(b"%%%02x" % byte for byte in SECRET.encode())),
    "Basic": post(b"", b"AUTHORIZATION: basic " + base64.b64encode(b"admin:" + SECRET.encode()) + b"\r\n"),
    "the new one": post(json.dumps({"password": DEMO.password, "new": SECRET}).encode()),
    "a Wi-Fi password": post(json.dumps({"pins": {"led": 2}, "wifi_password": SECRET}).encode()),
    "among others": post(json.dumps({"password": SECRET, "other": {"token": SECRET}, "note": SECRET}).encode()),
    "after another request": post(b"{}") + post(json.dumps({"password": SECRET}).encode()),
    "after a Continue": post(json.dumps({"password": SECRET}).encode(), b"Expect: 100-continue\r\n"),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_password_is_found_in_each_form_and_not_shown(form: str):
    capture = captured(FORMS[form], b"HTTP/1.1 100 Continue\r\n\r\n" + OK)
    assert SECRET in [secret.value for secret in capture.secrets]
    for shown in (repr(capture), capture._repr_html_(), repr(capture.secrets)):
        assert SECRET not in shown
        assert base64.b64encode(b"admin:" + SECRET.encode()).decode() not in shown
        assert SECRET[:2] + "••••••" in shown


def test_tokens_and_marks_are_found_and_masked():
    head = b"Authorization: Bearer first1\r\nCookie: hub=5; token=second2; token-abc=third3; device-abc=fourth4\r\n"
    body = b'{"token": "fifth5", "device": "sixth6"}'
    answer = b"HTTP/1.1 200 OK\r\nSet-Cookie: token=seventh7; HttpOnly\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    capture = captured(post(b"", head + b"X-Device: eighth8\r\n"), answer)
    tokens = [secret.value for secret in capture.secrets if secret.kind == "token"]
    assert tokens == ["first1", "second2", "third3", "seventh7", "fifth5"]
    shown = repr(capture) + capture._repr_html_() + repr(capture.secrets)
    values = [*tokens, "fourth4", "sixth6", "eighth8"]
    assert [value for value in values if value in shown] == []


@pytest.mark.parametrize(
    "noise",
    [
        b"",
        b"\r\n\r\n",
        b"\0" * 5000,
        b"GET / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n",
        b"GET / HTTP/1.1\r\nAuthorization: Basic !!!\r\nCookie: ;;=;token=\r\n\r\n",
        post(b'{"password": 5, "token": null, "new": ["x"]}'),
        post(b"[" * 100_000),
        post(b'"password"'),
        post(b"\xff\xfe" * 100),
    ],
)
def test_noise_is_no_secret(noise: bytes):
    assert captured(noise, noise).secrets == ()


def test_an_image_is_not_searched():
    """The application in it speaks of passwords, too."""
    assert captured(post(b'{"password": "hello"}'.ljust(5000))).secrets == ()


def test_what_is_quoted_is_text():
    page = captured(post(b'{"password": "<script>alert(1)</script>"}'))._repr_html_()
    assert "<script>" not in page


@contextmanager
def tls_server(folder: Path) -> Iterator[str]:
    """A server that speaks TLS, and answers each request with the length of its head."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "board")])
    now = datetime.now(UTC).replace(tzinfo=None)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now)
    certificate = builder.not_valid_after(now + timedelta(days=1)).sign(key, hashes.SHA256())
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "board.pem").write_bytes(private + certificate.public_bytes(pem))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "board.pem")

    def serve() -> None:
        while True:
            try:
                plain, _ = listener.accept()
            except OSError:
                return
            with context.wrap_socket(plain, server_side=True) as line:
                data = b""
                while piece := line.recv(4096):
                    data += piece
                    while b"\r\n\r\n" in data:
                        head, _, data = data.partition(b"\r\n\r\n")
                        line.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n%5d" % len(head))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"https://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


@pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
def test_tls_passes_untouched_and_tells_nothing(tmp_path: Path):
    with (
        tls_server(tmp_path) as url,
        kit.attacks.sniff(url, confirm=True) as capture,
        requests.Session() as session,
    ):
        assert capture.url.startswith("https://127.0.0.1:")
        session.trust_env = False
        for _ in range(3):  # over one connection
            answer = session.get(f"{capture.url}/config", verify=False, headers={"Authorization": f"Bearer {SECRET}"})
            assert int(answer.text) > len(SECRET)
    assert len(capture._record) == 1
    assert capture.secrets == ()
    assert SECRET not in capture
    assert repr(capture).splitlines()[1].split() == ["none", "TLS", "bytes", "that", "nobody", "can", "read"]


def test_a_fault_over_tls_is_refused():
    with Link("https://127.0.0.1:9") as link:
        with pytest.raises(kit.KitError, match="cannot see where an upload begins"):
            link.drop(1000)
        assert repr(link) == "Link: passes everything"


def test_several_requests_over_one_connection(board: kit.Board):
    ask = b"GET /info HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    with kit.attacks.sniff(board) as capture:
        place = urlsplit(capture.url)
        with socket.create_connection((place.hostname, place.port)) as line, line.makefile("rb") as answers:
            for _ in range(3):
                line.sendall(ask)
                assert b" 200 " in answers.readline()
                head = {}
                while b":" in (text := answers.readline()):
                    head[text.partition(b":")[0].lower()] = text.partition(b":")[2]
                answers.read(int(head[b"content-length"]))
    assert capture._record[0][0] == ask * 3


def test_what_passes_before_and_after_is_not_kept(board: kit.Board):
    with Link(board) as link:
        ota = kit.OtaClient(link.url)
        ota.login()
        with link.record() as first, link.record() as second:
            ota.info()
        with link.record() as third:
            pass
        ota.config()
    assert (len(first), len(second), len(third)) == (1, 1, 0)
    assert bytes(first[0][0]).startswith(b"GET /info ")
