"""The settings of an S3 destination: what each may be, and what is said when it is something else.

Texts from a destination's address (``s3://conn_id@bucket/prefix?storage_class=STANDARD_IA``) or from ``raven_backup`` in the
Connection's extra. Facts behind the limits: S3 takes at most 10,000 parts of 5 MiB to 5 GiB each in one file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields

from raven_backup_provider.core.errors import ConfigurationError

MIB = 1 << 20
#: Classes of AWS; a file in one of ARCHIVE_CLASSES must be retrieved before it can be read.
STORAGE_CLASSES = (
    "STANDARD",
    "STANDARD_IA",
    "ONEZONE_IA",
    "INTELLIGENT_TIERING",
    "GLACIER_IR",
    "GLACIER",
    "DEEP_ARCHIVE",
    "REDUCED_REDUNDANCY",
)
ARCHIVE_CLASSES = ("GLACIER", "DEEP_ARCHIVE")
_ENCRYPTIONS = ("AES256", "aws:kms", "aws:kms:dsse")
_LOCK_MODES = ("GOVERNANCE", "COMPLIANCE")
_SERVICES = ("auto", "aws", "compatible")


@dataclass(frozen=True, slots=True)
class S3Settings:
    """How files are written and read.

    :param storage_class: of backup files; manifests and leases always lie in the bucket's standard class, so that the
        catalogue can be read at any time. None: the standard class too.
    :param server_side_encryption: ``AES256``, ``aws:kms`` or ``aws:kms:dsse``; None: what the bucket does by itself.
    :param sse_kms_key_id: id or ARN of the KMS key; None: the account's own key.
    :param object_lock_mode: ``GOVERNANCE`` or ``COMPLIANCE``, for backup files and manifests.
    :param object_lock_days: how long after its upload a file cannot be deleted.
    :param part_mb: MiB of the first parts of an upload. Parts grow with a file whose size is not known beforehand, so that it
        may become 5 TiB.
    :param concurrency: parts in flight at a time. Memory is (concurrency + 1) parts. A download fetches as many pieces of the
        same size.
    :param bandwidth_mb: limit in MB (10^6 bytes) per second for uploads and downloads of this destination; None: no limit.
    :param service: ``aws`` counts on what AWS documents (checksums of the whole file, conditional completion of uploads),
        ``compatible`` proves the same by other means, ``auto`` tells by the endpoint.
    :param retry_seconds: how long one request is tried again while the service says "later", is silent or not reachable.
    """

    storage_class: str | None = None
    server_side_encryption: str | None = None
    sse_kms_key_id: str | None = None
    object_lock_mode: str | None = None
    object_lock_days: int | None = None
    part_mb: int = 8
    concurrency: int = 4
    bandwidth_mb: float | None = None
    service: str = "auto"
    retry_seconds: float = 300.0

    @property
    def part_bytes(self) -> int:
        """Bytes of the first parts."""
        return self.part_mb * MIB

    @property
    def bytes_per_second(self) -> float | None:
        """The bandwidth limit in bytes."""
        return self.bandwidth_mb * 1e6 if self.bandwidth_mb is not None else None


def read_settings(given: Mapping[str, str], where: str, *, aws: bool) -> S3Settings:
    """Check the settings of one destination.

    :param where: the destination, for messages.
    :param aws: the endpoint is AWS's own, whose storage classes are known; others have classes of their own.
    :raises ConfigurationError: names the setting and what it may be.
    """
    reading = _Reading({name: value.strip() for name, value in given.items()}, where)
    reading.require_known([field.name for field in fields(S3Settings)])
    default = S3Settings()
    settings = S3Settings(
        storage_class=reading.storage_class(aws),
        server_side_encryption=reading.one_of("server_side_encryption", _ENCRYPTIONS),
        sse_kms_key_id=reading.text("sse_kms_key_id"),
        object_lock_mode=reading.one_of("object_lock_mode", _LOCK_MODES),
        object_lock_days=reading.whole("object_lock_days", 1, 36_500),
        part_mb=reading.whole("part_mb", 5, 5_120) or default.part_mb,
        concurrency=reading.whole("concurrency", 1, 64) or default.concurrency,
        bandwidth_mb=reading.number("bandwidth_mb", 0.01, 100_000),
        service=reading.one_of("service", _SERVICES) or default.service,
        retry_seconds=reading.number("retry_seconds", 1, 86_400) or default.retry_seconds,
    )
    reading.require_together(settings)
    return settings


class _Reading:
    def __init__(self, given: Mapping[str, str], where: str) -> None:
        self._given, self._where = given, where

    def require_known(self, names: list[str]) -> None:
        unknown = sorted(set(self._given) - set(names))
        if unknown:
            raise self._error(f"there is no setting {unknown[0]!r} for S3. Settings: {', '.join(names)}")

    def require_together(self, settings: S3Settings) -> None:
        if settings.sse_kms_key_id and not (settings.server_side_encryption or "").startswith("aws:kms"):
            raise self._error("sse_kms_key_id needs server_side_encryption=aws:kms or aws:kms:dsse")
        if (settings.object_lock_mode is None) != (settings.object_lock_days is None):
            raise self._error("object_lock_mode and object_lock_days belong together; give both or none")

    def text(self, name: str) -> str | None:
        return self._given.get(name) or None

    def one_of(self, name: str, allowed: tuple[str, ...]) -> str | None:
        value = self.text(name)
        found = next((one for one in allowed if value is not None and one.casefold() == value.casefold()), None)
        if value is not None and found is None:
            raise self._error(f"{name}={value!r} is not one of {', '.join(allowed)}")
        return found

    def storage_class(self, aws: bool) -> str | None:
        value = self.text("storage_class")
        if value is None or aws:
            return self.one_of("storage_class", STORAGE_CLASSES)
        if not re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", value):
            raise self._error(f"storage_class={value!r} is no name of a class; AWS has {', '.join(STORAGE_CLASSES)}")
        return value

    def whole(self, name: str, least: int, most: int) -> int | None:
        value = self.text(name)
        if value is None:
            return None
        if not re.fullmatch(r"[0-9]{1,9}", value) or not least <= int(value) <= most:
            raise self._error(f"{name}={value!r} is not a whole number from {least} to {most}")
        return int(value)

    def number(self, name: str, least: float, most: float) -> float | None:
        value = self.text(name)
        if value is None:
            return None
        if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", value) or not least <= float(value) <= most:
            raise self._error(f"{name}={value!r} is not a number from {least:g} to {most:g}")
        return float(value)

    def _error(self, what: str) -> ConfigurationError:
        return ConfigurationError(f"{self._where}: {what}.")
