"""The JSON schema of the configuration, for editors. ``config.schema.json`` beside this file is kept equal to it by a test.

A key's description is the text below it in config.py, read from the source here, where somebody asks for it.
"""

from __future__ import annotations

import ast
import inspect
import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

from raven_backup_provider.server_wide import config

SCHEMA_FILE = Path(__file__).with_name("config.schema.json")


def config_schema() -> dict[str, Any]:
    """The schema of one configuration file."""
    schema = config.ConfigFile.model_json_schema()
    parts = {config.ConfigFile.__name__: schema, **schema["$defs"]}
    for name, key, text in _texts():
        if key in (fields := parts.get(name, {}).get("properties", {})):
            fields[key] = dict(sorted({"description": text, **fields[key]}.items()))
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def schema_text() -> str:
    """As it stands in the file."""
    return json.dumps(config_schema(), ensure_ascii=False, indent=2) + "\n"


def _texts() -> Iterator[tuple[str, str, str]]:
    """Class, key and the text below it."""
    for part in ast.parse(inspect.getsource(config)).body:
        if not isinstance(part, ast.ClassDef):
            continue
        for field, below in pairwise(part.body):
            match field, below:
                case ast.AnnAssign(target=ast.Name(id=key)), ast.Expr(value=ast.Constant(value=str(text))):
                    yield part.name, key, inspect.cleandoc(text)
