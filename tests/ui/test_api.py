"""The REST door: what a client sends and gets, and what a hostile one does not get."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from assistant.errors import StoreError
from tests.ui.stand_in import ANSWER, wired
from ui.api import is_staff
from ui.server import MAX_BODY_BYTES, create_app


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[Any]:
    with wired(tmp_path) as parts:
        yield parts


@pytest.fixture
def client(parts: Any) -> Iterator[TestClient]:
    with TestClient(create_app(parts), raise_server_exceptions=False) as client:
        yield client


def begin(client: TestClient, **headers: str) -> str:
    answer = client.post("/v1/conversations", headers=headers)
    assert answer.status_code == 201
    return str(answer.json()["conversation_id"])


def problem(answer: Any, status: int) -> str:
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert body["status"] == status
    assert "Traceback" not in answer.text and "secret" not in answer.text
    return str(body["detail"])


def test_a_message_gets_the_documented_reply(client: TestClient) -> None:
    id = begin(client)
    reply = client.post(f"/v1/conversations/{id}/messages", json={"text": "May I return it?"}).json()
    assert reply["conversation_id"] == id
    assert reply["reply"] == ANSWER
    assert reply["intent"] == {
        "name": "start_return",
        "confidence": 0.91,
        "alternatives": [{"name": "refund_status", "confidence": 0.06}],
    }
    assert reply["evidence"][0]["kind"] == "article"
    assert set(reply) == {
        "conversation_id", "message_id", "action", "reason", "reply", "intent", "sentiment", "slots", "language", "evidence",
        "versions", "latency_ms",
    }  # fmt: skip


def test_an_event_stream_joins_to_the_reply_and_ends_with_it_whole(client: TestClient) -> None:
    id = begin(client)
    answer = client.post(f"/v1/conversations/{id}/messages", json={"text": "hi"}, headers={"Accept": "text/event-stream"})
    assert answer.headers["content-type"].startswith("text/event-stream")
    events = [dict(line.split(": ", 1) for line in block.split("\n")) for block in answer.text.strip().split("\n\n")]
    assert "".join(json.loads(each["data"])["text"] for each in events if each["event"] == "delta") == ANSWER
    assert len(events) > 5
    assert events[-1]["event"] == "reply" and json.loads(events[-1]["data"])["reply"] == ANSWER


def test_a_contact_and_language_are_kept_with_the_conversation(client: TestClient, parts: Any) -> None:
    id = client.post("/v1/conversations", json={"contact": "c-7", "language": "zh"}).json()["conversation_id"]
    kept = parts.store.conversation(id)
    assert (kept.contact, kept.lang, kept.channel) == ("c-7", "zh", "api")


def test_feedback_is_stored_and_can_be_changed(client: TestClient, parts: Any) -> None:
    reply = client.post(f"/v1/conversations/{begin(client)}/messages", json={"text": "hi"}).json()
    path = f"/v1/messages/{reply['message_id']}/feedback"
    assert client.post(path, json={"rating": 1}).status_code == 204
    assert client.post(path, json={"rating": -1, "correction": "60 days"}).status_code == 204
    kept = parts.store.feedback(reply["message_id"])
    assert (kept.rating, kept.correction) == (-1, "60 days")


def test_staff_corrects_answer_and_topic(tmp_path: Path) -> None:
    with wired(tmp_path, tokens=("alpha-token",)) as parts, TestClient(create_app(parts)) as client:
        staff = {"Authorization": "Bearer alpha-token"}
        path = f"/v1/conversations/{begin(client, **staff)}/messages"
        id = client.post(path, json={"text": "May I return it within 60 days?"}, headers=staff).json()["message_id"]
        correction = {"rating": -1, "correction": "60 days", "intent": "return_policy"}
        problem(client.post(f"/v1/messages/{id}/feedback", json=correction), 401)
        assert parts.store.feedback(id) is None
        assert client.post(f"/v1/messages/{id}/feedback", json=correction, headers=staff).status_code == 204
        (kept,) = parts.store.learning.corrections()
        assert (kept.message_id, kept.answer, kept.intent) == (id, "60 days", "return_policy")
        assert {case.task for case in parts.store.learning.regression_cases()} == {"intent", "answers"}


def test_a_topic_nobody_knows_is_refused_with_the_nearest(client: TestClient, parts: Any) -> None:
    reply = client.post(f"/v1/conversations/{begin(client)}/messages", json={"text": "hi"}).json()
    path = f"/v1/messages/{reply['message_id']}/feedback"
    assert "'return_policy'" in problem(client.post(path, json={"rating": -1, "intent": "return policy"}), 400)
    assert parts.store.feedback(reply["message_id"]) is None


def test_without_tokens_everyone_is_staff_and_with_them_only_who_sends_one() -> None:
    assert is_staff((), "") and is_staff((), "anything")
    assert is_staff(("one", "two"), "two")
    assert not any(is_staff(("one", "two"), sent) for sent in ("", "tw", "töken"))


@pytest.mark.parametrize("rating", [0, 5, "up", None])
def test_a_rating_other_than_a_thumb_is_refused(client: TestClient, rating: object) -> None:
    reply = client.post(f"/v1/conversations/{begin(client)}/messages", json={"text": "hi"}).json()
    answer = client.post(f"/v1/messages/{reply['message_id']}/feedback", json={"rating": rating})
    assert "rating" in problem(answer, 422)


def test_what_is_not_there_says_so(client: TestClient) -> None:
    assert "POST /v1/conversations" in problem(client.post("/v1/conversations/nope/messages", json={"text": "hi"}), 404)
    assert "nope" in problem(client.post("/v1/messages/nope/feedback", json={"rating": 1}), 404)
    assert "openapi" in problem(client.get("/v1/nothing"), 404)


@pytest.mark.parametrize(
    "body", ["", "{", "[]", '{"text": 5}', '{"txt": "hi"}', '{"text": "hi", "more": 1}', '{"text": "\\ud800"}', "\udcff"]
)
def test_a_body_that_cannot_be_read_is_explained(client: TestClient, body: str) -> None:
    path = f"/v1/conversations/{begin(client)}/messages"
    content = body.encode("utf-8", "surrogateescape")
    answer = client.post(path, content=content, headers={"Content-Type": "application/json"})
    if answer.status_code == 200:  # a lone surrogate may also be mended
        assert answer.json()["reply"] == ANSWER
    else:
        assert answer.status_code in (400, 422)
        assert problem(answer, answer.status_code)


@pytest.mark.parametrize(
    "text",
    ["", "   ", "x" * 100_000, "🙂" * 50, "\u202eabc\u200b", "<script>alert(1)</script>", "a\x00b"],
    ids=["empty", "blank", "endless", "emoji", "reversed", "script", "nul"],
)
def test_odd_texts_are_answered(client: TestClient, text: str) -> None:
    answer = client.post(f"/v1/conversations/{begin(client)}/messages", json={"text": text})
    assert answer.status_code == 200
    assert answer.json()["reply"] == ANSWER


def test_a_failure_inside_shows_a_sentence_and_no_trace(client: TestClient) -> None:
    answer = client.post(f"/v1/conversations/{begin(client)}/messages", json={"text": "boom"})
    assert "our side" in problem(answer, 500)


def test_a_body_over_the_limit_is_refused_whether_or_not_it_says_its_length(client: TestClient) -> None:
    path = f"/v1/conversations/{begin(client)}/messages"
    large = json.dumps({"text": "x" * MAX_BODY_BYTES}).encode()
    headers = {"Content-Type": "application/json"}
    assert "MiB" in problem(client.post(path, content=large, headers=headers), 413)
    chunks = (large[at : at + 65536] for at in range(0, len(large), 65536))
    assert "MiB" in problem(client.post(path, content=chunks, headers=headers), 413)


def test_tokens_are_asked_for_when_set(tmp_path: Path) -> None:
    with wired(tmp_path, tokens=("alpha-token", "beta-token")) as parts, TestClient(create_app(parts)) as client:
        refused = client.post("/v1/conversations")
        assert "Bearer" in problem(refused, 401)
        assert refused.headers["www-authenticate"] == "Bearer"
        for wrong in ("Bearer gamma", "Bearer alpha-toke", "Basic alpha-token", "Bearer ", "Bearer tökén"):
            problem(client.post("/v1/conversations", headers={"Authorization": wrong.encode()}), 401)
        id = begin(client, Authorization="Bearer beta-token")
        problem(client.post(f"/v1/conversations/{id}/messages", json={"text": "hi"}), 401)
        assert client.get("/healthz").status_code == 200
        assert client.get("/readyz").json() == {"status": "ready", "versions": {"index": "i-1", "intent": "v7"}}


def test_readiness_fails_readably_when_the_store_is_gone(client: TestClient, parts: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(id: str) -> None:
        raise StoreError("the database cannot be reached")

    monkeypatch.setattr(type(parts.store), "conversation", lambda self, id: refuse(id))
    assert client.get("/healthz").status_code == 200
    assert "reached" in problem(client.get("/readyz"), 503)


def test_openapi_names_the_paths_and_the_token(client: TestClient) -> None:
    schema = client.get("/openapi.json").json()
    assert set(schema["paths"]) == {
        "/v1/conversations",
        "/v1/conversations/{id}/messages",
        "/v1/messages/{id}/feedback",
        "/v1/alerts",
        "/v1/alerts/{id}",
        "/v1/alerts/{id}/acknowledge",
        "/v1/alerts/{id}/resolve",
        "/healthz",
        "/readyz",
    }
    assert schema["components"]["securitySchemes"]["HTTPBearer"]["scheme"] == "bearer"


def test_the_page_names_no_other_host_and_may_reach_none(client: TestClient) -> None:
    answer = client.get("/")
    assert answer.status_code == 200
    assert "connect-src 'self'" in answer.headers["content-security-policy"]
    for foreign in ("googleapis", "gstatic", "githubusercontent", "cdnjs", "gradio.app", "huggingface"):
        assert foreign not in answer.text
    assert "Fern \\u0026 Co" in answer.text or "Fern & Co" in answer.text


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/upload",
        "/gradio_api/file=/etc/passwd",
        "/gradio_api/proxy=http://x.example/",
        "/gradio_api/run/x",
        "/monitoring",
    ],
)
def test_what_the_page_does_not_need_is_shut(client: TestClient, path: str) -> None:
    assert client.post(path).status_code == 404
    assert client.get(path).status_code == 404
