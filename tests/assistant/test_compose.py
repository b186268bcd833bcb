"""Drafts say only what may be said to this customer."""

from __future__ import annotations

import pytest

from assistant.compose import Templates, agreement, choices, drafts, fill_slots
from assistant.records import Draft, Hit, IntentGuess, Passage, Understanding

RETURNS = Understanding("en", (IntentGuess("returns", 0.9),))


def passage(text: str, kind: str = "reply", lang: str = "en", intent: str | None = "returns", **more: object) -> Passage:
    return Passage(f"{kind}-{lang}-{text[:20]}", kind, "Returns", text, "returns", "past", lang, intent, **more)  # type: ignore[arg-type]


TEMPLATE = passage("Send {order_number} back.", "template", required_slots=("order_number",), ask="Which order?")
TEMPLATES = Templates({("returns", "en"): TEMPLATE}, "en")
NONE = Templates({}, "en")


def composed(*hits: Passage, templates: Templates = NONE, understood: Understanding = RETURNS, **changes: object) -> list[Draft]:
    asked: dict[str, object] = {"lang": "en", "company": "Fernwick", "told": (), "follow_up": False, "social": False}
    slots = changes.pop("slots", {})
    found = [Hit(one, 0.9 - place / 100) for place, one in enumerate(hits)]
    return drafts(understood, found, templates, slots, **{**asked, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "deed",
    [
        "I've refunded you already.",
        "I’ve refunded you already.",
        "I have sent a new label to you.",
        "We refunded the delivery fee.",
        "I can see that it arrived.",
        "I'll book the pick-up for tomorrow.",
        "Your money has been refunded to your card.",
        "Your order has now been cancelled.",
        "Let me check that with the warehouse.",
        "我已为您办理退款。",
        "已经帮您取消订单了。",
        "这边帮您查了一下。",
        "Jonas from the team here.",
        "Tomek from customer care.",
        "Mara here, on your case.",
        "According to your order it left on Monday.",
        "我是真人客服小林。",
        "我来帮您看看，我是文博。",
        "按序列号查，您的门铃已在6月10日过保。",
        "记录显示扫地机回到基站但没有电流。",
    ],
)
def test_an_agents_deed_is_never_said_as_the_bots_own(deed: str) -> None:
    general = "Returns are free within 30 days. The label is in your account."
    (draft,) = composed(passage(f"Hi Anna! {deed} {general}"))
    assert draft.text == general
    assert composed(passage(deed)) == []


@pytest.mark.parametrize("mark", ["[NAME_1]", "[ORDER_1]", "{{Customer Name}}", "[Tracking Number]"])
def test_a_sentence_with_another_customers_data_is_left_out(mark: str) -> None:
    (draft,) = composed(passage(f"It goes to {mark} today. Returns are free within 30 days. The label is in your account."))
    assert mark not in draft.text and draft.text.startswith("Returns are free")


@pytest.mark.parametrize("greeting", ["何美玲您好，", "您好！", "亲，", "你好呀，"])
def test_another_customers_name_in_a_greeting_is_left_out(greeting: str) -> None:
    (draft,) = composed(passage(f"{greeting}收货后30天内可以免费退货。面单在账户里下载。"))
    assert draft.text.replace(" ", "") == "收货后30天内可以免费退货。面单在账户里下载。"


@pytest.mark.parametrize(
    "text", ["Click here, then choose Return. The label is free.", "还不行的话，告诉我是哪款设备、灯怎么亮。"]
)
def test_what_only_looks_like_an_introduction_stays(text: str) -> None:
    (draft,) = composed(passage(text))
    assert draft.text == text


def test_a_template_asks_for_the_slot_it_needs_and_fills_it_when_known() -> None:
    (ask,) = composed(templates=TEMPLATES)
    assert (ask.origin, ask.text, ask.missing_slots) == ("ask", "Which order?", ("order_number",))
    (told,) = composed(templates=TEMPLATES, slots={"order_number": "FW-1"})
    assert (told.origin, told.text) == ("template", "Send FW-1 back.")


def test_a_follow_up_gets_an_extract_before_the_same_template_again() -> None:
    article = passage("Opened devices are fine, filters must be unopened.", "article")
    found = composed(TEMPLATE, article, templates=TEMPLATES, told=["returns"], follow_up=True, slots={"order_number": "FW-1"})
    assert [draft.origin for draft in found] == ["article", "template"]


def test_a_template_said_twice_is_better_than_an_extract_in_another_language() -> None:
    chinese = passage("设备拆封了也没关系，滤芯和拖布必须未拆封。", "article", lang="zh")
    found = composed(chinese, templates=TEMPLATES, told=["returns"], follow_up=True, slots={"order_number": "FW-1"})
    assert [draft.origin for draft in found] == ["template", "article"]


def test_evidence_of_another_intent_is_not_quoted() -> None:
    assert composed(passage("The warranty covers two years from delivery.", intent="warranty")) == []


def test_without_intents_the_best_hits_are_quoted() -> None:
    text = "Returns are free within 30 days of delivery."
    (draft,) = composed(passage(text, intent=None), understood=Understanding("en"))
    assert (draft.text, draft.confidence) == (text, 0.9)


def test_a_long_extract_ends_at_a_sentence() -> None:
    (draft,) = composed(passage("This sentence has six words here. " * 60, "article"))
    assert draft.text.endswith("here.") and len(draft.text.split()) <= 110
    (chinese,) = composed(passage("设备拆封了也没关系。" * 100, "article"))
    assert chinese.text.endswith("。") and len(chinese.text) <= 260


def test_two_readings_need_two_names() -> None:
    both = Understanding("en", (IntentGuess("returns", 0.4), IntentGuess("refund", 0.3), IntentGuess("thanks", 0.2)))
    assert choices(both, TEMPLATES, "en") is None
    named = Templates({("returns", "en"): TEMPLATE, ("refund", "en"): passage("Soon.", "template", intent="refund")}, "en")
    offered = choices(both, named, "en")
    assert offered is not None and offered.choices == ("returns", "refund")


def test_slot_values_are_put_in_as_they_are() -> None:
    assert fill_slots("{a} {b} {a}", {"a": "{b} \\1 {0}"}) == ("{b} \\1 {0} {b} {b} \\1 {0}", ("b",))
    assert fill_slots("100 % {0} {X}", {}) == ("100 % {0} {X}", ())


def test_agreement_is_the_share_of_the_score_behind_an_intent() -> None:
    hits = [Hit(passage("a"), 0.6), Hit(passage("b", intent="warranty"), 0.2), Hit(passage("c", intent=None), 0.9)]
    assert agreement(hits, "returns") == pytest.approx(0.75)
    assert agreement([], "returns") == 0.5
