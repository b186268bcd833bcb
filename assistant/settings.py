"""``deskhand.toml`` and ``DESKHAND_*`` variables -> one frozen ``Settings``; every fault is reported at once.

Environment beats file beats default. Nested keys are written ``DESKHAND_SERVE__PORT=8080``. Unknown keys are refused,
because a misspelt threshold that is silently ignored is the worst kind of setting. Knows nothing of what uses a value.
"""

from __future__ import annotations

import difflib
import json
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from assistant.cron import check_cron
from assistant.errors import SettingsError, UsageError
from assistant.monitor import targets
from assistant.monitor.secrets import check_secret

ENV_PREFIX = "DESKHAND_"
#: Variables that carry the prefix and are read elsewhere, before or beside the settings.
OTHER_VARIABLES = frozenset({"DESKHAND_HOME", "DESKHAND_CONFIG"})


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def _cron(text: str) -> str:
    try:
        if text.strip():
            check_cron(text)
    except UsageError as error:
        raise ValueError(f'{error} (or "" for never)') from error
    return text.strip()


def _zone(text: str) -> str:
    try:
        ZoneInfo(text)
    except (KeyError, ValueError, OSError) as error:
        close = difflib.get_close_matches(text, available_timezones(), n=1)
        meant = f"did you mean {close[0]!r}?" if close else 'write it like "Europe/Berlin"'
        raise ValueError(f"no such time zone; {meant}") from error
    return text


def _once_each(names: tuple[str, ...]) -> tuple[str, ...]:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"{', '.join(twice)} stands there twice; name each once")
    return names


def _receiver(url: str) -> str:
    try:
        targets.parse(url)
    except UsageError as error:
        raise ValueError(str(error)) from error
    return url


def _secret(text: str) -> str:
    try:
        return check_secret(text)
    except UsageError as error:
        raise ValueError(str(error)) from error


def _service(url: str) -> str:
    if not re.match(r"[a-z][a-z0-9+.-]*://", url, re.IGNORECASE):
        raise ValueError("no apprise URL: write it like mailtos://user:password@host, as its page at appriseit.com says")
    return url


class Company(_Section):
    """Who is speaking; appears in replies and on pages."""

    name: str = "Your company"
    languages: tuple[str, ...] = Field(default=("en",), min_length=1)
    support_hours: str = ""


class Store(_Section):
    """Where conversations live: a SQLAlchemy URL; empty means SQLite in the home folder."""

    url: str = ""


class Encoder(_Section):
    """The frozen base encoder: a directory, or a sentence-transformers model name."""

    model: str = "all-MiniLM-L6-v2"
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    threads: int = Field(default=0, ge=0, le=256, description="0: as many as the machine has cores")


class Index(_Section):
    """How passages are indexed."""

    flat_below: int = Field(default=50_000, ge=0)
    gpu: Literal["auto", "never"] = "auto"
    near_duplicate: float = Field(default=0.97, gt=0.5, le=1.0)
    keep_versions: int = Field(default=3, ge=2, le=100)


class Retrieve(_Section):
    """How many passages come back."""

    k: int = Field(default=8, ge=1, le=100)


class Answer(_Section):
    """Thresholds of the check; an empty value means the one stored with the adapter or index."""

    min_confidence: float | None = Field(default=None, ge=0.0, le=1.0)
    max_out_of_scope: float | None = Field(default=None, ge=0.0, le=1.0)
    min_evidence: float | None = Field(default=None, ge=0.0, le=1.0)
    choice_margin: float = Field(default=0.15, ge=0.0, le=1.0)


class CsvColumns(_Section):
    """Which columns of a CSV log hold what; one row is one turn."""

    conversation: str = "conversation_id"
    role: str = "role"
    text: str = "text"
    at: str = ""
    contact: str = ""
    resolved: str = ""
    rating: str = ""
    customer_roles: tuple[str, ...] = ("customer", "user", "client", "visitor", "end-user")
    agent_roles: tuple[str, ...] = ("agent", "admin", "support", "human", "operator", "assistant")


class Ingest(_Section):
    """Reading logs and articles."""

    csv: CsvColumns = CsvColumns()
    max_text_chars: int = Field(default=20_000, ge=100)


class Redact(_Section):
    """Which personal data is looked for, besides what is always replaced."""

    phone_regions: tuple[str, ...] = ("GB", "US", "CN", "DE")
    order_patterns: tuple[str, ...] = (r"FW[- ]?\d{6}",)
    tracking_patterns: tuple[str, ...] = (r"FWT\d{10}",)


class Serve(_Section):
    """The web server."""

    host: str = "127.0.0.1"
    port: int = Field(default=7860, ge=0, le=65535)
    tokens: tuple[str, ...] = Field(default=(), description="Bearer tokens of the REST API; none: local use only")


class Retrain(_Section):
    """What is learned from conversations, and when a new version is good enough."""

    tasks: Annotated[tuple[Literal["intent", "dialog"], ...], AfterValidator(_once_each)] = Field(
        default=("intent",), min_length=1
    )
    min_examples: int = Field(default=20, ge=1, le=1_000_000)
    method: Literal["lora", "adalora", "ia3", "prefix", "prompt"] = "lora"
    epochs: int = Field(default=6, ge=1, le=1000)
    replay: float = Field(default=0.5, ge=0.0, le=1.0)
    holdout_share: float = Field(default=0.15, gt=0.0, le=0.5)
    max_drop: float = Field(default=0.02, ge=0.0, le=1.0)
    floors: dict[str, Annotated[float, Field(ge=0.0, le=1.0)]] = {}
    allowed_forgotten: int = Field(default=0, ge=0, le=1_000_000)
    auto_promote: bool = True
    try_share: float = Field(default=0.0, ge=0.0, le=1.0)
    max_minutes: float = Field(default=120.0, gt=0.0, le=10_080.0)


class Schedule(_Section):
    """When jobs run by themselves, under `deskhand schedule`."""

    retrain: Annotated[str, AfterValidator(_cron)] = "0 3 * * *"
    timezone: Annotated[str, AfterValidator(_zone)] = "UTC"
    lease_s: float = Field(default=120.0, ge=10.0, le=3600.0)
    check_rollouts_s: float = Field(default=60.0, ge=1.0, le=86_400.0)


Chance = Annotated[float, Field(ge=0.0, le=1.0)]
ReceiverName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,39}$")]


class Monitor(_Section):
    """The sentiment monitor: when a topic counts as turning sour, and when reports are written."""

    enabled: bool = True
    false_alerts: float = Field(default=1.0, ge=1e-6, le=1000.0)
    per_days: float = Field(default=28.0, ge=1.0, le=3660.0)
    minimum: int = Field(default=5, ge=2, le=1_000_000)
    negative_above: dict[str, Chance] = {}
    half_life_days: float = Field(default=56.0, ge=3.0, le=91.0)
    quiet_days: float = Field(default=14.0, ge=1.0, le=366.0)
    daily: Annotated[str, AfterValidator(_cron)] = "0 7 * * *"
    weekly: Annotated[str, AfterValidator(_cron)] = "0 7 * * 1"
    check_s: float = Field(default=60.0, ge=1.0, le=86_400.0)


class WebhookReceiver(_Section):
    """A webhook that alerts are posted to."""

    name: ReceiverName
    url: Annotated[str, AfterValidator(_receiver)] = Field(repr=False)
    secret: Annotated[str, AfterValidator(_secret)] = Field(repr=False)


class AppriseReceiver(_Section):
    """A mail address or chat service that alerts are sent to."""

    name: ReceiverName
    url: Annotated[str, AfterValidator(_service)] = Field(repr=False)


class Notify(_Section):
    """Who is told of alerts."""

    allow_private: bool = False
    give_up_hours: float = Field(default=72.0, gt=0.0, le=8784.0)
    webhooks: tuple[WebhookReceiver, ...] = ()
    apprise: tuple[AppriseReceiver, ...] = ()

    @model_validator(mode="after")
    def _receivers(self) -> Notify:
        """Refuse names that stand there twice, and addresses inside the network."""
        names = [*(one.name for one in self.webhooks), *(one.name for one in self.apprise)]
        twice = sorted({name for name in names if names.count(name) > 1})
        faults = [f"receiver {name!r} stands there twice; give each its own name" for name in twice]
        for webhook in self.webhooks if not self.allow_private else ():
            host = targets.parse(webhook.url).host
            fault = targets.literal_fault(host)
            if fault:
                mend = "name a public receiver, or set notify.allow_private = true"
                faults.append(f"webhook {webhook.name!r} goes to {host}, which is {fault}; {mend}")
        if faults:
            raise ValueError("; ".join(faults))
        return self


class Settings(BaseSettings):
    """Every setting of Deskhand."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX, env_nested_delimiter="__", extra="forbid", frozen=True, nested_model_default_partial_update=True
    )

    company: Company = Company()
    store: Store = Store()
    encoder: Encoder = Encoder()
    index: Index = Index()
    retrieve: Retrieve = Retrieve()
    answer: Answer = Answer()
    ingest: Ingest = Ingest()
    redact: Redact = Redact()
    serve: Serve = Serve()
    retrain: Retrain = Retrain()
    schedule: Schedule = Schedule()
    monitor: Monitor = Monitor()
    notify: Notify = Notify()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Let the environment win over the file, whose values arrive as init arguments."""
        return env_settings, init_settings


def home(environment: Mapping[str, str] | None = None) -> Path:
    """Return ``$DESKHAND_HOME``, or ``.deskhand`` in the working directory."""
    environment = os.environ if environment is None else environment
    return Path(environment.get("DESKHAND_HOME") or ".deskhand").expanduser().resolve()


def load(path: Path | None = None) -> Settings:
    """Read the settings file and the environment.

    Args:
        path: The TOML file. ``None`` means ``$DESKHAND_CONFIG``, else ``deskhand.toml`` if it is there.

    Returns:
        The frozen settings.

    Raises:
        SettingsError: With every fault found, each naming its key and the mend.
    """
    named = path or (Path(os.environ["DESKHAND_CONFIG"]) if os.environ.get("DESKHAND_CONFIG") else None)
    file = named or Path("deskhand.toml")
    values: dict[str, Any] = {}
    if file.is_file():
        try:
            values = tomllib.loads(file.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise SettingsError([f"not valid TOML: {error}"], source=str(file)) from error
        except OSError as error:
            raise SettingsError([f"cannot be read ({error.strerror}); check its permissions"], source=str(file)) from error
    elif named is not None:
        raise SettingsError(["the file does not exist; `deskhand init` writes one"], source=str(file))
    faults = list(_unknown_variables(os.environ))
    # pydantic-settings takes arguments with an underscore as orders to itself, not as settings.
    faults += [f"{key}: unknown setting" for key in values if key.startswith("_")]
    values = {key: value for key, value in values.items() if not key.startswith("_")}
    try:
        settings = Settings(**values)
    except ValidationError as error:
        faults += [_fault(entry) for entry in error.errors() if not _is_variable(entry)]
    except Exception as error:  # pydantic-settings wraps undecodable variables in its own error
        if type(error).__name__ != "SettingsError":
            raise
        section = re.search(r'field "(\w+)"', str(error))
        prefix = f"{ENV_PREFIX}{section[1]}".upper() if section else ENV_PREFIX
        names = ", ".join(sorted(name for name in os.environ if name.startswith(prefix)))
        faults.append(f'{names}: {error}; lists are written as JSON, for example \'["en", "zh"]\'')
    if faults:
        raise SettingsError(faults, source=str(file) if values else "environment")
    return settings


def _known_keys(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for name, info in model.model_fields.items():
        key = f"{prefix}{name}"
        yield key
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
            yield from _known_keys(info.annotation, f"{key}.")


def _nearest(key: str) -> str:
    close = difflib.get_close_matches(key, list(_known_keys(Settings)), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def _fault(entry: Any) -> str:
    key = ".".join(str(part) for part in entry["loc"])
    if entry["type"] == "extra_forbidden":
        return f"{key}: unknown setting{_nearest(key)}"
    if entry["loc"][0] == "notify" and not isinstance(entry.get("input"), (bool, int, float)):
        return f"{key}: {entry['msg'].removeprefix('Value error, ')}"  # what was written there may be a secret
    return f"{key} = {json.dumps(entry.get('input'), default=str)}: {entry['msg'].removeprefix('Value error, ')}"


def _is_variable(entry: Any) -> bool:
    """Say whether an unknown key came from a variable, which is named already."""
    variable = ENV_PREFIX + "__".join(str(part) for part in entry["loc"]).upper()
    return entry["type"] == "extra_forbidden" and variable in os.environ


def _unknown_variables(environment: Mapping[str, str]) -> Iterator[str]:
    known = {ENV_PREFIX + key.replace(".", "__").upper() for key in _known_keys(Settings)}
    for name in environment:
        if name.startswith(ENV_PREFIX) and name not in known and name not in OTHER_VARIABLES:
            key = name.removeprefix(ENV_PREFIX).replace("__", ".").lower()
            yield f"{name}: unknown variable{_nearest(key)}"
