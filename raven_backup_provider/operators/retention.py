"""STAND-IN: the signature of the operator that removes old backups, until that operator is here. It deletes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from raven_backup_provider.operators.base import RavenDBJobOperator

if TYPE_CHECKING:
    from airflow.sdk import Context


class RavenDBRetentionOperator(RavenDBJobOperator):
    """Remove what the policy lets go."""

    template_fields: Sequence[str] = ("database", "destination", "policy", "dry_run", "signing_key_conn_id")

    def __init__(
        self,
        *,
        database: str,
        destination: str,
        policy: Mapping[str, Any],
        dry_run: bool | str = False,
        signing_key_conn_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.database = database
        self.destination = destination
        self.policy = policy
        self.dry_run = dry_run  # type: ignore[method-assign, assignment]
        self.signing_key_conn_id = signing_key_conn_id

    def work(self, context: Context) -> dict[str, Any]:
        """Delete nothing."""
        return {"database": self.database, "destination": self.destination, "deleted": 0}
