#!/usr/bin/env bash
# make_venv.sh FOLDER [PYTHON]: an environment with the pinned dependencies and this package, editable.
# Without PYTHON the first interpreter is taken that really runs and is 3.10-3.13 (a version manager's shim may exist and fail).
set -euo pipefail
venv=$1
wanted=${2:-}

usable() {
    "$1" -c 'import sys; raise SystemExit(not (3, 10) <= sys.version_info[:2] < (3, 14))' >/dev/null 2>&1
}

# `python -m venv` needs ensurepip, which Debian and Ubuntu put into a package of its own; virtualenv brings its own pip.
can_make_venv() {
    "$1" -c 'import ensurepip, venv' >/dev/null 2>&1 || "$1" -c 'import virtualenv' >/dev/null 2>&1
}

python=""
runs=""
if [ -n "$wanted" ]; then
    usable "$wanted" || { echo "PYTHON=$wanted does not run or is not Python 3.10-3.13." >&2; exit 1; }
    candidates=("$wanted")
else
    candidates=(python3.12 python3.11 python3.13 python3.10 python3)
fi
for candidate in "${candidates[@]}"; do
    usable "$candidate" || continue
    runs=${runs:-$candidate}
    if can_make_venv "$candidate"; then python=$candidate; break; fi
done

if [ -z "$runs" ]; then
    echo "No Python 3.10-3.13 was found (looked for: ${candidates[*]})." >&2
    echo "Install one, or name it: make PYTHON=/path/to/python3.12 ..." >&2
    exit 1
fi
if [ -z "$python" ]; then
    version=$("$runs" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    echo "$runs (Python $version) can make no virtual environment: its ensurepip module is missing, and so is virtualenv." >&2
    echo "On Debian and Ubuntu: apt-get install python${version}-venv. Elsewhere: $runs -m pip install --user virtualenv." >&2
    exit 1
fi

# Resolved before the folder is removed, in case it lies inside (an activated environment).
python=$("$python" -c 'import sys; print(getattr(sys, "_base_executable", None) or sys.executable)')
echo "Environment: $venv ($("$python" --version), $python)"
rm -rf "$venv"
if "$python" -c 'import ensurepip' >/dev/null 2>&1; then
    "$python" -m venv "$venv"
else
    "$python" -m virtualenv --quiet "$venv"
fi
# Older and newer pip read the pins of the build environment from different variables.
PIP_CONSTRAINT=constraints.txt PIP_BUILD_CONSTRAINT=constraints.txt \
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
