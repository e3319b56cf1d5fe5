"""The JSON schema of the configuration, for editors. ``config.schema.json`` beside this file is kept equal to it by a test."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from raven_backup_provider.server_wide.config import ConfigFile

SCHEMA_FILE = Path(__file__).with_name("config.schema.json")


def config_schema() -> dict[str, Any]:
    """The schema of one configuration file."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **ConfigFile.model_json_schema()}


def schema_text() -> str:
    """As it stands in the file."""
    return json.dumps(config_schema(), ensure_ascii=False, indent=2) + "\n"
