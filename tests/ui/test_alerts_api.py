"""Alerts over REST: what a client reads, what its two moves do, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from assistant.errors import UsageError
from assistant.monitor.telling import notices
from tests.ui.past_messages import ANGRY, alert, fill, served, with_receivers
from tests.ui.stand_in import NOW, wired
from ui.alerts import change
from ui.server import create_app


@pytest.fixture
def parts(tmp_path: Path, store_url: str) -> Iterator[Any]:
    with wired(tmp_path, url=store_url) as parts:
        fill(parts.store)
        parts.settings = with_receivers(parts.settings)
        told = notices(alert(), "opened", NOW, ("team", "manager"), UTC)
        parts.store.monitor.raise_alert(alert(), told)
        yield parts


@pytest.fixture
def client(parts: Any) -> Iterator[TestClient]:
    with TestClient(served(parts), raise_server_exceptions=False) as client:
        yield client


def problem(answer: Any, status: int) -> str:
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    return str(answer.json()["detail"])


def test_alerts_are_listed_newest_first_and_narrowed_down(client: TestClient, parts: Any) -> None:
    other = alert("alert_2", "returns", opened_at=NOW, state="resolved", resolved_at=NOW, resolved_by="recovery")
    parts.store.monitor.raise_alert(other)

    def ids(**query: Any) -> list[str]:
        return [one["id"] for one in client.get("/v1/alerts", params=query).json()["alerts"]]

    assert ids() == ["alert_2", "alert_1"]
    assert ids(state="open") == ["alert_1"] and ids(topic="returns") == ["alert_2"] and ids(limit=1) == ["alert_2"]
    assert ids(since=(NOW - timedelta(hours=1)).isoformat()) == ["alert_2"]
    (told,) = client.get("/v1/alerts", params={"state": "open"}).json()["alerts"]
    assert (told["observed"], told["expected"], told["kind"], told["state"]) == (31, 8.0, "number", "open")
    assert told["details"]["emotions"] == {"anger": 0.75} and "Rivertown" not in str(told)


@pytest.mark.parametrize("query", ["state=angry", "limit=0", "limit=5000", "since=2026-03-01T00:00:00", "since=yesterday"])
def test_a_query_that_cannot_be_meant_is_explained(client: TestClient, query: str) -> None:
    assert query.partition("=")[0] in problem(client.get(f"/v1/alerts?{query}"), 422)


def test_one_alert_comes_with_the_texts_that_are_still_there(client: TestClient) -> None:
    told = client.get("/v1/alerts/alert_1").json()
    assert told["typical"] == [{"id": "transcript:s9/c0#0000", "text": ANGRY}]
    assert told["versions"]["sentiment"] == {"s-1": 31}
    assert "alert_9" in problem(client.get("/v1/alerts/alert_9"), 404)


def test_an_alert_says_since_when_its_customers_are_quiet_and_asking_often_reads_once(
    parts: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[object] = []
    ledger = type(parts.store.monitor)
    stream = ledger.stream
    monkeypatch.setattr(ledger, "stream", lambda *given: read.append(given) or stream(*given))
    with TestClient(served(parts)) as client:
        assert client.get("/v1/alerts/alert_1").json()["quiet_since"] is None
    read.clear()
    with TestClient(served(parts, lambda: NOW + timedelta(days=3))) as client:
        (told,) = client.get("/v1/alerts").json()["alerts"]
        assert datetime.fromisoformat(told["quiet_since"]) == NOW - timedelta(minutes=5)
        assert client.get("/v1/alerts/alert_1").json()["quiet_since"] == told["quiet_since"] and len(read) == 1
        taken = client.post("/v1/alerts/alert_1/acknowledge", json={"by": "Ada"}).json()
        assert taken["quiet_since"] == told["quiet_since"]
        assert client.post("/v1/alerts/alert_1/resolve", json={"by": "Ada"}).json()["quiet_since"] is None


def test_a_figure_that_json_cannot_say_is_null(client: TestClient, parts: Any) -> None:
    odd = alert("alert_3")
    parts.store.monitor.raise_alert(alert("alert_3", details={**odd.details, "words": [{"text": "x", "z": float("inf")}]}))
    assert client.get("/v1/alerts/alert_3").json()["details"]["words"] == [{"text": "x", "z": None}]


def test_taking_and_ending_an_alert_work_once_and_are_harmless_twice(client: TestClient, parts: Any) -> None:
    first = client.post("/v1/alerts/alert_1/acknowledge", json={"by": " Ada "}).json()
    assert (first["state"], first["acknowledged_by"], first["changed"]) == ("acknowledged", "Ada", True)
    again = client.post("/v1/alerts/alert_1/acknowledge", json={"by": "Bo"}).json()
    assert (again["acknowledged_by"], again["changed"]) == ("Ada", False)
    assert {row.body["what"] for row in parts.store.monitor.outbox()} == {"opened"}
    ended = client.post("/v1/alerts/alert_1/resolve", json={"by": "Bo"}).json()
    assert (ended["state"], ended["resolved_by"], ended["changed"]) == ("resolved", "Bo", True)
    assert client.post("/v1/alerts/alert_1/resolve", json={"by": "Cy"}).json()["resolved_by"] == "Bo"
    told = [row for row in parts.store.monitor.outbox() if row.body["what"] == "resolved"]
    assert sorted(row.target for row in told) == ["manager", "team"]
    assert all(row.body["data"]["state"] == "resolved" for row in told)


def test_an_impossible_move_is_a_conflict_and_an_unknown_alert_is_not_found(client: TestClient) -> None:
    client.post("/v1/alerts/alert_1/resolve", json={"by": "Bo"})
    assert "resolved already, by Bo" in problem(client.post("/v1/alerts/alert_1/acknowledge", json={"by": "Ada"}), 409)
    for move in ("acknowledge", "resolve"):
        assert "nope" in problem(client.post(f"/v1/alerts/nope/{move}", json={"by": "Ada"}), 404)


@pytest.mark.parametrize(
    "body", [{}, {"by": ""}, {"by": "   "}, {"by": "x" * 201}, {"by": "Recovery"}, {"by": 5}, {"by": "A", "x": 1}]
)
def test_a_move_wants_the_name_of_a_person(client: TestClient, parts: Any, body: dict[str, Any]) -> None:
    problem(client.post("/v1/alerts/alert_1/resolve", json=body), 422)
    assert parts.store.monitor.alert("alert_1").state == "open"


def test_the_command_line_may_not_speak_for_the_monitor_either(parts: Any) -> None:
    with pytest.raises(UsageError, match="recovery"):
        change(parts.store.monitor, parts.settings, "alert_1", "resolved", "recovery", NOW)


def test_tokens_guard_every_path(tmp_path: Path) -> None:
    with wired(tmp_path, tokens=("alpha-token",)) as parts:
        parts.store.monitor.raise_alert(alert())
        with TestClient(served(parts)) as client:
            for path in ("/v1/alerts", "/v1/alerts/alert_1"):
                assert "Bearer" in problem(client.get(path), 401)
                assert client.get(path, headers={"Authorization": "Bearer alpha-token"}).status_code == 200
            for move in ("acknowledge", "resolve"):
                problem(client.post(f"/v1/alerts/alert_1/{move}", json={"by": "Ada"}), 401)
        assert parts.store.monitor.alert("alert_1").state == "open"


def test_the_whole_server_has_the_paths_and_documents_them(parts: Any) -> None:
    with TestClient(create_app(parts)) as client:
        assert client.get("/v1/alerts/alert_1").json()["id"] == "alert_1"
        paths = client.get("/openapi.json").json()["paths"]
        moves = {f"/v1/alerts/{{id}}/{move}" for move in ("acknowledge", "resolve")}
        assert {path for path in paths if "alert" in path} == {"/v1/alerts", "/v1/alerts/{id}", *moves}
        assert paths["/v1/alerts"]["get"]["security"] == [{"HTTPBearer": []}]
        assert client.get("/console/console.css").status_code == 200
