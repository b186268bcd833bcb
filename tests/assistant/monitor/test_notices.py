"""Mail and chat through apprise: told in words, to public hosts only, and without a secret in any log."""

from __future__ import annotations

import json
import logging
import socket
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from assistant.errors import SettingsError
from assistant.monitor.notices import apprise_sender
from assistant.monitor.outbox import Parcel

NOON = datetime(2025, 3, 1, 12, tzinfo=UTC)
PARCEL = Parcel("msg_0a", "a1", "opened", "Late parcels", "12 against 3.5.", NOON, NOON, {}, {"m1": "where\nis <b>it</b>"})


def test_notice_arrives_in_words_with_quotes_and_its_id(receive: Callable[[], Any]) -> None:
    receiver = receive()
    receipt = apprise_sender("team", f"json://127.0.0.1:{receiver.port}/room", allow_private=True)(PARCEL)
    assert receipt.outcome == "sent"
    ((path, _, body),) = receiver.got
    told = json.loads(body)
    assert path == "/room" and told["title"] == "Late parcels" and told["type"] == "warning"
    assert told["message"] == "12 against 3.5.\n\n> where is <b>it</b>\n\nId: msg_0a"


def test_service_that_fails_is_tried_later_and_its_reason_holds_no_secret(
    receive: Callable[[], Any], caplog: pytest.LogCaptureFixture
) -> None:
    receiver = receive()
    receiver.answer = lambda count: (500, {}, b"")
    url = f"json://user:passw0rd@127.0.0.1:{receiver.port}/t0ken-in-path?+X-Key=k3y-in-query"
    with caplog.at_level(logging.DEBUG):
        receipt = apprise_sender("team", url, allow_private=True)(PARCEL)
    assert receipt.outcome == "later" and "500" in receipt.error
    assert len(receiver.got) == 1
    logged = " ".join(record.getMessage() for record in caplog.records) + receipt.error
    for secret in ("passw0rd", "t0ken", "k3y"):
        assert secret not in logged


def test_other_peoples_logs_are_left_alone(receive: Callable[[], Any], caplog: pytest.LogCaptureFixture) -> None:
    apprise_sender("team", f"json://127.0.0.1:{receive().port}/", allow_private=True)(PARCEL)
    with caplog.at_level(logging.DEBUG):
        logging.getLogger("urllib3.connectionpool").debug("of somebody else")
    assert "of somebody else" in caplog.text


@pytest.mark.parametrize("more", ["", "?redirect=yes"])
def test_redirect_is_not_followed(receive: Callable[[], Any], more: str) -> None:
    receiver = receive()
    receiver.answer = lambda count: (307, {"Location": f"http://127.0.0.1:{receiver.port}/inside"}, b"")
    receipt = apprise_sender("team", f"json://127.0.0.1:{receiver.port}/{more}", allow_private=True)(PARCEL)
    assert [path for path, _, _ in receiver.got] == ["/"]
    assert receipt.outcome == "later"


@pytest.mark.parametrize(
    "url", ["json://127.0.0.1:{port}/", "json://2130706433:{port}/", "mailto://user:pass@example.com:{port}?smtp=localhost"]
)
def test_host_inside_is_refused_unless_allowed(receive: Callable[[], Any], url: str) -> None:
    receiver = receive()
    receipt = apprise_sender("team", url.format(port=receiver.port))(PARCEL)
    assert receipt.outcome == "refused" and "notify.allow_private" in receipt.error
    assert receiver.got == []


class Turncoat:
    """Answers publicly to whoever checks, and with this machine to whoever connects."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        real = socket.getaddrinfo

        def resolve(host: Any, *given: Any, **more: Any) -> Any:
            return real("127.0.0.1" if host == "hook.example" else host, *given, **more)

        monkeypatch.setattr(socket, "getaddrinfo", resolve)

    def __call__(self, host: str, port: int) -> list[str]:
        return ["93.184.216.34"] if host == "hook.example" else [host]


@pytest.fixture
def turncoat(monkeypatch: pytest.MonkeyPatch) -> Turncoat:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    return Turncoat(monkeypatch)


@pytest.mark.parametrize("url", ["json://hook.example:{port}/", "mailto://user:pass@hook.example:{port}?smtp=hook.example"])
def test_name_that_changes_its_answer_after_the_check_reaches_nothing_inside(
    receive: Callable[[], Any], turncoat: Turncoat, url: str
) -> None:
    receiver = receive()
    receipt = apprise_sender("team", url.format(port=receiver.port), lookup=turncoat)(PARCEL)
    assert receipt.outcome == "refused" and "127.0.0.1, which is loopback" in receipt.error
    assert "notify.allow_private" in receipt.error and receiver.got == []


def test_name_that_changes_its_answer_is_let_pass_where_the_inside_is_allowed(
    receive: Callable[[], Any], turncoat: Turncoat
) -> None:
    url = f"json://hook.example:{receive().port}/"
    assert apprise_sender("team", url, allow_private=True, lookup=turncoat)(PARCEL).outcome == "sent"


def test_proxy_of_the_environment_may_stand_inside(
    receive: Callable[[], Any], turncoat: Turncoat, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = receive()
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.port}")
    assert apprise_sender("team", "json://hook.example/room", lookup=turncoat)(PARCEL).outcome == "sent"
    assert [path for path, _, _ in proxy.got] == ["http://hook.example/room"]


def test_name_without_an_address_is_unreachable() -> None:
    def no_name(host: str, port: int) -> list[str]:
        raise socket.gaierror(-2, "Name or service not known")

    receipt = apprise_sender("team", "json://hook.example/", lookup=no_name)(PARCEL)
    assert receipt.outcome == "unreachable" and "hook.example" in receipt.error


@pytest.mark.parametrize("url", ["", "nonsense://x", "json://", "slack://", "://", "passw0rd"])
def test_url_that_apprise_does_not_know_is_refused_by_name_and_not_repeated(url: str) -> None:
    with pytest.raises(SettingsError, match=r"notify\.apprise 'team'") as refused:
        apprise_sender("team", url)
    assert "passw0rd" not in str(refused.value)
