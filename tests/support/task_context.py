"""The part of Airflow's task context that our operators use, for tests that call ``execute`` directly.

The store keeps JSON as Airflow's does. What Airflow itself does with retries and clears is proven on a running Airflow in
tests/integration/test_airflow_live.py.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from airflow.sdk.execution_time.context import OutletEventAccessors


class Store:
    """Keeps values as JSON text, as the metadata database would."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}

    def get(self, key: str, default: Any = None) -> Any:
        return json.loads(self.texts[key]) if key in self.texts else default

    def set(self, key: str, value: Any) -> None:
        self.texts[key] = json.dumps(value)


@dataclass
class TaskInstance:
    max_tries: int = 0


@dataclass
class Task:
    """One task instance over its tries."""

    store: Store = field(default_factory=Store)
    ti: TaskInstance = field(default_factory=TaskInstance)

    def context(self) -> dict[str, Any]:
        """The context of the next try."""
        return {"task_state_store": self.store, "ti": self.ti, "outlet_events": OutletEventAccessors()}

    def clear(self) -> None:
        """What a user's clear changes on Airflow 3.3: the store stays, ``max_tries`` grows."""
        self.ti.max_tries += 1
