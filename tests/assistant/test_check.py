"""Nothing is sent that the evidence or the conversation does not say."""

from __future__ import annotations

from dataclasses import replace

import pytest

from assistant.check import Thresholds, decide, ungrounded
from assistant.records import Draft, Hit, IntentGuess, Passage, Understanding, Verdict

SURE = Thresholds(min_confidence=0.5, max_out_of_scope=0.3, min_evidence=0.35, choice_margin=0.15)
KNOWN = Understanding("en", (IntentGuess("refund", 0.9), IntentGuess("returns", 0.05)))


@pytest.mark.parametrize(
    ("reply", "grounds", "missing"),
    [
        ("It costs €14.90.", "Delivery: 14.90 euro", []),
        ("It costs €14.95.", "Delivery: 14.90 euro", ["14.95"]),
        ("It costs €14.", "Delivery: 14.90 euro", ["14"]),
        ("We are there 8:00-20:00.", "Mon-Sat 8:00-20:00 CET", []),
        ("We are there 9:00-20:00.", "Mon-Sat 8:00-20:00 CET", ["9:00"]),
        ("Up to 1,000 points.", "You may have 1,000 points", []),
        ("Up to 10,000 points.", "You may have 1,000 points", ["10,000"]),
        ("Order FW-204518 is yours.", "FW-204518", []),
        ("Order FW-204519 is yours.", "FW-204518", ["204519"]),
        ("See https://a.example/track.", "Go to https://a.example/track, please", []),
        ("See (https://a.example/track)!", "https://a.example/track", []),
        ("See https://b.example/track.", "https://a.example/track", ["https://b.example/track"]),
        ("See https://a.example/track?to=b", "https://a.example/track", ["https://a.example/track?to=b"]),
        ("请见 https://a.example/returns。", "完整说明：https://a.example/returns", []),
        ("（见 https://a.example/returns）", "见https://a.example/returns，谢谢", []),
        ("在https://a.example/returns查看", "https://a.example/returns", []),
        ("“https://a.example/returns”、", "https://a.example/returns", []),
        ("3-5个工作日，30天内", "标准配送3-5个工作日；30天内可退", []),
        ("3-6个工作日", "标准配送3-5个工作日", ["6"]),
        ("Write to help@a.example.", "Our mail: help@a.example", []),
        ("Write to scam@b.example.", "Our mail: help@a.example", ["scam@b.example"]),
        ("Nothing to prove here.", "", []),
    ],
)
def test_numbers_and_links_of_a_reply_stand_in_its_grounds(reply: str, grounds: str, missing: list[str]) -> None:
    assert ungrounded(reply, [grounds]) == missing


def hit(text: str, kind: str = "reply") -> Hit:
    return Hit(Passage("p", kind, "Refunds", text, "refund", "past", "en", "refund"), 0.8)  # type: ignore[arg-type]


def draft(text: str, evidence: str = "Refunds take 5 days, see https://a.example/refunds.", confidence: float = 0.9) -> Draft:
    return Draft(text, "reply", "refund", (hit(evidence),), confidence)


def judge(*drafts: Draft, understood: Understanding = KNOWN, choice: Draft | None = None, **changes: object) -> Verdict:
    asked: dict[str, object] = {"clarified": 0, "wants_person": False, "follow_up": False, "hours": "", **changes}
    verdict, _ = decide(drafts, choice, understood, [], SURE, lang="en", company="Fernwick", **asked)  # type: ignore[arg-type]
    return verdict


@pytest.mark.parametrize(
    "text",
    [
        "Refunds take 7 days.",
        "Refunds take 5 days, see https://evil.example/refunds.",
        "Dear [NAME_1], refunds take 5 days.",
        "Dear {{Customer Name}}, refunds take 5 days.",
        "Dear [Customer Name], refunds take 5 days.",
        "Refunds for {order_number} take 5 days.",
        "Open {{website_url1}}; refunds take 5 days.",
    ],
)
def test_a_reply_with_another_number_link_or_customer_is_refused(text: str) -> None:
    refused = judge(draft(text))
    assert (refused.action, refused.reason) == ("handoff", "ungrounded")
    assert text not in refused.text and refused.checks["refused"]


def test_the_next_best_draft_is_sent_when_the_first_is_refused() -> None:
    sent = judge(draft("Refunds take 7 days."), draft("Refunds take 5 days."))
    assert (sent.action, sent.text) == ("send", "Refunds take 5 days.")


def test_a_link_written_in_markdown_is_no_placeholder() -> None:
    text = "Refunds take 5 days: [My Refunds](https://a.example/refunds)"
    assert judge(draft(text, evidence=text)).action == "send"


def test_a_draft_without_evidence_is_not_sent() -> None:
    assert judge(replace(draft("Refunds are quick."), evidence=())).reason == "ungrounded"


def test_what_is_no_business_of_the_company_is_declined_first() -> None:
    declined = judge(draft("Refunds take 5 days."), understood=replace(KNOWN, out_of_scope=0.9))
    assert (declined.action, declined.reason) == ("clarify", "out_of_scope")
    assert "Fernwick" in declined.text


def test_a_person_asked_for_comes_with_the_hours() -> None:
    handed = judge(draft("Refunds take 5 days."), wants_person=True, hours=" We are there 8-20.")
    assert handed.action == "handoff" and "8-20" in handed.text and "{" not in handed.text


def test_unsure_once_asks_and_twice_hands_over() -> None:
    weak = draft("Refunds take 5 days.", confidence=0.2)
    assert judge(weak).reason == "low_confidence"
    assert (judge(weak, clarified=1).action, judge(weak, clarified=1).reason) == ("handoff", "unsure_twice")
    assert judge().action == "clarify"


def test_two_readings_are_offered_only_when_they_are_likely() -> None:
    choice = Draft("“A” or “B”?", "choices", "refund", (), 0.3, choices=("refund", "returns"))
    near = Understanding("en", (IntentGuess("refund", 0.35), IntentGuess("returns", 0.3)))
    noise = Understanding("en", (IntentGuess("refund", 0.02), IntentGuess("returns", 0.01)))
    weak = draft("Refunds take 5 days.", confidence=0.2)
    assert judge(weak, understood=near, choice=choice).reason == "two_readings"
    assert judge(weak, understood=noise, choice=choice).reason == "low_confidence"


def test_a_follow_up_needs_half_the_confidence() -> None:
    assert judge(draft("Refunds take 5 days.", confidence=0.3), follow_up=True).action == "send"
    assert judge(draft("Refunds take 5 days.", confidence=0.3)).action == "clarify"
