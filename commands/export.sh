#!/usr/bin/env bash
# Export a model for deployment: data/etlts/NEW_EXPORTED.etlt.
#
#   commands/export.sh [FILE] [KEY]
#
#   FILE  a model: train, retrain, a path, or the name of one in data/tlts
#         (the newer of data/tlts/NEW_RETRAINED.tlt and data/pruned/NEW_PRUNED.tlt, else data/tlts/NEW_TRAINED.tlt)
#   KEY   opens the model, seals the export; @FILE reads it from a file ($TAOLITE_KEY, else tlt_encode)
#   -m FILE, -k KEY and -o OUT, the export, may be given as flags
#
# An earlier export of that name is set aside.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
wants_help "$@"
take_flags "$@"
set -- ${WORDS[@]+"${WORDS[@]}"}
need_taolite
use_key "${KEY:-${2:-}}"

newest_model() {
  local retrained pruned
  retrained=$(resolve "$HERE/data/tlts/NEW_RETRAINED.tlt")
  pruned=$(resolve "$HERE/data/pruned/NEW_PRUNED.tlt")
  if [ -f "$retrained" ] && [ ! "$pruned" -nt "$retrained" ]; then
    printf '%s\n' "$HERE/data/tlts/NEW_RETRAINED.tlt"
  elif [ -f "$pruned" ]; then
    printf '%s\n' "$HERE/data/pruned/NEW_PRUNED.tlt"
  else
    printf '%s\n' "$HERE/data/tlts/NEW_TRAINED.tlt"
  fi
}

model=${MODEL:-${1:-}}
model=$(if [ -n "$model" ]; then chosen_model "$model"; else newest_model; fi)
output=${OUT:-$HERE/data/etlts/NEW_EXPORTED.etlt}
exported=$(resolve "$output")
mkdir -p "$(dirname "$exported")"
set_aside "$exported"
say "exporting $model"
detectnet_v2 export \
  -m "$model" \
  -o "$output" \
  ${KEY_FLAGS[@]+"${KEY_FLAGS[@]}"}
