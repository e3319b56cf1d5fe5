"""What counts as yes and as no in a field of an Airflow Connection.

Apart from connection_settings.py, which needs the HTTP client: tasks that only touch destinations start without it.
"""

from __future__ import annotations

from typing import Any

from raven_backup_provider.core.errors import ConfigurationError


def flag(value: Any, *, default: bool, where: str) -> bool:
    """A switch as forms, JSON or URIs write it."""
    if value is None or value == "":
        return default
    if isinstance(value, bool):
        return value
    text = str(value).strip().lower()
    if text in ("true", "1", "yes", "on"):
        return True
    if text in ("false", "0", "no", "off"):
        return False
    raise ConfigurationError(f"{where} must be true or false, not {value!r}.")
