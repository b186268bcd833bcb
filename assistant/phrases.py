"""Every sentence the assistant says of its own accord, in each language it speaks.

Knows nothing of when they are said. A language that is missing here falls back to English.
"""

from __future__ import annotations

PHRASES: dict[str, dict[str, str]] = {
    "en": {
        "greeting": "Hello! I'm the {company} assistant. What can I help you with?",
        "thanks": "You're welcome! Is there anything else I can help with?",
        "goodbye": "Thanks for getting in touch, and goodbye!",
        "empty": "I can't see any words in that message. Could you tell me in a sentence what you need?",
        "too_long": "That is a long message, and I only read the beginning of it. What is the one thing you need most?",
        "out_of_scope": "That is outside what I can help with here. I can answer questions about {company}: orders, products "
        "and your account. If it is about one of those, could you put it another way?",
        "out_of_scope_plain": "I found nothing about that in our help pages. I can answer questions about {company}; could you "
        "put it another way, or tell me more?",
        "unsure": "I want to get this right: could you tell me a little more about what you need?",
        "unsure_topic": "I want to get this right. Is this about: {topic}? If not, tell me a little more.",
        "choices": "I can read that in two ways. Is it about “{first}” or about “{second}”?",
        "ask_slot": "Could you give me your {slot}?",
        "handoff_unsure": "I'm not certain enough to answer this myself, so I'm passing it to a colleague. They will see what "
        "you have written.{hours}",
        "handoff_asked": "Of course, I'm passing you to a colleague. They will see what you have written.{hours}",
        "handoff_no_evidence": "I have no reliable answer to that, so I'm passing it to a colleague rather than guess. They will "
        "see what you have written.{hours}",
        "handoff_upset": "I can see that this is not going well for you, so I'm bringing in a colleague. They will see what you "
        "have written.{hours}",
        "handoff_failure": "Something went wrong on our side, so I'm passing this to a colleague. They will see what you have "
        "written.{hours}",
        "hours": " The team is there {hours}.",
        "sorry": "I'm sorry about this. ",
        "joiner": "And on your other question: ",
        "order_number": "order number",
        "tracking_number": "tracking number",
        "product": "product",
    },
    "zh": {
        "greeting": "您好！我是{company}的智能助手，请问有什么可以帮您？",
        "thanks": "不客气！还有其他需要帮忙的吗？",
        "goodbye": "感谢您的咨询，再见！",
        "empty": "我没有看到文字内容，请用一句话告诉我您需要什么帮助。",
        "too_long": "这条消息比较长，我只读了开头部分。请告诉我您最想解决的一个问题。",
        "out_of_scope": "这个问题超出了我的服务范围。我可以解答与{company}有关的订单、商品和账户问题。"
        "如果您的问题与此有关，麻烦换个说法再告诉我。",
        "out_of_scope_plain": "帮助资料里没有找到相关内容。我可以解答与{company}有关的问题，麻烦您换个说法或多说一点。",
        "unsure": "为了准确答复您，能再具体说说您的需求吗？",
        "unsure_topic": "为了准确答复您，想确认一下：您是想问“{topic}”吗？如果不是，请再多说一点。",
        "choices": "我有两种理解：您想问的是“{first}”，还是“{second}”？",
        "ask_slot": "请提供一下您的{slot}。",
        "handoff_unsure": "这个问题我没有足够把握，已为您转给人工同事，他们能看到您写的内容。{hours}",
        "handoff_asked": "好的，正在为您转接人工同事，他们能看到您写的内容。{hours}",
        "handoff_no_evidence": "这个问题我没有可靠的答案，不想随便猜，已为您转给人工同事，他们能看到您写的内容。{hours}",
        "handoff_upset": "看得出这件事让您很不满意，我已请人工同事来跟进，他们能看到您写的内容。{hours}",
        "handoff_failure": "我们这边出了点问题，已为您转给人工同事，他们能看到您写的内容。{hours}",
        "hours": "客服时间：{hours}。",
        "sorry": "非常抱歉给您带来不便。",
        "joiner": "关于您的另一个问题：",
        "order_number": "订单号",
        "tracking_number": "运单号",
        "product": "产品名称",
    },
}


def say(key: str, lang: str, **values: str) -> str:
    """Return a sentence.

    Args:
        key: Which sentence.
        lang: ISO 639-1; English where the language is not spoken.
        **values: What stands in its places.

    Returns:
        The sentence.
    """
    text = PHRASES.get(lang, PHRASES["en"])[key]
    return text.format(**values) if values else text


def slot_name(slot: str, lang: str) -> str:
    """Return how a slot is called to the customer."""
    return PHRASES.get(lang, PHRASES["en"]).get(slot, slot.replace("_", " "))
