#!/usr/bin/env bash
# Open labelme on a folder of photographs, in a window of its own; the terminal stays free.
#
#   commands/annotate.sh [DIR]
#
#   DIR  the photographs (data/photographs); each gets a NAME.json beside it
#
# Afterwards: taolite dataset convert DIR ... or, all at once, commands/demo.sh DIR.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
wants_help "$@"

if [ $# -gt 0 ]; then folder=$1; else need_taolite; folder=$(resolve "$HERE/data/photographs"); fi
[ -d "$folder" ] || fail "$folder: no such folder; make it and put photographs there"
if ! command -v labelme >/dev/null && [ -x "$ROOT/.venv/bin/labelme" ]; then PATH="$ROOT/.venv/bin:$PATH"; fi
command -v labelme >/dev/null || fail "labelme is not installed; pip install 'taolite[annotate]' brings it"
# labelme 6 does both unasked, 5 does not.
log=$(mktemp "${TMPDIR:-/tmp}/labelme-XXXXXX.log")
$(command -v setsid) nohup labelme "$folder" --nodata --autosave >"$log" 2>&1 </dev/null &
process=$!
sleep 1
kill -0 "$process" 2>/dev/null || fail "labelme ended at once; it said: $(tail -n 3 "$log")"
say "labelme is open on $folder (process $process, messages in $log)"
