"""``monitor report`` and ``monitor backtest`` as a user calls them: the right period, whole files, refusals with the mend."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from assistant.database import sqlite_url
from assistant.errors import DeskhandError, UsageError
from assistant.monitor.events import Alert, Signal
from assistant.monitor.ledger import Reading
from assistant.monitor.report_records import Period
from assistant.records import Transcript, TranscriptTurn
from assistant.settings import Settings
from assistant.sources import SourceRecord
from assistant.store import open_store
from ui import cli, monitor_reports
from ui.monitor_reports import choose_period, read_moment, write_report

BERLIN = ZoneInfo("Europe/Berlin")
START = datetime(2025, 1, 6, tzinfo=UTC)  # a Monday
DAYS = 42
NOW = datetime(2025, 2, 19, 10, tzinfo=UTC)  # a Wednesday, two days after the last message


def fill(home: Path, moments: list[datetime], chance: random.Random | None = None) -> None:
    """Put away one conversation of one message at each moment, a third of them negative, and what was read in it."""
    chance = chance or random.Random(1)
    talks = [Transcript(f"{n}", (TranscriptTurn("customer", f"text {n}", at),), "log:1", "en") for n, at in enumerate(moments)]
    with open_store(sqlite_url(home / "deskhand.db")) as store:
        store.add_source(SourceRecord("s1", "log", "logs", "s1", "jsonl", START), talks)
        store.monitor.add_readings(
            Reading(turn.id, "delivery", "en", 0.9 if chance.random() < 0.33 else 0.1, 0.1, "s", "i")
            for turn in store.monitor.unread_turns("s", 100_000)
        )


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with six weeks of messages; tests add files only."""
    home = tmp_path_factory.mktemp("monitor") / "home"
    home.mkdir()
    chance = random.Random(4)
    fill(home, [START + timedelta(days=day, hours=chance.uniform(8, 18)) for day in range(DAYS) for _ in range(24)], chance)
    return home


@dataclass
class Ran:
    """What one command left."""

    code: int
    out: str
    err: str


Run = Callable[..., Ran]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, filled: Path) -> Run:
    class Clock(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
            return NOW

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DESKHAND_CONFIG", raising=False)
    monkeypatch.setenv("DESKHAND_SCHEDULE__TIMEZONE", "Europe/Berlin")
    monkeypatch.setattr(monitor_reports, "datetime", Clock)

    def call(*words: str, home: Path = filled) -> Ran:
        monkeypatch.setenv("DESKHAND_HOME", str(home))
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            cli.main(["monitor", *words])
        printed = capsys.readouterr()
        return Ran(int(left.value.code or 0), printed.out, printed.err)

    return call


# Reports


def test_a_report_is_of_the_last_whole_week_and_stands_in_the_homes_reports(run: Run, filled: Path) -> None:
    ran = run("report")
    path = filled / "reports" / "report-2025-02-10-to-2025-02-16.en.html"
    assert (ran.code, ran.out, ran.err) == (0, f"{path}\n", "")
    assert path.read_text().rstrip().endswith("</html>")
    assert [one.name for one in path.parent.iterdir() if one.name.startswith(".")] == []


def test_a_machine_gets_path_period_and_counts(run: Run, filled: Path) -> None:
    ran = run("report", "--since", "2025-01-20", "--until", "2025-01-22", "--format", "json", "--json")
    told = json.loads(ran.out)
    assert told["period"] == {"since": "2025-01-20T00:00:00+01:00", "until": "2025-01-22T00:00:00+01:00"}
    assert told["messages"] == 48 and told["note"] == ""
    path = Path(told["path"])
    assert path == filled / "reports" / "report-2025-01-20-to-2025-01-21.json"
    written = json.loads(path.read_text())
    assert written["now"]["messages"] == 48 == written["then"]["messages"]
    assert written["now"]["negative"] == told["negative"] > 0
    assert written["worst"][0]["low_quote"].startswith("text ")


def test_days_are_those_of_the_schedules_zone(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DESKHAND_SCHEDULE__TIMEZONE", "Asia/Shanghai")
    told = json.loads(run("report", "--since", "2025-01-20", "--format", "csv", "--json").out)
    assert told["period"] == {"since": "2025-01-20T00:00:00+08:00", "until": "2025-01-27T00:00:00+08:00"}


def test_a_report_goes_to_stdout_or_to_a_file_whose_folder_is_made(run: Run, tmp_path: Path) -> None:
    ran = run("report", "--format", "csv", "--out", "-")
    assert ran.code == 0 and ran.out.startswith("since,until,topic") and ran.out.count("\n") == 2
    page = run("report", "--lang", "zh", "--out", "-")
    assert page.out.startswith("<!doctype html>") and '<html lang="zh">' in page.out
    out = tmp_path / "new" / "week.csv"
    assert run("report", "--format", "csv", "--out", str(out)).out == f"{out}\n"
    assert out.read_text() == ran.out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--format", "docx"), "'docx' is none of html, pdf, json, csv"),
        (("--lang", "fr"), "'fr' is none of en, zh"),
        (("--since", "yesterday"), "--since 'yesterday' is no day or moment"),
        (("--since", "2025-02-30"), "2025-03-01T08:00|write a day such as"),
        (("--since", "2025-02-20"), "--since 2025-02-20 lies in the future; the latest is 2025-02-19T11:00"),
        (("--since", "2025-01-20", "--until", "2025-02-20"), "--until 2025-02-20 lies in the future"),
        (("--since", "2025-01-20", "--until", "2025-01-20"), "--until 2025-01-20 does not lie after --since 2025-01-20"),
        (("--since", "1803-01-01"), "before 1970"),
        (("--out", "-", "--json"), "both want stdout"),
        (("--out", "."), "is a folder"),
    ],
)
def test_what_cannot_be_is_refused_with_the_mend(run: Run, words: tuple[str, ...], said: str) -> None:
    ran = run("report", *words)
    assert ran.code == 2 and ran.out == ""
    assert any(part in ran.err for part in said.split("|"))


def test_a_file_that_cannot_be_written_is_a_failure_and_leaves_nothing(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("kept")
    ran = run("report", "--format", "csv", "--out", str(tmp_path / "file" / "report.csv"))
    assert ran.code == 1 and "cannot be written" in ran.err and "--out" in ran.err
    assert (tmp_path / "file").read_text() == "kept"


def test_a_write_that_breaks_off_leaves_the_old_report_whole(
    filled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    period = Period(datetime(2025, 1, 13, tzinfo=BERLIN), datetime(2025, 1, 20, tzinfo=BERLIN))
    with open_store(sqlite_url(filled / "deskhand.db")) as store:
        path = write_report(store, Settings(), tmp_path, period, "csv", "en", NOW)
        assert path == tmp_path / "reports" / "report-2025-01-12T2300-to-2025-01-19T2300.csv"  # the settings' zone is UTC
        before = path.read_bytes()

        def full(fd: int) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(DeskhandError, match="No space left"):
            write_report(store, Settings(), tmp_path, period, "csv", "en", NOW)
    assert path.read_bytes() == before and list(path.parent.iterdir()) == [path]


def test_an_empty_store_says_how_messages_come_in(run: Run, tmp_path: Path) -> None:
    ran = run("report", home=tmp_path / "empty")
    assert ran.code == 2 and "deskhand ingest" in ran.err and "monitor look" in ran.err
    named = run("report", "--since", "2025-01-06", "--out", "-", "--format", "csv", home=tmp_path / "empty")
    assert named.code == 0 and named.out.count("\n") == 1


@pytest.mark.parametrize(
    ("newest", "now", "since", "noted"),
    [
        ("2025-01-08T12:00", "2025-01-14T12:00", "2025-01-06", False),
        ("2025-01-08T12:00", "2025-01-21T12:00", "2025-01-06", True),
        ("2025-01-12T22:30", "2031-07-04T12:00", "2025-01-06", True),  # half an hour before Monday in Berlin
        ("2025-01-12T23:00", "2031-07-04T12:00", "2025-01-13", True),  # that Monday's midnight
        ("2025-01-08T12:00", "2025-01-09T12:00", "2025-01-06", True),  # this week is all there is
    ],
)
def test_without_a_period_it_is_the_last_week_in_which_somebody_wrote(
    tmp_path: Path, newest: str, now: str, since: str, noted: bool
) -> None:
    moments = [datetime.fromisoformat(newest).replace(tzinfo=UTC) - timedelta(minutes=n) for n in range(3)]
    fill(tmp_path, moments[:1] if newest.endswith("23:00") else moments)
    at = datetime.fromisoformat(now).replace(tzinfo=UTC)
    with open_store(sqlite_url(tmp_path / "deskhand.db")) as store:
        chosen = choose_period(store.monitor, None, None, now=at, zone=BERLIN)
        assert chosen.period.since == datetime.fromisoformat(since).replace(tzinfo=BERLIN)
        assert chosen.period.until == min(chosen.period.since + timedelta(days=7), at)
        assert chosen.period.holds(moments[0]) and bool(chosen.note) == noted
        one_end = choose_period(store.monitor, None, since, now=at, zone=BERLIN).period
        assert one_end.until == chosen.period.since and one_end.until - one_end.since == timedelta(days=7)


def test_a_period_that_has_only_begun_ends_now(filled: Path) -> None:
    with open_store(sqlite_url(filled / "deskhand.db")) as store:
        assert choose_period(store.monitor, "2025-02-17", None, now=NOW, zone=BERLIN).period.until == NOW


@pytest.mark.parametrize(
    ("written", "moment"),
    [
        ("2025-01-20", datetime(2025, 1, 19, 23, tzinfo=UTC)),
        (" 2025-01-20T08:00 ", datetime(2025, 1, 20, 7, tzinfo=UTC)),
        ("2025-01-20T08:00Z", datetime(2025, 1, 20, 8, tzinfo=UTC)),
        ("2025-01-20 08:00-05:00", datetime(2025, 1, 20, 13, tzinfo=UTC)),
    ],
)
def test_moments_are_read_with_their_zone_or_in_the_settings_zone(written: str, moment: datetime) -> None:
    read = read_moment("--since", written, NOW, BERLIN)
    assert read == moment and read.tzinfo is BERLIN


@pytest.mark.parametrize("written", ["0001-01-01", "9999-12-31T23:59", "", "20", "2025-01-20T25:00"])
def test_moments_at_the_end_of_the_world_are_refused(written: str) -> None:
    with pytest.raises(UsageError, match="--since"):
        read_moment("--since", written, NOW, BERLIN)


# Alerts


def test_alerts_say_since_when_their_customers_are_quiet(run: Run, tmp_path: Path) -> None:
    home = tmp_path / "other"
    home.mkdir()
    last = datetime(2025, 2, 10, 12, tzinfo=UTC)
    fill(home, [last - timedelta(hours=hour) for hour in range(300)])
    signal = Signal("number", "delivery", "en", last - timedelta(days=3), last - timedelta(days=4), 31, 8.0, 40, 0.01, 3.9)
    with open_store(sqlite_url(home / "deskhand.db")) as store:
        store.monitor.raise_alert(Alert("alert_1", "delivery", "en", signal, "open", signal.at))
        heard = max(event.at for event in store.monitor.stream() if event.negative > 0.5)
    (told,) = json.loads(run("alerts", "--json", home=home).out)
    assert told["quiet_since"] == heard.isoformat() and timedelta(0) <= last - heard < timedelta(days=1)
    assert f"quiet since {heard.astimezone(BERLIN):%Y-%m-%d %H:%M}" in run("alerts", home=home).out
    assert json.loads(run("resolve", "alert_1", "--by", "Ada", "--json", home=home).out)["quiet_since"] is None


# Backtest


def test_a_backtest_writes_a_page_and_says_what_was_found(run: Run, filled: Path) -> None:
    words = ("backtest", "--times", "6", "--hours", "48", "--surges", "4", "--seed", "3")
    ran = run(*words)
    path = filled / "reports" / "backtest-6x-48h-seed3.html"
    assert ran.code == 0 and ran.out.endswith(f"{path}\n") and "of 4 surges were found" in ran.out
    page = path.read_text()
    assert page.startswith("<!doctype html>") and page.rstrip().endswith("</html>")
    told = json.loads(run(*words, "--json").out)
    assert told["path"] == str(path) and told["surges"] == 4 and told["found"] >= 3
    assert told["messages"] == 24 * DAYS and told["false_alarms_allowed"] == 0.25
    assert told["found_interval"][0] < told["found_share"] <= told["found_interval"][1]
    assert f"{told['found']} of 4 surges were found" in ran.out


def test_a_backtest_by_other_limits_counts_by_them(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DESKHAND_MONITOR__NEGATIVE_ABOVE", '{"en": 0.95}')
    ran = run("backtest", "--surges", "2")
    assert ran.code == 2 and "counts as negative" in ran.err and "negative_above" in ran.err


def test_a_backtest_of_an_empty_store_or_of_too_long_a_surge_is_refused(run: Run, tmp_path: Path) -> None:
    ran = run("backtest", "--json", home=tmp_path / "empty")
    assert ran.code == 2 and ran.out == "" and "monitor look" in json.loads(ran.err.splitlines()[-1])["error"]
    long = run("backtest", "--hours", "1000")
    assert long.code == 2 and "need 71" in long.err
    assert run("backtest", "--times", "1").code == 2
