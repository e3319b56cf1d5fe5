"""What the tests of the Azure adapter share: places on a real Azurite, straight or through a proxy that misbehaves."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from raven_backup_provider.destinations.azure import AzureDestination
from raven_backup_provider.destinations.azure_access import AzureAccess, sas_access
from raven_backup_provider.destinations.azure_settings import AzureSettings
from tests.destinations.contract import FILE, digest_of, keys, load
from tests.support.azurite import Azurite
from tests.support.http_faults import Fault, FaultProxy, Request, answer

BLOCK = 64 * 1024
#: Ten blocks and a bit; content that no two blocks share.
CONTENT = os.urandom(10 * BLOCK + 1000)
BLOCKS = 11


@dataclass
class Places:
    """One container, seen in different ways."""

    azurite: Azurite
    container: str
    proxy: FaultProxy

    def direct(self, **settings: Any) -> AzureDestination:
        """Without the proxy, with the account's key."""
        return self._place(None, None, settings)

    def faulty(
        self, *, sas: str | None = None, hours: float = 1.0, note: bool = True, **settings: Any
    ) -> AzureDestination:
        """Through the proxy.

        :param sas: permissions of a SAS token to use instead of the account's key.
        :param note: tell the destination what is known of the token, as the hook does.
        """
        token = self.azurite.sas(self.container, sas, hours=hours) if sas is not None else None
        return self._place(self.proxy.url, token, settings, note)

    def _place(self, endpoint: str | None, token: str | None, settings: Any, note: bool = True) -> AzureDestination:
        client = self.azurite.client(endpoint, token) if token else self.azurite.client(endpoint)
        access = sas_access(token) if token and note else AzureAccess()
        lease_seconds = settings.pop("lease_seconds", 60)
        settings = AzureSettings(**{"block_bytes": BLOCK, "concurrency": 2, "tries": 3, "timeout": 20.0, **settings})
        return AzureDestination(
            client,
            self.container,
            "root",
            settings=settings,
            access=access,
            lease_seconds=lease_seconds,
        )


def upload(place: AzureDestination, content: bytes = CONTENT, *, expected: bool = True, key: str = FILE) -> None:
    """Write a file as a copy does."""
    with place.open_write(key, expected=digest_of(content) if expected else None) as writer:
        for at in range(0, len(content), 100_000):
            writer.write(content[at : at + 100_000])
        writer.commit(digest_of(content))


def there_and_whole_or_not_listed(place: AzureDestination, content: bytes = CONTENT) -> bool:
    """Whether the file is there; it is whole then."""
    listed = keys(place)
    assert listed in ([], [FILE])
    if not listed:
        assert place.stat(FILE) is None
        return False
    assert load(place, FILE) == content
    return True


def is_block(request: Request) -> bool:
    return request.method == "PUT" and request.query.get("comp") == "block"


def is_commit(request: Request) -> bool:
    return request.method == "PUT" and request.query.get("comp") == "blocklist"


def is_list(request: Request) -> bool:
    return request.method == "GET" and request.query.get("comp") == "list"


def is_read(request: Request) -> bool:
    return request.method == "GET" and "comp" not in request.query


def is_delete(request: Request) -> bool:
    return request.method == "DELETE"


def is_look(request: Request) -> bool:
    return request.method == "HEAD"


def refusal(status: int, code: str, message: str = "The words of the service.", **more: str) -> Fault:
    """An error as Azure answers it."""
    inner = "".join(f"<{name}>{value}</{name}>" for name, value in {"Code": code, "Message": message, **more}.items())
    body = f'<?xml version="1.0" encoding="utf-8"?><Error>{inner}</Error>'.encode()
    return answer(status, {"x-ms-error-code": code, "Content-Type": "application/xml"}, body)


def open_places(azurite: Azurite) -> Iterator[Places]:
    with FaultProxy(azurite.endpoint) as proxy:
        yield Places(azurite, azurite.new_container(), proxy)
