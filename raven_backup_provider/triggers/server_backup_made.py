"""Turning a backup that the RavenDB server made by itself into an Airflow event: for an asset watcher, and for a sensor.

What is known is kept as absolute values (jobs/backup_made.py) in the asset's own state store, so a restarted triggerer goes on
where the last one stopped, also over what was made in between. The order is: announce, wait until Airflow has stored the event,
then store the mark. So no backup is missed; only a triggerer that dies in that second announces one again, and then says so
(``repeated`` in the event).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow.sdk import Asset, AssetWatcher
from airflow.triggers.base import BaseEventTrigger, BaseTrigger, TriggerEvent
from airflow.triggers.shared_stream import AdvanceItem, SharedStreamProducer

from raven_backup_provider.triggers.backup_watch import KINDS, BackupWatch, payload, wanted

if TYPE_CHECKING:
    from raven_backup_provider.jobs.backup_made import BackupMark

log = logging.getLogger(__name__)

#: Key in the asset's state store. Renaming it would announce the newest backup of every watched task once more.
STATE_KEY = "raven_backup_made"
#: Seconds between two tries to reach the state store.
_STORE_PAUSE = 5.0


def server_backup_asset(
    ravendb_conn_id: str, database: str, task_name: str, *, kind: str = "any", poll_interval: float = 30.0
) -> Asset:
    """The asset that stands for "this backup task of the server has made a backup", watched by the triggerer.

    A DAG that shall run after each such backup takes ``schedule=[server_backup_asset("ravendb_default", "shop", "nightly")]``.
    Of each asset event the ``extra`` holds the trigger's payload: database, task, kinds, folder, node_tag, last_full,
    last_incremental, last_etag, version, repeated.

    :param ravendb_conn_id: Connection of type ``ravendb``.
    :param database: name of the database as the server spells it.
    :param task_name: name of the backup task; a server-wide one's as databases show it: ``Server Wide Backup, <name>``.
    :param kind: ``full``, ``incremental`` or ``any``.
    :param poll_interval: seconds between two looks.
    """
    parts = ":".join(
        part.replace("%", "%25").replace(":", "%3A") for part in (ravendb_conn_id, database, task_name, kind)
    )
    trigger = RavenDBBackupMadeTrigger(
        ravendb_conn_id=ravendb_conn_id,
        database=database,
        task_name=task_name,
        kind=kind,
        poll_interval=poll_interval,
    )
    # Without a URI: for one, Airflow imports what every installed provider has to say about URIs, at each parse.
    return Asset(name=f"ravendb_server_backup:{parts}", watchers=[AssetWatcher(name="backup_made", trigger=trigger)])


@dataclass(slots=True)
class News:
    """A new mark on its way to the watchers.

    :param stored: what each watcher wants done once Airflow has stored its event.
    """

    mark: BackupMark
    stored: list[Callable[[], Awaitable[None]]] = field(default_factory=list)

    async def confirm(self) -> None:
        """Airflow has stored the events."""
        for action in self.stored:
            await action()


class BackupNews(SharedStreamProducer):
    """The marks of one task, told to every watcher of it; confirmed once Airflow has stored what they made of them."""

    def __init__(self, watch: BackupWatch) -> None:
        self._watch = watch

    async def open_stream(self) -> AsyncIterator[tuple[News, News]]:
        """Every new mark; goes on through outages."""
        async for mark in self._watch.marks(give_up=False):
            news = News(mark)
            yield news, news

    async def advance(self, batch: Sequence[AdvanceItem]) -> None:
        """Airflow has stored the events of these marks."""
        for item in batch:
            if item.outcome.is_clean:
                await item.broker_payload.confirm()

    async def aclose(self) -> None:
        """Close the connections."""
        self._watch.close()


class RavenDBBackupMadeTrigger(BaseEventTrigger):
    """Fire whenever the server has made a backup with one of its own tasks; for an ``AssetWatcher``.

    The first look is where it begins to count: backups of before are not announced. An incremental run that finds nothing to
    write is no backup. Give each asset a trigger of its own (:func:`server_backup_asset` does), because the asset's state store
    holds what was announced.

    :param ravendb_conn_id: Connection of type ``ravendb``.
    :param database: name of the database.
    :param task_name: name of its backup task.
    :param kind: ``full``, ``incremental`` or ``any``.
    :param poll_interval: seconds between two looks.
    """

    def __init__(
        self, *, ravendb_conn_id: str, database: str, task_name: str, kind: str = "any", poll_interval: float = 30.0
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        if kind not in KINDS:
            raise ValueError(f"kind must be one of {', '.join(KINDS)}, not {kind!r}.")
        self.ravendb_conn_id = ravendb_conn_id
        self.database = database
        self.task_name = task_name
        self.kind = kind
        self.poll_interval = poll_interval
        self._warned = False

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Plain JSON values."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "ravendb_conn_id": self.ravendb_conn_id,
                "database": self.database,
                "task_name": self.task_name,
                "kind": self.kind,
                "poll_interval": self.poll_interval,
            },
        )

    def shared_stream_key(self) -> Hashable | None:
        """Watchers of one task look together."""
        return ("ravendb-backup-made", self.ravendb_conn_id, self.database, self.task_name, self.poll_interval)

    @classmethod
    def create_shared_stream_producer(cls, kwargs: dict[str, Any]) -> SharedStreamProducer:
        """What looks, and hears when Airflow has stored an event."""
        return BackupNews(
            BackupWatch(kwargs["ravendb_conn_id"], kwargs["database"], kwargs["task_name"], kwargs["poll_interval"])
        )

    async def filter_shared_stream(self, shared_stream: AsyncIterator[News]) -> AsyncIterator[TriggerEvent]:
        """An event for each backup of the kind asked for."""
        from raven_backup_provider.jobs.backup_made import kinds_made

        known: _Known | None = None
        async for news in shared_stream:
            if known is None:
                known = await self._begin(news.mark)
            kinds = wanted(kinds_made(known.mark, news.mark), self.kind)
            if not kinds:
                continue
            repeated = known.announced == news.mark
            known = _Known(known.mark, news.mark)
            await self._store(known)
            done = _Known(news.mark)
            news.stored.append(lambda done=done: self._store(done))  # type: ignore[misc]
            told = payload(self.ravendb_conn_id, self.database, self.task_name, kinds, news.mark)
            known = done
            yield TriggerEvent({**told, "repeated": repeated})  # type: ignore[no-untyped-call]

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """The same without a shared stream: an event counts as stored when the next one is asked for."""
        news = self.create_shared_stream_producer(self.serialize()[1])

        async def one_by_one() -> AsyncIterator[News]:
            async for told, _ in news.open_stream():
                yield told
                await told.confirm()

        try:
            async for event in self.filter_shared_stream(one_by_one()):
                yield event
        finally:
            await news.aclose()

    async def _begin(self, mark: BackupMark) -> _Known:
        found = await self._load()
        if found is None:
            found = _Known(mark)
            await self._store(found)
            self.log.info("Watching %r of %r from here on: %s.", self.task_name, self.database, mark.to_json())
        return found

    async def _load(self) -> _Known | None:
        from raven_backup_provider.jobs.backup_made import BackupMark

        value = await self._insist("read", lambda store: _aget(store, STATE_KEY))
        if not isinstance(value, dict):
            return None
        announced = value.get("announced")
        return _Known(BackupMark.from_json(value["mark"]), BackupMark.from_json(announced) if announced else None)

    async def _store(self, known: _Known) -> None:
        await self._insist("written", lambda store: _aset(store, STATE_KEY, known.to_json()))

    async def _insist(self, what: str, use: Callable[[Any], Awaitable[Any]]) -> Any:
        """Use the state store, again and again until it answers: going on without it would miss or repeat backups."""
        while True:
            store = self.asset_state_store
            if store is None:
                return self._do_without("Airflow gives this trigger no asset state store")
            try:
                return await use(store)
            except ValueError as error:  # the trigger is shared by several assets
                return self._do_without(str(error))
            except Exception as error:
                self.log.warning("The asset's state could not be %s, trying again: %s", what, error)
                await asyncio.sleep(_STORE_PAUSE)

    def _do_without(self, why: str) -> None:
        if not self._warned:
            self._warned = True
            self.log.error(
                "What was announced cannot be kept (%s): after a restart of the triggerer, backups made meanwhile are missed. "
                "Give each asset a watcher of its own; server_backup_asset() does.",
                why,
            )


class RavenDBBackupMadeSensorTrigger(BaseTrigger):
    """Fire once when the server has made a backup since a mark, or after a moment; for the sensor.

    The event's payload has ``status``: ``made``, with what the watcher's events say, or ``failed``, with a ``message``: only a
    human can mend it. Outages are waited out; how long is the sensor's time-out's affair.

    :param ravendb_conn_id: Connection of type ``ravendb``.
    :param since: the mark to compare with, as ``BackupMark.to_json()`` gives it; None with ``newer_than``.
    :param newer_than: ISO time with zone.
    """

    def __init__(
        self,
        *,
        ravendb_conn_id: str,
        database: str,
        task_name: str,
        kind: str = "any",
        since: dict[str, Any] | None = None,
        newer_than: str | None = None,
        poll_interval: float = 30.0,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.ravendb_conn_id = ravendb_conn_id
        self.database = database
        self.task_name = task_name
        self.kind = kind
        self.since = since
        self.newer_than = newer_than
        self.poll_interval = poll_interval

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Plain JSON values; the mark is absolute, so a restart of the triggerer changes nothing."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "ravendb_conn_id": self.ravendb_conn_id,
                "database": self.database,
                "task_name": self.task_name,
                "kind": self.kind,
                "since": self.since,
                "newer_than": self.newer_than,
                "poll_interval": self.poll_interval,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait; may begin anew in another triggerer at any time."""
        from raven_backup_provider.core.errors import RavenBackupError
        from raven_backup_provider.jobs.backup_made import made

        watch = BackupWatch(self.ravendb_conn_id, self.database, self.task_name, self.poll_interval)
        try:
            async for mark in watch.marks(give_up=True):
                kinds = wanted(made(mark, self.since, self.newer_than), self.kind)
                if kinds:
                    told = payload(self.ravendb_conn_id, self.database, self.task_name, kinds, mark)
                    yield TriggerEvent({"status": "made", **told})  # type: ignore[no-untyped-call]
                    return
        except RavenBackupError as error:
            yield TriggerEvent({"status": "failed", "message": f"{type(error).__name__}: {error}"})  # type: ignore[no-untyped-call]
        finally:
            watch.close()


@dataclass(frozen=True, slots=True)
class _Known:
    """What the state store holds.

    :param mark: everything up to here was announced and stored.
    :param announced: on its way to Airflow when this was written.
    """

    mark: BackupMark
    announced: BackupMark | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "mark": self.mark.to_json(),
            "announced": None if self.announced is None else self.announced.to_json(),
        }


async def _aget(store: Any, key: str) -> Any:
    # 3.3.2 has calls for the event loop; before it there are only blocking ones.
    if hasattr(store, "aget"):
        return await store.aget(key)
    return await asyncio.to_thread(store.get, key)


async def _aset(store: Any, key: str, value: Any) -> None:
    if hasattr(store, "aset"):
        await store.aset(key, value)
    else:
        await asyncio.to_thread(store.set, key, value)
