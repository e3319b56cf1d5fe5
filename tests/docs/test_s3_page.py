"""What docs/destinations-s3.md says is what the code does."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

from raven_backup_provider.destinations.s3 import S3Destination
from raven_backup_provider.destinations.s3_archive import TIERS
from raven_backup_provider.destinations.s3_errors import RIGHTS
from raven_backup_provider.destinations.s3_settings import STORAGE_CLASSES, S3Settings
from raven_backup_provider.hooks.storage import open_destination
from tests.support.airflow_fixtures import SetConnection

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "destinations-s3.md").read_text()
DOCUMENTS: list[dict[str, Any]] = [json.loads(text) for text in re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)]


def test_every_setting_class_tier_and_right_is_on_the_page_and_no_setting_that_is_not() -> None:
    table = PAGE.partition("## Settings")[2].partition("## Rights")[0]
    named = {name for row in re.findall(r"^\| (`.*?) \|", table, re.M) for name in re.findall(r"`(\w+)`", row)}
    assert named == {field.name for field in fields(S3Settings)}
    for word in (*STORAGE_CLASSES, *TIERS, *(tier for tiers in TIERS.values() for tier in tiers), *RIGHTS.values()):
        assert f"`{word}`" in PAGE


def test_the_connections_of_the_page_open_and_the_address_too(set_connection: SetConnection) -> None:
    connections = [document for document in DOCUMENTS if "raven_backup" in document]
    assert len(connections) == 2
    for extra in connections:
        extra.pop("verify", None)  # a file of the reader's
        set_connection("aws_backups", "aws", login="k", password="s", extra=extra)
        destination = open_destination("aws_backups")
        assert isinstance(destination, S3Destination)
        assert destination.identity.endswith("my-bucket/ravendb")
    for address in set(re.findall(r"s3://aws_backups@[^'\"\s]+", PAGE)):
        assert open_destination(address).identity.endswith("my-bucket/ravendb")


def test_the_dag_of_the_page_parses(airflow_home: Path) -> None:
    [code] = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(code, "destinations-s3.md", "exec"), names)
    assert names["backup"].destination == names["place"]


def test_the_minimal_policy_holds_two_of_the_rights_that_ravendb_asks_for() -> None:
    policies = [document for document in DOCUMENTS if "Statement" in document]
    assert {statement["Action"] for statement in policies[0]["Statement"]} == {"s3:PutObject", "s3:ListBucket"}
