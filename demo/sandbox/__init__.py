"""The embedded sandbox: gets and starts a real RavenDB server for `make demo` and for the tests.

`with RavenServer("7.1.5") as server: ...` — see `server.py`; command line: `python -m demo.sandbox start`.
"""

from __future__ import annotations

from demo.sandbox.errors import SandboxError
from demo.sandbox.releases import DEFAULT_VERSION, RELEASES
from demo.sandbox.server import RavenServer, connect_or_start, external_server

__all__ = ["DEFAULT_VERSION", "RELEASES", "RavenServer", "SandboxError", "connect_or_start", "external_server"]
