"""Where notices may go: http(s) addresses, and none inside the company's own network unless that is allowed.

A name is looked up once, every address it has is checked, and the caller connects to a checked address and to nothing else;
so a name that answers differently the second time (DNS rebinding) gains nothing. Odd spellings of an address, such as
``2130706433``, ``0x7f.1`` or ``::ffff:127.0.0.1``, need no rules of their own: what is checked is what they lead to.
Ranges are those of the IANA special-purpose registries (RFC 6890), as Python's ``ipaddress`` knows them. Opens no connection.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal
from urllib.parse import quote, urlsplit

from assistant.errors import UsageError

#: Looks up a host and port: every address it has, as text. Raises ``OSError`` where there is none.
Lookup = Callable[[str, int], Iterable[str]]

_PORTS = {"http": 80, "https": 443}
_UNICAST = ipaddress.ip_network("2000::/3")
#: Prefixes whose last four bytes are an IPv4 address that packets are handed on to (RFC 6052, RFC 8215).
_NAT64 = (ipaddress.ip_network("64:ff9b::/96"), ipaddress.ip_network("64:ff9b:1::/48"))
#: Set aside for protocols (RFC 6890, RFC 7526), which older versions of ``ipaddress`` take for public.
_PROTOCOLS = (ipaddress.ip_network("192.0.0.0/24"), ipaddress.ip_network("192.88.99.0/24"))
_SAFE = "%/:=&?~+!$,;'@()*[]"


@dataclass(frozen=True, slots=True)
class Target:
    """An address taken apart; ``host`` is ASCII, without brackets, ``path`` begins with a slash and holds the query."""

    scheme: Literal["http", "https"]
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        """Host and port as a Host header says them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"


def parse(url: str) -> Target:
    """Take an address apart.

    Args:
        url: An http or https URL.

    Returns:
        Its parts.

    Raises:
        UsageError: It is no such URL. The message does not repeat the URL, whose path may be a secret.
    """
    if any(character.isspace() or not character.isprintable() or character == "\\" for character in url):
        raise UsageError("the URL holds a space, a backslash or a control character: write it as https://host/path")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise UsageError(f"no URL ({error}): write it as https://host/path") from error
    if parts.scheme not in _PORTS:
        raise UsageError(f"the URL begins with {parts.scheme or 'nothing'!r}, not http or https: write it as https://host/path")
    if not host:
        raise UsageError("the URL names no host: write it as https://host/path")
    if parts.username is not None or parts.password is not None:
        raise UsageError("the URL holds a user or password: leave them out, the signature tells the receiver who calls")
    path = quote(parts.path or "/", safe=_SAFE) + (f"?{quote(parts.query, safe=_SAFE)}" if parts.query else "")
    scheme: Literal["http", "https"] = "https" if parts.scheme == "https" else "http"
    return Target(scheme, _ascii(host), port or _PORTS[scheme], path)


def look_up(host: str, port: int) -> list[str]:
    """Ask the system for every address of a host.

    Args:
        host: A name or an address in any spelling.
        port: The port.

    Returns:
        Addresses as text, in the order in which they should be tried, each once.

    Raises:
        OSError: There is none, or nobody to ask.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def addresses(host: str, port: int, *, allow_private: bool, lookup: Lookup = look_up) -> tuple[str, ...]:
    """Look a host up and check all that it leads to.

    Args:
        host: A name or an address in any spelling.
        port: The port.
        allow_private: Let everything pass.
        lookup: Who is asked; once.

    Returns:
        The addresses to connect to, best first, at least one.

    Raises:
        UsageError: One of them is not public.
        OSError: The host has no address, or nobody could be asked.
    """
    try:
        found = tuple(lookup(host, port))
    except UnicodeError as error:  # a label that is empty or too long to be asked for
        raise OSError(f"{host!r} is no host name") from error
    if not found:
        raise OSError(f"{host!r} has no address")
    if not allow_private:
        for address in found:
            fault = why_private(address)
            if fault:
                raise UsageError(
                    f"{host} leads to {address}, which is {fault}: name a public receiver, or set notify.allow_private = true"
                )
    return found


def why_private(address: str) -> str:
    """Say why an address is none of the open network's.

    Args:
        address: An IPv4 or IPv6 address.

    Returns:
        A few words, or nothing for a public address.
    """
    try:
        known = ipaddress.ip_address(address)
    except ValueError:
        return "no address"
    if isinstance(known, ipaddress.IPv6Address):
        inner = known.ipv4_mapped or known.sixtofour or _behind_nat64(known)
        if inner is not None:
            return why_private(str(inner))
    kinds = (
        ("loopback", known.is_loopback),
        ("unspecified", known.is_unspecified),
        ("link-local", known.is_link_local),
        ("multicast", known.is_multicast),
        ("private or reserved", not known.is_global or known.is_reserved),
        ("reserved", known not in _UNICAST if known.version == 6 else any(known in prefix for prefix in _PROTOCOLS)),
    )
    return next((name for name, is_so in kinds if is_so), "")


def literal_fault(host: str) -> str:
    """Say why an address that stands in the settings cannot be a target; asks nobody.

    Args:
        host: A name or an address in any spelling.

    Returns:
        A few words; nothing for a public address, and nothing for a name, which is looked up only when it is called.
    """
    try:
        return why_private(str(ipaddress.ip_address(host)))
    except ValueError:
        pass
    try:
        return why_private(socket.inet_ntoa(socket.inet_aton(host)))  # 2130706433, 0x7f.1, 127.1
    except (OSError, UnicodeError):
        return "loopback" if host == "localhost" or host.endswith(".localhost") else ""


def _behind_nat64(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF) if any(address in prefix for prefix in _NAT64) else None


def _ascii(host: str) -> str:
    if host.isascii():
        return host
    try:
        return host.encode("idna").decode("ascii")
    except UnicodeError as error:
        raise UsageError(f"{host!r} is no host name ({error}): write it in ASCII") from error
