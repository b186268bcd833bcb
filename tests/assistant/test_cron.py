"""Cron expressions that can be meant pass; the others are refused with the mend."""

from __future__ import annotations

import pytest

from assistant.cron import check_cron
from assistant.errors import UsageError


@pytest.mark.parametrize("text", ["0 3 * * *", "*/20 1-3,22 1,15 jan-MAR/2 *", "0 3 * * mon-fri", "0 3 29 2 *", "0 3 * * 7"])
def test_what_crontab_takes_is_taken(text: str) -> None:
    check_cron(text)


@pytest.mark.parametrize(
    "text",
    [
        "0 3 * *",
        "@daily",
        "60 3 * * *",
        "0 -1 * * *",
        "0 3 * * funday",
        "*/0 * * * *",
        "0,, 3 * * *",
        "0 3 30 feb *",
        "٣ 3 * * *",
        "",
    ],
)
def test_what_cannot_be_meant_is_refused_with_the_mend(text: str) -> None:
    with pytest.raises(UsageError, match="minute, hour, day of month"):
        check_cron(text)
