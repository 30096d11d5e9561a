# shellcheck shell=bash
# Sourced by every command here: where things are, inside the container and out of it.
#
# HERE is the container's folder; outside a container it is a name that `detectnet_v2` resolves through the mounts map
# (.tao_mounts.json). The map nearest to the current folder counts; without one, that of this checkout.

HERE=/workspace/tao-experiments
COMMANDS=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
ROOT=$(dirname "$COMMANDS")

say() { printf '%s\n' "$*" >&2; }
fail() { say "error: $*"; exit 1; }

# The comment at the top of the calling script is its help.
help() { sed -n '2,/^[^#]/{s/^# \{0,1\}//;t show;b;:show;p}' "$0"; }
wants_help() {
  case "${1:-}" in -h | --help) help; exit 0 ;; esac
}

# True inside a container (or a namespace) where the container's paths exist.
in_container() { [ -d "$HERE" ]; }

use_map() {
  local folder
  folder=$(pwd -P)
  while [ "$folder" != / ]; do
    if [ -f "$folder/.tao_mounts.json" ]; then return; fi
    folder=$(dirname "$folder")
  done
  if [ -z "${LAUNCHER_MOUNTS:-}" ]; then export LAUNCHER_MOUNTS="$ROOT/.tao_mounts.json"; fi
}

# Put detectnet_v2 and taolite on the PATH: what is active already, or this checkout's .venv.
need_taolite() {
  if ! command -v detectnet_v2 >/dev/null && [ -x "$ROOT/.venv/bin/detectnet_v2" ]; then
    PATH="$ROOT/.venv/bin:$PATH"
  fi
  command -v detectnet_v2 >/dev/null ||
    fail "detectnet_v2 is not on the PATH; commands/demo.sh sets everything up, or: pip install -e '${ROOT}[train]'"
  in_container || use_map
}

# The python that detectnet_v2 runs on.
python_of_taolite() {
  local beside
  beside=$(dirname "$(command -v detectnet_v2)")/python
  if [ -x "$beside" ]; then printf '%s\n' "$beside"; else command -v python3; fi
}

# resolve PATH: where a container's path is on this machine.
resolve() {
  if in_container; then
    printf '%s\n' "$1"
  else
    "$(python_of_taolite)" -c 'import sys; from taolite.workspace import Mounts; print(Mounts.load().resolve(sys.argv[1]))' "$1"
  fi
}

# spec_path NAME: a path as it is, a bare name in specs/.
spec_path() {
  case "$1" in */*) printf '%s\n' "$1" ;; *) printf '%s\n' "$HERE/specs/$1" ;; esac
}

# model_path NAME FOLDER: a path as it is, a bare name in FOLDER.
model_path() {
  case "$1" in */*) printf '%s\n' "$1" ;; *) printf '%s\n' "$2/$1" ;; esac
}

# take_flags "$@": -m MODEL, -e SPEC, -k KEY and -o OUT, which every script takes as detectnet_v2 does, go to the
# variables MODEL, SPEC, KEY and OUT ("" where they are not given), everything else to the array WORDS.
# shellcheck disable=SC2034  # used by those who source this
take_flags() {
  MODEL='' SPEC='' KEY='' OUT='' WORDS=()
  while [ $# -gt 0 ]; do
    case "$1" in
      -m | -e | -k | -o) [ $# -gt 1 ] || { help >&2; fail "$1 needs a value"; } ;;
    esac
    case "$1" in
      -m) MODEL=$2; shift ;;
      -e) SPEC=$2; shift ;;
      -k) KEY=$2; shift ;;
      -o) OUT=$2; shift ;;
      -?*) help >&2; fail "$1 is not an option of $(basename "$0")" ;;
      *) WORDS+=("$1") ;;
    esac
    shift
  done
}

# chosen_model WORD: what `train` and `retrain` name, else a path as it is, else a bare name in data/tlts.
chosen_model() {
  case "$1" in
    train) printf '%s\n' "$HERE/data/tlts/NEW_TRAINED.tlt" ;;
    retrain) printf '%s\n' "$HERE/data/tlts/NEW_RETRAINED.tlt" ;;
    *) model_path "$1" "$HERE/data/tlts" ;;
  esac
}

# set_aside PATH: what is in the way keeps its content under the next free number.
set_aside() {
  if [ ! -e "$1" ]; then return; fi
  local number=1
  while [ -e "$1.$number" ]; do number=$((number + 1)); done
  mv -- "$1" "$1.$number"
  say "$1 was there already; it is now $1.$number"
}

# keep_copy FROM TO: TO is a copy of FROM; a former TO is set aside.
keep_copy() {
  mkdir -p "$(dirname "$2")"
  set_aside "$2"
  cp -- "$1" "$2"
  say "copied to $2"
}

# use_key [KEY]: the flags in KEY_FLAGS open and seal artifacts with the argument, else with $TAOLITE_KEY (which
# detectnet_v2 reads itself, so that it shows in no process list), else with the tutorials' own key.
# shellcheck disable=SC2034  # used by those who source this
use_key() {
  if [ -z "${1:-}" ] && [ -n "${TAOLITE_KEY:-}" ]; then KEY_FLAGS=(); else KEY_FLAGS=(-k "${1:-tlt_encode}"); fi
}

# can_do PYTHON MODULE...: whether that python has this checkout's taolite and these modules.
can_do() {
  local python=$1
  shift
  [ -x "$python" ] && (cd / && "$python" - "$ROOT" "$@") <<'CODE'
import importlib.util
import sys
from pathlib import Path

root, *modules = sys.argv[1:]
taolite = importlib.util.find_spec("taolite")
here = taolite is not None and taolite.origin is not None and Path(taolite.origin).is_relative_to(Path(root))
sys.exit(0 if here and all(importlib.util.find_spec(name) for name in modules) else 1)
CODE
}

# set_up EXTRAS MODULE...: this checkout with its extras on the PATH: the active environment where it has the modules,
# else $TAOLITE_VENV or .venv, which is made and filled where needed. TAOLITE_PIP_ARGS goes to pip. A container has
# everything already.
set_up() {
  local extras=$1 candidate venv=${TAOLITE_VENV:-$ROOT/.venv}
  shift
  if in_container && command -v detectnet_v2 >/dev/null; then return; fi
  for candidate in "${VIRTUAL_ENV:-/none}/bin" "$venv/bin" "$(dirname "$(command -v detectnet_v2 || echo /none/none)")"; do
    if can_do "$candidate/python" "$@"; then
      PATH="$candidate:$PATH"
      return
    fi
  done
  if [ ! -x "$venv/bin/python" ]; then
    candidate=$(new_enough_python) || fail "Python 3.10 or newer is needed, and none is on the PATH; install python3"
    say "making $venv with $("$candidate" --version)"
    "$candidate" -m venv "$venv" || fail "no virtual environment could be made; on Debian: apt install python3-venv"
  fi
  say "installing taolite[$extras] into $venv: some gigabytes the first time, minutes to fetch"
  # shellcheck disable=SC2086  # several arguments in one variable
  "$venv/bin/python" -m pip install -q ${TAOLITE_PIP_ARGS:-} -e "${ROOT}[$extras]" ||
    fail "pip could not install taolite[$extras]; its message stands above"
  can_do "$venv/bin/python" "$@" || fail "$venv still lacks one of: taolite $*; remove $venv and try again"
  PATH="$venv/bin:$PATH"
}

new_enough_python() {
  local name
  for name in python3 python3.14 python3.13 python3.12 python3.11 python3.10 python; do
    if command -v "$name" >/dev/null && "$name" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then
      command -v "$name"
      return
    fi
  done
  return 1
}
