"""Requests to Azure: time-outs, tries and pauses between them, and errors in our words. All calls of the SDK go through here.

The SDK's own tries are switched off: its first pause is 15 s, it knows no 429 and no ``Retry-After``. Time-outs of the HTTP
library hold for one read or write on the socket, so a stream that drips would never end; :func:`watched` bounds the whole.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import urllib3
from azure.core.exceptions import AzureError

from raven_backup_provider.destinations.azure_access import AzureAccess
from raven_backup_provider.destinations.azure_errors import Deed, Right, error_of
from raven_backup_provider.destinations.azure_failure import Failure, failure_of

log = logging.getLogger(__name__)

T = TypeVar("T")

CONNECT_SECONDS = 20.0
_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 16.0
#: The service may ask for a longer pause than ours; no task waits longer than that for one request.
_LONGEST_ASKED = 120.0
#: Bytes per second below which a transfer counts as stuck.
_SLOWEST = 32 * 1024
_PIECE = 256 * 1024


class StoppedError(Exception):
    """The transfer that this request is part of was given up."""


class AzureCalls:
    """How one destination talks to Azure; safe to share between threads.

    :param identity: the destination in words, for errors.
    :param tries: how often a request is sent in all.
    :param timeout: seconds that an answer may take.
    """

    def __init__(self, identity: str, container: str, access: AzureAccess, *, tries: int, timeout: float) -> None:
        self._identity = identity
        self._container = container
        self._access = access
        self._tries = tries
        self._timeout = timeout

    def deed(self, verb: str, key: str, right: Right) -> Deed:
        """What is about to be done, such as ``deed("write", "shop/x", Right.WRITE)``."""
        what = f"{verb} '{key}' in {self._identity}" if key else f"{verb} {self._identity}"
        return Deed(what, right, self._container, self._access)

    @property
    def limits(self) -> dict[str, Any]:
        """What every call of the SDK is given: no tries of its own, time-outs in seconds."""
        return {
            "retry_total": 0,
            "connection_timeout": CONNECT_SECONDS,
            "read_timeout": self._timeout,
            "raw_response_hook": require_azure,
        }

    def deadline(self, size: int) -> float:
        """Monotonic time by which a transfer of so many bytes must be done."""
        return time.monotonic() + 2 * self._timeout + size / _SLOWEST

    def run(
        self,
        deed: Deed,
        call: Callable[..., T],
        *args: Any,
        stop: threading.Event | None = None,
        allow: tuple[str, ...] = (),
        tries: int | None = None,
        **options: Any,
    ) -> T | None:
        """Send a request until it is answered.

        :param call: method of the SDK; gets ``args`` and ``options``.
        :param stop: gives up as soon as it is set.
        :param allow: codes of Azure that are no error here: the result is None then.
        :raises DestinationError: the class says whether it may succeed later.
        :raises StoppedError: ``stop`` was set.
        """
        most = tries or self._tries
        for number in range(1, most + 1):
            if stop is not None and stop.is_set():
                raise StoppedError
            answer, failure = _attempt(call, args, {**self.limits, **options})
            if failure is None:
                return answer
            if failure.code in allow:
                return None
            if not failure.transient or number == most:
                # Raised here, where no exception of the SDK is being handled, so that none becomes its context.
                raise error_of(deed, failure, number)
            pause = _pause(number, failure)
            log.info("Could not %s: %s. Try %d of %d in %.1f s.", deed.what, failure, number + 1, most, pause)
            _wait(pause, stop)
        raise AssertionError("unreachable")


def _attempt(call: Callable[..., T], args: tuple[Any, ...], options: dict[str, Any]) -> tuple[T | None, Failure | None]:
    try:
        return call(*args, **options), None
    except (AzureError, OSError, urllib3.exceptions.HTTPError) as error:
        return None, failure_of(error)


def _pause(number: int, failure: Failure) -> float:
    """Seconds before the next try: growing, spread so that parallel blocks do not come back all at once."""
    own = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** (number - 1)) * random.uniform(0.75, 1.25)  # noqa: S311
    return max(own, min(failure.wait or 0.0, _LONGEST_ASKED))


def _wait(seconds: float, stop: threading.Event | None) -> None:
    if stop is None:
        time.sleep(seconds)
    elif stop.wait(seconds):
        raise StoppedError


def require_azure(response: Any) -> None:
    """A ``raw_response_hook`` that believes no good answer of a proxy's log-in page: Azure numbers each of its answers.

    :raises ConnectionError: it is none of Azure's.
    """
    answer = response.http_response
    if answer.status_code < 400 and not answer.headers.get("x-ms-request-id"):
        raise ConnectionError(None, "what answers there is not Azure Blob Storage")


def watched(deadline: Callable[[int], float], stop: threading.Event | None) -> Callable[[Any], None]:
    """A ``raw_response_hook`` that ends the reading of a body at a deadline or when the transfer is given up.

    :param deadline: of the body's size in bytes, see :meth:`AzureCalls.deadline`.
    """

    def hook(response: Any) -> None:
        require_azure(response)
        answer = response.http_response
        original = answer.stream_download
        end = deadline(int(answer.headers.get("Content-Length") or 0))

        def stream_download(*args: Any, **options: Any) -> _WatchedBody:
            return _WatchedBody(original(*args, **options), end, stop)

        answer.stream_download = stream_download

    return hook


class _WatchedBody:
    """A body as it comes from the socket. The SDK hangs attributes on it and asks it for others.

    It is read here and not by the SDK, which would wait for a whole piece of 256 KiB before anybody can look at the clock.
    """

    def __init__(self, body: Any, deadline: float, stop: threading.Event | None) -> None:
        self._body, self._deadline, self._stop = body, deadline, stop

    def __getattr__(self, name: str) -> Any:
        return getattr(self._body, name)

    def __len__(self) -> int:
        return len(self._body)

    def __iter__(self) -> Iterator[bytes]:
        answer = self._body.response.internal_response
        try:
            # Read to its end, the answer gives its connection back by itself.
            while piece := answer.raw.read1(_PIECE):
                check_progress(self._deadline, self._stop)
                yield piece
        except BaseException:
            answer.close()
            raise


def check_progress(deadline: float, stop: threading.Event | None) -> None:
    """Called between the pieces of a transfer.

    :raises TimeoutError: it takes too long; another try may be faster.
    """
    if stop is not None and stop.is_set():
        raise StoppedError
    if time.monotonic() > deadline:
        raise TimeoutError(None, f"slower than {_SLOWEST // 1024} KiB/s")
