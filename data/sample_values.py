"""What fills a placeholder in one conversation: numbers, days, amounts, places, the same on both sides.

It knows which texts speak of the past and which of days to come. ``sample_dialogs`` makes one ``Details`` a conversation,
``sample_labels`` one a training row.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, timedelta
from random import Random

from sample_words import Marked, fill, pick, write_date, write_order

# Customers of these intents name a day gone by unless a cue says otherwise; all others name a day to come.
PAST_INTENTS = frozenset({
    "delivery_late", "marked_delivered_not_received", "complaint", "delete_account", "double_charge", "gift_card",
    "invoice_request", "login_password", "missing_item", "plus_cancel", "price_drop", "promo_code_problem", "refund_status",
    "return_label", "return_policy", "start_return", "video_recordings", "wifi_offline",
})  # fmt: skip
ALWAYS_PAST = frozenset({"delivery_late", "marked_delivered_not_received", "wifi_offline"})
LONG_AGO = frozenset({"warranty_length", "repair_spare_parts", "login_password", "gift_card"})
_AHEAD = re.compile(
    r"(until|till|by|before|coming|away on|runs out on|wedding on|80th is on|books on|four months on"
    r"|end date of|Trial ends on) \{date\}"
    r"|\{date\}(之前|到期)"
)
_AGENT_BEHIND = re.compile(
    r"(from|bought on|delivered on|scanned on|renewed on|lapsed on|ordered on|3 years on|sent on|attempts on|call on|it ended on"
    r"|ran out on|left warranty on|reported on|account: on|placed on|scroll to|pick) \{date\}"
    r"|(通话录音|扣款是? ?|这笔扣款对应的是 |已在|您的退货 |门铃是|购买于|年付是?"
    r"|您是 |卡是 |查到您 |面单 |Plus在|翻到|听了)\{date\}"
    r"|有效期到 \{date\} 为止，所以"
)
AMOUNTS = {
    "plus_billing": (59,), "plus_cancel": (59,), "price_drop": (15, 20, 25, 30, 40, 50), "gift_card": (25, 30, 50, 75, 100),
    "promo_code_problem": (10, 15, 20, 45), "delivery_options_costs": (29, 35, 48, 53), "payment_methods": (119, 149, 219, 449),
}  # fmt: skip
USUAL_AMOUNTS = (89, 119, 149, 178, 219, 238, 268, 308, 449, 473)
SLOT_OF = {"date": "date", "city": "city", "amount": "amount"}


@dataclass(frozen=True)
class Details:
    """The facts of one conversation; ``product_price`` is that of the device its opening names, or 0."""

    intent: str
    lang: str
    today: date
    order: str
    tracking: str
    behind: date
    ahead: date
    amount: int
    city: str
    customer_name: str
    other_name: str


def make_details(
    rng: Random, intent: str, lang: str, today: date, pools: dict[str, list[str]], customer_name: str, price: int
) -> Details:
    """Draw the facts of a conversation.

    Args:
        rng: the source of chance.
        intent: what it is about; it decides how far away the days are and how large the amount.
        lang: "en" or "zh".
        today: the day of the opening.
        pools: the phrases of the language, for cities and names.
        customer_name: how an agent calls the customer.
        price: what the device that the opening names costs, in euros, or 0.

    Returns:
        The facts.
    """
    back = 120 + int(rng.random() * 380) if intent in LONG_AGO else 3 + int(rng.random() * 6)
    forward = (
        9 + int(rng.random() * 18) if intent.startswith("plus_") or intent == "delete_account" else 2 + int(rng.random() * 5)
    )
    ahead = today + timedelta(days=forward)
    if ahead.weekday() == 6:
        ahead += timedelta(days=1)
    return Details(
        intent=intent,
        lang=lang,
        today=today,
        order=f"FW-{200000 + int(rng.random() * 750000)}",
        tracking=f"FWT{1000000000 + int(rng.random() * 9000000000)}",
        behind=today - timedelta(days=back),
        ahead=ahead,
        amount=pick(rng, AMOUNTS[intent]) if intent in AMOUNTS else price or pick(rng, USUAL_AMOUNTS),
        city=pick(rng, pools["city"]),
        customer_name=customer_name,
        other_name=pick(rng, [name for name in pools["first_name"] if name != customer_name]),
    )


def customer_text(rng: Random, text: str, details: Details, redacted: bool = False) -> Marked:
    """Fill what a customer writes.

    Args:
        rng: the source of chance.
        text: the source text.
        details: the conversation's facts.
        redacted: put the typed placeholders of redaction for order and tracking numbers.

    Returns:
        The text and the spans of product, date, city and amount in it.
    """
    past = details.intent in ALWAYS_PAST or (details.intent in PAST_INTENTS and not _AHEAD.search(text))
    if re.search(r"renewed on \{date\}|bought on \{date\}|agent on \{date\}", text):
        past = True
    day = write_date(rng, details.behind if past else details.ahead, details.today, details.lang, customer=True)
    numbers = {
        "order_number": "[ORDER_1]" if redacted else write_order(rng, details.order),
        "tracking_number": "[TRACKING_1]" if redacted else details.tracking,
    }
    loose = ("{}欧", "€{}", "€{}") if details.lang == "zh" else ("€{}", "€{}", "{} euros", "{} €", "€{}.00", "EUR {}")
    if details.intent.startswith("plus_") and details.lang == "zh":
        amount = "¥388"
    elif re.search(r"\{amount\}.*\{amount\}", text):
        amount = f"€{details.amount}"
    else:
        amount = pick(rng, loose).format(60 if details.intent == "exchange_item" else details.amount)
    return fill(text, {**numbers, "date": day, "city": details.city, "amount": amount, "name": details.other_name}, SLOT_OF)


def agent_text(rng: Random, text: str, details: Details) -> str:
    """Fill what an agent writes.

    Args:
        rng: the source of chance.
        text: the source text.
        details: the conversation's facts.

    Returns:
        The text.
    """
    day = details.behind if _AGENT_BEHIND.search(text) else details.ahead
    # Two replies name another person: a member of the family, a colleague.
    stranger = re.search(r"(responsible|you), \{name\}|\{name\}'s", text)
    values = {
        "order_number": details.order,
        "tracking_number": details.tracking,
        "date": write_date(rng, day, details.today, details.lang, customer=False),
        "city": details.city,
        "amount": _agent_amount(details),
        "name": details.other_name if stranger else details.customer_name,
    }
    return fill(text, values).text


def _agent_amount(details: Details) -> str:
    if details.intent == "exchange_item":
        return "€230"
    if details.intent.startswith("plus_") and details.lang == "zh":
        return "¥388"
    return f"€{details.amount}"
