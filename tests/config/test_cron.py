"""Which cron expressions are accepted, and what is said about the others."""

from __future__ import annotations

import pytest

from agent.config.cron import ALIASES, cron_fault


@pytest.mark.parametrize(
    "expr",
    [
        "0 3 * * *",
        "*/5 * * * *",
        "*/20 * * * * *",
        "0 0 29 2 *",
        "0 0 30 2 1",
        "30 2 * mar-oct thu,fri",
        "0 0 L * *",
        "0 9 * * 1-5",
        "@startup",
        "@Daily",
        *ALIASES,
    ],
)
def test_schedules_that_fire_are_accepted(expr):
    assert cron_fault(expr) is None


@pytest.mark.parametrize(
    ("expr", "message"),
    [
        ("0 0 30 2 *", "never fires within 5 years"),
        ("0 0 31 4,6,9,11 *", "never fires"),
        ("0 0 31 2 */2", "never fires"),
        ("* * * *", "has 4 fields"),
        ("0 0 1 1 * 0 2030", "has 7 fields"),
        ("", "has 0 fields"),
        ("60 * * * *", "`60` is no minute"),
        ("0 24 * * *", "`24` is no hour"),
        ("0 0 * * 8", "`8` is no day of week"),
        ("0 0 * nope *", "`nope` is no month"),
        ("90 0 0 * * *", "`90` is no second"),
        ("*/0 * * * *", "`*/0` is no minute"),
        ("0 0 * * 5#6", "`5#6` is no day of week"),
        ("٣ * * * *", "is no minute"),
        ("R 3 * * *", "`R` and `H`"),
        ("H 3 * * *", "`R` and `H`"),
        ("h(0-9) 3 * * *", "`R` and `H`"),
        ("r/5 3 * * *", "`R` and `H`"),
        ("15m", "write `every: 15m`"),
        ("every 2 h", "write `every: 2h`"),
        ("@every 5m", "write `every: 5m`"),
        ("@reboot", '"@startup"'),
        ("@fortnightly", "is not an alias; there are @hourly"),
        ("0," * 300 + "0 * * * *", "longer than 500"),
    ],
)
def test_other_schedules_are_refused_with_a_reason(expr, message):
    assert message in cron_fault(expr)
