"""Every command as a user calls it: what it prints, where, and with which exit code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from assistant.settings import Settings, load
from tests.ui.commands import CHAT, Run
from ui import cli, demo, settings_file, terminal

ROOT = Path(__file__).resolve().parents[2]


def test_init_writes_a_file_that_holds_every_setting_and_loads_to_the_defaults(run: Run, tmp_path: Path) -> None:
    ran = run("init", "new/folder", "--json")
    path = tmp_path / "new" / "folder" / "deskhand.toml"
    assert ran.code == 0 and ran.json == {"path": str(path.relative_to(tmp_path))}
    assert load(path) == Settings()
    text = path.read_text()
    for key in settings_file.leaf_keys():
        assert f"\n{key.rsplit('.', 1)[1]} =" in text or f"\n# {key.rsplit('.', 1)[1]} =" in text, key


def test_every_setting_has_a_sentence_and_no_sentence_is_left_over() -> None:
    described = {f"{section}.{name}" for section, model in settings_file._sections(Settings) for name, info in
                 model.model_fields.items() if info.description}  # fmt: skip
    assert set(settings_file.leaf_keys()) == set(settings_file.SENTENCES) | described


def test_init_keeps_a_file_that_is_there_unless_forced(run: Run, tmp_path: Path) -> None:
    (tmp_path / "deskhand.toml").write_text('[company]\nname = "Mine"\n')
    refused = run("init")
    assert refused.code == 2 and "--force" in refused.err
    assert (tmp_path / "deskhand.toml").read_text().endswith('"Mine"\n')
    assert run("init", "--force").code == 0
    assert load(tmp_path / "deskhand.toml") == Settings()


@pytest.mark.parametrize("value", ["plain", 'quo"te', "it's", r"\d{6}", "tab\there", r"it's \d", "订单", ""])
def test_any_text_survives_the_settings_file(value: str, tmp_path: Path) -> None:
    path = settings_file.write_settings(tmp_path, force=True, values={"company.name": value, "redact.order_patterns": (value,)})
    settings = load(path)
    assert settings.company.name == value and settings.redact.order_patterns == (value,)


def test_ingest_ask_explain_and_forget_belong_together(run: Run, tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "chat.jsonl").write_text(CHAT + "\n")
    report = run("ingest", "logs", "--json").json
    assert isinstance(report, dict) and report["passages"] == 1 and report["sources"][0]["state"] == "added"
    again = run("ingest", "logs", "--json").json
    assert isinstance(again, dict) and not again["built"]
    listed = run("ingest", "--list", "--json").json
    assert isinstance(listed, list) and [one["name"] for one in listed] == ["logs/chat.jsonl"]
    asked = run("ask", "my garden robot beeps three times", "--json").json
    assert isinstance(asked, dict) and "blades" in asked["reply"] and asked["action"] == "send"
    explained = run("explain", asked["message_id"], "--json").json
    assert isinstance(explained, dict) and "blades" in explained["evidence"][0]["text"]
    shown = run("explain", asked["message_id"])
    assert shown.code == 0 and "thresholds" in shown.out and "index" in shown.out and "blades" in shown.out
    assert run("forget", "c0042").code == 2  # nobody can be asked
    assert run("forget", "c0042", "--yes", "--json").json == {
        "contact": "c0042",
        "known": True,
        "conversations": 1,
        "holdout_rows": 0,
        "run_pages": 0,
        "discoveries_deleted": [],
        "discoveries_left": [],
    }
    after = run("ask", "my garden robot beeps three times", "--json").json
    assert isinstance(after, dict) and not after["evidence"] and "blades" not in after["reply"]


def test_replay_is_no_setting_of_a_training_on_given_rows(run: Run, tmp_path: Path) -> None:
    ran = run("adapters", "train", "intent", "--data", "rows.jsonl", "--set", "replay=0.5")
    assert ran.code == 2 and "counts for `deskhand retrain` only" in ran.err


def test_a_removed_source_is_gone_and_an_unknown_one_is_named(run: Run, tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "chat.jsonl").write_text(CHAT + "\n")
    run("ingest", "logs")
    unknown = run("ingest", "--remove", "logs/chta.jsonl")
    assert unknown.code == 2 and "logs/chat.jsonl" in unknown.err
    removed = run("ingest", "--remove", "logs/chat.jsonl", "--json").json
    assert isinstance(removed, dict) and removed["passages"] == 0
    assert run("ingest", "--list", "--json").json == []


def test_a_broken_row_is_named_by_file_and_line_and_can_be_skipped(run: Run, tmp_path: Path) -> None:
    (tmp_path / "chat.jsonl").write_text(CHAT + "\n{broken\n")
    refused = run("ingest", "chat.jsonl")
    assert refused.code == 1 and "chat.jsonl:2" in refused.err and "Traceback" not in refused.err
    kept = run("ingest", "chat.jsonl", "--skip-bad", "--json").json
    assert isinstance(kept, dict) and len(kept["bad_rows"]) == 1 and kept["passages"] == 1


@pytest.mark.parametrize(
    "words",
    [
        ("ingest",),
        ("ingest", "a", "--list"),
        ("ingest", str(ROOT / "tests"), "--format", "xml"),
        ("nonsense",),
        ("ask",),
        ("adapters", "train", "poetry"),
        ("adapters", "train", "intent"),
        ("evaluate", "answers", "file.jsonl"),
        ("serve", "--port", "70000"),
        ("forget", " ", "--yes"),
    ],
    ids=" ".join,
)
def test_wrong_usage_leaves_with_2_and_one_message(run: Run, words: tuple[str, ...]) -> None:
    ran = run(*words)
    assert ran.code == 2 and ran.err.strip() and "Traceback" not in ran.err


@pytest.mark.parametrize(
    "words",
    [
        ("ask", "hello"),
        ("ingest", "no/such/file"),
        ("explain", "no-such-id"),
        ("adapters", "show", "intent", "none"),
        ("evaluate", "intent", "file.jsonl", "--version", "none"),
        ("adapters", "promote", "intent", "none"),
        ("adapters", "rollback", "intent"),
        ("evaluate", "intent", "file.jsonl"),
        ("evaluate", "intent", "file.jsonl", "--train", "nowhere.jsonl"),
        ("serve", "--port", "0"),
    ],
    ids=" ".join,
)
def test_a_failure_leaves_with_1_and_says_why_also_as_json(run: Run, words: tuple[str, ...]) -> None:
    plain = run(*words)
    assert plain.code == 1 and plain.err.startswith("error: ") and "Traceback" not in plain.err and not plain.out
    told = run(*words, "--json")
    assert told.code == 1 and not told.out
    assert json.loads(told.err.strip().splitlines()[-1])["error"] in plain.err


def test_an_unforeseen_failure_is_one_line_and_debug_shows_the_whole(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("by chance")

    monkeypatch.setattr("ui.talk.run_ask", fail)
    ran = run("ask", "hello")
    assert ran.code == 1 and "ZeroDivisionError: by chance" in ran.err and "--debug" in ran.err and "Traceback" not in ran.err
    with pytest.raises(ZeroDivisionError):
        cli.main(["--debug", "ask", "hello"])


def test_a_faulty_settings_file_is_reported_with_every_fault(run: Run, tmp_path: Path) -> None:
    (tmp_path / "deskhand.toml").write_text("[serve]\nprot = 1\nport = 99999\n")
    ran = run("ask", "hello")
    assert ran.code == 1 and "'serve.port'" in ran.err and "99999" in ran.err


def test_ask_reads_stdin_and_goes_on_with_a_conversation(run: Run, sample_home: Path) -> None:
    first = run("ask", "-", "--json", stdin="Where is my order FW-123456?", home=sample_home).json
    assert isinstance(first, dict) and first["slots"]["order_number"] == "FW-123456"
    second = run("ask", "and how long does that take?", "--conversation", first["conversation_id"], "--json").json
    assert isinstance(second, dict) and second["conversation_id"] == first["conversation_id"]
    unknown = run("ask", "hello", "--conversation", "nowhere")
    assert unknown.code == 1 and "nowhere" in unknown.err


def test_ask_prints_the_documented_keys(run: Run, sample_home: Path) -> None:
    answer = run("ask", "怎么退货？", "--json", home=sample_home).json
    assert isinstance(answer, dict)
    assert set(answer) == {
        "conversation_id", "message_id", "action", "reason", "reply", "intent", "sentiment", "slots", "language",
        "evidence", "versions", "latency_ms",
    }  # fmt: skip
    assert answer["language"] == "zh" and answer["action"] in ("send", "clarify", "handoff")


@pytest.mark.parametrize(
    "text", ["", " ", "\x1b[31mred\x1b[0m", "\udcff\udcfe", "a" * 100_000, "🙂🙂🙂", "<script>alert(1)</script>"]
)
def test_ask_takes_any_text_and_prints_no_control_characters(run: Run, sample_home: Path, text: str) -> None:
    ran = run("ask", "--", text, home=sample_home)
    assert ran.code == 0 and ran.out.strip() and "\x1b[31m" not in ran.out


def test_chat_holds_one_conversation_shows_why_and_leaves_at_the_end_of_input(run: Run, sample_home: Path) -> None:
    typed = "/why\nHow long is the warranty?\n\n/why\n/dance\n"
    ran = run("chat", stdin=typed, home=sample_home)
    assert ran.code == 0 and "Fernwick> " in ran.out and "evidence" in ran.out
    assert "nothing was answered yet" in ran.err and "/dance is no command" in ran.err
    as_json = run("chat", "--json", stdin="hello\nwarranty?\n/quit\nnot read\n")
    answers = [json.loads(line) for line in as_json.out.splitlines()]
    assert len(answers) == 2 and answers[0]["conversation_id"] == answers[1]["conversation_id"]


def test_ctrl_c_leaves_the_chat_cleanly(run: Run, sample_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(prompt: str = "") -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr("builtins.input", interrupted)
    ran = run("chat", home=sample_home)
    assert ran.code == 0 and "Traceback" not in ran.err


@pytest.mark.slow
def test_an_adapter_is_trained_judged_promoted_and_rolled_back(run: Run, tmp_path: Path) -> None:
    rows = [{"text": f"{verb} my {thing} {number}", "label": label} for number in range(6) for thing in ("order", "parcel")
            for verb, label in (("cancel", "cancel"), ("where is", "status"))]  # fmt: skip
    (tmp_path / "rows.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    train = ("adapters", "train", "intent", "--data", "rows.jsonl", "--epochs", "1", "--rank", "2", "--seed", "3", "--promote")
    first = run(*train, "--json").json
    assert isinstance(first, dict) and first["promoted"]
    second = run(*train)
    assert second.code == 0 and "epoch 1 of 1" in second.err
    listed = run("adapters", "list", "--json").json
    assert isinstance(listed, dict) and [one["champion"] for one in listed["versions"]] == [False, True]
    assert listed["next_retraining"] and listed["last"]
    assert run("adapters", "list").code == 0
    shown = run("adapters", "show", "intent", first["version"], "--json").json
    assert isinstance(shown, dict) and shown["method"]["rank"] == 2 and shown["seed"] == 3 and not shown["champion"]
    assert run("adapters", "show", "intent", first["version"]).code == 0
    older = run("evaluate", "intent", "rows.jsonl", "--version", first["version"], "--json").json
    assert isinstance(older, dict) and older["n"] == len(rows)
    both = run("evaluate", "intent", "rows.jsonl", "--version", first["version"], "--train", "rows.jsonl")
    assert both.code == 2 and "give one of them" in both.err
    figures = run("evaluate", "intent", "rows.jsonl", "--json").json
    assert isinstance(figures, dict) and figures["n"] == len(rows) and {"accuracy", "macro_f1", "ece", "seconds"} <= set(figures)
    back = run("adapters", "rollback", "intent", "--json").json
    assert isinstance(back, dict) and back["champion"] == first["version"]
    listed_before = run("adapters", "list", "--json").json
    scratch = run("evaluate", "intent", "rows.jsonl", "--train", "rows.jsonl", "--json").json
    assert isinstance(scratch, dict) and scratch["n"] == len(rows)
    assert run("adapters", "list", "--json").json == listed_before  # judging on one's own rows leaves no version behind


def test_the_demo_on_a_taken_port_says_so_before_anything_is_loaded(run: Run, sample_home: Path, closed_port: int) -> None:
    ran = run("serve", "--port", str(closed_port), home=sample_home)
    assert ran.code == 2 and str(closed_port) in ran.err


def test_the_demo_prints_the_address_it_serves_at(
    run: Run, own_home: Path, monkeypatch: pytest.MonkeyPatch, small_sample: object
) -> None:
    served: list[tuple[str, int]] = []
    monkeypatch.setattr("ui.server.serve", lambda wired, host, port: served.append((host, port)))
    monkeypatch.setattr(demo, "find_sample", lambda: small_sample)
    ran = run("demo", "--port", "0", "--json", home=own_home).json
    assert isinstance(ran, dict) and ran["url"] == f"http://{served[0][0]}:{served[0][1]}/"
    only = run("demo", "--no-serve", "--json", home=own_home).json
    assert isinstance(only, dict) and only["company"] == "Fernwick" and len(served) == 1


def test_help_names_every_command_and_the_version_is_the_projects(run: Run) -> None:
    text = run("--help").out
    for command in ("demo", "init", "ingest", "ask", "chat", "serve", "adapters", "evaluate", "explain", "forget", "doctor",
                    "correct", "review", "label", "retrain", "schedule", "replay"):  # fmt: skip
        assert command in text
    assert run("--version").out.startswith("deskhand ")


def test_every_command_takes_json() -> None:
    import typer

    def walk(command: object, name: str) -> None:
        inner = getattr(command, "commands", None)
        if inner:
            for word, each in inner.items():
                walk(each, f"{name} {word}")
            return
        options = {option for parameter in getattr(command, "params", ()) for option in parameter.opts}
        assert "--json" in options, name
        assert getattr(command, "help", ""), name

    walk(typer.main.get_command(cli.app), "deskhand")


def test_text_of_others_cannot_drive_the_terminal() -> None:
    assert terminal.printable("a\x1b]0;title\x07b\u202ec\x00d\r\ne\tf") == "a]0;titlebcd\ne\tf"


def test_progress_in_a_pipe_is_plain_lines_and_silent_with_json(capsys: pytest.CaptureFixture[str]) -> None:
    with terminal.Steps() as steps:
        for done in range(1000):
            steps("encode", done, 1000)
        steps("encode", 1000, 1000)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "encode: 0 of 1000" and lines[-1] == "encode: 1000 of 1000" and len(lines) < 10
    with terminal.Steps(quiet=True) as steps:
        steps("encode", 1, 2)
        steps.line("epoch")
    assert capsys.readouterr().err == ""
