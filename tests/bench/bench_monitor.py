"""The monitor's detector on simulated companies and on the real order of messages, beside four peers at the same false alarms.

    python tests/bench/bench_monitor.py [--data PATH/TO/DATA] [--seeds 20]

A run of 26 weeks has about 940,000 messages. False alarms are counted where no surge is, on seeds of their own; development used
seeds from 1000 on, none of which is used here. A found surge is one with a first alarm between its begin and its end. Delays are
told in negative conversations (an angry customer's second negative message tells the detector nothing new), in negative
messages, in all messages of the stream, and in minutes. Peers are tuned on validation seeds to one false alarm in four weeks.
"""

from __future__ import annotations

import argparse
import itertools
import math
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from assistant.monitor.detect import Detector  # noqa: E402
from assistant.monitor.events import Event, Signal  # noqa: E402
from assistant.monitor.limits import Limits  # noqa: E402
from tests.bench import monitor_ends  # noqa: E402
from tests.bench.monitor_logs import real_order, with_surges  # noqa: E402
from tests.bench.monitor_streams import LOCALES, START_S, Company, History, Surge, simulate  # noqa: E402
from tests.bench.peers_monitor import PEERS, WARM_S, Alarm, per_four_weeks, tuned, weeks_of  # noqa: E402

Row = dict[str, Any]
WEEKS = 26
RATIOS = (1.5, 2.0, 3.0, 3.0, 5.0)
BANDS = ((10, 20), (20, 40), (40, math.inf))
SMALL = Company(topics=5, conversations=120.0, tail=0.7)
MIDDLE = Company(topics=30, conversations=400.0, tail=1.0)


@dataclass(frozen=True, slots=True)
class Find:
    """What became of one surge; delays are infinite where it was not found."""

    surge: Surge
    conversations: float
    negatives: float
    messages: float
    minutes: float

    @property
    def found(self) -> bool:
        """Whether there was an alarm during the surge."""
        return self.minutes < math.inf


def run(data: Path, seeds: int = 20) -> list[Row]:
    """Measure everything.

    Args:
        data: The folder that holds ``multidogo`` and ``cucom_ecommerce``.
        seeds: How many simulated companies without surges.

    Returns:
        Rows of figure, value, target, peer, limit and n.
    """
    rows: list[Row] = []
    alarms: Counter[str] = Counter()
    messages = dict.fromkeys(LOCALES, 0.0)
    counts = []
    for seed in range(seeds):
        history = simulate(Company(seed=seed))
        counts.append(_count(history, Limits(), alarms, messages))
    rows.append(_false_row("200 topics, setting of one", counts, 1.0, "0.5-1.5"))
    for name, company, setting, runs in (("10 streams", SMALL, 3.0, 2 * seeds), ("60 streams", MIDDLE, 4.0, seeds)):
        counts = [
            _count(simulate(replace(company, seed=seed)), Limits(false_alerts=setting), alarms, messages) for seed in range(runs)
        ]
        rows.append(_false_row(f"{name}, setting of {setting:g}", counts, setting, None))
    rows.append(_gap_row(alarms, messages))
    rows.append(_speed_row(simulate(Company(seed=99))))
    quiet = [simulate(Company(seed=seed)) for seed in range(700, 703)]
    thresholds = {name: tuned(peer, low, high, quiet, WEEKS) for name, (peer, low, high) in PEERS.items()}
    del quiet
    print("thresholds", thresholds, flush=True)
    rows += _surge_rows(thresholds)
    return [*rows, *monitor_ends.rows(), *_real_rows(data, thresholds)]


def signals_of(history: History, limits: Limits, topics: Sequence[str] = ()) -> list[Signal]:
    """Feed a history to a new detector; recoveries are left out."""
    detector = Detector(limits)
    streams = history.rates.size
    names = [(topics[one] if topics else str(one // 2), "en" if topics else LOCALES[one % 2]) for one in range(streams)]
    conversations = list(map(str, history.conversation.tolist()))
    signals = []
    for at, stream, conversation, negative in zip(
        history.at.tolist(), history.stream.tolist(), conversations, history.negative.tolist(), strict=True
    ):
        topic, locale = names[stream]
        signals += detector.step(at, topic, locale, conversation, negative)
    return [signal for signal in signals if signal.kind != "recovered"]


def _alarms(signals: Sequence[Signal], topics: Sequence[str] = ()) -> list[Alarm]:
    numbers = {topic: number for number, topic in enumerate(topics)}
    return [
        Alarm(numbers[one.topic] if topics else int(one.topic) * 2 + LOCALES.index(one.locale), one.at.timestamp())
        for one in signals
    ]


def _count(history: History, limits: Limits, alarms: Counter[str], messages: dict[str, float]) -> int:
    signals = signals_of(history, limits)
    alarms.update(signal.locale for signal in signals)
    warm = history.at > START_S + WARM_S
    for number, locale in enumerate(LOCALES):
        # Weighted by the setting, so that companies with another one may be added up.
        messages[locale] += limits.false_alerts * int((warm & (history.stream % 2 == number)).sum()) / int(warm.sum())
    return len(signals)


def _false_row(name: str, counts: Sequence[int], setting: float, target: str | None) -> Row:
    total = sum(counts)
    value = per_four_weeks(total, len(counts), WEEKS)
    error = 1.96 * math.sqrt(max(total, 1)) / max(total, 1) * value
    print(f"false alerts in four weeks, {name}: {value:.2f} +- {error:.2f}", flush=True)
    return {
        "figure": f"false alerts in four weeks over all topics ({name})",
        "value": round(value, 3),
        "target": target,
        "peer": {"95 % interval": f"{value - error:.2f}-{value + error:.2f}", "of the setting": round(value / setting, 2)},
        "limit": "",
        "n": f"{total} alerts in {len(counts)} runs of {WEEKS} weeks",
    }


def _gap_row(alarms: Counter[str], expected: dict[str, float]) -> Row:
    """Compare false alerts per message; ``expected`` is each locale's part of the messages, times the setting."""
    rates = [alarms[locale] / expected[locale] for locale in LOCALES]
    gap = abs(rates[0] / rates[1] - 1)
    ratio, factor = rates[0] / rates[1], math.exp(1.96 * math.sqrt(sum(1 / alarms[locale] for locale in LOCALES)))
    interval = f"{ratio / factor:.2f}-{ratio * factor:.2f}"
    print(f"gap {gap:.3f}, ratio {ratio:.3f} in {interval} {dict(alarms)}", flush=True)
    return {
        "figure": "gap of false alerts per message, English against Chinese streams",
        "value": round(gap, 3),
        "target": "under 0.2",
        "peer": {"ratio": round(ratio, 3), "95 % interval of the ratio": interval},
        "limit": "companies of all three sizes together",
        "n": f"{alarms['en']} English, {alarms['zh']} Chinese alerts",
    }


def _speed_row(history: History, chunk: int = 50_000) -> Row:
    detector, seconds, wall = Detector(), 0.0, 0.0
    size = history.at.size
    for begin in range(0, size, chunk):
        part = slice(begin, begin + chunk)
        events = [
            Event(str(begin + number), str(conversation), datetime.fromtimestamp(at, UTC), str(stream // 2), LOCALES[stream % 2])
            for number, (at, stream, conversation) in enumerate(
                zip(history.at[part].tolist(), history.stream[part].tolist(), history.conversation[part].tolist(), strict=True)
            )
        ]
        negative = history.negative[part].tolist()
        started, begun = time.perf_counter(), time.process_time()
        for event, is_negative in zip(events, negative, strict=True):
            detector.observe(event, is_negative)
        seconds += time.process_time() - begun
        wall += time.perf_counter() - started
    print(f"{size / seconds:.0f} events a second of one core, {size / wall:.0f} by the wall clock", flush=True)
    return {
        "figure": "events a second of one core through observe",
        "value": round(size / seconds),
        "target": "5000",
        "peer": {"by the wall clock": round(size / wall)},
        "limit": "",
        "n": size,
    }


def finds(history: History, alarms: Sequence[Alarm]) -> list[Find]:
    """Tell for each surge of a history whether and when an alarm found it."""
    found = []
    for surge in history.surges:
        times = [one.at for one in alarms if one.stream == surge.stream and surge.begin <= one.at <= surge.end]
        if not times:
            found.append(Find(surge, math.inf, math.inf, math.inf, math.inf))
            continue
        inside = slice(np.searchsorted(history.at, surge.begin), np.searchsorted(history.at, min(times), "right"))
        mine = history.stream[inside] == surge.stream
        counted, negatives = (int((mine & what[inside]).sum()) for what in (history.first, history.negative))
        found.append(Find(surge, counted, negatives, int(mine.sum()), (min(times) - surge.begin) / 60))
    return found


def _surge_rows(thresholds: dict[str, float]) -> list[Row]:
    histories = [simulate(Company(seed=seed), surges_wanted=150, ratios=RATIOS) for seed in range(500, 504)]
    all_finds: dict[str, list[Find]] = {"ours": []}
    for history in histories:
        all_finds["ours"] += finds(history, _alarms(signals_of(history, Limits())))
        for name, (peer, _, _) in PEERS.items():
            all_finds.setdefault(name, []).extend(finds(history, peer(history, thresholds[name])))
    rows = []
    for shape in ("sudden", "slow"):
        for ratio in sorted(set(RATIOS)):
            for low, high in BANDS:
                rows += _band_rows(all_finds, shape, ratio, low, high)
    growth = simulate(Company(seed=510), surges_wanted=60, growth=60)
    raised = signals_of(growth, Limits())
    kinds: Counter[str] = Counter()
    for surge in growth.surges:
        place = (str(surge.stream // 2), LOCALES[surge.stream % 2])
        inside = (one for one in raised if (one.topic, one.locale) == place and surge.begin <= one.at.timestamp() <= surge.end)
        kinds.update(one.kind for one in itertools.islice(inside, 1))
    print("growth", dict(kinds), flush=True)
    rows.append(
        {
            "figure": "kind of the alert where all traffic grew to three times and the share did not",
            "value": dict(kinds),
            "target": "number",
            "peer": {},
            "limit": "",
            "n": sum(kinds.values()),
        }
    )
    return rows


def _band_rows(all_finds: dict[str, list[Find]], shape: str, ratio: float, low: float, high: float) -> list[Row]:
    chosen = {
        name: [one for one in found if one.surge.shape == shape and one.surge.ratio == ratio and low <= one.surge.extra < high]
        for name, found in all_finds.items()
    }
    n = len(chosen["ours"])
    if not n:
        return []
    size = f"{low:g} or more" if high == math.inf else f"{low:g} to {high:g}"
    main = ratio == 3.0 and high == math.inf and shape == "sudden"
    what = f"{shape} surges of {ratio:g} times with {size} further negative conversations"
    shares = {name: round(100 * sum(one.found for one in found) / n, 1) for name, found in chosen.items()}
    delays = {name: round(float(np.median([one.conversations for one in found])), 1) for name, found in chosen.items()}
    ours = chosen["ours"]
    others = {
        "negative messages": float(np.median([one.negatives for one in ours])),
        "all messages": float(np.median([one.messages for one in ours])),
        "minutes": round(float(np.median([one.minutes for one in ours])), 1),
    }
    print(what, n, shares, delays, others, flush=True)
    return [
        {
            "figure": f"found, %: {what}",
            "value": shares.pop("ours"),
            "target": "95" if main else None,
            "peer": shares,
            "limit": "",
            "n": n,
        },
        {
            "figure": f"median delay in negative conversations (not found: infinite): {what}",
            "value": delays.pop("ours"),
            "target": "under 25" if main else None,
            "peer": delays,
            "limit": others,
            "n": n,
        },
    ]


def _real_rows(data: Path, thresholds: dict[str, float]) -> list[Row]:
    rows: list[Row] = []
    for name in ("multidogo", "cucom_ecommerce"):
        read = real_order(data, name)
        if read is None:
            print(f"skipped: {data / name} is absent")
            continue
        history, topics = read
        plain = len(signals_of(history, Limits(), topics))
        weeks = weeks_of(history)
        all_finds: dict[str, list[Find]] = {"ours": []}
        for seed in range(6):
            injected = with_surges(history, seed)
            all_finds["ours"] += finds(injected, _alarms(signals_of(injected, Limits(), topics), topics))
            for peer_name, (peer, _, _) in PEERS.items():
                all_finds.setdefault(peer_name, []).extend(finds(injected, peer(injected, thresholds[peer_name])))
        n = len(all_finds["ours"])
        shares = {who: round(100 * sum(one.found for one in found) / max(n, 1), 1) for who, found in all_finds.items()}
        delays = {
            who: round(float(np.median([one.conversations for one in found])), 1) if found else None
            for who, found in all_finds.items()
        }
        quiet = {
            who: round(per_four_weeks(len(peer(history, thresholds[who])), 1, weeks), 2) for who, (peer, _, _) in PEERS.items()
        }
        what = f"{name} in its real order, synthetic times, negative by a word list"
        print(what, plain, n, shares, delays, quiet, flush=True)
        rows += [
            {
                "figure": f"alerts in four weeks without a surge: {what}",
                "value": round(per_four_weeks(plain, 1, weeks), 2),
                "target": None,
                "peer": quiet,
                "limit": "what the logs really do is unknown: some of these may be true",
                "n": f"{history.at.size} messages, {int(history.first.sum())} negative conversations, {len(topics)} topics",
            },
            {
                "figure": f"found, %: surges of 3 times put into {what}",
                "value": shares.pop("ours"),
                "target": None,
                "peer": shares,
                "limit": "peers at their simulated thresholds",
                "n": n,
            },
            {
                "figure": f"median delay in negative conversations: surges of 3 times put into {what}",
                "value": delays.pop("ours"),
                "target": None,
                "peer": delays,
                "limit": "",
                "n": n,
            },
        ]
    return rows


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--seeds", type=int, default=20)
    options = parser.parse_args()
    run(options.data, options.seeds)
