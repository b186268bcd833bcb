"""Sends a notice to a webhook, signed as Standard Webhooks 1.0.0 asks for (standardwebhooks.com).

One POST: JSON, the headers ``webhook-id``, ``webhook-timestamp`` and ``webhook-signature``, no redirect followed, no proxy,
a connection only to an address that was checked (``targets.py``, ``pinned.py``), and an end to it after a set time. Of the
answer the status counts; of its body a few words are kept to tell why it failed. Tries and back-off are ``outbox.py``'s.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

import orjson

from assistant.errors import SettingsError, UsageError
from assistant.monitor import targets
from assistant.monitor.outbox import Outcome, Parcel, Receipt, Sender
from assistant.monitor.secrets import check_secret

if TYPE_CHECKING:
    import ssl

#: Connecting, and the whole call; the specification advises 15 to 30 s for a receiver to answer in.
CONNECT_S, TOTAL_S = 5.0, 20.0
_MOST_BODY = 1024
_TELLING = 200
#: Statuses by which a receiver that is there says that it will be able to later (RFC 9110, RFC 8470, RFC 6585).
_LATER = frozenset({408, 425, 429})


def webhook_sender(
    name: str,
    url: str,
    secret: str,
    *,
    allow_private: bool = False,
    lookup: targets.Lookup = targets.look_up,
    tls: ssl.SSLContext | None = None,
    total_s: float = TOTAL_S,
) -> Sender:
    """Make a sender for one receiver.

    Args:
        name: What the receiver is called in the settings.
        url: Its http or https address.
        secret: What its signatures are made with, ``whsec_…``.
        allow_private: Whether it may be inside the company's network.
        lookup: Who is asked for the addresses of its host, at every try.
        tls: Whom to trust; ``None`` trusts what the system and certifi do.
        total_s: Seconds after which a try is over.

    Returns:
        The sender.

    Raises:
        SettingsError: The address or the secret is wrong.
    """
    from standardwebhooks import Webhook

    try:
        target = targets.parse(url)
        signer = Webhook(check_secret(secret))
    except UsageError as error:
        raise SettingsError([str(error)], source=f"notify.webhooks {name!r}") from error

    def send(parcel: Parcel) -> Receipt:
        try:
            found = targets.addresses(target.host, target.port, allow_private=allow_private, lookup=lookup)
        except UsageError as error:
            return Receipt("refused", str(error))
        except OSError as error:
            return Receipt("unreachable", f"{target.host} cannot be looked up: {error}")
        content = payload(parcel)
        headers = {
            "Host": target.authority,
            "Content-Type": "application/json",
            "Content-Length": str(len(content)),
            "User-Agent": "Deskhand",
            "webhook-id": parcel.id,
            "webhook-timestamp": str(int(parcel.sent_at.timestamp())),
            # The library reads the time's digits as UTC, whatever its zone.
            "webhook-signature": signer.sign(parcel.id, parcel.sent_at.astimezone(UTC), content.decode()),
        }
        return _post(target, found, headers, content, parcel.sent_at, tls, total_s)

    return send


def payload(parcel: Parcel) -> bytes:
    """Write a parcel as a webhook's body.

    Args:
        parcel: The notice.

    Returns:
        JSON: ``type`` (such as ``alert.opened``), ``timestamp`` of what happened, and ``data`` with ``alert_id``,
        ``title``, ``text``, the figures, and ``messages`` as far as they still exist.
    """
    quoted = [{"id": id, "text": text} for id, text in parcel.messages.items()]
    told = {"alert_id": parcel.alert_id, "title": parcel.title, "text": parcel.text, "messages": quoted}
    happened = parcel.happened_at.astimezone(UTC).isoformat().replace("+00:00", "Z")
    kind = f"alert.{parcel.what.partition(':')[0]}"
    return orjson.dumps({"type": kind, "timestamp": happened, "data": {**parcel.data, **told}})


def _post(
    target: targets.Target,
    found: tuple[str, ...],
    headers: dict[str, str],
    content: bytes,
    at: datetime,
    tls: ssl.SSLContext | None,
    total_s: float,
) -> Receipt:
    import httpcore

    from assistant.monitor.pinned import PinnedBackend

    url = httpcore.URL(scheme=target.scheme.encode(), host=target.host.encode(), port=target.port, target=target.path.encode())
    wait = {"connect": CONNECT_S, "read": total_s, "write": total_s, "pool": total_s}
    try:
        with (
            httpcore.ConnectionPool(
                ssl_context=tls, max_keepalive_connections=0, network_backend=PinnedBackend(found, total_s)
            ) as pool,
            pool.stream("POST", url, headers=list(headers.items()), content=content, extensions={"timeout": wait}) as answer,
        ):
            outcome = _outcome(answer.status)
            if outcome == "sent":
                return Receipt("sent")
            asked = next((value for key, value in answer.headers if key.lower() == b"retry-after"), b"")
            said = _beginning(answer.iter_stream())
            return Receipt(outcome, f"HTTP {answer.status} {said}".strip(), _retry_after_s(asked.decode("latin-1"), at))
    except (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError, OSError) as error:
        return Receipt("unreachable", f"{target.host}: {type(error).__name__} {error}".strip())


def _outcome(status: int) -> Outcome:
    """Read a status as the specification advises: all but 2xx fail, 410 for good.

    Redirects and the rest of 4xx do not mend themselves; they are tried again at the longest wait only, so that a receiver
    that a person puts right meanwhile loses nothing.
    """
    if 200 <= status < 300:
        return "sent"
    if status == 410:
        return "gone"
    return "later" if status in _LATER or status >= 500 else "refused"


def _beginning(body: Iterable[bytes]) -> str:
    """Read the first words of a body, at most a kilobyte of it, on one line."""
    import httpcore

    read = b""
    try:
        for chunk in body:
            read += chunk[:_MOST_BODY]
            if len(read) >= _MOST_BODY:
                break
    except (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError):
        pass  # the status has been told
    words = " ".join(read.decode("utf-8", "replace").split())
    return "".join(character for character in words if character.isprintable())[:_TELLING]


def _retry_after_s(value: str, at: datetime) -> float:
    """Read Retry-After: seconds or a date (RFC 9110, 10.2.3); anything else asks for nothing."""
    if value.isascii() and value.isdigit():
        return float(value[:9])
    try:
        until = parsedate_to_datetime(value)
    except ValueError:
        return 0.0
    return max((until.replace(tzinfo=until.tzinfo or UTC) - at).total_seconds(), 0.0)
