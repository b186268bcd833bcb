"""Forgetting a customer: no words are left in what was learned, proposed or half written."""

from __future__ import annotations

import json
import os
from pathlib import Path

from assistant.learning import transcript_ref
from tests.ui.commands import CHAT, Run
from ui import wiring
from ui.discovered import note_folder


def test_who_is_forgotten_leaves_no_words_in_what_was_learned(run: Run, tmp_path: Path) -> None:
    (tmp_path / "chat.jsonl").write_text(CHAT + "\n")
    run("ingest", "chat.jsonl")
    home = tmp_path / "home"
    with wiring.connect(wiring.read_settings(home), home) as store:
        ref = transcript_ref(store.sources()[0].id, "c1")
        store.learning.record_uses("intent", "v1", [ref])
    page, held = home / "runs" / "intent" / "v1" / "run.html", home / "holdout" / "intent.jsonl"
    page.parent.mkdir(parents=True)
    page.write_text("my garden robot beeps")
    held.parent.mkdir()
    rows = [{"text": "my garden robot beeps", "label": "beeps", "ref": ref}, {"text": "own", "label": "beeps"}]
    held.write_text("\n".join(json.dumps(row) for row in rows))
    torn = held.parent / ".intent.jsonl.4711"
    torn.write_text("left by a writer that was killed: my garden robot beeps")
    os.utime(torn, (0, 0))
    ran = run("forget", "c0042", "--yes", "--json").json
    none: list[str] = []
    assert ran == {
        **{"contact": "c0042", "known": True, "conversations": 1, "holdout_rows": 1, "run_pages": 1},
        **{"discoveries_deleted": none, "discoveries_left": none},
    }
    assert list(held.parent.iterdir()) == [held]
    assert not page.exists() and [json.loads(line)["text"] for line in held.read_text().splitlines()] == ["own"]


def test_who_is_forgotten_leaves_no_words_in_proposals_of_the_home_and_those_elsewhere_are_named(
    run: Run, tmp_path: Path
) -> None:
    (tmp_path / "chat.jsonl").write_text(CHAT + "\n")
    run("ingest", "chat.jsonl")
    home, other = tmp_path / "home", tmp_path / "elsewhere"
    for folder in (home / "discover", home / "second", other):
        folder.mkdir()
        (folder / "intents.csv").write_text("text,label\nmy garden robot beeps,beeps\n")
        note_folder(home, folder)
    (home / "second" / ".intents.csv-0f").write_text("left by a writer that was killed: my garden robot beeps")
    (home / "second" / "own.txt").write_text("not of ours")
    unknown = run("forget", "c0", "--yes", "--json").json
    assert (
        isinstance(unknown, dict)
        and not unknown["known"]
        and unknown["discoveries_deleted"] == []
        and len(unknown["discoveries_left"]) == 4
    )
    assert "the store knows nobody by this name" in run("forget", "c0", "--yes").out
    ran = run("forget", "c0042", "--yes")
    assert ran.code == 0 and f"deleted too, as proposals hold customers' words: {home / 'second' / 'intents.csv'}" in ran.out
    assert f"may hold the contact's words still, delete it and its copies yourself: {other / 'intents.csv'}" in ran.out
    assert [path.relative_to(tmp_path) for path in sorted(tmp_path.rglob("*.csv*"))] == [Path("elsewhere/intents.csv")]
    assert (home / "second" / "own.txt").exists()
    again = run("forget", "c0042", "--yes", "--json").json
    assert isinstance(again, dict) and again["discoveries_left"] == [str(other / "intents.csv")]
