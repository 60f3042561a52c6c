#!/usr/bin/env sh
# Makes .venv with the Python named by $PYTHON, or says in one line what is missing.
# Needs Python 3.11 or newer and pip; works without Debian's python3-venv package.
set -eu
python=${PYTHON:-python3}

command -v "$python" >/dev/null 2>&1 || {
    echo "rung needs Python 3.11 or newer, and $python is not here. Install it, or: make $1 PYTHON=/path/to/python3" >&2
    exit 1
}
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "rung needs Python 3.11 or newer; $python is $("$python" -V 2>&1). Try: make $1 PYTHON=python3.12" >&2
    exit 1
}
if "$python" -c 'import venv, ensurepip' 2>/dev/null; then
    "$python" -m venv --clear .venv
elif "$python" -c 'import venv, pip' 2>/dev/null; then
    "$python" -m venv --clear --without-pip .venv
    "$python" -m pip --python .venv/bin/python install -q pip
else
    echo "rung needs Python's venv module and pip. On Debian and Ubuntu: sudo apt install python3-venv" >&2
    exit 1
fi
