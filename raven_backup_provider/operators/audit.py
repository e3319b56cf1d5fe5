"""The operator that compares destinations and heals them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from raven_backup_provider.operators.arguments import given, names, open_destination, positive, signing_key, switch
from raven_backup_provider.operators.base import RavenDBJobOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from raven_backup_provider.jobs.audit_model import AuditRequest
    from raven_backup_provider.jobs.audit_report import AuditReport

log = logging.getLogger(__name__)

#: Faults named in the XCom value; the log names all.
MOST_NAMED = 20


class RavenDBAuditBackupsOperator(RavenDBJobOperator):
    """Compare what several destinations hold, by list, size, manifest and hash; with ``heal``, refill and replace from good
    copies, the oldest chain first. Needs no RavenDB server.

    Goes on whatever it finds, logs a table, then fails if anything is wrong and not healed: for good if it needs a human, with
    a retry if only a destination was down or in use. Of chains older than the oldest one that a destination still has, nothing
    is expected there, since its own retention has removed them; ``since`` says otherwise. A destination that holds nothing of
    a database is not filled without ``since``: it may be a network path that is not mounted.

    The XCom value is a small dict: ok, database, files, states (count per state, by destination), healed, bytes_read,
    bytes_sent, seconds.

    :param destinations: two or more, as a list or separated by commas: absolute paths, ``file://`` URIs, Connection ids or
        ``scheme://connection_id@place/path``. Where they differ, the first that can prove its file decides: list the primary
        first. (templated)
    :param database: whose backups; empty means all that any of them holds. (templated)
    :param heal: refill what is missing, replace what is damaged. A damaged file is deleted only after a good copy of it was read
        elsewhere, and never if it is the only one. (templated)
    :param deep: read every file and compare its SHA-256; off: list, size and manifest. (templated)
    :param sample: with ``deep``: such as ``1/7``: read the first of seven parts of the files this time; empty: all. (templated)
    :param since: chains that began at this time with zone or later, or not longer ago than such an age (``30d``), belong at every
        destination; empty: see above. (templated)
    :param grace_minutes: a restore point younger than this may still be on its way and is not missing yet. (templated)
    :param signing_key_conn_id: Connection whose password is the key manifests are signed with; with it, unsigned ones are
        bad. (templated)
    """

    template_fields: Sequence[str] = (
        "destinations",
        "database",
        "heal",
        "deep",
        "sample",
        "since",
        "grace_minutes",
        "signing_key_conn_id",
    )

    def __init__(
        self,
        *,
        destinations: str | Sequence[str],
        database: str | None = None,
        heal: bool | str = False,
        deep: bool | str = False,
        sample: str | None = None,
        since: str | None = None,
        grace_minutes: float | str | None = None,
        signing_key_conn_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.destinations = destinations
        self.database = database
        self.heal = heal
        self.deep = deep
        self.sample = sample
        self.since = since
        self.grace_minutes = grace_minutes
        self.signing_key_conn_id = signing_key_conn_id

    def work(self, context: Context) -> dict[str, Any]:
        """Compare; log the table; fail if something is wrong."""
        from raven_backup_provider.jobs.audit import audit
        from raven_backup_provider.jobs.audit_model import AuditRun

        places = [open_destination(name, None) for name in names(self.destinations, "destinations")]
        report = audit(places, self._request(), AuditRun(cancel=self.cancellation.event))
        log.log(logging.INFO if report.ok else logging.ERROR, "%s", report.table())
        report.raise_if_bad()
        return self._summary(report)

    def _request(self) -> AuditRequest:
        from raven_backup_provider.jobs.audit_model import AuditRequest, parse_since
        from raven_backup_provider.jobs.verify import Sample

        sample, since = given(self.sample), given(self.since)
        return AuditRequest(
            database=given(self.database),
            deep=switch(self.deep, "deep"),
            sample=Sample.parse(sample) if sample else None,
            heal=switch(self.heal, "heal"),
            since=parse_since(since, datetime.now(timezone.utc)) if since else None,
            grace=timedelta(minutes=self._grace()),
            signing_key=signing_key(self.signing_key_conn_id),
        )

    def _grace(self) -> float:
        return 0.0 if given(self.grace_minutes) == "0" else positive(self.grace_minutes, "grace_minutes") or 0.0

    def _summary(self, report: AuditReport) -> dict[str, Any]:
        return {
            "ok": report.ok,
            "database": given(self.database),
            "files": len(report.rows),
            "states": {
                identity: {state.value: count for state, count in report.counts(identity).items()}
                for identity in report.destinations
            },
            "healed": report.healed,
            "bytes_read": report.bytes_read,
            "bytes_sent": report.bytes_sent,
            "seconds": round(report.seconds, 1),
        }
