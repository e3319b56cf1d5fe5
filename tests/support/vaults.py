"""Clients and destinations on the fake vault service (fake_glacier.py)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, BinaryIO

import boto3
from botocore.config import Config

from raven_backup_provider.core.errors import ArchivedFileError
from raven_backup_provider.destinations.folder import FolderDestination
from raven_backup_provider.destinations.glacier import GlacierDestination
from tests.support.fake_glacier import FakeGlacier

_SESSION = boto3.Session()  # one for all: it keeps the service's model, which takes long to read


def client(url: str) -> Any:
    """A client whose own retries are off, so that ours are what is tested."""
    config = Config(retries={"total_max_attempts": 1, "mode": "standard"}, read_timeout=30)
    return _SESSION.client(
        "glacier",
        region_name="eu-west-1",
        endpoint_url=url,
        aws_access_key_id="test",
        aws_secret_access_key="testing",
        config=config,
    )


class ReadAtOnce(GlacierDestination):
    """A vault whose every retrieval takes no time: for the contract's tests, which read what they wrote."""

    fake: FakeGlacier

    def open_read(self, key: str, offset: int = 0) -> BinaryIO:
        try:
            return super().open_read(key, offset)
        except ArchivedFileError:
            self.request_retrieval(key)
            self.fake.pass_hours(5)
            return super().open_read(key, offset)


def vault(fake: FakeGlacier, ledger: Path | None, **settings: Any) -> ReadAtOnce:
    """A destination on the fake vault ``box``; a part is 1 MiB, and nothing waits for real."""
    settings = {"part_mb": 1, "sleep": lambda seconds: None, **settings}
    place = FolderDestination(ledger) if ledger is not None else None
    opened = ReadAtOnce(client(fake.url), "box", ledger=place, **settings)
    opened.fake = fake
    opened.jobs.lifetime = 0.0
    return opened
