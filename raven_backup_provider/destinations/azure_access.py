"""How a client of Azure signs in, as far as that is no secret: it makes errors exact ("expired at", "lacks the permission")."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone
from urllib.parse import parse_qs, urlsplit


@dataclass(frozen=True, slots=True)
class AzureAccess:
    """How the Connection proves who it is, as far as that is no secret; makes errors exact.

    :param kind: in words, such as ``a SAS token``.
    :param permissions: letters of the SAS, None if it is none.
    :param expires: end of the SAS (UTC), None if it has none of its own.
    """

    kind: str = "the Connection's credentials"
    permissions: str | None = None
    expires: datetime | None = None


def sas_access(token: str) -> AzureAccess:
    """What a SAS token, or a URL with one, says openly."""
    query = parse_qs(urlsplit(token).query if token.startswith("https") else token.lstrip("?"))
    expires = None
    try:
        expires = datetime.fromisoformat(query["se"][0].replace("Z", "+00:00"))
        expires = expires if expires.tzinfo else expires.replace(tzinfo=timezone.utc)
    except (KeyError, ValueError):
        pass  # a stored access policy holds it, or nobody can read it: the service will say
    return AzureAccess("the SAS token of the Connection", query.get("sp", [None])[0], expires)
