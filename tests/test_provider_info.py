"""The provider's description is what Airflow accepts, and every name in it exists."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from importlib.metadata import distribution
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from raven_backup_provider.get_provider_info import get_provider_info

INFO = get_provider_info()


def _schema(name: str) -> dict[str, Any]:
    schema: dict[str, Any] = json.loads(files("airflow").joinpath(name).read_text())
    return schema


def test_it_fits_the_schema_that_airflow_checks_at_run_time() -> None:
    jsonschema.validate(INFO, _schema("provider_info.schema.json"))


def test_connection_types_fit_the_stricter_schema_of_airflows_own_providers() -> None:
    whole = _schema("provider.yaml.schema.json")
    part = {**whole["properties"]["connection-types"], "definitions": whole.get("definitions", {})}
    jsonschema.validate(INFO["connection-types"], part)


def test_the_package_name_is_the_distributions() -> None:
    assert INFO["package-name"] == distribution("raven-backup-provider").metadata["Name"]


def _dotted_paths(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [path for inner in value.values() for path in _dotted_paths(inner)]
    if isinstance(value, list):
        return [path for inner in value for path in _dotted_paths(inner)]
    return [value] if isinstance(value, str) and value.startswith("raven_backup_provider.") else []


@pytest.mark.parametrize("path", sorted(_dotted_paths(INFO)))
def test_every_dotted_path_exists(path: str, airflow_home: Path) -> None:
    try:
        importlib.import_module(path)
    except ModuleNotFoundError:
        module, _, name = path.rpartition(".")
        assert hasattr(importlib.import_module(module), name)


@pytest.mark.parametrize("entry", INFO["connection-types"], ids=lambda entry: str(entry["connection-type"]))
def test_each_hook_is_of_the_connection_type_it_is_listed_for(entry: dict[str, Any], airflow_home: Path) -> None:
    module, _, name = entry["hook-class-name"].rpartition(".")
    hook = getattr(importlib.import_module(module), name)
    assert hook.conn_type == entry["connection-type"]
    assert hook.hook_name == entry["hook-name"]
    assert hook.conn_name_attr in hook(**{hook.conn_name_attr: "some_id"}).__dict__


def test_the_form_shows_every_field_the_hook_reads(airflow_home: Path) -> None:
    from raven_backup_provider.hooks import connection_settings as settings

    (server,) = (e for e in INFO["connection-types"] if e["connection-type"] == "ravendb")
    assert set(server["conn-fields"]) == {*settings.TEXT_FIELDS, *settings.TIMEOUT_FIELDS, "verify"}


def test_fields_that_hold_a_private_key_are_masked_by_their_names(airflow_home: Path) -> None:
    from airflow.sdk._shared.secrets_masker import redact

    (server,) = (e for e in INFO["connection-types"] if e["connection-type"] == "ravendb")
    secret = {name: "value" for name in server["conn-fields"] if "private_key_pem" in name}
    assert secret
    assert redact(secret) == dict.fromkeys(secret, "***")


def test_reading_it_imports_no_airflow() -> None:
    code = (
        "import sys; from raven_backup_provider.get_provider_info import get_provider_info as f; f(); "
        "print([m for m in sys.modules if m.startswith('airflow')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
