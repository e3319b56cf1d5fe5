"""What defining one of RavenDB's own backup tasks takes, for one database or server-wide."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from raven_backup_provider.operators.base import RavenDBOperator


class RavenDBTaskDefinition(RavenDBOperator):
    """Base of the operators that define a task; their docstrings say what each argument means."""

    #: Templated by all of them, beside where the task is.
    definition_fields: Sequence[str] = (
        "task_name",
        "destinations",
        "full_frequency",
        "incremental_frequency",
        "backup_type",
        "encryption_key_conn_id",
        "enabled",
        "minimum_age_to_keep_days",
        "mentor_node",
        "pin_to_mentor_node",
        "max_read_ops_per_second",
    )

    def __init__(
        self,
        *,
        task_name: str,
        destinations: Sequence[str] | str,
        full_frequency: str | None = None,
        incremental_frequency: str | None = None,
        backup_type: str = "backup",
        encryption_key_conn_id: str | None = None,
        enabled: bool | str | None = None,
        minimum_age_to_keep_days: float | str | None = None,
        mentor_node: str | None = None,
        pin_to_mentor_node: bool | str = False,
        max_read_ops_per_second: int | str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.task_name = task_name
        self.destinations = destinations
        self.full_frequency = full_frequency
        self.incremental_frequency = incremental_frequency
        self.backup_type = backup_type
        self.encryption_key_conn_id = encryption_key_conn_id
        self.enabled = enabled
        self.minimum_age_to_keep_days = minimum_age_to_keep_days
        self.mentor_node = mentor_node
        self.pin_to_mentor_node = pin_to_mentor_node
        self.max_read_ops_per_second = max_read_ops_per_second
