"""Webhooks: signed as the standard says, sent to the checked address and nowhere else, and over in time."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from assistant.errors import SettingsError
from assistant.monitor.outbox import Parcel, Receipt
from assistant.monitor.webhook import webhook_sender

NOON = datetime(2025, 3, 1, 12, tzinfo=UTC)
KEY = bytes(range(32))
SECRET = "whsec_" + base64.b64encode(KEY).decode()
EAST = timezone(timedelta(hours=8))
PARCEL = Parcel(
    "msg_0a", "a1", "opened", "Späte Pakete", "12 statt 3.5", NOON, NOON.astimezone(EAST), {"observed": 12}, {"m1": "在哪里"}
)


def here(receiver: Any, path: str = "/hook?x=1", **changes: Any) -> Receipt:
    values = {"allow_private": True, **changes}
    return webhook_sender("ops", f"http://127.0.0.1:{receiver.port}{path}", SECRET, **values)(PARCEL)


def test_receiver_gets_the_alert_with_a_signature_it_can_check(receive: Callable[[], Any]) -> None:
    receiver = receive()
    assert here(receiver) == Receipt("sent")
    ((path, headers, body),) = receiver.got
    assert path == "/hook?x=1" and headers["host"] == f"127.0.0.1:{receiver.port}"
    assert headers["content-type"] == "application/json" and headers["webhook-id"] == "msg_0a"
    assert headers["webhook-timestamp"] == str(int(NOON.timestamp()))
    signed = b".".join((b"msg_0a", headers["webhook-timestamp"].encode(), body))
    expected = base64.b64encode(hmac.new(KEY, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"
    told = json.loads(body)
    assert (told["type"], told["timestamp"]) == ("alert.opened", "2025-03-01T12:00:00Z")
    assert told["data"]["messages"] == [{"id": "m1", "text": "在哪里"}]
    assert told["data"]["title"] == "Späte Pakete" and told["data"]["observed"] == 12


@pytest.mark.parametrize(
    ("status", "outcome"),
    [(204, "sent"), (302, "refused"), (307, "refused"), (400, "refused"), (404, "refused"), (408, "later"), (410, "gone"),
     (425, "later"), (429, "later"), (500, "later"), (503, "later")],
)  # fmt: skip
def test_status_decides_what_becomes_of_the_notice(receive: Callable[[], Any], status: int, outcome: str) -> None:
    receiver = receive()
    elsewhere = f"http://127.0.0.1:{receiver.port}/elsewhere"
    receiver.answer = lambda count: (status, {"Location": elsewhere}, b"" if status == 204 else b"because\x00 \xff of\nthis")
    receipt = here(receiver)
    assert receipt.outcome == outcome and len(receiver.got) == 1
    if outcome != "sent":
        assert receipt.error == f"HTTP {status} because � of this"


@pytest.mark.parametrize(
    ("asked", "seconds"),
    [("120", 120), ("0", 0), ("Sat, 01 Mar 2025 12:01:30 GMT", 90), ("Sat, 01 Mar 2025 11:00:00 GMT", 0), ("-5", 0),
     ("soon", 0), ("²", 0)],
)  # fmt: skip
def test_wish_for_time_is_read(receive: Callable[[], Any], asked: str, seconds: float) -> None:
    receiver = receive()
    receiver.answer = lambda count: (503, {"Retry-After": asked}, b"")
    assert here(receiver).retry_after_s == seconds


def test_endless_answer_is_cut(receive: Callable[[], Any]) -> None:
    receiver = receive()
    receiver.answer = lambda count: (500, {}, b"x" * 5_000_000)
    assert len(here(receiver).error) < 300


@pytest.mark.parametrize("host", ["127.0.0.1", "2130706433", "0x7f.1", "[::1]", "[::ffff:127.0.0.1]", "localhost"])
def test_nothing_inside_is_called_unless_it_is_allowed(receive: Callable[[], Any], host: str) -> None:
    receiver = receive()
    receipt = webhook_sender("ops", f"http://{host}:{receiver.port}/", SECRET)(PARCEL)
    assert receipt.outcome == "refused" and "notify.allow_private" in receipt.error
    assert receiver.got == []


def test_name_is_looked_up_once_and_the_checked_address_is_called(receive: Callable[[], Any]) -> None:
    receiver = receive()
    asked: list[str] = []

    def lookup(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"]

    url = f"http://hook.example:{receiver.port}/"
    assert webhook_sender("ops", url, SECRET, allow_private=True, lookup=lookup)(PARCEL).outcome == "sent"
    assert asked == ["hook.example"] and receiver.got[0][1]["host"] == f"hook.example:{receiver.port}"


def test_next_address_of_a_name_is_tried_when_one_is_deaf(receive: Callable[[], Any]) -> None:
    receiver = receive()
    deaf_and_good = ["127.0.0.2", "127.0.0.1"]
    url = f"http://hook.example:{receiver.port}/"
    sender = webhook_sender("ops", url, SECRET, allow_private=True, lookup=lambda host, port: deaf_and_good)
    assert sender(PARCEL) == Receipt("sent")


def test_nobody_there_is_unreachable_not_lost(receive: Callable[[], Any]) -> None:
    receiver = receive()
    receiver.close()
    assert here(receiver).outcome == "unreachable"

    def no_name(host: str, port: int) -> list[str]:
        raise socket.gaierror(-2, "Name or service not known")

    receipt = webhook_sender("ops", "https://hook.example/s3cret", SECRET, lookup=no_name)(PARCEL)
    assert receipt.outcome == "unreachable" and "hook.example cannot be looked up" in receipt.error
    assert "s3cret" not in receipt.error


@pytest.fixture
def dripping() -> Iterator[int]:
    """A receiver that sends one byte of its answer now and then, for ever; gives its port."""
    stop = threading.Event()
    listening = socket.create_server(("127.0.0.1", 0))

    def drip() -> None:
        connection, _ = listening.accept()
        with connection:
            connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
            while not stop.wait(0.02):
                try:
                    connection.sendall(b"x")
                except OSError:
                    return

    thread = threading.Thread(target=drip, daemon=True)
    thread.start()
    yield int(listening.getsockname()[1])
    stop.set()
    thread.join(10)
    listening.close()


def test_receiver_that_never_ends_its_answer_is_left_in_time(dripping: int) -> None:
    sender = webhook_sender("ops", f"http://127.0.0.1:{dripping}/", SECRET, allow_private=True, total_s=0.4)
    receipt = sender(PARCEL)
    assert receipt.outcome == "unreachable" and "Timeout" in receipt.error


@pytest.mark.parametrize("said", [b"", b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 2000 OK\r\n\r\n", b"\x16\x03\x01"])
def test_receiver_that_speaks_no_http_is_no_success(said: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def speak() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(65_536)
                connection.sendall(said)

        thread = threading.Thread(target=speak, daemon=True)
        thread.start()
        port = listening.getsockname()[1]
        receipt = webhook_sender("ops", f"http://127.0.0.1:{port}/", SECRET, allow_private=True, total_s=5)(PARCEL)
        thread.join(10)
    assert receipt.outcome == "unreachable"


def certificate(folder: Path, name: str) -> Path:
    """Write a certificate of a name with its key."""
    x509 = pytest.importorskip("cryptography.x509")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2120, 1, 1, tzinfo=UTC))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = folder / "both.pem"
    plain = serialization.NoEncryption()
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return path


def test_certificate_must_be_the_names_though_the_address_is_called(receive: Callable[[], Any], tmp_path: Path) -> None:
    pem = certificate(tmp_path, "hook.example")
    receiver = receive()
    own = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    own.load_cert_chain(pem)
    names: list[str | None] = []
    own.sni_callback = lambda connection, name, context: names.append(name)
    receiver.server.socket = own.wrap_socket(receiver.server.socket, server_side=True)
    trusted = ssl.create_default_context(cafile=str(pem))
    reach: dict[str, Any] = {"allow_private": True, "lookup": lambda host, port: ["127.0.0.1"]}
    url = f"https://hook.example:{receiver.port}/"
    assert webhook_sender("ops", url, SECRET, tls=trusted, **reach)(PARCEL) == Receipt("sent")
    assert names == ["hook.example"]
    untrusted = webhook_sender("ops", url, SECRET, **reach)(PARCEL)
    other = webhook_sender("ops", url.replace("hook", "other"), SECRET, tls=trusted, **reach)(PARCEL)
    assert untrusted.outcome == other.outcome == "unreachable"
    assert "certificate" in untrusted.error and "other.example" in other.error
    assert len(receiver.got) == 1


@pytest.mark.parametrize(
    ("secret", "why"),
    [("", "does not begin with whsec_"), ("hush", "does not begin"), ("whsec_%%%", "is no base64"),
     ("whsec_QUJD", "holds 3 bytes"), ("whsec_" + base64.b64encode(bytes(65)).decode(), "holds 65 bytes")],
)  # fmt: skip
def test_bad_secret_is_refused_with_the_mend_and_not_repeated(secret: str, why: str) -> None:
    with pytest.raises(SettingsError, match=rf"notify.webhooks 'ops'(.|\n)*{why}(.|\n)*os.urandom\(32\)") as refused:
        webhook_sender("ops", "https://hook.example/", secret)
    assert "hush" not in str(refused.value)
