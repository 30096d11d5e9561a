#!/usr/bin/env bash
# Run the tests, as many files at a time as there are processors. On a bare machine with Python this installs what
# they need into .venv first.
#
#   commands/test.sh [PYTEST ARGUMENTS]
#
# For example: commands/test.sh tests/spec, or commands/test.sh -m slow for those that take minutes.
# TAOLITE_VENV names another environment than .venv.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
wants_help "$@"
set_up dev pytest skimage sklearn openvino starlette uvicorn httpx selenium sphinx myst_parser furo
cd "$ROOT"
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
exec python -m pytest --numprocesses auto --maxprocesses 8 --dist loadfile "$@"
