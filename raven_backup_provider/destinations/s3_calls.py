"""One request to an S3 service: tried again with back-off while that can help, its errors in our words.

The client comes ready (from Airflow's hook) and is renewed once when its session token expires in the middle of a file.
Waiting: ``Retry-After`` where the service gives one, else doubling with jitter, up to ``retry_seconds`` for one request; a
service that has never answered is given up sooner, for then the address is probably wrong.
"""

from __future__ import annotations

import logging
import random
import re
import threading
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from botocore.exceptions import BotoCoreError, ClientError  # type: ignore[import-untyped]

from raven_backup_provider.core.errors import DestinationError
from raven_backup_provider.destinations.s3_body import PartBody
from raven_backup_provider.destinations.s3_errors import EXPIRED, code_of, error_of, is_passing, retry_after, status_of

log = logging.getLogger(__name__)

#: Names of AWS's own hosts.
AWS_HOST = re.compile(r"(^|\.)amazonaws\.com(\.cn)?$")
#: A boto3 client of S3; boto3 has no types of its own.
Client = Any

_FIRST_WAIT, _LONGEST_WAIT = 0.5, 30.0
_LEAST_TRIES = 3
#: Seconds for a service that has not answered this process once.
_FIRST_PATIENCE = 30.0
#: Seconds between two renewals of the credentials, and between two lines in the log about trying again.
_RENEW_AGAIN, _LOG_AGAIN = 60.0, 30.0


class ServiceRefusal(Exception):
    """An answer that the caller wants to judge itself.

    :param code: the service's error code.
    :param repeated: an earlier try of the same request may have been carried out, its answer lost.
    """

    def __init__(self, code: str, status: int, repeated: bool, error: ClientError) -> None:
        self.code, self.status, self.repeated, self.error = code, status, repeated, error
        super().__init__(code)


class S3Calls:
    """Requests to one bucket; safe to share between threads.

    :param identity: the destination's name, for messages.
    :param renew: makes a client with fresh credentials; None: there is no way.
    :param patience: seconds for which one request is tried again.
    """

    def __init__(
        self,
        client: Client,
        bucket: str,
        identity: str,
        *,
        renew: Callable[[], Client] | None = None,
        patience: float = 300.0,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.bucket, self._identity = bucket, identity
        self._renew, self._patience = renew, patience
        self._monotonic, self._sleep = monotonic, sleep
        self._lock = threading.Lock()
        self._renewed_at: float | None = None
        self._logged_at = float("-inf")
        self._answered = False
        self._client = self._prepared(client)

    def call(
        self,
        operation: str,
        failed: str,
        *,
        judged: tuple[str, ...] = (),
        patience: float | None = None,
        stop: threading.Event | None = None,
        **parameters: Any,
    ) -> Any:
        """Make a request and return the client's answer.

        :param operation: the client's method, such as ``put_object``.
        :param failed: for messages: what could not be done, such as ``cannot write 'x'``.
        :param judged: error codes to hand over as :class:`ServiceRefusal`.
        :param patience: seconds, other than the destination's.
        :param stop: when set, nothing is tried again.
        :raises DestinationError: what went wrong, in the words of core/errors.py.
        """
        failing_since: float | None = None
        tries = 0
        while True:
            client = self._client
            body = parameters.get("Body")
            if isinstance(body, PartBody):
                body.seek(0)
            try:
                answer = getattr(client, operation)(Bucket=self.bucket, **parameters)
            except (BotoCoreError, ClientError) as error:
                tries += 1
                self._judge(error, judged, tries)
                if self._renew_after(error, client):
                    continue
                failing_since = self._monotonic() if failing_since is None else failing_since
                allowed, wait = patience or self._allowed(), _wait(error, tries)
                left = allowed - (self._monotonic() - failing_since)
                # On a slow line one try may take longer than all the patience.
                enough = wait > allowed or (wait > left and (tries >= _LEAST_TRIES or patience is not None))
                if not is_passing(error) or enough or (stop is not None and stop.is_set()):
                    raise error_of(error, f"{failed} in {self._identity}", operation) from error
                self._tell(failed, error, left)
                self._pause(wait, stop)
            else:
                self._answered = True
                return answer

    @property
    def endpoint(self) -> str | None:
        """Where the service is, without what else its URL may hold; None for AWS itself."""
        parts = urlsplit(str(self._client.meta.endpoint_url))
        if AWS_HOST.search(parts.hostname or "") is not None:
            return None
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
        return f"{parts.scheme}://{host}" + (f":{parts.port}" if parts.port else "")

    def failure(self, failed: str, error: Exception, operation: str) -> Exception:
        """The error to raise for one that did not come out of :meth:`call`, such as a body that broke off."""
        return error_of(error, f"{failed} in {self._identity}", operation)

    def wait_before_try(self, error: Exception, tries: int) -> None:
        """Back off as :meth:`call` does."""
        self._sleep(_wait(error, tries))

    def _judge(self, error: Exception, judged: tuple[str, ...], tries: int) -> None:
        if not isinstance(error, ClientError):
            return
        self._answered = True
        if code_of(error) in judged:
            inner = int(error.response.get("ResponseMetadata", {}).get("RetryAttempts") or 0)
            raise ServiceRefusal(code_of(error), status_of(error), tries > 1 or inner > 0, error) from error

    def _allowed(self) -> float:
        return self._patience if self._answered else min(self._patience, _FIRST_PATIENCE)

    def _renew_after(self, error: Exception, used: Client) -> bool:
        """Whether there is a client with fresh credentials now."""
        if self._renew is None or not isinstance(error, ClientError) or code_of(error) not in EXPIRED:
            return False
        with self._lock:
            if self._client is not used:
                return True  # another thread did it
            now = self._monotonic()
            if self._renewed_at is not None and now - self._renewed_at < _RENEW_AGAIN:
                return False
            log.info("The session token of %s has expired; reading the Connection again.", self._identity)
            self._client, self._renewed_at = self._prepared(self._renew()), now
            return True

    def _prepared(self, client: Client) -> Client:
        client.meta.events.register("before-send.s3", _begin_sending, unique_id="raven-backup-pace")
        return client

    def _tell(self, failed: str, error: Exception, left: float) -> None:
        with self._lock:
            now = self._monotonic()
            if now - self._logged_at < _LOG_AGAIN:
                return
            self._logged_at = now
        log.warning("%s; trying again for up to %.0f s.", error_of(error, f"{failed} in {self._identity}", ""), left)

    def _pause(self, seconds: float, stop: threading.Event | None) -> None:
        if stop is not None:
            stop.wait(seconds)
        else:
            self._sleep(seconds)


def require_answer(refusal: ServiceRefusal, failed: str, identity: str, operation: str) -> DestinationError:
    """The error for a refusal that the caller has no better words for."""
    found = error_of(refusal.error, f"{failed} in {identity}", operation)
    return found if isinstance(found, DestinationError) else DestinationError(str(found))


def _wait(error: Exception, tries: int) -> float:
    asked = retry_after(error)
    if asked is not None:
        return asked + random.uniform(0, min(1.0, asked / 4))  # noqa: S311 - spreads retries, protects nothing
    longest = min(_LONGEST_WAIT, _FIRST_WAIT * 2 ** min(tries, 10))
    return random.uniform(longest / 4, longest)  # noqa: S311


def _begin_sending(request: Any, **_: Any) -> None:
    body = getattr(request, "body", None)
    if isinstance(body, PartBody):
        body.begin_sending()
