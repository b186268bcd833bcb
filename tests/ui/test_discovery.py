"""``adapters discover``: from the store or a file to the files a person edits, and what is said about it."""

from __future__ import annotations

import csv
import gzip
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from assistant.encoder import Encoder
from assistant.errors import TrainingError, TranscriptError, UsageError
from assistant.sources import SourceRecord
from assistant.transcripts import read_transcripts
from finetune.examples import read_labelled
from ui import discovery
from ui.discovery import run_discover
from ui.sample import Sample
from ui.wiring import connect, read_settings


@pytest.fixture
def at_home(small_sample: Sample, encoder: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home that holds the sample company's conversations, with the encoder already loaded."""
    place = tmp_path / "home"
    monkeypatch.setenv("DESKHAND_HOME", str(place))
    monkeypatch.delenv("DESKHAND_CONFIG", raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(discovery, "load_encoder", lambda settings: encoder)
    source = SourceRecord("s", "conversations", "logs", "00", "jsonl", datetime(2026, 1, 2, tzinfo=UTC))
    with connect(read_settings(place), place) as store:
        store.add_source(source, read_transcripts(small_sample.conversations))
    return place


def discover(**changes: Any) -> None:
    values: dict[str, Any] = {"out": None, "data": None, "least": 3, "as_json": False, **changes}
    run_discover(**values)


def messages(count: int = 60) -> list[str]:
    sayings = ("where is parcel number {}", "I want my money back for item {}", "reset the password of account {}")
    return [sayings[at % 3].format(f"x{at}y") for at in range(count)]


def test_the_store_becomes_files_that_training_reads(at_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    discover(as_json=True)
    told = json.loads(capsys.readouterr().out)
    assert told["openings"] == 150 and 0 <= told["none_share"] < 1
    assert told["files"]["intents"] == str(at_home / "discover" / "intents.csv")
    rows = read_labelled(at_home / "discover" / "intents.csv")
    names = [intent["name"] for intent in told["intents"]]
    assert list(dict.fromkeys(row.label for row in rows)) == names and len(names) > 3
    assert [intent["size"] for intent in told["intents"]] == sorted((one["size"] for one in told["intents"]), reverse=True)


def test_the_table_shows_names_sizes_and_what_to_do_next(
    at_home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("out", "again"):
        discover(out=tmp_path / name)
    noted = at_home / "discoveries.json"
    assert json.loads(noted.read_text()) == [str(tmp_path / "out"), str(tmp_path / "again")]
    assert noted.stat().st_mode & 0o077 == 0
    shown = capsys.readouterr().out
    assert "proposed intents" in shown and "most central" in shown
    # The terminal may fold the line; words are looked for without breaks.
    assert "deskhand adapters train intent --data" in " ".join(shown.split())
    assert (tmp_path / "out" / "intents.md").read_text().startswith("# Proposed intents")
    assert not (at_home / "discover").exists()


@pytest.mark.parametrize("form", ["csv", "csv.gz", "jsonl"])
def test_messages_of_a_file_are_grouped_and_redacted(at_home: Path, tmp_path: Path, form: str) -> None:
    texts = [*messages(), "my address for the parcel is anna.smith@example.com"]
    file = tmp_path / f"messages.{form}"
    if form == "jsonl":
        file.write_text("".join(json.dumps({"text": text, "lang": "en"}) + "\n" for text in texts))
    else:
        with (gzip.open if form.endswith("gz") else open)(file, "wt", encoding="utf-8", newline="") as stream:  # type: ignore[operator]
            csv.writer(stream).writerows([["text"], *([text] for text in texts)])
    discover(data=file, out=tmp_path / "out")
    labels: dict[str, set[str]] = {}
    for row in read_labelled(tmp_path / "out" / "intents.csv"):
        labels.setdefault(row.label, set()).add(row.text.split()[0])
    assert len(labels) >= 3 and sum(len(starts) == 1 for starts in labels.values()) >= len(labels) - 1
    written = "".join(path.read_text() for path in (tmp_path / "out").iterdir())
    assert "[EMAIL_1]" in written and "anna.smith" not in written


def test_a_log_gives_each_conversations_first_customer_message(at_home: Path, tmp_path: Path) -> None:
    file = tmp_path / "log.jsonl"
    lines = []
    for at, text in enumerate(messages()):
        turns = [("agent", "Hello, how can I help?"), ("customer", text), ("customer", "are you there?")]
        lines.append({"id": f"c{at}", "turns": [{"role": role, "text": said} for role, said in turns]})
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    discover(data=file, out=tmp_path / "out")
    written = {row.text for row in read_labelled(tmp_path / "out" / "intents.csv")}
    assert written and written <= set(messages())


def test_too_few_openings_are_refused_before_the_encoder_is_loaded(
    at_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(discovery, "load_encoder", lambda settings: pytest.fail("loaded"))
    file = tmp_path / "few.csv"
    file.write_text("text\n" + "where is it\n" * 200)
    with pytest.raises(TrainingError, match=r"few\.csv holds 1 different.*at least 50"):
        discover(data=file, out=tmp_path / "out")


def test_an_empty_store_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DESKHAND_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("DESKHAND_CONFIG", raising=False)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TrainingError, match=r"the store holds 0 .*deskhand ingest"):
        discover()


def test_an_edited_proposal_is_kept(at_home: Path) -> None:
    (at_home / "discover").mkdir()
    (at_home / "discover" / "intents.csv").write_text("edited")
    with pytest.raises(TrainingError, match="may hold edits"):
        discover()
    assert (at_home / "discover" / "intents.csv").read_text() == "edited"


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("absent.csv", None, "no such file"),
        ("latin.csv", b"text\nstra\xdfe\n", "UTF-8"),
        ("mixed.jsonl", b'{"text": "where is it"}\n{"title": "x"}\n', r"mixed\.jsonl:2: no 'text'"),
        ("broken.jsonl", b'{"text": "where is it"}\n{"text": \n', r"broken\.jsonl:2"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(
    at_home: Path, tmp_path: Path, name: str, content: bytes | None, complaint: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(TranscriptError, match=complaint):
        discover(data=tmp_path / name, out=tmp_path / "out")


def test_intents_of_one_message_are_refused(at_home: Path) -> None:
    with pytest.raises(UsageError, match="--least 1"):
        discover(least=1)
