"""The one error of the sandbox: a server cannot be had, started or asked. The message carries the remedy."""

from __future__ import annotations


class SandboxError(Exception):
    """Names what was tried, what was found and what to do about it."""
