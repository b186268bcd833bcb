"""Files into store and index, out of both again, and what is left after a kill."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from assistant.encoder import Encoder
from assistant.errors import DeskhandError, IndexVersionError, TranscriptError, UsageError
from assistant.redact import Redactor
from assistant.store import Store, open_store, sqlite_url
from retrieval.files import INGEST_FORMATS
from retrieval.index import open_current
from retrieval.ingest import IngestReport, ingest, rebuild, remove
from retrieval.lock import LOCK, exclusive
from retrieval.redaction import pseudonym
from retrieval.refresh import ERASING, Progress, serving_name
from retrieval.retriever import Retriever

LATE = (
    "My parcel has not come for two weeks now",
    "I have asked the carrier to search; a new parcel leaves our warehouse today.",
)
LOOSE = ("The handle of my kettle is loose", "Turn the screw under the lid clockwise, then the handle sits firmly again.")
REFUND = ("When do I get my money back?", "The refund reaches your bank account within five working days after inspection.")
REDACTOR = Redactor((r"FW-?\d{6}",), (), ("GB",))


class Home:
    """One installation on disk, with the commands bound to it."""

    def __init__(self, root: Path, store: Store, encoder: Encoder) -> None:
        self.root, self.store, self.encoder = root, store, encoder
        self.index = root / "index"
        ticks = count()
        self.bound: dict[str, Any] = {
            "store": store,
            "encoder": encoder,
            "index_root": self.index,
            "now": lambda: datetime(2026, 3, 1, 0, 0, next(ticks), tzinfo=UTC),
        }

    def ingest(self, *paths: Path, **options: Any) -> IngestReport:
        return ingest(paths, redactor=REDACTOR, salt="salt", new_id=lambda: uuid4().hex, **self.bound, **options)

    def remove(self, source: str) -> IngestReport:
        return remove(source, **self.bound)

    def find(self, question: str) -> list[str]:
        """Return the texts of all that is found for a question."""
        index = open_current(self.index, self.encoder.sha256, gpu="never")
        return [hit.passage.text for hit in Retriever(index, self.encoder.encode).search(question, k=50)]

    def names(self) -> list[str]:
        return [source.name for source in self.store.sources()]

    def on_disk(self, words: str, folder: str = ".") -> list[str]:
        """Return the files of store and index, or of one folder, that hold these words as bytes."""
        files = [path for path in (self.root / folder).rglob("*") if path.is_file()]
        return [path.name for path in files if words.encode() in path.read_bytes()]


@pytest.fixture
def home(tmp_path: Path, encoder: Encoder) -> Iterator[Home]:
    root = tmp_path / "home"
    with open_store(sqlite_url(root / "deskhand.db")) as store:
        yield Home(root, store, encoder)


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    folder = tmp_path / "logs"
    folder.mkdir()
    return folder


def conversation(id: str, pair: tuple[str, str], **more: object) -> str:
    turns = [{"role": "customer", "text": pair[0]}, {"role": "agent", "text": pair[1]}]
    return json.dumps({"id": id, "turns": turns, **more}, ensure_ascii=False)


def write(path: Path, *lines: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_a_conversation_is_found_by_the_next_customer_with_the_same_problem(home: Home, logs: Path) -> None:
    report = home.ingest(write(logs / "may.jsonl", conversation("1", LATE), conversation("2", REFUND)))
    assert home.find("where is my parcel, it never came")[0] == LATE[1]
    [source] = report.sources
    assert (source.name, source.kind, source.state) == ("logs/may.jsonl", "log", "added")
    assert (source.conversations, source.passages, report.passages) == (2, 2, 2)
    assert report.built and report.index_version == serving_name(home.index)
    assert {"read", "passages", "encode", "fold", "index"} <= report.seconds.keys()
    json.dumps(report.as_json())


def test_evidence_names_the_source_that_removes_it(home: Home, logs: Path) -> None:
    home.ingest(write(logs / "may.jsonl", conversation("17", LATE)))
    [passage] = open_current(home.index, home.encoder.sha256).shelf.passages()
    assert passage.source == "logs/may.jsonl#17"


def test_a_folder_keeps_relative_paths_and_lists_what_it_left_out(home: Home, logs: Path) -> None:
    write(logs / "2025" / "may.jsonl", conversation("1", LATE))
    write(logs / "help" / "kettle.md", "# Kettle", "", "Descale the kettle every month with vinegar and warm water.")
    write(logs / "README.md", "# About")
    templates = {"intent": "refund", "lang": "en", "text": "It takes five days.", "ask": ""}
    write(logs / "templates.jsonl", json.dumps(templates))
    report = home.ingest(logs)
    assert sorted(home.names()) == ["logs/2025/may.jsonl", "logs/help/kettle.md", "logs/templates.jsonl"]
    assert [one.path.name for one in report.skipped] == ["README.md"]
    assert sum(one.articles for one in report.sources) == sum(one.templates for one in report.sources) == 1


def test_logs_without_a_word_on_the_outcome_count_as_solved_and_open_ones_do_not(home: Home, logs: Path) -> None:
    home.ingest(write(logs / "may.jsonl", conversation("1", LATE), conversation("2", REFUND, resolved=False)))
    assert home.find("money back parcel") == [LATE[1]]


def test_personal_data_is_neither_in_the_store_nor_in_the_index(home: Home, logs: Path) -> None:
    text = "I am jane.roe@example.com, order FW-123456, call +44 20 7946 0958, my parcel never came"
    reply = "Order FW-123456 leaves the warehouse again today; we write to jane.roe@example.com once it is on its way."
    write(logs / "a.jsonl", conversation("1", (text, reply), contact="Jane.Roe@example.com"))
    home.ingest(logs / "a.jsonl")
    for secret in ("jane.roe@example.com", "Jane.Roe@example.com", "7946 0958", "FW-123456"):
        assert home.on_disk(secret) == []
    [found] = home.find("parcel never came")
    assert found.startswith("Order [ORDER_1]") and "[EMAIL_1]" in found
    [kept] = home.store.iter_transcripts()
    assert "[ORDER_1]" in kept.turns[0].text
    assert home.store.forget_contact(pseudonym("jane.roe@EXAMPLE.com", REDACTOR, "salt")) == 1


def test_a_customer_number_stays_a_contact(home: Home, logs: Path) -> None:
    home.ingest(write(logs / "a.jsonl", conversation("1", LATE, contact="c0843")))
    assert [one.contact for one in home.store.iter_transcripts()] == ["c0843"]


def test_the_companys_own_address_in_an_article_stays(home: Home, logs: Path) -> None:
    home.ingest(write(logs / "help.md", "# Contact", "", "Write to help@fernwick.example, we answer within one working day."))
    assert "help@fernwick.example" in home.find("how do I contact you")[0]


def test_a_broken_row_refuses_its_file_by_line_and_the_others_are_served(home: Home, logs: Path) -> None:
    write(logs / "a.jsonl", conversation("1", LATE))
    write(logs / "b.jsonl", conversation("1", LOOSE), '{"id": "2", "turns": [')
    with pytest.raises(TranscriptError, match=r"b\.jsonl:2: "):
        home.ingest(logs)
    assert home.names() == ["logs/a.jsonl"]
    assert home.find("kettle handle loose parcel") == [LATE[1]]
    assert home.on_disk("kettle") == []


def test_skip_bad_keeps_the_rest_and_lists_what_it_left(home: Home, logs: Path) -> None:
    write(
        logs / "b.jsonl", conversation("1", LOOSE), '{"id": "2", "turns": [', conversation("1", REFUND), conversation("3", LATE)
    )
    write(logs / "empty.pdf", "%PDF-1.4 broken")
    report = home.ingest(logs, skip_bad=True)
    assert [Path(row.where).name for row in report.bad_rows] == ["b.jsonl:2", "b.jsonl:3"]
    assert "twice" in report.bad_rows[1].why
    assert [one.path.name for one in report.skipped] == ["empty.pdf"] and "damaged" in report.skipped[0].why
    assert sorted(home.find("kettle handle parcel")) == sorted([LOOSE[1], LATE[1]])


def test_a_file_of_nothing_but_bad_rows_is_refused_even_then(home: Home, logs: Path) -> None:
    write(logs / "b.jsonl", '{"turns": 1}', '{"turns": 2}')
    with pytest.raises(TranscriptError, match="no conversation"):
        home.ingest(logs / "b.jsonl", skip_bad=True)
    assert home.names() == []


def test_the_same_file_twice_changes_nothing(home: Home, logs: Path) -> None:
    file = write(logs / "may.jsonl", conversation("1", LATE))
    first = home.ingest(file)
    copy = write(logs / "copy.jsonl", conversation("1", LATE))
    second = home.ingest(file, copy)
    assert [one.state for one in second.sources] == ["unchanged", "unchanged"]
    assert "logs/may.jsonl" in second.sources[1].note
    assert not second.built and second.index_version == first.index_version
    assert home.names() == ["logs/may.jsonl"]


def test_only_what_is_new_is_encoded(home: Home, logs: Path) -> None:
    home.ingest(write(logs / "may.jsonl", conversation("1", LATE), conversation("2", REFUND)))
    report = home.ingest(write(logs / "june.jsonl", conversation("1", LOOSE)))
    assert (report.encoded, report.reused, report.passages) == (1, 2, 3)
    assert home.find("refund to my bank account")[0] == REFUND[1]


def test_near_duplicates_fold_into_one(home: Home, logs: Path) -> None:
    report = home.ingest(write(logs / "may.jsonl", *(conversation(str(number), LATE) for number in range(5))))
    assert (report.passages, report.folded) == (1, 4)


def test_a_changed_file_replaces_the_old_everywhere(home: Home, logs: Path) -> None:
    home.ingest(write(logs / "june.jsonl", conversation("1", REFUND)))
    home.ingest(write(logs / "may.jsonl", conversation("1", LATE)))
    report = home.ingest(write(logs / "may.jsonl", conversation("1", LOOSE)))
    assert [one.state for one in report.sources] == ["replaced"]
    assert sorted(home.find("parcel kettle handle refund")) == sorted([REFUND[1], LOOSE[1]])
    assert home.on_disk("carrier to search", "index") == []


def test_what_was_removed_is_found_nowhere_not_even_in_an_older_version(home: Home, logs: Path) -> None:
    home.ingest(write(logs / "may.jsonl", conversation("1", LATE)))
    home.ingest(write(logs / "june.jsonl", conversation("1", REFUND)))
    report = home.remove("logs/may.jsonl")
    assert [(one.name, one.state) for one in report.sources] == [("logs/may.jsonl", "removed")]
    assert home.find("parcel has not come") == [REFUND[1]]
    assert home.on_disk("carrier to search", "index") == []
    assert [path.name for path in home.index.iterdir() if path.is_dir()] == [report.index_version]
    home.store.close()  # SQLite's log of changes goes away with the last connection
    assert home.on_disk("carrier to search") == []
    (home.index / report.index_version / "passages.jsonl").write_text("damage")
    with pytest.raises(IndexVersionError, match=r"passages\.jsonl"):
        home.find("parcel")


def test_the_last_source_can_be_removed_and_another_added(home: Home, logs: Path) -> None:
    home.ingest(write(logs / "may.jsonl", conversation("1", LATE)))
    assert home.remove("logs").passages == 0
    assert home.find("parcel") == []
    home.ingest(write(logs / "may.jsonl", conversation("1", LATE)))
    assert home.find("parcel") == [LATE[1]]


def test_removing_what_is_not_there_names_what_is(home: Home, logs: Path) -> None:
    home.ingest(write(logs / "may.jsonl", conversation("1", LATE)))
    version = serving_name(home.index)
    with pytest.raises(UsageError, match=r"did you mean logs/may\.jsonl"):
        home.remove("may.jsonl")
    assert serving_name(home.index) == version


def test_after_a_contact_is_forgotten_rebuild_takes_it_out_of_the_index(home: Home, logs: Path) -> None:
    home.ingest(write(logs / "may.jsonl", conversation("1", LATE, contact="c1"), conversation("2", REFUND, contact="c2")))
    home.store.forget_contact("c1")
    rebuild(**home.bound)
    assert home.find("parcel money") == [REFUND[1]]
    assert home.on_disk("carrier to search", "index") == []


def test_a_damaged_version_is_replaced_by_the_next_run(home: Home, logs: Path) -> None:
    file = write(logs / "may.jsonl", conversation("1", LATE))
    version = home.ingest(file).index_version
    (home.index / version / "vectors.faiss").write_bytes(b"damage")
    report = home.ingest(file)
    assert report.built and report.index_version != version
    assert home.find("parcel") == [LATE[1]]


def test_an_index_of_another_encoder_is_built_again(home: Home, logs: Path) -> None:
    file = write(logs / "may.jsonl", conversation("1", LATE))
    home.ingest(file)

    class Renamed:
        sha256, name, dim, encode = "0" * 64, "another", home.encoder.dim, home.encoder.encode

    home.bound["encoder"] = Renamed
    report = home.ingest(file)
    assert report.built and (report.encoded, report.reused) == (1, 0)


def test_chinese_and_gzip(home: Home, logs: Path) -> None:
    pair = ("我的包裹两个星期了还没有到", "我们已经请快递公司查找，今天会从仓库给您重新寄出一个包裹。")
    (logs / "zh.jsonl.gz").write_bytes(gzip.compress(conversation("1", pair).encode()))
    write(logs / "退款.md", "# 退款需要多久", "", "退款会在收到退货并检查之后的五个工作日内退回您的银行账户。")
    home.ingest(logs)
    assert home.names() and set(home.names()) == {"logs/zh.jsonl.gz", "logs/退款.md"}
    assert "五个工作日" in home.find("退款多久到账")[0]
    assert {one.lang for one in open_current(home.index, home.encoder.sha256).shelf.passages()} == {"zh"}


def test_articles_in_two_folders_may_share_a_name(home: Home, logs: Path) -> None:
    for lang, text in (
        ("en", "Refunds reach your bank within five working days."),
        ("zh", "退款会在五个工作日内退回您的银行账户。"),
    ):
        write(logs / lang / "refund.md", "---", f"lang: {lang}", "---", "# Refund", "", text)
    home.ingest(logs)
    assert [one.id for one in home.store.iter_articles()] == ["logs/en/refund.md", "logs/zh/refund.md"]


def test_two_files_that_would_share_a_name_are_refused(home: Home, tmp_path: Path) -> None:
    one = write(tmp_path / "one" / "logs" / "a.jsonl", conversation("1", LATE))
    two = write(tmp_path / "two" / "logs" / "a.jsonl", conversation("1", LOOSE))
    with pytest.raises(UsageError, match=r"logs/a\.jsonl"):
        home.ingest(one, two)


def test_a_folder_and_a_file_in_it_count_once(home: Home, logs: Path) -> None:
    file = write(logs / "a.jsonl", conversation("1", LATE))
    assert len(home.ingest(logs, file).sources) == 1


def test_hopeless_paths_say_why(home: Home, logs: Path) -> None:
    with pytest.raises(TranscriptError, match="no such file"):
        home.ingest(logs / "nowhere.jsonl")
    with pytest.raises(TranscriptError, match="holds no log"):
        home.ingest(logs)
    with pytest.raises(UsageError, match="jsonl"):
        home.ingest(write(logs / "a.jsonl", conversation("1", LATE)), format="yaml")
    assert "articles" in INGEST_FORMATS


def test_a_second_ingest_is_told_which_process_is_at_work(home: Home, logs: Path) -> None:
    file = write(logs / "a.jsonl", conversation("1", LATE))
    with exclusive(home.index), pytest.raises(DeskhandError, match=f"process {os.getpid()} "):
        home.ingest(file)
    (home.index / LOCK).write_text("999999\n")  # left by a process that died
    assert home.ingest(file).built


def test_progress_tells_every_stage(home: Home, logs: Path) -> None:
    seen: list[Progress] = []
    home.ingest(write(logs / "a.jsonl", conversation("1", LATE)), progress=seen.append)
    assert list(dict.fromkeys(one.stage for one in seen)) == ["read", "passages", "encode", "index"]
    assert all(one.done <= one.total for one in seen if one.total)


@pytest.mark.parametrize("point", ["half read", "stored", "half encoded", "before the swap", "before the old version is deleted"])
def test_killed_at_any_instant_an_index_serves_and_the_next_run_mends_it(home: Home, logs: Path, point: str) -> None:
    home.ingest(write(logs / "may.jsonl", conversation("1", LATE)))
    changed = write(logs / "may.jsonl", conversation("1", LOOSE), conversation("2", REFUND))
    driver = [sys.executable, str(Path(__file__).with_name("killed_ingest.py")), str(home.root), str(changed), point]
    repository = str(Path(__file__).parents[2])
    ended = subprocess.run(driver, env={**os.environ, "PYTHONPATH": repository}, capture_output=True, check=False)
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()
    old, new = [LATE[1]], sorted([LOOSE[1], REFUND[1]])
    served = sorted(home.find("parcel kettle handle refund"))
    assert served == (new if point.startswith("before the old") else old)
    home.ingest(changed)
    assert sorted(home.find("parcel kettle handle refund")) == new
    assert home.names() == ["logs/may.jsonl"]
    assert home.on_disk("carrier to search", "index") == []
    assert not (home.index / ERASING).exists()
    assert [path.name for path in home.index.iterdir() if path.is_dir()] == [serving_name(home.index)]


def test_a_removal_that_was_killed_is_mended_by_removing_again(home: Home, logs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home.ingest(write(logs / "may.jsonl", conversation("1", LATE)))

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("retrieval.ingest.refresh", stop)
        with pytest.raises(KeyboardInterrupt):
            home.remove("logs/may.jsonl")
    assert home.names() == [] and (home.index / ERASING).exists()
    assert home.remove("logs/may.jsonl").sources == ()
    assert home.find("parcel") == [] and home.on_disk("carrier to search", "index") == []
