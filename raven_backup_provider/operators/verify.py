"""The operator that proves that backups are whole and can be read."""

from __future__ import annotations

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

if TYPE_CHECKING:
    from airflow.sdk import Context

    from raven_backup_provider.jobs.verify import VerifyReport

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
    :param selection: ``all``, or ``newest``: the newest chain of each database. (templated)
    :param sample: such as ``1/7``: read the first of seven parts of the files this time, check sizes and chains of the rest;
        empty: read all. (templated)
    """

    template_fields: Sequence[str] = (
        "destination",
        "database",
        "encryption_key_conn_id",
        "signing_key_conn_id",
        "deep",
        "selection",
        "sample",
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

    def work(self, context: Context) -> dict[str, Any]:
        """Check; the job logs every bad file; fail if there is one."""
        from raven_backup_provider.jobs.verify import Sample, Selection, verify

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
        )
        report.raise_if_bad()
        return self._summary(report)

    def _summary(self, report: VerifyReport) -> dict[str, Any]:
        return {
            "ok": report.ok,
            "destination": report.destination,
            "database": given(self.database),
            "files": len(report.files),
            "verdicts": {str(verdict.value): count for verdict, count in report.counts.items()},
            "bytes_read": report.bytes_read,
            "seconds": round(report.seconds, 1),
            "bad": [file.key for file in report.files if file.problems][:MOST_NAMED],
        }
