"""The one file the sandbox changes: lets RavenDB up to 7.1 create databases on .NET 9.

RavenDB <= 7.1 expects .NET 8's HttpClientFactory to hand it an `HttpClientHandler`; .NET 9 hands out a
`SocketsHttpHandler` where that is supported, and creating a database answers HTTP 500. The method that chooses begins
with a call of `SocketsHttpHandler.IsSupported`; five bytes turn it into "false". The file holds a precompiled copy of every
method as well: its list of them (section 103, MethodDefEntryPoints, of the ReadyToRun header) is given a type that the
runtime does not know, so that this one assembly is compiled from what was patched, and all others start precompiled. Without
any precompiled code (DOTNET_ReadyToRun=0) a server takes 30 % more processor time until it has its first database.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from demo.sandbox.errors import SandboxError

FILE_NAME = "Microsoft.Extensions.Http.dll"
FILE_SIZE = 191_256
FILE_SHA256 = "6bfd7963c969a1a57f4d4d62650016f0b3cb025c1e3c1f0a8f2aca338fbd2e1d"
OFFSET = 0x11BAC
CALL_IS_SUPPORTED = bytes.fromhex("280701000a")
LOAD_FALSE = bytes.fromhex("1600000000")
PRECOMPILED_OFFSET = 0x21E34
PRECOMPILED = (103).to_bytes(4, "little")
UNKNOWN_SECTION = (0x7FFF).to_bytes(4, "little")


def patch_http_client_factory(path: Path) -> None:
    """Patch the file in place. Raises SandboxError, changing nothing, unless it is exactly the known file."""
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    if len(content) != FILE_SIZE or digest != FILE_SHA256:
        raise SandboxError(
            f"{path} ({len(content)} bytes, SHA-256 {digest}) is not the {FILE_NAME} of .NET 9.0.7 that the sandbox "
            "knows how to patch, so it was left alone. Install .NET 8 instead, or set RAVENDB_URL."
        )
    changed = bytearray(content)
    for offset, before, after in (
        (OFFSET, CALL_IS_SUPPORTED, LOAD_FALSE),
        (PRECOMPILED_OFFSET, PRECOMPILED, UNKNOWN_SECTION),
    ):
        if content[offset : offset + len(before)] != before:
            raise SandboxError(f"{path} does not hold the expected bytes at offset {offset:#x}; it was left alone.")
        changed[offset : offset + len(after)] = after
    path.write_bytes(changed)
