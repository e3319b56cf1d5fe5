"""Waiting for files in an archive before an operator reads them: asked for once, then the task sleeps in the triggerer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from raven_backup_provider.core.errors import ConfigurationError, DestinationError
from raven_backup_provider.operators.arguments import given, positive

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator

    from raven_backup_provider.core.destination import Destination
    from raven_backup_provider.jobs.folder_view import BackupFolderView

#: Seconds between two looks of the trigger.
POLL_INTERVAL = 900.0
#: Hours. The slowest retrieval there is takes two days.
LONGEST_HOURS = 72.0
#: Keys that one trigger carries through Airflow's database; the rest is waited for afterwards.
_MOST_KEYS = 500
#: The method that the operators resume with.
METHOD = "after_retrieval"


def wait_until_readable(
    operator: BaseOperator,
    destination: str,
    files: Sequence[tuple[Destination | BackupFolderView, str]],
    *,
    tier: Any,
    days: Any,
    hours: Any,
    poll_interval: float,
    deadline: str | None,
) -> None:
    """Return if all files can be read now; otherwise ask for them and leave the worker.

    :param destination: as the operator's argument names it.
    :param files: (where it is read, its key there).
    :param tier: rendered argument ``retrieval_tier``; empty: the store's standard one.
    :param days: rendered argument ``retrieval_days``.
    :param hours: rendered argument ``retrieval_hours``.
    :param deadline: of a wait that this one goes on with; None: a new one begins.
    """
    from raven_backup_provider.jobs.retrieve import retrieve

    kept = whole_days(days)
    until = datetime.now(timezone.utc) + timedelta(hours=positive(hours, "retrieval_hours") or LONGEST_HOURS)
    by_place: dict[int, tuple[Destination | BackupFolderView, list[str]]] = {}
    for place, key in files:
        by_place.setdefault(id(place), (place, []))[1].append(key)
    waiting = [
        key for place, keys in by_place.values() for key in retrieve(place, keys, tier=given(tier), days=kept).keys
    ]
    if not waiting:
        return
    from raven_backup_provider.triggers.retrieval import RavenDBRetrievalTrigger

    end = deadline or until.isoformat()
    operator.log.info(
        "%d of %d files at %s are in an archive. Their retrieval (tier %s, kept readable for %d days) runs; the task waits in "
        "the triggerer, looking every %.0f s, until %s at most.",
        len(waiting), len(files), destination, given(tier) or "standard", kept, poll_interval, end,
    )  # fmt: skip
    operator.defer(
        trigger=RavenDBRetrievalTrigger(
            destination=destination, keys=waiting[:_MOST_KEYS], deadline=end, poll_interval=poll_interval
        ),
        method_name=METHOD,
        kwargs={"deadline": end},
    )


def whole_days(value: Any) -> int:
    """The rendered argument ``retrieval_days``.

    :raises ConfigurationError: it is no whole number above 0.
    """
    number = positive(value, "retrieval_days")
    if number is None or number != int(number):
        raise ConfigurationError(f"retrieval_days must be a whole number above 0, not {value!r}.")
    return int(number)


def check_event(event: Mapping[str, Any]) -> None:
    """What the trigger says on the way back.

    :raises DestinationError: the files cannot be read; a retry asks again and waits anew.
    """
    if event.get("status") != "ready":
        raise DestinationError(str(event.get("message")))
