"""One vault behind the client of Airflow's hook: requests with patience, lists over all their pages.

botocore repeats a request a few times within seconds; here it is repeated over minutes, because a part of an upload that takes
a day must outlive a restart of a router.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from typing import Any

from raven_backup_provider.destinations.glacier_errors import FAILURES, error_of, is_temporary, wanted_wait

log = logging.getLogger(__name__)

_FIRST_WAIT, _LONGEST_WAIT = 1.0, 60.0


class Vault:
    """A vault.

    :param client: a boto3 client of the service ``glacier``.
    :param tries: how often a request is sent before its failure counts.
    """

    def __init__(self, client: Any, name: str, *, tries: int = 8, sleep: Callable[[float], None] = time.sleep) -> None:
        self._client = client
        self.name = name
        self.region = str(client.meta.region_name or "")
        self._tries = tries
        self._sleep = sleep

    @property
    def identity(self) -> str:
        """Region and name."""
        return f"glacier:{self.region}/{self.name}"

    def call(self, operation: str, failed: str, **arguments: Any) -> Any:
        """Send one request, again and again if the trouble is temporary; everything sent may be sent twice.

        :param failed: for the error's text, such as ``cannot write 'x'``.
        :raises DestinationError: it failed for good.
        """
        try:
            return self.request(operation, **arguments)
        except FAILURES as error:
            raise error_of(error, failed, self.identity) from error

    def request(self, operation: str, **arguments: Any) -> Any:
        """As :meth:`call`, but with the service's own error, for callers to whom it can be an answer."""
        wait = _FIRST_WAIT
        for attempt in range(1, self._tries + 1):
            if (rewind := getattr(arguments.get("body"), "seek", None)) is not None:
                rewind(0)
            try:
                return getattr(self._client, operation)(vaultName=self.name, **arguments)
            except FAILURES as error:
                if attempt == self._tries or not is_temporary(error):
                    raise
                seconds = wanted_wait(error) or wait
                log.info("%s: %s, try %d of %d; again in %.0f s", self.identity, error, attempt, self._tries, seconds)
                self._sleep(seconds)
                wait = min(2 * wait, _LONGEST_WAIT)
        raise AssertionError("unreachable")

    def pages(self, operation: str, items: str, failed: str, **arguments: Any) -> Iterator[dict[str, Any]]:
        """The items of a list, page after page."""
        marker: dict[str, str] = {}
        while True:
            page = self.call(operation, failed, **arguments, **marker)
            yield from page.get(items) or []
            if not page.get("Marker"):
                return
            marker = {"marker": page["Marker"]}
