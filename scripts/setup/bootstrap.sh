#!/bin/sh
# Find a Python and run scripts/setup/bootstrap.py, which sets up everything else.
set -eu

command=$1
CDPATH='' cd -- "$(dirname -- "$0")/../.."

fits() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

find_python() {
    for python in python3 python3.14 python3.13 python3.12 python3.11; do
        if fits "$python"; then
            return 0
        fi
    done
    return 1
}

give_up() {
    echo "$command: $1" >&2
    exit 1
}

if [ -n "${PYTHON:-}" ]; then
    python=$PYTHON
    fits "$python" || give_up "PYTHON=$python is not a Python 3.11 or newer"
elif ! find_python; then
    if [ "${CI:-}" = true ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
        echo "set-up  Python (apt-get)" >&2
        { apt-get update -qq && apt-get install -y -qq python3 python3-venv; } >&2
    fi
    find_python || give_up "no Python 3.11 or newer found: install one, or set PYTHON to one"
fi
# -E: PYTHONPATH and similar variables are not meant for the set-up.
exec "$python" -E -m scripts.setup.bootstrap "$@"
