"""Lays out a dotnet root from the npm package that carries the .NET runtime.

The package is a self-contained application: its `azmcp.deps.json` lists which of its files are the two shared
frameworks. They are sorted into the folders `hostfxr` expects, with the .deps.json and .runtimeconfig.json a real
installation has. The package has no `dotnet` executable, so a short Python script plays it.
"""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import Any

from demo.sandbox.cache import cached
from demo.sandbox.errors import SandboxError
from demo.sandbox.packages import runtime_archive
from demo.sandbox.patch import FILE_NAME, patch_http_client_factory
from demo.sandbox.releases import RUNTIME, RuntimePackage

NETCORE = "Microsoft.NETCore.App"
ASPNETCORE = "Microsoft.AspNetCore.App"
HOST_FXR = "libhostfxr.so"
DIST = "package/dist/"

HOST_SCRIPT = '''\
#!/usr/bin/env python3
"""Plays the `dotnet` executable: hands its arguments to libhostfxr."""
import ctypes, os, sys

root = os.path.dirname(os.path.realpath(__file__))
fxr = ctypes.CDLL(os.path.join(root, "host", "fxr", "@VERSION@", "libhostfxr.so"))
host = os.fsencode(os.path.join(root, "dotnet"))
arguments = [host, *map(os.fsencode, sys.argv[1:])]
argv = (ctypes.c_char_p * (len(arguments) + 1))(*arguments, None)
main = fxr.hostfxr_main_startupinfo
main.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p]
main.restype = ctypes.c_int
sys.exit(main(len(arguments), argv, host, os.fsencode(root), host + b".dll"))
'''


def dotnet_root(package: RuntimePackage = RUNTIME) -> Path:
    """The laid-out dotnet root, downloaded on first use (111 MB, 75 MB laid out)."""

    def build(folder: Path) -> None:
        archive = runtime_archive(package, folder)
        lay_out(archive, folder, package.dotnet_version)
        archive.unlink()

    return cached(f"dotnet-{package.dotnet_version}-precompiled", build)


def lay_out(archive: Path, root: Path, version: str) -> None:
    """Unpack both frameworks of the package into `root`, write their descriptions and the host script, patch."""
    with tarfile.open(archive) as package:
        description = json.loads(_read(package, DIST + "azmcp.deps.json"))
        target = description["runtimeTarget"]["name"]
        frameworks = {name: _pack(description["targets"][target], name, version) for name in (NETCORE, ASPNETCORE)}
        for name, pack in frameworks.items():
            _write_framework(package, root / "shared" / name / version, name, version, target, pack)
        fxr = root / "host" / "fxr" / version / HOST_FXR
        fxr.parent.mkdir(parents=True)
        fxr.write_bytes(_read(package, DIST + HOST_FXR))
    patch_http_client_factory(root / "shared" / ASPNETCORE / version / FILE_NAME)
    host = root / "dotnet"
    host.write_text(HOST_SCRIPT.replace("@VERSION@", version))
    host.chmod(0o755)


def _pack(libraries: dict[str, Any], framework: str, version: str) -> dict[str, Any]:
    key = f"runtimepack.{framework}.Runtime.linux-x64/{version}"
    if key not in libraries:
        raise SandboxError(f"The .NET package lists no {key}: it is not the untrimmed runtime the sandbox needs.")
    pack: dict[str, Any] = libraries[key]
    return {part: pack[part] for part in ("runtime", "native") if part in pack}


def _write_framework(
    package: tarfile.TarFile, folder: Path, name: str, version: str, target: str, pack: dict[str, Any]
) -> None:
    folder.mkdir(parents=True)
    for file_name in (file_name for part in pack.values() for file_name in part):
        (folder / Path(file_name).name).write_bytes(_read(package, DIST + file_name))
    library = f"{name}.Runtime.linux-x64/{version}"
    deps = {
        "runtimeTarget": {"name": target, "signature": ""},
        "compilationOptions": {},
        "targets": {target.split("/")[0]: {}, target: {library: pack}},
        "libraries": {library: {"type": "package", "serviceable": True, "sha512": ""}},
    }
    (folder / f"{name}.deps.json").write_text(json.dumps(deps, indent=2))
    options: dict[str, Any] = {"tfm": f"net{version.rsplit('.', 1)[0]}"}
    if name == ASPNETCORE:
        options["framework"] = {"name": NETCORE, "version": version}
    (folder / f"{name}.runtimeconfig.json").write_text(json.dumps({"runtimeOptions": options}, indent=2))


def _read(package: tarfile.TarFile, name: str) -> bytes:
    try:
        member = package.extractfile(name)
    except KeyError:
        member = None
    if member is None:
        raise SandboxError(f"The .NET package holds no file {name}: it is not the package the sandbox knows.")
    return member.read()
