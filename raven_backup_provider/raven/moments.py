"""Times as RavenDB writes them: ISO, seven digits of a second, a ``Z`` for UTC or nothing for the server's local time."""

from __future__ import annotations

import re
from datetime import datetime, timezone

_MOMENT = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,7}))?(Z|[+-]\d\d:\d\d)?", re.ASCII)


def parse_moment(value: object) -> datetime | None:
    """A time in UTC, to the microsecond; None if it is none. One without a zone is taken as UTC."""
    match = _MOMENT.fullmatch(str(value or ""))
    if match is None:
        return None
    seconds, fraction, zone = match.groups()
    text = f"{seconds}.{(fraction or '0')[:6]:0<6}{'+00:00' if zone in (None, 'Z') else zone}"
    try:
        return datetime.fromisoformat(text).astimezone(timezone.utc)
    except ValueError:
        return None
