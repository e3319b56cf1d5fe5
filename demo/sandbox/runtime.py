"""Which .NET runs the server: one that is installed (8.x), or the one out of the npm package.

Order: an installed .NET 8 with both shared frameworks; otherwise the runtime of `dotnet_root`. RAVENDB_URL, which
makes all of this unnecessary, is looked at by `server.connect_or_start`. Downloading .NET from its vendor is left out
on purpose: it would add a third source to trust and fails on machines that reach package indexes only.
"""

from __future__ import annotations

import ctypes
import functools
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass, field

from demo.sandbox.dotnet_root import ASPNETCORE, NETCORE, dotnet_root
from demo.sandbox.errors import SandboxError

LIST_TIMEOUT_SECONDS = 20
ICU_VERSIONS = range(50, 100)


@dataclass(frozen=True, slots=True)
class Dotnet:
    """How to run a .NET program: the command to put before the .dll, and what to add to the environment."""

    command: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=dict)
    description: str = ""


@functools.cache
def find_dotnet() -> Dotnet:
    """The .NET to use on this machine. Raises SandboxError where there is none to be had."""
    globalization = {} if has_icu() else {"DOTNET_SYSTEM_GLOBALIZATION_INVARIANT": "1"}
    executable = shutil.which("dotnet")
    if executable and has_dotnet_8(_list_runtimes(executable)):
        return Dotnet((executable,), globalization, f"installed .NET 8 ({executable})")
    if sys.platform != "linux" or platform.machine() not in ("x86_64", "AMD64"):
        raise SandboxError(
            f"The sandbox brings its own .NET for Linux on x86-64 only; this is {sys.platform} on "
            f"{platform.machine()}. Install .NET 8 with ASP.NET Core, or set RAVENDB_URL to a running server."
        )
    root = dotnet_root()
    environment = {
        "DOTNET_ROOT": str(root),
        "DOTNET_ROLL_FORWARD": "Major",
        **globalization,
    }
    # -I -S: the script needs nothing of the caller's packages, and must not be changed by its PYTHON* variables.
    return Dotnet((sys.executable, "-I", "-S", str(root / "dotnet")), environment, f"sandbox .NET ({root})")


def has_dotnet_8(listing: str) -> bool:
    """Whether the output of `dotnet --list-runtimes` shows both shared frameworks of .NET 8."""
    return all(any(line.startswith(f"{name} 8.") for line in listing.splitlines()) for name in (NETCORE, ASPNETCORE))


def has_icu() -> bool:
    """Whether libicu can be loaded. Without it .NET refuses to start unless told to do without cultures."""
    for name in ("libicuuc.so", *(f"libicuuc.so.{version}" for version in ICU_VERSIONS)):
        try:
            ctypes.CDLL(name)
        except OSError:
            continue
        return True
    return sys.platform != "linux"


def _list_runtimes(executable: str) -> str:
    try:
        listing = subprocess.run(
            [executable, "--list-runtimes"], capture_output=True, text=True, timeout=LIST_TIMEOUT_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return listing.stdout
