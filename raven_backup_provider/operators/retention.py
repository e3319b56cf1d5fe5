"""The operator that deletes what a retention policy lets go."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from raven_backup_provider.operators.arguments import given, moment, open_destination, signing_key, switch
from raven_backup_provider.operators.base import RavenDBJobOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from raven_backup_provider.core.retention_policy import RetentionPolicy
    from raven_backup_provider.jobs.prune_report import PruneReport

log = logging.getLogger(__name__)

#: Folders named in the XCom value; the log names all.
MOST_NAMED = 20


class RavenDBRetentionOperator(RavenDBJobOperator):
    """Delete old backup chains at a destination, by rules.

    Needs no RavenDB server. The log shows a table of every folder, kept or deleted and by which rule, and each deleted file.
    Chains go as a whole. Always kept: the newest complete chain, the last verified one, held ones, anything younger than the
    grace period, folders that are being written, and files that are not ours. An error of one folder or database does not
    stop the others; the task fails at the end. The XCom value is a small dict: destination, database, dry_run, databases,
    kept, deleted, skipped, failed, bytes (deleted, or that would be), folders (deleted), refused.

    :param destination: where the backups are: an absolute path, a ``file://`` URI, an address, or a Connection id. (templated)
    :param database: whose backups; empty means every database folder found there. (templated)
    :param policy: the rules, as a mapping (or its JSON text): ``minimum_age_days``, ``keep_last``, ``keep_daily``,
        ``keep_weekly``, ``keep_monthly``, ``keep_yearly``, ``time_zone``, ``grace_hours``, ``max_delete_share``,
        ``unproven_after_days``, ``dropped_after_days``, ``disabled``; see docs/retention.md. Empty values count as left out;
        without a rule nothing is deleted. (templated)
    :param dry_run: change nothing; the log shows exactly what would be deleted. (templated)
    :param confirm_mass_delete: carry out a plan that deletes a larger share than ``max_delete_share``. (templated)
    :param signing_key_conn_id: Connection whose password is the key manifests are signed with; with it, chains that are not
        signed count as damaged. (templated)
    :param dropped_since: with ``database``: a time with its zone since when the server does not have the database any more. Only
        then does the policy's ``dropped_after_days`` count, which deletes the newest chain too. (templated)
    """

    template_fields: Sequence[str] = (
        "destination",
        "database",
        "policy",
        "dry_run",
        "confirm_mass_delete",
        "signing_key_conn_id",
        "dropped_since",
    )
    template_fields_renderers = {"policy": "json"}  # noqa: RUF012 - as Airflow declares it

    def __init__(
        self,
        *,
        destination: str,
        policy: Mapping[str, Any] | str,
        database: str | None = None,
        dry_run: bool | str = False,
        confirm_mass_delete: bool | str = False,
        signing_key_conn_id: str | None = None,
        dropped_since: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.destination = destination
        self.policy = policy
        self.database = database
        # Airflow's BaseOperator has a method of that name, which nothing in Airflow 3 calls.
        self.dry_run = dry_run  # type: ignore[method-assign,assignment]
        self.confirm_mass_delete = confirm_mass_delete
        self.signing_key_conn_id = signing_key_conn_id
        self.dropped_since = dropped_since

    def work(self, context: Context) -> dict[str, Any]:
        """Judge, delete, show the table; fail afterwards if something could not be done."""
        from raven_backup_provider.jobs.prune import prune

        report = prune(
            open_destination(self.destination, None),
            read_policy(self.policy),
            given(self.database),
            dry_run=switch(self.dry_run, "dry_run"),
            confirm_mass_delete=switch(self.confirm_mass_delete, "confirm_mass_delete"),
            signing_key=signing_key(self.signing_key_conn_id),
            cancellation=self.cancellation,
            dropped_since=moment(self.dropped_since, "dropped_since"),
        )
        log.info("%s", report.text())
        report.raise_if_failed()
        return self._summary(report)

    def _summary(self, report: PruneReport) -> dict[str, Any]:
        from raven_backup_provider.jobs.prune_report import Outcome

        gone = report.results(Outcome.DELETED, Outcome.WOULD_DELETE)
        return {
            "destination": report.destination,
            "database": given(self.database),
            "dry_run": report.dry_run,
            "databases": len(report.databases),
            "kept": len(report.results(None)),
            "deleted": len(gone),
            "skipped": len(report.results(Outcome.SKIPPED)),
            "failed": len(report.results(Outcome.FAILED)),
            "bytes": sum(item.size for result in gone for item in result.decision.items),
            "folders": [result.decision.folder for result in gone][:MOST_NAMED],
            "refused": [one.database for one in report.databases if one.plan and one.plan.refusal][:MOST_NAMED],
        }


def read_policy(policy: Mapping[str, Any] | str) -> RetentionPolicy:
    """The policy an argument means after rendering.

    :raises ConfigurationError: it is none; names what is wrong.
    """
    from raven_backup_provider.core.errors import ConfigurationError
    from raven_backup_provider.core.retention_policy import RetentionPolicy

    if isinstance(policy, str):
        try:
            policy = json.loads(policy) if policy.strip() else {}
        except ValueError:
            raise ConfigurationError("The retention policy is neither a mapping nor the JSON text of one.") from None
    return RetentionPolicy.from_mapping(policy)
