"""Refuses a cron expression that cannot be meant, with the mend; ``cronsim`` reads it. Knows no clock and no time zone."""

from __future__ import annotations

from datetime import UTC, datetime

from assistant.errors import UsageError


def check_cron(text: str) -> None:
    """Check an expression of five fields as crontab(5) means them.

    Args:
        text: Minute, hour, day of month, month, day of week.

    Raises:
        UsageError: If it cannot be read, or never comes.
    """
    from cronsim import CronSim, CronSimError

    try:
        if not text.isascii():
            raise CronSimError("it holds other characters than ASCII")
        CronSim(text, datetime(2024, 1, 1, tzinfo=UTC))
    except CronSimError as error:
        raise UsageError(
            f"{text!r} is no cron expression ({error}); write minute, hour, day of month, month, day of week: "
            "'0 3 * * *' is 3 o'clock every day"
        ) from error
