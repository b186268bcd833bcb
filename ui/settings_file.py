"""The commented ``deskhand.toml`` that ``deskhand init`` writes, made from the Settings model so that it cannot drift.

Knows how TOML is written and one sentence per setting; a test holds the sentences to the model's fields.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from assistant.errors import SettingsError, UsageError
from assistant.settings import ENV_PREFIX, Settings

FILE_NAME = "deskhand.toml"

#: One sentence for each setting whose field carries no description of its own.
SENTENCES: Mapping[str, str] = {
    "company.name": "The name customers know you by.",
    "company.languages": "Languages you answer in, ISO 639-1; the first is used when a message gives no sign.",
    "company.support_hours": 'When people take over, in words, such as "Mon-Fri 9-17"; named in handoffs.',
    "store.url": 'A database of your own, such as "postgresql+psycopg://user@host/deskhand"; empty: SQLite in the home folder.',
    "encoder.model": "A local directory, or the name of a sentence-transformers model.",
    "encoder.dtype": "Number format of large batches; auto takes bfloat16 where the processor has matrix tiles for it.",
    "index.flat_below": "Up to so many passages every vector is compared; above, a graph is searched.",
    "index.gpu": "auto searches on a GPU when FAISS finds one.",
    "index.near_duplicate": "Cosine from which two passages count as the same and fold into one.",
    "index.keep_versions": "How many index versions stay on disk.",
    "retrieve.k": "How many passages are looked at for an answer.",
    "answer.min_confidence": "Below this confidence nothing is sent; unset: as chosen when the adapter was trained.",
    "answer.max_out_of_scope": "Above this probability of being none of your business a person is asked; unset: as trained.",
    "answer.min_evidence": "Evidence scoring lower does not carry an answer; unset: as measured on the index.",
    "answer.choice_margin": "Two intents closer than this are offered to the customer as a choice.",
    "ingest.max_text_chars": "Longer messages are cut when they are read.",
    "ingest.csv.conversation": "Column with the conversation's id.",
    "ingest.csv.role": "Column that says who wrote.",
    "ingest.csv.text": "Column with what was written.",
    "ingest.csv.at": "Column with the time; empty for none.",
    "ingest.csv.contact": "Column with who the customer is; empty for none.",
    "ingest.csv.resolved": "Column that says whether it was solved; empty for none.",
    "ingest.csv.rating": "Column with the customer's rating; empty for none.",
    "ingest.csv.customer_roles": "Words in the role column that mean the customer.",
    "ingest.csv.agent_roles": "Words in the role column that mean your people.",
    "redact.phone_regions": "Countries whose national phone numbers are recognised, ISO 3166.",
    "redact.order_patterns": "Regular expressions of your order numbers.",
    "redact.tracking_patterns": "Regular expressions of your tracking numbers.",
    "serve.host": "Address to listen on; 0.0.0.0 for the whole network.",
    "serve.port": "Port to listen on.",
    "retrain.tasks": "What is retrained: intent, dialog, or both.",
    "retrain.min_examples": "Fewer new examples wait for the next run.",
    "retrain.method": "How the adapter is trained.",
    "retrain.epochs": "Most passes over the examples.",
    "retrain.replay": "Share of all older examples that is mixed into the new ones, so that they are not forgotten.",
    "retrain.holdout_share": "Share of the new examples that is never trained on and judges every version.",
    "retrain.max_drop": "A candidate whose score on the holdout falls by more is refused.",
    "retrain.floors": "Least recall of intents that matter most, such as { refund = 0.9 }; a candidate below is refused.",
    "retrain.allowed_forgotten": "Regression cases that the champion gets right and a candidate may get wrong.",
    "retrain.auto_promote": "Whether a candidate that passes every check serves at once; if not, `deskhand adapters promote`.",
    "retrain.try_share": "Above 0 a candidate that passes is first tried on this share of conversations.",
    "retrain.max_minutes": "A retraining that takes longer is stopped.",
    "schedule.retrain": 'When to retrain: minute, hour, day of month, month, day of week, as in crontab; "" for never.',
    "schedule.timezone": "The time zone of these times, of reports and of the monitor's seasons, such as Europe/Berlin.",
    "schedule.lease_s": "A scheduler that died is replaced by another after so many seconds.",
    "schedule.check_rollouts_s": "Seconds between two looks at candidates that are tried on a share of conversations.",
    "monitor.enabled": "Whether what customers write is watched.",
    "monitor.false_alerts": "So many false alerts you put up with, over all topics and languages together, ...",
    "monitor.per_days": "... in so many days.",
    "monitor.minimum": "Fewer negative messages never raise an alert.",
    "monitor.negative_above": "Probability from which a message is negative, by language, like { zh = 0.6 }; unset: as trained.",
    "monitor.half_life_days": "What is usual is learned anew: what lies so many days back counts half.",
    "monitor.quiet_days": "An alert ends by itself after so many days without an unhappy message, if not before.",
    "monitor.daily": 'When the daily report is written, as in crontab and in schedule.timezone; "" for never.',
    "monitor.weekly": 'When the weekly report is written; "" for never.',
    "monitor.check_s": "Seconds between two looks at what customers wrote.",
    "notify.allow_private": "Whether alerts may be sent to addresses inside your own network.",
    "notify.give_up_hours": "An alert that could not be delivered for so long is given up.",
    "notify.webhooks": "Receivers of signed webhooks: "
    '[{ name = "ops", url = "https://example.com/hook", secret = "whsec_..." }].',
    "notify.apprise": 'Mail and chat, by apprise URL: [{ name = "team", url = "mailtos://user:password@example.com" }].',
}


def settings_text(values: Mapping[str, Any] | None = None) -> str:
    """Write out every setting with a sentence on it.

    Args:
        values: Settings other than their default, by dotted key.

    Returns:
        TOML that ``assistant.settings.load`` reads; settings without a value stand as comments.
    """
    lines = [
        "# Settings of Deskhand. Every setting stands here with its default; delete what you do not change.",
        f"# A variable of the environment wins over this file: {ENV_PREFIX}SERVE__PORT=8080 sets serve.port.",
    ]
    for section, model in _sections(Settings):
        comment = (model.__doc__ or "").strip().splitlines()[0]
        lines += ["", f"# {comment}", f"[{section}]"]
        for name, info in model.model_fields.items():
            if not _is_section(info):
                lines += _setting(f"{section}.{name}", name, info, values or {})
    return "\n".join(lines) + "\n"


def write_settings(folder: Path, *, force: bool, values: Mapping[str, Any] | None = None) -> Path:
    """Write ``deskhand.toml`` into a folder, whole or not at all.

    Args:
        folder: Made where missing.
        force: Whether a file that is there is overwritten.
        values: Settings other than their default, by dotted key.

    Returns:
        The file's path.

    Raises:
        UsageError: If the file is there and ``force`` is not given.
        SettingsError: If it cannot be written.
    """
    path = folder / FILE_NAME
    if path.exists() and not force:
        raise UsageError(f"{path} is there already; --force overwrites it")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f".{FILE_NAME}.new")
        fresh.write_text(settings_text(values), encoding="utf-8")
        fresh.replace(path)
    except OSError as error:
        raise SettingsError([f"cannot be written: {error.strerror}; name a folder that can be"], source=str(path)) from error
    return path


def leaf_keys() -> Iterator[str]:
    """Yield the dotted key of every setting.

    Yields:
        For example ``serve.port``.
    """
    for section, model in _sections(Settings):
        for name, info in model.model_fields.items():
            if not _is_section(info):
                yield f"{section}.{name}"


def _sections(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, type[BaseModel]]]:
    for name, info in model.model_fields.items():
        if _is_section(info):
            section: type[BaseModel] = info.annotation  # type: ignore[assignment]
            yield f"{prefix}{name}", section
            yield from _sections(section, f"{prefix}{name}.")


def _is_section(info: FieldInfo) -> bool:
    return isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel)


def _setting(key: str, name: str, info: FieldInfo, values: Mapping[str, Any]) -> list[str]:
    sentence = info.description or SENTENCES.get(key, "")
    comment = " ".join(part for part in (sentence, _allowed(info)) if part)
    value = values.get(key, info.get_default(call_default_factory=True))
    return [*([f"# {comment}"] if comment else []), f"# {name} =" if value is None else f"{name} = {_toml(value)}"]


def _allowed(info: FieldInfo) -> str:
    """Say which values are allowed, as far as the field tells."""
    names = [word for word in get_args(info.annotation) if isinstance(word, str)]
    limits = {}
    for rule in info.metadata:
        for sign in ("ge", "gt", "le", "lt"):
            if getattr(rule, sign, None) is not None:
                limits[sign] = getattr(rule, sign)
    said = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
    words = [f"{said[sign]} {limit}" for sign, limit in limits.items()]
    if names:
        words.append(f"one of {', '.join(names)}")
    return f"({', '.join(words)})" if words else ""


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        # A literal string needs no escapes, so patterns stay readable; JSON's escapes are TOML's for the rest.
        plain = "\\" in value and "'" not in value and value.isprintable()
        return f"'{value}'" if plain else json.dumps(value, ensure_ascii=False)
    if isinstance(value, (tuple, list)):
        return f"[{', '.join(_toml(item) for item in value)}]"
    if isinstance(value, BaseModel):
        return _toml(value.model_dump())
    if isinstance(value, dict):
        inside = ", ".join(f"{json.dumps(name, ensure_ascii=False)} = {_toml(item)}" for name, item in value.items())
        return f"{{ {inside} }}" if inside else "{}"
    return repr(value)
