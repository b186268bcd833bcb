"""How often the sample company's assistant is right, wrong or silent, on questions written apart from its data.

Every question starts a conversation of its own and goes through the whole pipeline. Right means: the intent is the
question's, and the reply is an answer of that intent (template, article section or past reply), or asks for the order
number that the intent needs, or hands over where a person was asked for.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


def sample_home(folder: Path) -> Path:
    """Set up the sample company in a folder, as ``deskhand demo --no-serve`` does, if it is not there yet."""
    import os

    command = [sys.executable, "-c", "from ui.cli import main; main()", "demo", "--no-serve"]
    environment = {**os.environ, "DESKHAND_HOME": str(folder)}
    subprocess.run(command, check=True, env=environment, cwd=ROOT, stdout=subprocess.DEVNULL)
    return folder


def rows(path: Path) -> list[dict[str, Any]]:
    """Read a JSONL file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def is_right(reply: dict[str, Any], wanted: str, answers: dict[str, str | None]) -> tuple[bool, bool]:
    """Return whether the intent is right, and whether intent and answer both are."""
    intent = reply["intent"]["name"] == wanted
    if not intent:
        return False, False
    if reply["action"] == "handoff":
        return True, reply["reason"] == "asked_for_person" and wanted in ("speak_to_human", "complaint")
    if reply["action"] == "clarify":
        return True, reply["reason"] == "missing_slot"
    return True, bool(reply["evidence"]) and answers.get(reply["evidence"][0]["id"]) == wanted


def measure(home: Path, questions: Iterable[dict[str, Any]], outside: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Ask every question and count.

    Returns:
        Shares by language (``intent_en``, ``right_en``, ``sent_en``, ``wrong_en``: sent and not right, ``n_en``), the share of
        ``outside`` messages answered anyway, and the replies that were wrong, for reading.
    """
    from assistant.settings import load
    from ui.wiring import build

    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch) / "home"
        shutil.copytree(home, copy)
        wired = build(load(copy / "deskhand.toml"), copy)
        counts: dict[str, list[int]] = {}
        misses: list[dict[str, Any]] = []
        for row in questions:
            reply = wired.assistant.turn(row["text"])
            label = row.get("intent", row.get("label"))
            found = reply.as_json()
            intent, right = is_right(found, label, {hit.passage.id: hit.passage.intent for hit in reply.evidence})
            sent = found["action"] == "send"
            counts.setdefault(row["lang"], []).append(intent + 2 * right + 4 * sent)
            if not right:
                misses.append({**row, "got": found["intent"], "action": found["action"], "reason": found["reason"]})
        answered = []
        for row in outside:
            found = wired.assistant.turn(row["text"]).as_json()
            answered.append(found["action"] == "send" or found["reason"] == "missing_slot")
            if answered[-1]:
                misses.append({**row, "got": found["intent"], "action": found["action"], "reason": found["reason"]})
        wired.close()
    figures: dict[str, Any] = {}
    for lang, codes in counts.items():
        total = len(codes)
        figures[f"intent_{lang}"] = sum(code & 1 for code in codes) / total
        figures[f"right_{lang}"] = sum(code & 2 > 0 for code in codes) / total
        figures[f"sent_{lang}"] = sum(code & 4 > 0 for code in codes) / total
        figures[f"wrong_{lang}"] = sum(code & 4 > 0 and not code & 2 for code in codes) / total
        figures[f"n_{lang}"] = total
    figures["answered_anyway"] = sum(answered) / len(answered) if answered else 0.0
    figures["n_outside"] = len(answered)
    return {"figures": figures, "misses": misses}


def talk(home: Path, conversations: Iterable[dict[str, Any]]) -> dict[str, tuple[int, int]]:
    """Hold the conversations; return by kind how many of the labelled turns were read as their intent, and of how many."""
    from assistant.settings import load
    from ui.wiring import build

    by_kind: dict[str, tuple[int, int]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch) / "home"
        shutil.copytree(home, copy)
        wired = build(load(copy / "deskhand.toml"), copy)
        for row in conversations:
            conversation: str | None = None
            for text, wanted in zip(row["turns"], row["intents"], strict=True):
                reply = wired.assistant.turn(text, conversation_id=conversation)
                conversation = reply.conversation_id
                if wanted is None:
                    continue
                found = {reply.understanding.intents[0].name} if reply.understanding.intents else set()
                found |= {hit.passage.intent for hit in reply.evidence if hit.passage.intent}
                names = wanted.split("+")
                right = all(name in found for name in names) and (
                    len(names) > 1 or reply.understanding.intents[0].name == names[0]
                )
                hit, total = by_kind.get(row["kind"], (0, 0))
                by_kind[row["kind"]] = (hit + right, total + 1)
        wired.close()
    return by_kind


def main(data: Path, home: Path | None = None) -> list[dict[str, Any]]:
    """Measure on the held-back questions.

    Args:
        data: Unused; the sample company's own files are measured.
        home: Where the sample company is set up; a temporary folder by default.

    Returns:
        Rows for the bench table.
    """
    with tempfile.TemporaryDirectory() as scratch:
        place = sample_home(home or Path(scratch) / "home")
        held = ROOT / "data" / "sample" / "heldback"
        result = measure(place, rows(held / "questions.jsonl"), rows(held / "none_of_its_business.jsonl"))
        kinds = talk(place, rows(held / "conversations.jsonl"))
    f = result["figures"]
    table = []
    for lang, name, target in (("en", "English", "92 %"), ("zh", "Chinese", "80 %")):
        table.append(
            {
                "figure": f"sample company, held-back questions, {name}: right intent and right answer",
                "value": f"{f[f'right_{lang}']:.1%} (intent {f[f'intent_{lang}']:.1%}; sent but wrong {f[f'wrong_{lang}']:.1%})",
                "target": target,
                "peer": "",
                "limit": "100 %",
                "n": f[f"n_{lang}"],
            }
        )
    table.append(
        {
            "figure": "none-of-its-business questions answered anyway",
            "value": f"{f['answered_anyway']:.1%}",
            "target": "under 5 %",
            "peer": "",
            "limit": "0 %",
            "n": f["n_outside"],
        }
    )
    for kind, (right, total) in sorted(kinds.items()):
        table.append(
            {
                "figure": f"held-back conversations, turns read rightly: {kind}",
                "value": f"{right / total:.0%}",
                "target": "stated",
                "peer": "",
                "limit": "100 %",
                "n": total,
            }
        )
    return table


def _validate(home: Path) -> None:
    """Print figures and misses on the validation questions, for choosing."""
    validation = [row for row in rows(ROOT / "data" / "sample" / "validation" / "intent.jsonl") if row["label"]]
    inside = [row for row in validation if row["label"] != "oos"]
    outside = [row for row in validation if row["label"] == "oos"]
    result = measure(home, inside, outside)
    for miss in result["misses"]:
        top = miss["got"]
        print(
            f"{miss['label']:28} <- {top['name']} {top['confidence']:.2f} {miss['action']}/{miss['reason']}: {miss['text'][:90]}"
        )
    print(json.dumps(result["figures"], indent=1))


if __name__ == "__main__":
    if len(sys.argv) > 2 and sys.argv[1] == "--validate":
        _validate(Path(sys.argv[2]))
    else:
        for line in main(Path()):
            print(line)
