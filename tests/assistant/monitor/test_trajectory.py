"""How a conversation ran, and when it asks for a person: by its course, not by one rude word."""

from __future__ import annotations

import math
from random import Random

import pytest

from assistant.monitor.trajectory import LIMIT, Course, going_wrong, smoothed, trajectory


@pytest.mark.parametrize(
    ("scores", "course"),
    [
        ([-0.9, -0.5, 0.6, 0.9], "came_angry_left_content"),
        ([0.4, 0.0, -0.7, -0.9], "came_content_left_angry"),
        ([0.0, 0.0, -0.7, -0.9], "came_content_left_angry"),
        ([-0.9, -0.6, -0.8], "angry_throughout"),
        ([-0.9], "angry_throughout"),
        ([0.0, 0.1, 0.0, 0.6], "calm"),
        ([], "calm"),
        ([0.1, -0.9, -0.9, 0.1, 0.6], "mixed"),
        ([-0.9, -0.8, 0.0, 0.0], "mixed"),
    ],
)
def test_the_label_tells_how_it_began_and_ended(scores: list[float], course: Course) -> None:
    assert trajectory(scores).course == course


def test_one_rude_word_in_a_friendly_conversation_leaves_it_calm() -> None:
    assert trajectory([0.2, 0.3, -0.6, 0.4, 0.5]).course == "calm"


def test_began_low_and_ended_are_the_smoothed_scores() -> None:
    found = trajectory([0.0, -0.6, -0.9, 0.3])
    assert (found.began, found.ended, found.messages) == (pytest.approx(-0.2), pytest.approx(-0.1), 4)
    assert found.low == pytest.approx((2 * -0.9 - 0.6 + 0.3) / 4)


def test_scores_out_of_range_or_not_read_do_no_harm() -> None:
    assert smoothed([math.nan, 5.0, -math.inf]) == pytest.approx((1 / 3, 0.5, 1 / 3))
    assert not going_wrong([math.nan] * 9).wrong


@pytest.mark.parametrize("rude", [-0.7, -0.99, -1.0])
def test_one_rude_message_never_calls_a_person_whatever_surrounds_it(rude: float) -> None:
    for place in range(6):
        scores = [0.0] * 6
        scores[place] = rude
        assert not any(going_wrong(scores[:length]).wrong for length in range(7))


def test_two_rude_messages_do_not_call_either() -> None:
    assert not going_wrong([-1.0, -1.0]).wrong


def test_three_plainly_negative_messages_in_a_row_call_a_person() -> None:
    verdict = going_wrong([-0.9, -0.9, -0.9])
    assert (verdict.wrong, verdict.reason, verdict.since) == (True, "sour_from_start", 0)
    assert verdict.evidence >= LIMIT


def test_a_conversation_that_falls_calls_and_says_since_when() -> None:
    verdict = going_wrong([0.5, 0.0, -0.5, -0.8, -0.9, -0.9])
    assert (verdict.wrong, verdict.reason, verdict.since) == (True, "turned_sour", 2)


def test_steady_mild_displeasure_and_neutral_talk_do_not_call() -> None:
    assert not going_wrong([-0.2] * 30).wrong
    assert not going_wrong([0.0] * 30).wrong


def test_thanks_take_the_call_back() -> None:
    angry = [-0.9, -0.9, -0.9]
    assert not going_wrong([*angry, 0.9]).wrong
    assert not going_wrong([*angry * 5, 0.9, 0.9]).wrong  # however long the quarrel was


def test_neutral_messages_between_do_not_hide_a_quarrel() -> None:
    assert going_wrong([-0.9, 0.0, -0.9, 0.0, -0.9, 0.0, -0.9]).wrong


def test_ordinary_conversations_hardly_ever_call() -> None:
    draw = Random(11)
    # a tenth of the messages negative, independent of one another
    called = sum(
        any(going_wrong(talk[:length]).wrong for length in range(1, 9))
        for talk in ([-0.9 if draw.random() < 0.1 else draw.choice([0.0, 0.0, 0.7]) for _ in range(8)] for _ in range(2_000))
    )
    assert called / 2_000 < 0.03
