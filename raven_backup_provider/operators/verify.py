"""The operator that proves that backups are whole and can be read."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from raven_backup_provider.operators.arguments import (
    choice,
    encryption_key,
    given,
    open_destination,
    signing_key,
    switch,
)
from raven_backup_provider.operators.base import RavenDBJobOperator
from raven_backup_provider.operators.outcome import airflow_outcome
from raven_backup_provider.operators.retrieval import (
    LONGEST_HOURS,
    POLL_INTERVAL,
    check_event,
    wait_until_readable,
)

if TYPE_CHECKING:
    from airflow.sdk import Context

    from raven_backup_provider.jobs.verify import VerifyReport

log = logging.getLogger(__name__)

#: Bad files named in the XCom value; the log names all.
MOST_NAMED = 20


class RavenDBVerifyBackupOperator(RavenDBJobOperator):
    """Check backups at a destination: sizes, SHA-256, hash chain and etag continuity, decrypt, decompress, parse to the end.

    Needs no RavenDB server. Goes on after a bad file to report all of them, then fails without a retry. The XCom value is
    a small dict: ok, destination, database, files, verdicts (count per verdict), bytes_read, seconds, bad (keys).

    :param destination: where the backups are: an absolute path, a ``file://`` URI, or a Connection id. (templated)
    :param database: whose backups; empty means all databases found there. (templated)
    :param encryption_key_conn_id: Connection whose password is the key of encrypted files, or several ids separated by
        commas where the key has changed. (templated)
    :param signing_key_conn_id: Connection whose password is the key manifests are signed with; with it, unsigned ones are
        bad. (templated)
    :param deep: decrypt, decompress and parse every file; off: sizes, hashes and chains only. (templated)
    :param selection: ``all``, ``newest``: the newest chain of each database, ``newest-point``: of that chain only the newest
        file is read, of the others size, manifest and place are checked, or ``sizes``: no file is read. (templated)
    :param sample: such as ``1/7``: read the first of seven parts of the files this time, check sizes and chains of the rest;
        empty: read all. (templated)
    :param allow_unproven: files without a manifest, such as RavenDB's own backups, are no fault where they could be read to
        their end; only with ``deep``. (templated)
    :param retrieval_tier: name of the store's speed (such as ``Bulk``) to retrieve files with that lie in an archive; the task
        waits for them in the triggerer. Empty: they are not retrieved, and told as not checked. (templated)
    :param retrieval_days: how long the retrieved copies are kept readable, days. (templated)
    :param retrieval_hours: how long to wait for them at most, hours. (templated)
    :param retrieval_poll_interval: seconds between two looks whether they can be read.
    """

    template_fields: Sequence[str] = (
        "destination",
        "database",
        "encryption_key_conn_id",
        "signing_key_conn_id",
        "deep",
        "selection",
        "sample",
        "allow_unproven",
        "retrieval_tier",
        "retrieval_days",
        "retrieval_hours",
    )

    def __init__(
        self,
        *,
        destination: str,
        database: str | None = None,
        encryption_key_conn_id: str | None = None,
        signing_key_conn_id: str | None = None,
        deep: bool | str = True,
        selection: str = "all",
        sample: str | None = None,
        allow_unproven: bool | str = False,
        retrieval_tier: str | None = None,
        retrieval_days: int | str = 3,
        retrieval_hours: float | str = LONGEST_HOURS,
        retrieval_poll_interval: float = POLL_INTERVAL,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.destination = destination
        self.database = database
        self.encryption_key_conn_id = encryption_key_conn_id
        self.signing_key_conn_id = signing_key_conn_id
        self.deep = deep
        self.selection = selection
        self.sample = sample
        self.allow_unproven = allow_unproven
        self.retrieval_tier = retrieval_tier
        self.retrieval_days = retrieval_days
        self.retrieval_hours = retrieval_hours
        self.retrieval_poll_interval = retrieval_poll_interval
        self._deadline: str | None = None

    def work(self, context: Context) -> dict[str, Any]:
        """Check; the log names every bad file; fail if there is one."""
        from raven_backup_provider.jobs.verify import Sample, Selection, verify

        if given(self.retrieval_tier):
            self._retrieve()
        conn_ids = [part.strip() for part in (given(self.encryption_key_conn_id) or "").split(",")]
        keys = [key for conn_id in conn_ids if (key := encryption_key(conn_id)) is not None]
        sample = given(self.sample)
        report = verify(
            open_destination(self.destination, None),
            given(self.database),
            keys=keys,
            signing_key=signing_key(self.signing_key_conn_id),
            deep=switch(self.deep, "deep"),
            selection=choice(Selection, self.selection, "selection"),
            sample=Sample.parse(sample) if sample else None,
            cancel=self.cancellation.event,
            allow_unproven=switch(self.allow_unproven, "allow_unproven"),
        )
        log.log(logging.INFO if report.ok else logging.ERROR, "%s", report.summary())
        report.raise_if_bad()
        return self._summary(report)

    def after_retrieval(self, context: Context, event: dict[str, Any], deadline: str | None = None) -> dict[str, Any]:
        """Back from the triggerer: the files can be read now."""
        self.begin()
        self._deadline = deadline
        try:
            with airflow_outcome():
                check_event(event)
                return self.work(context)
        finally:
            self._deadline = None

    def _retrieve(self) -> None:
        """Ask for the files that will be read, and wait in the triggerer if there are any in an archive."""
        from raven_backup_provider.core.destination import Archiving
        from raven_backup_provider.jobs.verify import Sample, Selection, files_to_read

        place = open_destination(self.destination, None)
        if not isinstance(place, Archiving):
            return
        sample = given(self.sample)
        files = files_to_read(
            place,
            given(self.database),
            signing_key=signing_key(self.signing_key_conn_id),
            selection=choice(Selection, self.selection, "selection"),
            sample=Sample.parse(sample) if sample else None,
            deep=switch(self.deep, "deep"),
        )
        wait_until_readable(
            self,
            self.destination,
            [(source.destination, key) for source, key in files],
            tier=self.retrieval_tier,
            days=self.retrieval_days,
            hours=self.retrieval_hours,
            poll_interval=self.retrieval_poll_interval,
            deadline=self._deadline,
        )

    def _summary(self, report: VerifyReport) -> dict[str, Any]:
        return {
            "ok": report.ok,
            "destination": report.destination,
            "database": given(self.database),
            "files": len(report.files),
            "verdicts": {str(verdict.value): count for verdict, count in report.counts.items()},
            "bytes_read": report.bytes_read,
            "seconds": round(report.seconds, 1),
            "bad": [file.key for file in report.bad][:MOST_NAMED],
        }
