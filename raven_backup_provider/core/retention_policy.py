"""What a retention policy may say, and how it is read from a form, a YAML file or a command line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from raven_backup_provider.core.errors import ConfigurationError

Count = Annotated[int, Field(ge=1, le=1_000_000)]
Days = Annotated[float, Field(ge=1, le=365_000, allow_inf_nan=False)]

_COUNT = "a whole number of at least 1"
_DAYS = "a number of days of at least 1 (RavenDB, too, refuses less)"
#: What each key may hold, for messages and for docs.
ALLOWED = {
    "disabled": "true or false",
    "minimum_age_days": _DAYS,
    "keep_last": _COUNT,
    "keep_daily": _COUNT,
    "keep_weekly": _COUNT,
    "keep_monthly": _COUNT,
    "keep_yearly": _COUNT,
    "time_zone": "the name of a time zone, such as UTC or Europe/Berlin",
    "grace_hours": "a number of hours from 0 on",
    "max_delete_share": "a number above 0 and up to 1, such as 0.5",
    "unproven_after_days": _DAYS,
    "dropped_after_days": _DAYS,
}
#: What a form or a template leaves in a field that nobody filled in.
_EMPTY = ("", "None", "null")


class RetentionPolicy(BaseModel):
    """Which chains are kept. A chain goes only when a rule is given and no rule keeps it; no rule: nothing is deleted.

    Whatever it says, some are always kept: see core/retention_rules.py.

    :param disabled: delete nothing.
    :param minimum_age_days: RavenDB's ``MinimumBackupAgeToKeep``: keep a chain until its folder and its last file are both
        that old.
    :param keep_last: keep the newest so many complete chains (fulls).
    :param keep_daily: keep the newest restore point of each of the last so many days that have one. Likewise
        ``keep_weekly`` (ISO weeks), ``keep_monthly``, ``keep_yearly``.
    :param time_zone: in which a day begins.
    :param grace_hours: nothing younger is ever deleted.
    :param max_delete_share: a run that would delete a larger share of a database's chains is refused unless confirmed.
    :param unproven_after_days: delete folders without any restore point once they are that old. Left out: never; they are
        reported.
    :param dropped_after_days: of a database that was dropped so long ago, and has no younger backup, delete everything, the
        newest chain too (core/retention_dropped.py). Left out: its last chains stay for ever. Says nothing of other databases.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    disabled: bool = False
    minimum_age_days: Days | None = None
    keep_last: Count | None = None
    keep_daily: Count | None = None
    keep_weekly: Count | None = None
    keep_monthly: Count | None = None
    keep_yearly: Count | None = None
    time_zone: str = "UTC"
    grace_hours: Annotated[float, Field(ge=0, le=8_760_000, allow_inf_nan=False)] = 24.0
    max_delete_share: Annotated[float, Field(gt=0, le=1)] = 0.5
    unproven_after_days: Days | None = None
    dropped_after_days: Days | None = None

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (KeyError, ValueError, OSError):  # unknown, a path, a folder of the time zone data
            raise ValueError(name) from None
        return name

    @classmethod
    def from_mapping(cls, given: Mapping[str, Any]) -> RetentionPolicy:
        """Read a policy as people write it: numbers may come as text, an empty field is one that was left out.

        :raises ConfigurationError: names every key that is wrong and what it may hold.
        """
        if not isinstance(given, Mapping):
            raise ConfigurationError(f"A retention policy is a mapping of its settings, not {given!r}.")
        told = {key: _plain(value) for key, value in given.items() if not _is_empty(value)}
        try:
            return cls.model_validate(told)
        except ValidationError as error:
            problems = dict.fromkeys(_problem(str(one["loc"][0]), given) for one in error.errors(include_url=False))
            raise ConfigurationError("The retention policy is wrong: " + " ".join(problems)) from None

    @property
    def zone(self) -> ZoneInfo:
        """The time zone."""
        return ZoneInfo(self.time_zone)

    @property
    def has_rules(self) -> bool:
        """Whether it can delete chains with restore points of a database that is there."""
        counted = (self.keep_last, self.keep_daily, self.keep_weekly, self.keep_monthly, self.keep_yearly)
        return self.minimum_age_days is not None or any(count is not None for count in counted)

    def words(self) -> str:
        """What was set, in one line."""
        if self.disabled:
            return "disabled"
        told = [f"{name}={value:g}" for name in _RULES if (value := getattr(self, name)) is not None]
        zone = [f"time_zone={self.time_zone}"] if any(n in _PERIODS and getattr(self, n) for n in _RULES) else []
        always = [f"grace_hours={self.grace_hours:g}", f"max_delete_share={self.max_delete_share:g}"]
        return ", ".join([*(told or ["no rule"]), *zone, *always])


_PERIODS = ("keep_daily", "keep_weekly", "keep_monthly", "keep_yearly")
_RULES = ("minimum_age_days", "keep_last", *_PERIODS, "unproven_after_days", "dropped_after_days")
_SWITCH = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


def _is_empty(value: Any) -> bool:
    return value is None or (isinstance(value, str) and value.strip() in _EMPTY)


def _plain(value: Any) -> Any:
    """A number or switch out of its text; everything else as it is, for the model to judge."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if not isinstance(value, str):
        return value
    text = value.strip()
    if text.lower() in _SWITCH:
        return _SWITCH[text.lower()]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _problem(key: str, given: Mapping[str, Any]) -> str:
    if key not in ALLOWED:
        return f"There is no setting {key!r}; there are {', '.join(ALLOWED)}."
    return f"{key} must be {ALLOWED[key]}, not {given.get(key)!r}."
