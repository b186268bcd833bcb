"""Every word of the chat page, in English and Chinese, and the plain-language names of what the assistant decided.

What the assistant itself says is in ``assistant/phrases.py``; this is the page around it. Knows nothing of HTML or Gradio.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

LANGUAGES: dict[str, str] = {"en": "English", "zh": "中文"}


@dataclass(frozen=True, slots=True)
class Words:
    """The page's words in one language."""

    subtitle: str
    language_switch: str
    new_chat: str
    welcome: str
    welcome_more: str
    suggestions: str
    conversation: str
    you: str
    assistant: str
    write: str
    send: str
    hint: str
    typing: str
    useful: str
    not_useful: str
    thanks: str
    sorry: str
    correction_label: str
    correction_hint: str
    correction_send: str
    correction_skip: str
    correction_topic: str
    correction_as_understood: str
    correction_kept: str
    correction_stored: str
    comment_sorry: str
    comment_label: str
    comment_hint: str
    comment_send: str
    comment_kept: str
    source: str
    sources: str
    open_link: str
    score: str
    why: str
    behind: str
    behind_empty: str
    decision: str
    intent: str
    no_intent: str
    alternatives: str
    sentiment: str
    language: str
    slots: str
    none: str
    origin: str
    scores: str
    threshold: str
    versions: str
    timing: str
    total: str
    trouble: str
    not_stored: str
    shortened: str


ENGLISH = Words(
    subtitle="Answers at once",
    language_switch="Language of this page",
    new_chat="New conversation",
    welcome="Hello! How can we help?",
    welcome_more="Ask in your own words. Each answer shows what it is based on, and a person takes over where needed.",
    suggestions="People often ask",
    conversation="Conversation",
    you="You",
    assistant="Assistant",
    write="Write a message…",
    send="Send",
    hint="Enter sends, Shift + Enter starts a new line",
    typing="The assistant is writing",
    useful="This helped",
    not_useful="This did not help",
    thanks="Thank you for your rating.",
    sorry="Thank you. What should the answer have been?",
    correction_label="The right answer (optional)",
    correction_hint="Write the answer you would have wished for…",
    correction_send="Send correction",
    correction_skip="No, thanks",
    correction_topic="The right topic (optional)",
    correction_as_understood="Topic as understood",
    correction_kept="Thank you. From now on this is the answer, and the next training learns from it.",
    correction_stored="Thank you, your correction is stored. It holds what fits this customer only, so nobody else is told it.",
    comment_sorry="Thank you. What was wrong with the answer?",
    comment_label="What was wrong (optional)",
    comment_hint="Write what was wrong or missing…",
    comment_send="Send comment",
    comment_kept="Thank you, your comment is stored.",
    source="Based on one source",
    sources="Based on {count} sources",
    open_link="Open the article",
    score="match",
    why="Why this answer?",
    behind="Behind the answer",
    behind_empty="Ask something, and this panel shows how the answer was found: what was understood, how surely, from what.",
    decision="Decision",
    intent="Topic",
    no_intent="no topic recognised",
    alternatives="Also possible",
    sentiment="Mood",
    language="Language",
    slots="Details found",
    none="none",
    origin="Answer made from",
    scores="Scores and thresholds",
    threshold="needed",
    versions="Versions",
    timing="Time",
    total="total",
    trouble="Sorry, something went wrong on our side and your message could not be answered. Please send it again in a moment.",
    not_stored="Sorry, that could not be stored. Please try again.",
    shortened="… {count} more characters, not shown here",
)

CHINESE = Words(
    subtitle="即时回复",
    language_switch="页面语言",
    new_chat="新对话",
    welcome="您好！有什么可以帮您？",
    welcome_more="请用您自己的话提问。每个回答都会注明依据；需要时由人工客服接手。",
    suggestions="大家常问",
    conversation="对话",
    you="您",
    assistant="助手",
    write="请输入消息…",
    send="发送",
    hint="回车发送，Shift + 回车换行",
    typing="助手正在输入",
    useful="有帮助",
    not_useful="没有帮助",
    thanks="感谢您的评价。",
    sorry="感谢反馈。正确的回答应该是什么？",
    correction_label="正确的回答（选填）",
    correction_hint="写下您希望得到的回答…",
    correction_send="提交更正",
    correction_skip="不用了",
    correction_topic="正确的主题（选填）",
    correction_as_understood="主题理解正确",
    correction_kept="谢谢。今后将这样回答，下次训练也会学习。",
    correction_stored="谢谢，您的更正已保存。其中的内容只适用于这位客户，不会告诉其他人。",
    comment_sorry="感谢反馈。这个回答哪里不对？",
    comment_label="哪里不对（选填）",
    comment_hint="写下哪里不对或缺少什么…",
    comment_send="提交意见",
    comment_kept="谢谢，您的意见已保存。",
    source="依据 1 条资料",
    sources="依据 {count} 条资料",
    open_link="打开文章",
    score="匹配",
    why="为什么这样回答？",
    behind="回答背后",
    behind_empty="提一个问题，这里就会显示回答是怎么来的：理解成了什么、有多大把握、依据哪些资料。",
    decision="决定",
    intent="主题",
    no_intent="未识别出主题",
    alternatives="其他可能",
    sentiment="情绪",
    language="语言",
    slots="识别到的信息",
    none="无",
    origin="回答来源",
    scores="得分与阈值",
    threshold="需达到",
    versions="版本",
    timing="用时",
    total="合计",
    trouble="抱歉，我们这边出了点问题，没能回答您的消息。请稍后再发一次。",
    not_stored="抱歉，没能保存。请再试一次。",
    shortened="… 其余 {count} 个字符未显示",
)

_WORDS = {"en": ENGLISH, "zh": CHINESE}

#: Code -> name in English and in Chinese; a code that is not here is shown with its underscores as spaces.
_NAMES: dict[str, dict[str, tuple[str, str]]] = {
    "action": {
        "send": ("Answered", "已回答"),
        "clarify": ("Asked back", "需要确认"),
        "handoff": ("Passed to a person", "转人工"),
    },
    "badge": {
        "clarify": ("One question first", "先确认一下"),
        "handoff": ("A person takes over", "转接人工客服"),
    },
    "origin": {
        "template": ("approved answer", "审核过的回答"),
        "reply": ("a colleague's earlier reply", "客服以往的回复"),
        "article": ("help article", "帮助文章"),
        "generated": ("written by the language model", "语言模型撰写"),
        "ask": ("question for a missing detail", "询问缺少的信息"),
        "choices": ("two possible readings", "两种可能的理解"),
        "social": ("small talk", "寒暄"),
        "correction": ("an answer that a colleague put right", "同事更正过的回答"),
    },
    "sentiment": {"negative": ("negative", "消极"), "neutral": ("neutral", "中性"), "positive": ("positive", "积极")},
    "kind": {"article": ("Article", "文章"), "reply": ("Past reply", "往期回复"), "template": ("Approved answer", "标准回答")},
    "language": {"en": ("English", "英语"), "zh": ("Chinese", "中文"), "und": ("not clear", "不确定")},
    "stage": {
        "redact": ("Hide personal data", "隐去个人信息"),
        "understand": ("Understand", "理解"),
        "retrieve": ("Find sources", "检索"),
        "compose": ("Write", "撰写"),
        "check": ("Check", "核对"),
        "store": ("Store", "保存"),
    },
    "slot": {
        "order_number": ("Order number", "订单号"),
        "tracking_number": ("Tracking number", "运单号"),
        "product": ("Product", "产品"),
        "email": ("E-mail", "邮箱"),
        "phone": ("Phone", "电话"),
        "date": ("Date", "日期"),
        "name": ("Name", "姓名"),
    },
    "score": {
        "confidence": ("Confidence", "置信度"),
        "out_of_scope": ("Not our business", "与本公司无关"),
        "evidence": ("Evidence", "依据"),
        "margin": ("Lead over the next topic", "领先下一主题"),
    },
    "reason": {
        "template": ("The company's approved answer fits.", "公司审核过的回答符合您的问题。"),
        "reply": ("A colleague answered this before.", "客服以前回答过这个问题。"),
        "article": ("A help article covers it.", "帮助文章里有说明。"),
        "generated": ("Written from the sources below it.", "根据下方资料撰写。"),
        "social": ("A greeting, thanks or goodbye.", "问候、感谢或告别。"),
        "corrected": ("A colleague put the answer to this question right.", "同事更正过这个问题的回答。"),
        "asked_for_person": ("You asked for a person.", "您要求转人工。"),
        "turned_sour": ("The conversation has turned sour: a person is asked for.", "对话气氛转差，已请人工介入。"),
        "sour_from_start": ("You have been unhappy for several messages.", "您已连续多次表示不满，已请人工介入。"),
        "unsure_twice": ("Still not sure enough after asking back.", "确认之后仍然没有足够把握。"),
        "ungrounded": ("No source backs an answer.", "没有可靠资料支持回答。"),
        "failure": ("Something failed on our side.", "我们这边出了故障。"),
        "out_of_scope": ("This seems to be about something else.", "这似乎与本公司无关。"),
        "low_evidence": ("Nothing fitting was found.", "没有找到相关资料。"),
        "low_confidence": ("Not sure enough what is meant.", "不太确定您的意思。"),
        "two_readings": ("It can be read in two ways.", "有两种可能的理解。"),
        "missing_slot": ("A detail is missing.", "还缺少一项信息。"),
        "empty": ("There are no words to answer.", "消息里没有文字。"),
    },
}

#: Topics worth starting from, and how a customer would put them; shown only when the company has an answer to the topic.
_STARTERS: dict[str, tuple[str, str]] = {
    "order_status": ("Where is my order?", "我的订单到哪了？"),
    "return_policy": ("How long do I have to return something?", "买了之后多久可以退货？"),
    "damaged_on_arrival": ("My parcel arrived damaged", "收到的东西是坏的"),
    "wifi_offline": ("My device won't connect to the Wi-Fi", "设备连不上 Wi-Fi"),
    "double_charge": ("I was charged twice", "我被重复扣款了"),
    "speak_to_human": ("I'd like to talk to a person", "我想找人工客服"),
}
_ANYWHERE = (
    ("How can I reach you?", "怎么联系你们？"),
    ("What can you help me with?", "你能帮我做什么？"),
    ("I have a complaint", "我要投诉"),
    ("I'd like to talk to a person", "我想找人工客服"),
)


def words(lang: str) -> Words:
    """Return the page's words.

    Args:
        lang: ``en`` or ``zh``; English for anything else.

    Returns:
        The words in that language.
    """
    return _WORDS.get(lang, ENGLISH)


def name(kind: str, code: str, lang: str) -> str:
    """Say a machine's code in words.

    Args:
        kind: What the code names: ``action``, ``badge``, ``origin``, ``sentiment``, ``kind``, ``language``, ``stage``, ``slot``,
            ``score`` or ``reason``.
        code: The code, such as ``low_confidence``.
        lang: ``en`` or ``zh``.

    Returns:
        The name, or the code with spaces for underscores where there is none.
    """
    known = _NAMES[kind].get(code)
    return known[lang == "zh"] if known else code.replace("_", " ").strip()


def has_name(kind: str, code: str) -> bool:
    """Say whether a code has a name of its own; see ``name``."""
    return code in _NAMES[kind]


def starters(titles: Mapping[str, str], lang: str, most: int = 6) -> tuple[str, ...]:
    """Choose suggestions to start from.

    Args:
        titles: The company's topics that have an approved answer in this language, each with its title, in order.
        lang: ``en`` or ``zh``.
        most: At most so many.

    Returns:
        At least four, no two alike: well-known topics first, then the company's own, then what fits any company.
    """
    side = lang == "zh"
    chosen = [phrase[side] for topic, phrase in _STARTERS.items() if topic in titles]
    own = [title for topic, title in titles.items() if topic not in _STARTERS]
    for phrase in (*own, *(phrase[side] for phrase in _ANYWHERE)):
        if len(chosen) < 4 and phrase not in chosen:
            chosen.append(phrase)
    return tuple(chosen[:most])


def page_language(accepted: str | None, offered: Collection[str]) -> str:
    """Choose the page's first language.

    Args:
        accepted: The browser's ``Accept-Language`` header.
        offered: The company's languages.

    Returns:
        ``zh`` for a Chinese browser, or when the company speaks only Chinese; else ``en``.
    """
    wanted = (accepted or "").split(",")[0].strip().lower()
    if "zh" in offered and (wanted.startswith("zh") or "en" not in offered):
        return "zh"
    return "en"
