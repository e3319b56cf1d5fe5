"""A database on a real server with an S3 bucket to back it up to."""

from __future__ import annotations

from dataclasses import dataclass, field

from demo.sandbox import RavenServer
from raven_backup_provider.destinations.s3 import S3Destination
from raven_backup_provider.destinations.s3_settings import S3Settings
from tests.support.backups import Backups
from tests.support.s3_servers import S3Server


@dataclass
class S3Backups(Backups):
    """As :class:`Backups`, with a bucket as the primary; ``client`` may go through a proxy or have few rights."""

    store: S3Server | None = None
    bucket: str = ""
    client: object = None
    part_mb: int = 1
    settings_of_store: S3Settings = field(default_factory=lambda: S3Settings(part_mb=1, retry_seconds=20))

    @property
    def destination(self) -> S3Destination:  # type: ignore[override]
        assert self.store is not None
        return S3Destination(
            self.client or self.store.client(), self.bucket, "backups", settings=self.settings_of_store
        )


__all__ = ["RavenServer", "S3Backups"]
