"""Why the demo ends early."""

from __future__ import annotations


class DemoError(Exception):
    """A step failed; the message says which and shows what the failing part logged last."""


class Ended(BaseException):
    """Ctrl-C or SIGTERM. Not an Exception: nothing in between may swallow it."""

    def __init__(self, number: int) -> None:
        self.number = number
        super().__init__(number)
