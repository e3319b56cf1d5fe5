"""Blocking calls of triggers, in a few threads of their own: the triggerer's event loop never waits for a server."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

#: Threads for the polls of all triggers of one triggerer. A poll lasts milliseconds; a dead server holds one for seconds.
POLL_THREADS = 4

_threads = ThreadPoolExecutor(POLL_THREADS, thread_name_prefix="ravendb-poll")
_T = TypeVar("_T")


async def in_thread(function: Callable[[], _T]) -> _T:
    """What the function returns or raises."""
    # Airflow finds the triggerer's own connection to its database through context variables.
    context = contextvars.copy_context()
    return await asyncio.get_running_loop().run_in_executor(_threads, context.run, function)
