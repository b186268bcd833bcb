"""Targets: what looks public and leads inside is refused, however it is written; what is public passes."""

from __future__ import annotations

import pytest

from assistant.errors import UsageError
from assistant.monitor.targets import addresses, literal_fault, look_up, parse, why_private

PRIVATE = [
    "127.0.0.1", "127.8.9.1", "0.0.0.0", "10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.1.1", "169.254.169.254",
    "100.64.0.1", "100.127.255.255", "192.0.0.8", "192.88.99.1", "192.0.2.1", "198.18.0.1", "198.51.100.7", "203.0.113.9",
    "224.0.0.1", "239.1.2.3", "240.0.0.1", "255.255.255.255",
    "::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "fd12:3456::1", "fec0::1", "ff02::1", "2001:db8::1", "100::1",
    "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1", "64:ff9b::10.0.0.1", "64:ff9b:1::7f00:1", "2002:7f00:1::",
    "2002:a00:1::1", "2001::1", "4000::1", "nonsense", "",
]  # fmt: skip
PUBLIC = ["93.184.216.34", "8.8.8.8", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8"]


@pytest.mark.parametrize("address", PRIVATE)
def test_address_inside_is_refused(address: str) -> None:
    assert why_private(address)
    with pytest.raises(UsageError, match=r"hook.example leads to .* notify.allow_private = true"):
        addresses("hook.example", 443, allow_private=False, lookup=lambda host, port: [address])
    assert addresses("hook.example", 443, allow_private=True, lookup=lambda host, port: [address]) == (address,)


@pytest.mark.parametrize("address", PUBLIC)
def test_public_address_passes(address: str) -> None:
    assert why_private(address) == ""
    assert addresses("hook.example", 443, allow_private=False, lookup=lambda host, port: [address]) == (address,)


def test_one_private_address_among_many_is_enough() -> None:
    with pytest.raises(UsageError, match=r"leads to 10\.0\.0\.1"):
        addresses("hook.example", 80, allow_private=False, lookup=lambda host, port: ["8.8.8.8", "10.0.0.1"])


HERE = ["127.0.0.1", "2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1", "127.1", "0", "::1", "::ffff:7f00:1", "①②⑦.⓪.⓪.①"]


@pytest.mark.parametrize("host", [*HERE, "localhost"])
def test_odd_spellings_of_this_machine_lead_here_and_are_refused(host: str) -> None:
    with pytest.raises(UsageError, match=r"loopback|unspecified"):
        addresses(host, 80, allow_private=False, lookup=look_up)
    if host.isascii():
        assert literal_fault(host)


def test_host_without_an_address_is_a_fault_of_the_network_not_of_the_settings() -> None:
    with pytest.raises(OSError, match="no address"):
        addresses("hook.example", 80, allow_private=True, lookup=lambda host, port: [])
    with pytest.raises(OSError):
        addresses("a" * 64 + ".example", 80, allow_private=False)
    assert literal_fault("hook.example") == "" == literal_fault("8.8.8.8")


@pytest.mark.parametrize(
    ("url", "authority", "path", "port"),
    [
        ("https://hook.example", "hook.example", "/", 443),
        ("HTTPS://Hook.Example:443/a?b=c#d", "hook.example", "/a?b=c", 443),
        ("http://hook.example:8080/a%20b/ü", "hook.example:8080", "/a%20b/%C3%BC", 8080),
        ("http://[2606:4700::1111]:81/x", "[2606:4700::1111]:81", "/x", 81),
        ("https://bücher.example/", "xn--bcher-kva.example", "/", 443),
    ],
)
def test_address_is_taken_apart(url: str, authority: str, path: str, port: int) -> None:
    target = parse(url)
    assert (target.authority, target.path, target.port) == (authority, path, port)


NO_TARGETS = [
    "", "hook.example", "ftp://hook.example/", "file:///etc/passwd", "gopher://h/", "https://", "https:///path",
    "javascript:alert(1)", "https://user:secret@hook.example/", "https://hook.example/a b", "https://hook.example/\r\nX: y",
    "https://hook.example\\@evil", "https://hook.example:99999/", "https://hook.example:x/", "https://[::1/",
    "https://hook.example/\x00", "https://" + "ü" * 99 + "/",
]  # fmt: skip


@pytest.mark.parametrize("url", NO_TARGETS)
def test_what_is_no_target_is_refused_with_the_mend_and_without_its_secrets(url: str) -> None:
    with pytest.raises(UsageError, match=r"write it|leave them out") as refused:
        parse(url)
    assert "secret" not in str(refused.value).replace("signature", "")
