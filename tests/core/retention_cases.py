"""The retention table: (what lies there, policy, now) -> exactly what is kept and deleted, and by which rules.

Each row is run twice: on the pure rules, and on the same files planted in a real folder. In ``expected`` a "+" keeps and a "-"
deletes; the words are the rules' names. A chain of another database is not in the plan at all.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from raven_backup_provider.core.model import BackupType, Engine
from tests.support.planted_chains import Chain

NOW = "2026-03-31 12:00"


@dataclass(frozen=True)
class Case:
    """One row.

    :param refused: the mass-delete guard refuses the plan.
    :param note: part of a note of the plan.
    """

    name: str
    chains: dict[str, Chain]
    policy: dict[str, Any]
    expected: dict[str, str]
    now: str = NOW
    refused: bool = False
    note: str | None = None
    others: set[str] = field(default_factory=set)


def days(*dates: str, hour: str = "01:00", **more: Any) -> dict[str, Chain]:
    """One full chain on each of these days of March 2026, labelled by the day."""
    return {day: Chain(f"2026-03-{day} {hour}", **more) for day in dates}


ALL = {"max_delete_share": 1}
SERVER = {"engine": Engine.SERVER}
SNAPSHOT = {"engine": Engine.SERVER, "type": BackupType.SNAPSHOT}

CASES = [
    # --- nothing to go by -----------------------------------------------------------------------------------------
    Case("without a rule nothing is deleted", days("01", "30"), {}, {"01": "+no rule", "30": "+no rule"}),
    Case(
        "disabled deletes nothing whatever else it says",
        days("01", "30"),
        {"disabled": True, "keep_last": 1},
        {"01": "+disabled", "30": "+disabled"},
        note="disabled",
    ),
    Case("an empty place has no decisions", {}, {"keep_last": 1}, {}),
    Case("a single chain is the newest", days("01"), {"minimum_age_days": 1}, {"01": "+newest"}),
    # --- RavenDB's rule -------------------------------------------------------------------------------------------
    Case(
        "minimum age: older goes, younger stays",
        days("01", "16", "20", "30"),
        {"minimum_age_days": 14},
        {"01": "-expired", "16": "-expired", "20": "+minimum age", "30": "+newest, minimum age"},
    ),
    Case(
        "minimum age: exactly that old goes",
        {"old": Chain("2026-03-17 12:00"), "new": Chain("2026-03-29 12:00")},
        {"minimum_age_days": 14},
        {"old": "-expired", "new": "+newest, minimum age"},
    ),
    Case(
        "minimum age: one second too young stays",
        {"old": Chain("2026-03-17 12:00:01"), "new": Chain("2026-03-29 12:00")},
        {"minimum_age_days": 14},
        {"old": "+minimum age", "new": "+newest, minimum age"},
    ),
    Case(
        "minimum age: an old full with an old incremental goes",
        {"old": Chain("2026-03-01 01:00", ("2026-03-02 01:00", "2026-03-10 01:00")), **days("30")},
        {"minimum_age_days": 14},
        {"old": "-expired", "30": "+newest, minimum age"},
    ),
    Case(
        "minimum age: an old full with a young incremental stays",
        {"old": Chain("2026-03-01 01:00", ("2026-03-02 01:00", "2026-03-20 01:00")), **days("30")},
        {"minimum_age_days": 14},
        {"old": "+minimum age", "30": "+newest, minimum age"},
    ),
    Case(
        "minimum age: nodes, snapshots and names without seconds are all the same to it",
        {
            "node": Chain("2026-03-01 01:00", node="B"),
            "snapshot": Chain("2026-03-02 01:00", **SNAPSHOT),
            "legacy": Chain("2026-03-03 01:00", legacy=True),
            **days("30"),
        },
        {"minimum_age_days": 14, **ALL},
        {"node": "-expired", "snapshot": "-expired", "legacy": "-expired", "30": "+newest, minimum age"},
    ),
    Case(
        "minimum age: when all are old the newest complete one stays",
        days("01", "02", "03"),
        {"minimum_age_days": 14, **ALL},
        {"01": "-expired", "02": "-expired", "03": "+newest"},
    ),
    Case(
        "minimum age: a file without manifest at the end counts for the age",
        {"old": Chain("2026-03-01 01:00", tail="2026-03-20 01:00"), **days("30")},
        {"minimum_age_days": 14},
        {"old": "+minimum age", "30": "+newest, minimum age"},
    ),
    Case(
        "minimum age: a database that bears another name is left alone",
        {"other": Chain("2026-01-01 01:00", database="shopping"), **days("01", "30")},
        {"minimum_age_days": 14},
        {"01": "-expired", "30": "+newest, minimum age"},
        note="another database's name",
        others={"other"},
    ),
    Case(
        "minimum age: letter case makes no other database",
        {"upper": Chain("2026-03-01 01:00", database="SHOP"), **days("30")},
        {"minimum_age_days": 14},
        {"upper": "-expired", "30": "+newest, minimum age"},
    ),
    Case(
        "minimum age: a letter that RavenDB takes for another one makes another database",
        {"long s": Chain("2026-03-01 01:00", database="\u017fhop"), **days("01", "30")},
        {"minimum_age_days": 14},
        {"01": "-expired", "30": "+newest, minimum age"},
        others={"long s"},
    ),
    Case(
        "minimum age: a fraction of days",
        {"a": Chain("2026-03-29 23:00"), "b": Chain("2026-03-30 01:00"), "c": Chain("2026-03-31 01:00")},
        {"minimum_age_days": 1.5},
        {"a": "-expired", "b": "+minimum age", "c": "+newest, grace, minimum age"},
    ),
    # --- the times of a server's own files ------------------------------------------------------------------------
    Case(
        "a server ahead of UTC: the manifest's time counts, the name looks younger than it is",
        {"server": Chain("2026-03-17 10:00", local=10, **SERVER), **days("30")},
        {"minimum_age_days": 14},
        {"server": "-expired", "30": "+newest, minimum age"},
    ),
    Case(
        "a server behind UTC: the manifest's time counts, the name looks older than it is",
        {"server": Chain("2026-03-17 18:00", local=-8, **SERVER), **days("30")},
        {"minimum_age_days": 14},
        {"server": "+minimum age", "30": "+newest, minimum age"},
    ),
    Case(
        "a server's chain counts for the day it was made on in UTC",
        {"stream": Chain("2026-03-20 20:00"), "server": Chain("2026-03-21 03:00", local=-8, **SERVER), **days("30")},
        {"keep_daily": 2},
        {"stream": "-expired", "server": "+daily", "30": "+newest, daily"},
    ),
    # --- keep last ------------------------------------------------------------------------------------------------
    Case(
        "keep last 1",
        days("01", "15", "30"),
        {"keep_last": 1, **ALL},
        {"01": "-expired", "15": "-expired", "30": "+newest, last"},
    ),
    Case(
        "keep last 2",
        days("01", "15", "30"),
        {"keep_last": 2},
        {"01": "-expired", "15": "+last", "30": "+newest, last"},
    ),
    Case(
        "keep last more than there are",
        days("01", "15", "30"),
        {"keep_last": 9},
        {"01": "+last", "15": "+last", "30": "+newest, last"},
    ),
    Case(
        "keep last counts chains, not points",
        {"01": Chain("2026-03-01 01:00", ("2026-03-02 01:00", "2026-03-03 01:00")), **days("15", "30")},
        {"keep_last": 2},
        {"01": "-expired", "15": "+last", "30": "+newest, last"},
    ),
    Case(
        "keep last does not count what no manifest proves",
        {**days("01", "10"), "unproven": Chain("2026-03-20 01:00", state="unproven"), **days("30")},
        {"keep_last": 2},
        {"01": "-expired", "10": "+last", "unproven": "+unproven", "30": "+newest, last"},
    ),
    Case(
        "keep last does not count a damaged chain, but keeps it while it is that young",
        {
            **days("01", "10"),
            "damaged": Chain("2026-03-20 01:00", ("2026-03-21 01:00",), state="damaged"),
            **days("30"),
        },
        {"keep_last": 2},
        {"01": "-expired", "10": "+last", "damaged": "+last", "30": "+newest, last"},
    ),
    Case(
        "keep last counts all nodes together",
        {"A": Chain("2026-03-01 01:00"), "B": Chain("2026-03-10 01:00", node="B"), "C": Chain("2026-03-20 01:00")},
        {"keep_last": 2},
        {"A": "-expired", "B": "+last", "C": "+newest, last"},
    ),
    Case(
        "keep last counts snapshots and chains of the server",
        {
            "snapshot": Chain("2026-03-10 01:00", **SNAPSHOT),
            "server": Chain("2026-03-20 01:00", **SERVER),
            **days("01"),
        },
        {"keep_last": 2},
        {"01": "-expired", "snapshot": "+last", "server": "+newest, last"},
    ),
    Case(
        "keep last: two nodes in the same second",
        {"A": Chain("2026-03-10 01:00"), "B": Chain("2026-03-10 01:00", node="B")},
        {"keep_last": 1},
        {"A": "-expired", "B": "+newest, last"},
    ),
    Case(
        "keep last lets a damaged chain go that is older than the last complete ones",
        {"damaged": Chain("2026-03-01 01:00", ("2026-03-02 01:00",), state="damaged"), **days("10", "20", "30")},
        {"keep_last": 3},
        {"damaged": "-expired", "10": "+last", "20": "+last", "30": "+newest, last"},
    ),
    # --- days -----------------------------------------------------------------------------------------------------
    Case(
        "daily keeps the newest point of a day",
        {
            "morning": Chain("2026-03-20 06:00"),
            "evening": Chain("2026-03-20 18:00"),
            "before": Chain("2026-03-19 06:00"),
            "next": Chain("2026-03-21 06:00"),
        },
        {"keep_daily": 2},
        {"before": "-expired", "morning": "-expired", "evening": "+daily", "next": "+newest, daily"},
    ),
    Case(
        "daily: days without a backup do not count",
        days("01", "05", "20", "30"),
        {"keep_daily": 3},
        {"01": "-expired", "05": "+daily", "20": "+daily", "30": "+newest, daily"},
    ),
    Case(
        "daily: a chain stays for the day of one of its incrementals",
        {"week": Chain("2026-03-01 01:00", ("2026-03-02 01:00", "2026-03-03 01:00")), **days("04", "30")},
        {"keep_daily": 3},
        {"week": "+daily", "04": "+daily", "30": "+newest, daily"},
    ),
    Case(
        "daily: one chain can stand for several days",
        {"week": Chain("2026-03-20 01:00", ("2026-03-21 01:00", "2026-03-22 01:00")), **days("19", "30")},
        {"keep_daily": 4},
        {"19": "-expired", "week": "+daily", "30": "+newest, daily"},
    ),
    Case(
        "daily: midnight belongs to the day it begins",
        {"a": Chain("2026-03-19 23:59:59"), "b": Chain("2026-03-20 00:00:00"), "c": Chain("2026-03-20 23:59:59")},
        {"keep_daily": 2},
        {"a": "+daily", "b": "-expired", "c": "+newest, daily"},
    ),
    Case(
        "daily in Berlin: 23:30 UTC is the next day",
        {"a": Chain("2026-03-19 12:00"), "b": Chain("2026-03-19 23:30"), "c": Chain("2026-03-20 12:00")},
        {"keep_daily": 2, "time_zone": "Europe/Berlin"},
        {"a": "+daily", "b": "-expired", "c": "+newest, daily"},
    ),
    Case(
        "daily in UTC: 23:30 UTC is the same day",
        {"a": Chain("2026-03-19 12:00"), "b": Chain("2026-03-19 23:30"), "c": Chain("2026-03-20 12:00")},
        {"keep_daily": 2},
        {"a": "-expired", "b": "+daily", "c": "+newest, daily"},
    ),
    Case(
        "daily in New York: 03:00 UTC is the day before",
        {"a": Chain("2026-03-19 20:00"), "b": Chain("2026-03-20 03:00"), "c": Chain("2026-03-20 20:00")},
        {"keep_daily": 2, "time_zone": "America/New_York"},
        {"a": "-expired", "b": "+daily", "c": "+newest, daily"},
    ),
    Case(
        "daily fourteen hours ahead of UTC",
        {"a": Chain("2026-03-19 09:59"), "b": Chain("2026-03-19 10:00"), "c": Chain("2026-03-20 09:59")},
        {"keep_daily": 2, "time_zone": "Pacific/Kiritimati"},
        {"a": "+daily", "b": "-expired", "c": "+newest, daily"},
    ),
    Case(
        "daily on the day that has 23 hours",
        {
            "saturday": Chain("2026-03-28 22:59"),
            "sunday": Chain("2026-03-28 23:00"),
            "late sunday": Chain("2026-03-29 21:59"),
            "monday": Chain("2026-03-29 22:00"),
        },
        {"keep_daily": 3, "time_zone": "Europe/Berlin"},
        {"saturday": "+daily", "sunday": "-expired", "late sunday": "+daily", "monday": "+newest, daily"},
    ),
    Case(
        "daily on the day that has 25 hours: the second 02:30 is the newer one",
        {
            "first": Chain("2026-10-25 00:30"),
            "second": Chain("2026-10-25 01:30"),
            "before": Chain("2026-10-24 21:59"),
            "after": Chain("2026-10-25 23:00"),
        },
        {"keep_daily": 3, "time_zone": "Europe/Berlin"},
        {"before": "+daily", "first": "-expired", "second": "+daily", "after": "+newest, daily"},
        now="2026-11-01 12:00",
    ),
    Case(
        "daily over the leap day",
        {
            "27": Chain("2028-02-27 01:00"),
            "28": Chain("2028-02-28 01:00"),
            "29": Chain("2028-02-29 01:00"),
            "1": Chain("2028-03-01 01:00"),
        },
        {"keep_daily": 3},
        {"27": "-expired", "28": "+daily", "29": "+daily", "1": "+newest, daily"},
        now="2028-03-10 12:00",
    ),
    # --- weeks, months, years -------------------------------------------------------------------------------------
    Case(
        "weekly: a week begins on Monday",
        {
            "saturday": Chain("2026-03-14 01:00"),
            "sunday": Chain("2026-03-15 01:00"),
            "monday": Chain("2026-03-16 01:00"),
            "next sunday": Chain("2026-03-22 01:00"),
        },
        {"keep_weekly": 2},
        {"saturday": "-expired", "sunday": "+weekly", "monday": "-expired", "next sunday": "+newest, weekly"},
    ),
    Case(
        "weekly over the turn of a year with 53 weeks",
        {
            "w53": Chain("2026-12-28 01:00"),
            "still w53": Chain("2027-01-03 01:00"),
            "w1": Chain("2027-01-04 01:00"),
            "w52": Chain("2026-12-27 01:00"),
        },
        {"keep_weekly": 3},
        {"w52": "+weekly", "w53": "-expired", "still w53": "+weekly", "w1": "+newest, weekly"},
        now="2027-01-10 12:00",
    ),
    Case(
        "monthly keeps the last point of each month",
        {
            "jan": Chain("2026-01-31 23:00"),
            "feb 1": Chain("2026-02-01 01:00"),
            "feb 28": Chain("2026-02-28 01:00"),
            "mar": Chain("2026-03-30 01:00"),
        },
        {"keep_monthly": 3},
        {"jan": "+monthly", "feb 1": "-expired", "feb 28": "+monthly", "mar": "+newest, monthly"},
    ),
    Case(
        "monthly: the leap day is the last of February",
        {"28": Chain("2028-02-28 01:00"), "29": Chain("2028-02-29 01:00"), "mar": Chain("2028-03-05 01:00")},
        {"keep_monthly": 2},
        {"28": "-expired", "29": "+monthly", "mar": "+newest, monthly"},
        now="2028-03-10 12:00",
    ),
    Case(
        "monthly in a zone where the month has already begun",
        {"a": Chain("2026-02-28 10:00"), "b": Chain("2026-02-28 20:00"), "c": Chain("2026-03-20 10:00")},
        {"keep_monthly": 2, "time_zone": "Asia/Tokyo"},
        {"a": "+monthly", "b": "-expired", "c": "+newest, monthly"},
    ),
    Case(
        "yearly",
        {
            "2024": Chain("2024-12-31 23:59"),
            "jan 2025": Chain("2025-01-01 00:00"),
            "dec 2025": Chain("2025-12-31 01:00"),
            "2026": Chain("2026-03-30 01:00"),
        },
        {"keep_yearly": 2},
        {"2024": "-expired", "jan 2025": "-expired", "dec 2025": "+yearly", "2026": "+newest, yearly"},
    ),
    Case(
        "yearly in a zone where the year has not begun",
        {"a": Chain("2026-01-01 03:00"), "b": Chain("2025-12-01 03:00"), "c": Chain("2026-03-20 10:00")},
        {"keep_yearly": 2, "time_zone": "America/Los_Angeles"},
        {"b": "-expired", "a": "+yearly", "c": "+newest, yearly"},
    ),
    # --- together -------------------------------------------------------------------------------------------------
    Case(
        "grandfather, father, son",
        {
            "jan 10": Chain("2026-01-10 01:00"),
            "jan 31": Chain("2026-01-31 01:00"),
            "mar 10": Chain("2026-03-10 01:00"),
            "mar 22": Chain("2026-03-22 01:00"),
            "mar 29": Chain("2026-03-29 01:00"),
            "mar 30": Chain("2026-03-30 01:00"),
        },
        {"keep_daily": 2, "keep_weekly": 3, "keep_monthly": 2},
        {
            "jan 10": "-expired",
            "jan 31": "+monthly",
            "mar 10": "-expired",
            "mar 22": "+weekly",
            "mar 29": "+daily, weekly",
            "mar 30": "+newest, daily, weekly, monthly",
        },
    ),
    Case(
        "a chain goes only if no rule keeps it: minimum age and keep last",
        days("01", "05", "20", "30"),
        {"minimum_age_days": 14, "keep_last": 3},
        {"01": "-expired", "05": "+last", "20": "+minimum age, last", "30": "+newest, minimum age, last"},
    ),
    Case(
        "keep last and daily and yearly",
        {"2024": Chain("2024-06-01 01:00"), **days("01", "29", "30")},
        {"keep_last": 1, "keep_daily": 2, "keep_yearly": 5},
        {"2024": "+yearly", "01": "-expired", "29": "+daily", "30": "+newest, last, daily, yearly"},
    ),
    # --- grace ----------------------------------------------------------------------------------------------------
    Case(
        "nothing younger than a day goes, as long as nobody says otherwise",
        {"a": Chain("2026-03-30 11:59"), "b": Chain("2026-03-30 12:01"), "c": Chain("2026-03-31 11:00")},
        {"keep_last": 1},
        {"a": "-expired", "b": "+grace", "c": "+newest, grace, last"},
    ),
    Case(
        "grace of zero hours protects nothing",
        {"a": Chain("2026-03-31 10:00"), "b": Chain("2026-03-31 11:00")},
        {"keep_last": 1, "grace_hours": 0},
        {"a": "-expired", "b": "+newest, last"},
    ),
    Case(
        "grace of a week",
        days("20", "25", "30"),
        {"keep_last": 1, "grace_hours": 168},
        {"20": "-expired", "25": "+grace", "30": "+newest, grace, last"},
    ),
    Case(
        "grace counts the newest file of a chain",
        {"a": Chain("2026-03-01 01:00", ("2026-03-31 01:00",)), "b": Chain("2026-03-20 01:00")},
        {"keep_last": 1},
        {"a": "+newest, grace", "b": "+newest, last"},
    ),
    Case(
        "an old chain that was copied here a moment ago is not old here",
        {"copied": Chain("2026-01-01 01:00", modified="2026-03-31 11:00"), **days("30")},
        {"keep_last": 1},
        {"copied": "+grace", "30": "+newest, last"},
    ),
    # --- always ---------------------------------------------------------------------------------------------------
    Case(
        "nodes took turns: the chain with the newest point stays beside the newest chain",
        {
            "A": Chain("2026-03-01 01:00", ("2026-03-02 01:00", "2026-03-20 01:00")),
            "B": Chain("2026-03-05 01:00", node="B"),
        },
        {"keep_last": 1},
        {"A": "+newest", "B": "+newest, last"},
    ),
    Case(
        "nodes took turns: each chain is judged by its own files",
        {
            "A1": Chain("2026-03-01 01:00", ("2026-03-03 01:00", "2026-03-20 01:00")),
            "B1": Chain("2026-03-02 01:00", ("2026-03-04 01:00",), node="B"),
            "A2": Chain("2026-03-25 01:00", ("2026-03-27 01:00",)),
            "B2": Chain("2026-03-26 01:00", ("2026-03-28 01:00",), node="B"),
        },
        {"minimum_age_days": 14},
        {"A1": "+minimum age", "B1": "-expired", "A2": "+minimum age", "B2": "+newest, minimum age"},
    ),
    Case(
        "nodes took turns: a day stays with the node that had its newest point",
        {
            "A": Chain("2026-03-01 01:00", ("2026-03-02 01:00", "2026-03-03 13:00")),
            "B": Chain("2026-03-02 13:00", ("2026-03-03 01:00",), node="B"),
            "C": Chain("2026-03-20 01:00"),
        },
        {"keep_daily": 2},
        {"A": "+daily", "B": "-expired", "C": "+newest, daily"},
    ),
    Case(
        "the newest complete chain stays behind a damaged newer one, which stays too",
        {**days("01", "10"), "damaged": Chain("2026-03-20 01:00", ("2026-03-21 01:00",), state="damaged")},
        {"minimum_age_days": 5},
        {"01": "-expired", "10": "+newest", "damaged": "+newest"},
    ),
    Case(
        "the newest complete chain stays behind files that no manifest proves",
        {**days("01", "10"), "unproven": Chain("2026-03-20 01:00", state="unproven")},
        {"keep_last": 1, "unproven_after_days": 1},
        {"01": "-expired", "10": "+newest, last", "unproven": "+newest"},
    ),
    Case(
        "the last verified chain stays, however old",
        {"verified": Chain("2026-01-01 01:00", verified="ok"), **days("01", "30")},
        {"keep_last": 1},
        {"verified": "+last verified", "01": "-expired", "30": "+newest, last"},
    ),
    Case(
        "only the last verified chain stays for that",
        {
            "older": Chain("2026-01-01 01:00", verified="ok"),
            "newer": Chain("2026-02-01 01:00", verified="ok"),
            **days("30"),
        },
        {"keep_last": 1},
        {"older": "-expired", "newer": "+last verified", "30": "+newest, last"},
    ),
    Case(
        "a verification that found something bad proves nothing",
        {
            "older": Chain("2026-01-01 01:00", verified="ok"),
            "newer": Chain("2026-02-01 01:00", verified="bad"),
            **days("30"),
        },
        {"keep_last": 1},
        {"older": "+last verified", "newer": "-expired", "30": "+newest, last"},
    ),
    Case(
        "a verified chain that is damaged by now proves nothing",
        {
            "older": Chain("2026-01-01 01:00", verified="ok"),
            "newer": Chain("2026-02-01 01:00", ("2026-02-02 01:00",), verified="ok", state="damaged"),
            **days("30"),
        },
        {"keep_last": 1},
        {"older": "+last verified", "newer": "-expired", "30": "+newest, last"},
    ),
    Case(
        "a mark of a verification that cannot be read keeps its chain and the one before",
        {
            "oldest": Chain("2025-12-01 01:00", verified="ok"),
            "older": Chain("2026-01-01 01:00", verified="ok"),
            "newer": Chain("2026-02-01 01:00", verified="unreadable"),
            **days("30"),
        },
        {"keep_last": 1},
        {"oldest": "-expired", "older": "+last verified", "newer": "+last verified", "30": "+newest, last"},
    ),
    Case(
        "held stays until it is released",
        {"held": Chain("2026-01-01 01:00", hold="for ever"), **days("01", "30")},
        {"keep_last": 1},
        {"held": "+held", "01": "-expired", "30": "+newest, last"},
    ),
    Case(
        "held stays until the hold ends",
        {"held": Chain("2026-01-01 01:00", hold="2026-03-31 12:01"), **days("30")},
        {"keep_last": 1},
        {"held": "+held", "30": "+newest, last"},
    ),
    Case(
        "a hold that has ended holds nothing",
        {"held": Chain("2026-01-01 01:00", hold="2026-03-31 12:00"), **days("30")},
        {"keep_last": 1},
        {"held": "-expired", "30": "+newest, last"},
    ),
    Case(
        "a folder in which a file is being written stays",
        {"running": Chain("2026-01-01 01:00", running=True), **days("01", "30")},
        {"keep_last": 1},
        {"running": "+running", "01": "-expired", "30": "+newest, last"},
    ),
    Case(
        "a backup that has only begun stays",
        {"running": Chain("2026-01-01 01:00", running=True, state="empty"), **days("01", "30")},
        {"keep_last": 1},
        {"running": "+running", "01": "-expired", "30": "+newest, last"},
    ),
    # --- clocks ---------------------------------------------------------------------------------------------------
    Case(
        "a clock that went back behind the newest backup deletes nothing and says so",
        days("01", "15", "30"),
        {"keep_last": 1},
        {"01": "+clock", "15": "+clock", "30": "+clock"},
        now="2026-03-29 12:00",
        note="set the clock right",
    ),
    Case(
        "a backup made while a clock was years ahead is named, with what to do about it",
        {**days("01", "15", "30"), "ahead": Chain("2036-03-01 01:00")},
        {"keep_last": 1},
        {"01": "+clock", "15": "+clock", "30": "+clock", "ahead": "+clock"},
        note="2036-03-01-01-00-00.ravendb-shop-A-backup was made while a clock was ahead",
    ),
    Case(
        "a clock that is a few minutes off is no clock that went back",
        {"old": Chain("2026-03-01 01:00"), "new": Chain("2026-03-31 12:04")},
        {"keep_last": 1},
        {"old": "-expired", "new": "+newest, grace, last"},
    ),
    Case(
        "the clock is judged by the newest point, not by the newest full",
        {"old": Chain("2026-03-01 01:00", ("2026-03-31 13:00",)), "new": Chain("2026-03-30 01:00")},
        {"keep_last": 1},
        {"old": "+clock", "new": "+clock"},
    ),
    Case(
        "a server ahead of UTC is no sign of a clock that went back",
        {
            "old": Chain("2026-03-01 01:00"),
            "new": Chain("2026-03-31 08:00"),
            "server": Chain("2026-03-31 20:00", state="unproven"),
        },
        {"keep_last": 1},
        {"old": "-expired", "new": "+newest, grace, last", "server": "+newest, grace, unproven"},
    ),
    Case(
        "a clock far ahead trips the mass-delete guard",
        days("01", "10", "20", "30"),
        {"minimum_age_days": 30},
        {"01": "-expired", "10": "-expired", "20": "-expired", "30": "+newest"},
        now="2036-03-31 12:00",
        refused=True,
    ),
    # --- nothing proven -------------------------------------------------------------------------------------------
    Case(
        "without a complete chain nothing is deleted",
        {"a": Chain("2026-01-01 01:00", state="unproven"), "b": Chain("2026-02-01 01:00", state="broken")},
        {"keep_last": 1, "unproven_after_days": 1, **ALL},
        {"a": "+no complete chain", "b": "+no complete chain"},
        note="signing key",
    ),
    Case(
        "files without manifest stay unless an age is given",
        {"unproven": Chain("2026-01-01 01:00", state="unproven"), **days("30")},
        {"minimum_age_days": 14},
        {"unproven": "+unproven", "30": "+newest, minimum age"},
    ),
    Case(
        "files without manifest go at the age given",
        {
            "old": Chain("2026-03-20 01:00", ("2026-03-21 01:00",), state="unproven"),
            "young": Chain("2026-03-27 01:00", state="unproven"),
            **days("30"),
        },
        {"keep_last": 1, "unproven_after_days": 7},
        {"old": "-unproven too long", "young": "+unproven", "30": "+newest, last"},
    ),
    Case(
        "an age for files without manifest deletes no restore point",
        {"old": Chain("2026-01-20 01:00", state="unproven"), **days("01", "30")},
        {"unproven_after_days": 7},
        {"old": "-unproven too long", "01": "+no rule", "30": "+newest, no rule"},
    ),
    Case(
        "files without manifest may be in the local time of a server twelve hours behind",
        {"unproven": Chain("2026-03-24 01:00", state="unproven"), **days("30")},
        {"keep_last": 1, "unproven_after_days": 7},
        {"unproven": "+unproven", "30": "+newest, last"},
    ),
    Case(
        "incrementals whose full is missing stay to be looked at, as RavenDB's own retention leaves them",
        {"headless": Chain("2026-01-01 01:00", ("2026-01-02 01:00",), state="headless"), **days("30")},
        {"keep_last": 1, "unproven_after_days": 7},
        {"headless": "+unproven", "30": "+newest, last"},
    ),
    Case(
        "a held folder without manifest stays at any age",
        {"held": Chain("2026-01-01 01:00", state="unproven", hold="for ever"), **days("30")},
        {"keep_last": 1, "unproven_after_days": 7},
        {"held": "+held", "30": "+newest, last"},
    ),
    # --- damage ---------------------------------------------------------------------------------------------------
    Case(
        "a damaged chain is judged by the points it still has",
        {
            "old": Chain("2026-03-01 01:00", ("2026-03-02 01:00",), state="damaged"),
            "young": Chain("2026-03-20 01:00", ("2026-03-21 01:00",), state="damaged"),
            **days("30"),
        },
        {"minimum_age_days": 14},
        {"old": "-expired", "young": "+minimum age", "30": "+newest, minimum age"},
    ),
    Case(
        "a chain whose full's manifest cannot be read is kept and reported",
        {"broken": Chain("2026-01-01 01:00", ("2026-01-02 01:00",), state="broken"), **days("30")},
        {"keep_last": 1},
        {"broken": "+unproven", "30": "+newest, last"},
    ),
    Case(
        "a chain whose full's manifest cannot be read goes at the age given",
        {"broken": Chain("2026-01-01 01:00", ("2026-01-02 01:00",), state="broken"), **days("30")},
        {"keep_last": 1, "unproven_after_days": 30},
        {"broken": "-unproven too long", "30": "+newest, last"},
    ),
    Case(
        "what cannot be read is as safe as a restore point of its age",
        {
            "old": Chain("2026-02-01 01:00", state="broken"),
            "young": Chain("2026-03-20 01:00", ("2026-03-21 01:00",), state="broken"),
            **days("30"),
        },
        {"minimum_age_days": 14, "unproven_after_days": 1},
        {"old": "-unproven too long", "young": "+minimum age", "30": "+newest, minimum age"},
    ),
    Case(
        "after the signing key was changed, older chains stay as long as too few are complete",
        {**{day: Chain(f"2026-03-{day} 01:00", state="broken") for day in ("01", "08", "15", "22")}, **days("29")},
        {"keep_last": 3, "unproven_after_days": 1, **ALL},
        {"01": "+last", "08": "+last", "15": "+last", "22": "+last", "29": "+newest, last"},
    ),
    Case(
        "an age for files without manifest deletes none whose manifest cannot be read",
        {"broken": Chain("2026-01-20 01:00", state="broken"), **days("30")},
        {"unproven_after_days": 7},
        {"broken": "+no rule", "30": "+newest, no rule"},
    ),
    Case(
        "what cannot be read keeps its day beside the chain that takes it",
        {
            "good": Chain("2026-03-10 01:00"),
            "broken": Chain("2026-03-10 13:00", state="broken"),
            "before": Chain("2026-03-09 01:00"),
            **days("30"),
        },
        {"keep_daily": 2, "unproven_after_days": 1},
        {"before": "-expired", "good": "+daily", "broken": "+daily", "30": "+newest, daily"},
    ),
    # --- remains --------------------------------------------------------------------------------------------------
    Case(
        "the rest of an interrupted deletion is removed, and does not count for the guard",
        {"rest": Chain("2026-01-01 01:00", ("2026-01-02 01:00",), state="leftover"), **days("30")},
        {"keep_last": 1},
        {"rest": "-leftover", "30": "+newest, last"},
    ),
    Case(
        "the rest of an interrupted deletion stays while somebody holds it",
        {"rest": Chain("2026-01-01 01:00", state="leftover", hold="for ever"), **days("30")},
        {"keep_last": 1},
        {"rest": "+held", "30": "+newest, last"},
    ),
    Case(
        "the rest of an interrupted deletion stays without a rule",
        {"rest": Chain("2026-01-01 01:00", state="leftover"), **days("30")},
        {},
        {"rest": "+no rule", "30": "+no rule"},
    ),
    Case(
        "an empty folder is removed",
        {"empty": Chain("2026-01-01 01:00", state="empty"), **days("30")},
        {"keep_last": 1},
        {"empty": "-empty", "30": "+newest, last"},
    ),
    Case(
        "an empty folder of today may belong to a backup that begins",
        {"empty": Chain("2026-03-31 01:00", state="empty"), **days("30")},
        {"keep_last": 1, "grace_hours": 0},
        {"empty": "+running", "30": "+newest, last"},
    ),
    Case(
        "a foreign file stays, and its folder with it",
        {"old": Chain("2026-01-01 01:00", foreign=True), **days("30")},
        {"keep_last": 1},
        {"old": "-expired", "30": "+newest, last"},
        note="notes.txt is not ours",
    ),
    # --- the guard ------------------------------------------------------------------------------------------------
    Case(
        "half of the chains may go unasked",
        days("01", "02", "29", "30"),
        {"keep_last": 2},
        {"01": "-expired", "02": "-expired", "29": "+last", "30": "+newest, last"},
    ),
    Case(
        "more than half is refused",
        days("01", "02", "03", "29", "30"),
        {"keep_last": 2},
        {"01": "-expired", "02": "-expired", "03": "-expired", "29": "+last", "30": "+newest, last"},
        refused=True,
    ),
    Case(
        "a share of 1 refuses nothing",
        days("01", "02", "03", "30"),
        {"keep_last": 1, "max_delete_share": 1},
        {"01": "-expired", "02": "-expired", "03": "-expired", "30": "+newest, last"},
    ),
    Case(
        "a small share refuses a single deletion",
        days("01", "02", "03", "30"),
        {"keep_last": 3, "max_delete_share": 0.2},
        {"01": "-expired", "02": "+last", "03": "+last", "30": "+newest, last"},
        refused=True,
    ),
]
