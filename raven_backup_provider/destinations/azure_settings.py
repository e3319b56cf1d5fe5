"""The settings of an Azure destination: what they are called, what they may be, what they are if nobody says.

They are given in the address (``wasb://connection@container/folder?tier=Cool``) or in the Connection's extra, as text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from raven_backup_provider.core.errors import ConfigurationError
from raven_backup_provider.destinations.azure_blocks import MIB

TIERS = ("Hot", "Cool", "Cold", "Archive")
IMMUTABLE_MODES = ("Unlocked", "Locked")
_SWITCH = {"true": True, "false": False}


@dataclass(frozen=True, slots=True)
class AzureSettings:
    """How files are written and read.

    :param tier: access tier of backup files, one of :data:`TIERS`; None: the account's default. Manifests are always Hot.
    :param block_bytes: size of a block; grows by itself for files that would need more than 50,000 (azure_blocks.py).
    :param concurrency: blocks sent, or ranges read ahead, at the same time.
    :param bytes_per_second: bandwidth limit of one transfer; None: none.
    :param immutable_days: days for which a new file can be neither changed nor deleted; None: no such policy.
    :param immutable_mode: ``Unlocked``: who has the right may shorten or lift it; ``Locked``: nobody can.
    :param legal_hold: new files can be neither changed nor deleted until somebody lifts the hold.
    :param encryption_scope: name of an encryption scope of the account; None: the container's default.
    :param read_back: read every file again after writing it and compare; doubles the traffic.
    :param tries: how often a failed request is sent in all, with growing pauses between.
    :param timeout: seconds that one answer may take.
    """

    tier: str | None = None
    block_bytes: int = 8 * MIB
    concurrency: int = 4
    bytes_per_second: float | None = None
    immutable_days: int | None = None
    immutable_mode: str = "Unlocked"
    legal_hold: bool = False
    encryption_scope: str | None = None
    read_back: bool = False
    tries: int = 7
    timeout: float = 60.0

    @property
    def protects(self) -> bool:
        """Whether new files are protected from deletion."""
        return self.immutable_days is not None or self.legal_hold

    @property
    def scope(self) -> dict[str, Any]:
        """Keyword arguments for the calls that write."""
        return {} if self.encryption_scope is None else {"encryption_scope": self.encryption_scope}


def read_settings(where: str, given: Mapping[str, str]) -> AzureSettings:
    """The settings as the address or the Connection gives them.

    :param where: the destination in words, for errors.
    :raises ConfigurationError: an unknown setting or a value out of range; the message says what is allowed.
    """
    unknown = sorted(set(given) - set(_READERS))
    if unknown:
        raise ConfigurationError(
            f"{where} has no setting {', '.join(map(repr, unknown))}. There are: {', '.join(sorted(_READERS))}."
        )
    read: dict[str, Any] = {}
    for name, text in given.items():
        field, reader, allowed = _READERS[name]
        try:
            read[field] = reader(text.strip())
        except ValueError:
            raise ConfigurationError(
                f"{where}: setting {name}={text!r} is not possible; it may be {allowed}."
            ) from None
    if "immutable_mode" in given and "immutable_days" not in given:
        raise ConfigurationError(f"{where}: immutable_mode means nothing without immutable_days; give both or neither.")
    if read.get("read_back") and read.get("tier") == "Archive":
        raise ConfigurationError(f"{where}: read_back is not possible with tier=Archive, which cannot be read at once.")
    return AzureSettings(**read)


def _one_of(names: tuple[str, ...]) -> Callable[[str], str]:
    """Reads one of the names in any letter case."""

    def read(text: str) -> str:
        return {name.lower(): name for name in names}.get(text.lower()) or _refuse()

    return read


def _whole(least: int, most: int, factor: int = 1) -> Callable[[str], int]:
    def read(text: str) -> int:
        number = int(text)
        return number * factor if least <= number <= most else _refuse()

    return read


def _number(least: float, most: float, factor: float = 1) -> Callable[[str], float]:
    def read(text: str) -> float:
        number = float(text)
        return number * factor if least <= number <= most else _refuse()

    return read


def _switch(text: str) -> bool:
    found = _SWITCH.get(text.lower())
    return found if found is not None else _refuse()


def _name(text: str) -> str:
    return text or _refuse()


def _refuse() -> Any:
    raise ValueError


# Setting -> field, how its text is read, what is allowed in words.
_READERS: dict[str, tuple[str, Callable[[str], Any], str]] = {
    "tier": ("tier", _one_of(TIERS), " or ".join(TIERS)),
    "block_mb": ("block_bytes", _whole(4, 4000, MIB), "a whole number of MiB from 4 to 4000"),
    "concurrency": ("concurrency", _whole(1, 8), "a whole number from 1 to 8"),
    "bandwidth_mb": ("bytes_per_second", _number(0.5, 1e5, 1e6), "a number of megabytes per second from 0.5 to 100000"),
    "immutable_days": ("immutable_days", _whole(1, 146_000), "a whole number of days from 1 to 146000"),
    "immutable_mode": ("immutable_mode", _one_of(IMMUTABLE_MODES), " or ".join(IMMUTABLE_MODES)),
    "legal_hold": ("legal_hold", _switch, "true or false"),
    "encryption_scope": ("encryption_scope", _name, "the name of an encryption scope of the account"),
    "read_back": ("read_back", _switch, "true or false"),
    "tries": ("tries", _whole(1, 20), "a whole number from 1 to 20"),
    "timeout": ("timeout", _number(5, 3600), "a number of seconds from 5 to 3600"),
}
