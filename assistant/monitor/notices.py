"""Sends a notice by e-mail or to a chat service, through apprise and one URL for each receiver.

What apprise supports is its own matter; here its URL is checked, its redirects are switched off, its host must be public
unless private ones are allowed, and nothing it logs leaves with the URL's secrets. Services have no message ids, so a
notice carries its id in its last line. Tries and back-off are ``outbox.py``'s.

apprise looks a host up by itself after it was checked here, so every connection it makes is checked once more (``outward.py``).
Where the environment names a proxy, that one may be called, and which hosts it lets through is its own matter.
"""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit
from urllib.request import getproxies

from assistant.errors import SettingsError, UsageError
from assistant.monitor import targets
from assistant.monitor.outbox import Parcel, Receipt, Sender
from assistant.monitor.outward import Door, outward_only

#: Seconds for one notice, all of a service's calls together; one call has apprise's own shorter limits.
SERVICE_S = 45.0
_QUOTED = 300
_LISTENING = ("apprise", "urllib3.connectionpool", "urllib3.util.retry")
_heard: ContextVar[list[str] | None] = ContextVar("deskhand_apprise_heard", default=None)
_loading = threading.Lock()


def apprise_sender(name: str, url: str, *, allow_private: bool = False, lookup: targets.Lookup = targets.look_up) -> Sender:
    """Make a sender for one receiver.

    Args:
        name: What the receiver is called in the settings.
        url: Its apprise URL, such as ``mailtos://…`` or ``slack://…``.
        allow_private: Whether its host may be inside the company's network.
        lookup: Who is asked for the addresses of its host, at every try.

    Returns:
        The sender.

    Raises:
        SettingsError: apprise does not understand the URL, or is not installed.
    """
    apprise = _library(name)
    asset = apprise.AppriseAsset(
        app_id="Deskhand", app_desc="Deskhand", async_mode=False, http_redirects=False, service_timeout=SERVICE_S
    )
    with _kept_quiet():
        service = apprise.Apprise.instantiate(url, asset=asset)
    if service is None:
        fault = "apprise does not understand the URL: compare it with the service's page at appriseit.com"
        raise SettingsError([fault], source=f"notify.apprise {name!r}")
    service.redirects = False  # ?redirect=yes would win over the asset
    hosts, port = _hosts(service), int(service.port or 443)
    secrets = _secrets(url, hosts)
    room = apprise.Apprise(asset=asset)
    room.add(service)

    def send(parcel: Parcel) -> Receipt:
        for host in hosts if not allow_private else ():
            try:
                targets.addresses(host, port, allow_private=False, lookup=lookup)
            except UsageError as error:
                return Receipt("refused", str(error))
            except OSError as error:
                return Receipt("unreachable", f"{host} cannot be looked up: {error}")
        with _kept_quiet() as said, _watched(allow_private, lookup) as refused:
            arrived = room.notify(
                title=parcel.title,
                body=letter(parcel),
                notify_type=apprise.NotifyType.INFO if parcel.what == "resolved" else apprise.NotifyType.WARNING,
                body_format=apprise.NotifyFormat.TEXT,
            )
        if arrived:
            return Receipt("sent")
        if refused:
            return Receipt("refused", f"it leads to {refused[0]}: name a public receiver, or set notify.allow_private = true")
        return Receipt("later", _without(secrets, "; ".join(said)) or "the service did not take it and gave no reason")

    return send


def letter(parcel: Parcel) -> str:
    """Write a parcel as plain text.

    Args:
        parcel: The notice.

    Returns:
        The text, the messages quoted as far as they still exist, and the id.
    """
    quoted = [f"> {' '.join(text.split())[:_QUOTED]}" for text in parcel.messages.values()]
    return "\n\n".join(part for part in (parcel.text, "\n".join(quoted), f"Id: {parcel.id}") if part)


def _library(name: str) -> Any:
    with _loading:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # of modules that its plugins try out
                import apprise

                apprise.Apprise.instantiate("json://localhost")  # loads the plugins
        except ModuleNotFoundError as error:
            raise SettingsError(
                ["apprise is not installed: pip install apprise, or take this receiver out"], source=f"notify.apprise {name!r}"
            ) from error
        for logger in map(logging.getLogger, _LISTENING):
            if _overhear not in logger.filters:
                logger.addFilter(_overhear)
    return apprise


def _overhear(record: logging.LogRecord) -> bool:
    """Keep what is logged while a notice is sent out of every log, for it may hold tokens; warnings are kept for the reason."""
    heard = _heard.get()
    if heard is None:
        return True
    if record.levelno >= logging.WARNING:
        heard.append(record.getMessage())
    return False


@contextmanager
def _kept_quiet() -> Iterator[list[str]]:
    heard: list[str] = []
    token = _heard.set(heard)
    try:
        yield heard
    finally:
        _heard.reset(token)


@contextmanager
def _watched(allow_private: bool, lookup: targets.Lookup) -> Iterator[Sequence[str]]:
    """Refuse what is not public, but for the proxies that the environment names; say what was refused."""
    if allow_private:
        yield ()
        return
    with outward_only(_proxies(lookup)) as refused:
        yield refused


def _proxies(lookup: targets.Lookup) -> set[Door]:
    doors: set[Door] = set()
    for url in getproxies().values():
        with suppress(OSError, ValueError):  # one that is nowhere or no URL is called by nobody
            parts = urlsplit(url if "://" in url else f"http://{url}")
            port = parts.port or (443 if parts.scheme == "https" else 80)
            doors |= {Door(address, port) for address in lookup(parts.hostname or "", port)}
    return doors


def _hosts(service: Any) -> tuple[str, ...]:
    """Name the hosts that a service's URL chooses; most services have a fixed one, and their URL's host is a token."""
    if not any("{host}" in template for template in service.templates):
        return ()
    if getattr(service, "mode", None) in ("cloud", "t2bot"):  # ntfy's and matrix's own servers
        return ()
    named = (getattr(service, "smtp_host", None) or service.host,)
    return tuple(str(host).strip("[]") for host in named if host)


def _secrets(url: str, hosts: tuple[str, ...]) -> tuple[str, ...]:
    """List what in a URL may be secret, longest first: all but its scheme and a host that is a host."""
    parts = urlsplit(url)
    pieces = {parts.netloc, *parts.netloc.replace("@", ":").split(":"), *parts.path.split("/"), parts.fragment}
    pieces |= {value for _, value in parse_qsl(parts.query)} | {url}
    pieces |= {unquote(piece) for piece in pieces}
    return tuple(sorted((piece for piece in pieces if len(piece) > 3 and piece not in hosts), key=len, reverse=True))


def _without(secrets: tuple[str, ...], text: str) -> str:
    for secret in secrets:
        text = text.replace(secret, "…")
    return " ".join(text.split())[:500]
