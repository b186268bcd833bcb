"""Support logs are read whole, in every format, and a broken row is named with its line."""

from __future__ import annotations

import contextlib
import gzip
import json
import tracemalloc
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assistant.errors import TranscriptError, UsageError
from assistant.records import Transcript, TranscriptTurn
from assistant.settings import CsvColumns
from assistant.transcripts import BadRow, discover, read_transcripts

FIXTURES = Path(__file__).parent / "fixtures"
ROW = {"id": "a", "turns": [{"role": "customer", "text": "Where is it?"}, {"role": "agent", "text": "On its way."}]}


def write(path: Path, *rows: Any) -> Path:
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows), encoding="utf-8")
    return path


def read(path: Path, **options: Any) -> list[Transcript]:
    return list(read_transcripts(path, **options))


def said(transcript: Transcript) -> list[tuple[str, str]]:
    return [(turn.role, turn.text) for turn in transcript.turns]


def spoil(path: Path) -> tuple[list[Transcript], list[BadRow]]:
    bad: list[BadRow] = []
    return read(path, on_bad=bad.append), bad


# ---- formats


def test_our_own_rows_keep_every_field_and_leave_unknown_roles_out(tmp_path: Path) -> None:
    turns = [
        {"role": "client", "text": "退货怎么办?", "at": 1_735_722_000},
        {"role": "api_call", "query": {"x": 1}},
        {"role": "operator", "text": "这里。", "at": "2025-01-01T10:00:00+01:00"},
        {"role": "assistant", "text": "Hi, I am a bot", "at": 1_735_722_000_000},
    ]
    extra = {"lang": "zh-CN", "contact": 7, "resolved": "yes", "rating": "good", "intent": "returns", "started_at": "2025-01-01"}
    [got] = read(write(tmp_path / "x", {"id": 5, "turns": turns, "channel": "chat", "colour": "red", **extra}))
    at = datetime(2025, 1, 1, 9, tzinfo=UTC)
    assert got == Transcript(
        "5",
        (
            TranscriptTurn("customer", "退货怎么办?", at),
            TranscriptTurn("agent", "这里。", at),
            TranscriptTurn("bot", "Hi, I am a bot", at),
        ),
        f"{tmp_path / 'x'}:1",
        lang="zh",
        contact="7",
        resolved=True,
        rating=5,
        intent="returns",
        started_at=datetime(2025, 1, 1, tzinfo=UTC),
        channel="chat",
    )


def test_openai_messages_take_the_assistant_for_the_agent(tmp_path: Path) -> None:
    parts = [
        {"type": "text", "text": "It is"},
        {"type": "image_url", "image_url": {"url": "x"}},
        {"type": "text", "text": "broken"},
    ]
    rows = {
        "messages": [
            {"role": "system", "content": "Be kind"},
            {"role": "user", "content": parts},
            {"role": "assistant", "content": None, "tool_calls": [{}]},
            {"role": "assistant", "content": "Send it back."},
        ]
    }
    [got] = read(write(tmp_path / "x", rows))
    assert said(got) == [("customer", "It is\n\nbroken"), ("agent", "Send it back.")]
    assert got.id == read(tmp_path / "x")[0].id


def test_bitext_pairs_come_as_jsonl_and_as_csv(tmp_path: Path) -> None:
    pair = {"instruction": "cancel it", "response": "Done.\r\nBye.", "intent": "cancel_order"}
    [one] = read(write(tmp_path / "a", pair))
    (tmp_path / "b").write_bytes(b'flags,instruction,intent,response\r\nB,cancel it,cancel_order,"Done.\r\nBye."\r\n')
    [other] = read(tmp_path / "b")
    assert said(one) == said(other) == [("customer", "cancel it"), ("agent", "Done.\nBye.")]
    assert (one.id, one.intent) == (other.id, "cancel_order")


def test_zendesk_notes_stay_private_and_copied_people_are_not_agents() -> None:
    solved, still_open = read(FIXTURES / "zendesk.json")
    assert said(solved) == [
        ("customer", "The charger of my speaker gets hot."),
        ("agent", "A new charger is on its way."),
        ("customer", "Same for me!"),
        ("bot", "This ticket was closed automatically."),
    ]
    assert (solved.id, solved.resolved, solved.rating, solved.contact, solved.lang, solved.channel) == (
        "4101", True, 5, "mira@example.org", "en", "email",
    )  # fmt: skip
    assert solved.where.endswith("zendesk.json:4 (item 1)")
    assert (said(still_open), still_open.resolved, still_open.rating) == ([("customer", "Where is the invoice?")], False, None)


def test_intercom_html_becomes_text_and_notes_stay_private() -> None:
    [got] = read(FIXTURES / "intercom.jsonl")
    assert said(got) == [
        ("customer", "Hello,\nmy lamp blinks & hums."),
        ("bot", "I am the helper bot."),
        ("agent", "Please follow this page (https://help.example.org/reset).\n\n- unplug\n- wait"),
    ]
    assert (got.resolved, got.rating, got.contact, got.started_at) == (True, 4, "C-5", datetime(2025, 1, 1, 9, tzinfo=UTC))


def test_chatwoot_activity_and_private_lines_are_no_evidence() -> None:
    [got] = read(FIXTURES / "chatwoot.json")
    assert [turn.role for turn in got.turns] == ["customer", "bot", "bot", "agent", "bot"]
    assert got.turns[3].text == "It arrives tomorrow."
    assert "strike" not in str(got) and "Assigned" not in str(got)
    assert (got.resolved, got.rating, got.contact, got.channel) == (True, 2, "jo@example.org", "Channel::WebWidget")


def test_csv_columns_and_delimiter_are_found(tmp_path: Path) -> None:
    columns = CsvColumns(conversation="Ticket", role="Who", text="Said", at="When", rating="Stars", agent_roles=("us",))
    (tmp_path / "x").write_bytes(
        b"\xef\xbb\xbfTicket;Who;When;Said;Stars\r\n"
        b"1;customer;2025-01-01 09:00:00 UTC;Hot; cold\r\n".replace(b"Hot; cold", b'"Hot; ""cold"""') [:-2] + b";\r\n"
        b'1;us;;"Two\r\nlines";\r\n1;customer;;Thanks;4\r\n2;client;;Hello;\r\n'
    )  # fmt: skip
    first, second = read(tmp_path / "x", columns=columns)
    assert said(first) == [("customer", 'Hot; "cold"'), ("agent", "Two\nlines"), ("customer", "Thanks")]
    assert (first.rating, first.turns[0].at, second.id) == (4, datetime(2025, 1, 1, 9, tzinfo=UTC), "2")
    assert second.where.endswith("x:6")


def test_csv_rows_that_lie_apart_are_joined_in_small_files_and_refused_in_large_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(tmp_path / "x", "conversation_id,role,text", "1,customer,a", "2,customer,b", "1,agent,c")
    assert [len(got.turns) for got in read(file)] == [2, 1]
    monkeypatch.setattr("assistant.formats.tables.MERGE_BELOW", 3)
    with pytest.raises(TranscriptError, match=r"x:4: conversation '1' comes back .* sort the file by conversation_id"):
        read(file)


def test_gzip_is_told_by_its_content_not_its_name(tmp_path: Path) -> None:
    (tmp_path / "log.txt").write_bytes(gzip.compress(json.dumps(ROW).encode()))
    assert read(tmp_path / "log.txt")[0].id == "a"


def test_pages_of_an_api_and_pretty_printed_objects_are_unwrapped(tmp_path: Path) -> None:
    assert len(read(write(tmp_path / "a", {"conversations": [ROW, ROW]}, {"conversations": [ROW]}))) == 3
    assert len(read(write(tmp_path / "b", json.dumps({"data": {"meta": {}, "payload": [ROW, ROW]}}, indent=1)))) == 2
    assert len(read(write(tmp_path / "c", json.dumps(ROW, indent=1)))) == 1
    assert len(read(write(tmp_path / "d", json.dumps([ROW] * 3)))) == 3


def test_a_named_format_is_taken_at_its_word(tmp_path: Path) -> None:
    with pytest.raises(TranscriptError, match="x:1: messages is missing"):
        read(write(tmp_path / "x", ROW), format="openai")
    with pytest.raises(UsageError, match="choose one of auto, jsonl"):
        read(tmp_path / "x", format="xml")


# ---- broken rows


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ('{"id": 1,', "not JSON"),
        ("[" * 10_000, "nested too deeply"),
        ('{"turns":' + "[" * 10_000, "nested too deeply"),
        ({"id": 1, "turns": []}, "no turns"),
        ({"id": 1, "turns": "hello"}, "turns is a text, not a list"),
        ({"id": 1, "turns": [{"role": "user", "text": 5}]}, "turn 1: text is a number, not a text"),
        ({"id": 1, "turns": [{"role": "user"}]}, "text is missing"),
        ({"id": 1, "turns": [{"role": "robot", "text": "x"}]}, "no customer or agent turn"),
        ({**ROW, "rating": 7}, "rating = 7 is not 1 to 5"),
        ({**ROW, "started_at": "yesterday"}, "started_at = 'yesterday' is no time"),
        ({**ROW, "started_at": 1e300}, "is no time"),
        ({**ROW, "resolved": "maybe"}, "neither true nor false"),
        ({**ROW, "contact": {"a": 1}}, "contact is an object"),
        ('{"turns": NaN}', "NaN"),
        ({"question": "x"}, "no format that is known; its keys are 'question'"),
        ("[1]", "not an object"),
        ('"text"', "not an object"),
        ("1" * 5000, "not JSON"),
    ],
)
def test_a_broken_row_is_refused_with_its_line_or_left_out_and_listed(tmp_path: Path, row: Any, why: str) -> None:
    file = write(tmp_path / "log", ROW, "", row, {**ROW, "id": "b"})
    with pytest.raises(TranscriptError) as caught:
        read(file)
    assert str(caught.value).startswith(f"{file}:3: ") and why in str(caught.value)
    kept, bad = spoil(file)
    assert [got.id for got in kept] == ["a", "b"]
    assert [row.where for row in bad] == [f"{file}:3"] and why in bad[0].why


def test_broken_csv_rows_are_named_by_their_line(tmp_path: Path) -> None:
    rows = [
        b"conversation_id,role,text",
        b"1,customer,fine",
        b",customer,no id",
        b"1,agent,too,many",
        b"1,agent,caf\xe9",
        b"2,x,y",
        b"",
    ]
    (tmp_path / "x").write_bytes(b"\n".join(rows))
    kept, bad = spoil(tmp_path / "x")
    assert [said(got) for got in kept] == [[("customer", "fine")]]
    assert [row.where.rsplit(":", 1)[1] for row in bad] == ["3", "4", "5", "6"]
    assert all(word in row.why for word, row in zip(("no conversation id", "4 fields", "UTF-8", "no customer"), bad, strict=True))
    with pytest.raises(TranscriptError, match=r"x:3: no conversation id"):
        read(tmp_path / "x")


def test_a_csv_without_the_columns_says_which_it_has(tmp_path: Path) -> None:
    with pytest.raises(TranscriptError, match=r":1: column conversation_id, role, text not found among: a, b; .*ingest.csv"):
        read(write(tmp_path / "x", "a,b", "1,2"))


def test_a_quote_left_open_does_not_swallow_the_file_silently(tmp_path: Path) -> None:
    kept, bad = spoil(write(tmp_path / "x", "conversation_id,role,text", "1,customer,hi", '2,customer,"open', "3,customer,lost"))
    assert [got.id for got in kept] == ["1"] and [row.where for row in bad] == [f"{tmp_path / 'x'}:3"]


def test_a_gzip_cut_short_gives_its_whole_rows_and_one_complaint(tmp_path: Path) -> None:
    rows = "".join(json.dumps({**ROW, "id": f"r{n}", "contact": str(n * 7919)}) + "\n" for n in range(30_000))
    packed = gzip.compress(rows.encode())
    (tmp_path / "x").write_bytes(packed[: len(packed) // 2])
    kept, bad = spoil(tmp_path / "x")
    assert len(kept) > 5_000 and kept[-1].id == f"r{len(kept) - 1}"
    assert len(bad) == 1 and "cut short" in bad[0].why and bad[0].where == f"{tmp_path / 'x'}:{len(kept) + 1}"
    (tmp_path / "y").write_bytes(packed[:15])
    with pytest.raises(TranscriptError, match="damaged"):
        read(tmp_path / "y")


def test_an_array_that_breaks_off_names_the_line(tmp_path: Path) -> None:
    text = json.dumps([ROW] * 3, indent=1)
    (tmp_path / "x").write_text(text[:-60])
    kept, bad = spoil(tmp_path / "x")
    assert len(kept) == 2 and len(bad) == 1 and "not JSON" in bad[0].why
    (tmp_path / "y").write_text(text.replace('"agent"', "agent", 1))
    with pytest.raises(TranscriptError, match=r"y:10: not JSON"):
        read(tmp_path / "y")


@pytest.mark.parametrize("data", [b"", b"\n \n", b"\xef\xbb\xbf", gzip.compress(b"", mtime=0)])
def test_an_empty_file_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x").write_bytes(data)
    with pytest.raises(TranscriptError, match="empty"):
        read(tmp_path / "x")


def test_other_encodings_are_refused_with_the_mend(tmp_path: Path) -> None:
    (tmp_path / "a").write_text(json.dumps(ROW), encoding="utf-16")
    (tmp_path / "b").write_bytes(json.dumps(ROW).encode() + b"\n" + '{"id":"é"}'.encode("latin-1"))
    for name, line in (("a", 1), ("b", 2)):
        with pytest.raises(TranscriptError, match=rf"{name}:{line}: .*UTF-8"):
            read(tmp_path / name)
    with pytest.raises(TranscriptError, match="no such file"):
        read(tmp_path / "missing")


# ---- odd but good


def test_byte_order_marks_mixed_line_ends_and_nul_bytes_are_no_fault(tmp_path: Path) -> None:
    row = json.dumps(ROW).encode()
    (tmp_path / "x").write_bytes(b"\xef\xbb\xbf" + row + b"\r\n" + row + b"\r" + row + b"\n\n" + row[:20] + b"\0\0" + row[20:])
    assert [got.where.rsplit(":", 1)[1] for got in read(tmp_path / "x")] == ["1", "2", "3", "5"]


def test_lone_surrogates_and_nul_escapes_never_reach_the_store(tmp_path: Path) -> None:
    [got] = read(write(tmp_path / "x", r'{"id":"\ud800","turns":[{"role":"user","text":"cut \ud83d here\u0000 \ud83d\ude00"}]}'))
    assert got.turns[0].text == "cut \ufffd here \U0001f600"
    got.id.encode()


def test_one_very_long_line_is_read_and_its_text_cut(tmp_path: Path) -> None:
    long = {"id": "long", "turns": [{"role": "customer", "text": "ä" * 2_600_000}]}
    file = write(tmp_path / "x", json.dumps(long, ensure_ascii=False), ROW)
    first, second = read(file, max_text_chars=100)
    assert first.turns[0].text == "ä" * 100 and second.id == "a"
    file = write(tmp_path / "y", {"id": "long", "turns": [{"role": "customer", "text": "x" * 9_000_000}]}, ROW, "oops")
    kept, bad = spoil(file)
    assert [got.id for got in kept] == ["long", "a"] and bad[0].where == f"{file}:3"


@pytest.mark.parametrize("form", ["lines", "array", "wrapped", "csv"])
def test_large_files_are_streamed(tmp_path: Path, form: str) -> None:
    count, text = 20_000, "word " * 190
    with (tmp_path / "x").open("w") as file:
        file.write({"array": "[", "wrapped": '{"count": 1, "tickets": [', "csv": "conversation_id,role,text\n"}.get(form, ""))
        for n in range(count):
            row = json.dumps({"id": n, "turns": [{"role": "customer", "text": text}]})
            comma = "," if n and form != "lines" else ""
            file.write(f"{n},customer,{text}\n" if form == "csv" else f"{row}\n" if form == "lines" else f"{comma}{row}")
        file.write({"array": "]", "wrapped": "]}"}.get(form, ""))
    assert (tmp_path / "x").stat().st_size > 19_000_000
    tracemalloc.start()
    try:
        assert sum(1 for _ in read_transcripts(tmp_path / "x")) == count
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 12 << 20


words = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), min_size=1, max_size=40)
shown = words.filter(lambda text: bool(text.strip()))
tidy = shown.map(str.strip).filter(bool)
moments = st.datetimes(datetime(1971, 1, 1), datetime(2199, 1, 1), timezones=st.just(UTC))
turn = st.builds(TranscriptTurn, st.sampled_from(["customer", "agent"]), shown, st.none() | moments)


@settings(max_examples=60, deadline=None)
@given(
    st.builds(
        Transcript,
        tidy,
        st.lists(turn, min_size=1, max_size=4).map(tuple),
        st.just(""),
        lang=st.sampled_from([None, "en", "zh"]),
        contact=st.none() | tidy,
        resolved=st.sampled_from([None, True, False]),
        rating=st.none() | st.integers(1, 5),
        intent=st.none() | tidy,
        started_at=moments,
        channel=st.none() | tidy,
    )
)
def test_what_is_written_in_our_form_reads_back_equal(tmp_path_factory: pytest.TempPathFactory, one: Transcript) -> None:
    row = {name: getattr(one, name) for name in ("id", "lang", "contact", "resolved", "rating", "intent", "channel")}
    row["started_at"] = one.started_at.isoformat() if one.started_at else None
    row["turns"] = [{"role": t.role, "text": t.text, "at": t.at.isoformat() if t.at else None} for t in one.turns]
    [got] = read(write(tmp_path_factory.mktemp("back") / "x", row))
    for name in Transcript.__slots__:
        assert name == "where" or getattr(got, name) == getattr(one, name)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_end_in_rows_or_a_clean_error(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    file = tmp_path_factory.mktemp("any") / "x"
    file.write_bytes(data)
    with contextlib.suppress(TranscriptError):
        spoil(file)


# ---- folders


def test_a_folder_gives_its_logs_and_says_what_it_left(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/log.jsonl.gz").write_bytes(gzip.compress(json.dumps(ROW).encode()))
    write(tmp_path / "table.csv", "conversation_id,role,text", "1,customer,x")
    write(tmp_path / "README.md", "# About", "text")
    write(tmp_path / "LICENSE.txt", "MIT")
    write(tmp_path / "schema.json", {"task": "x", "data": {"replies": {}}})
    write(tmp_path / "help.md", "# Returns", "Within 30 days.")
    write(tmp_path / "templates.jsonl", {"intent": "a", "lang": "en", "text": "b", "ask": ""})
    write(tmp_path / "notes.txt", "call Bob")
    (tmp_path / "photo.jpg").write_bytes(bytes(range(1, 32)) * 20)
    (tmp_path / ".hidden").write_text("x")
    (tmp_path / "empty.csv").write_text("")
    found = discover(tmp_path)
    assert {file.path.name: file.kind for file in found.files} == {
        "log.jsonl.gz": "log", "table.csv": "log", "help.md": "article", "templates.jsonl": "templates",
    }  # fmt: skip
    why = {left.path.name: left.why for left in found.skipped}
    assert set(why) == {"README.md", "LICENSE.txt", "schema.json", "notes.txt", "photo.jpg", "empty.csv"}
    assert "task" in why["schema.json"]
    assert sorted(got.id for got in read(tmp_path)) == ["1", "a"]
    (tmp_path / "only").mkdir()
    with pytest.raises(TranscriptError, match="holds no log"):
        read(tmp_path / "only")
