#!/usr/bin/env bash
# Export a model for deployment: data/etlts/NEW_EXPORTED.etlt.
#
#   commands/export.sh [FILE] [KEY]
#
#   FILE  a model: a path, or the name of one in data/tlts
#         (the newer of data/tlts/NEW_RETRAINED.tlt and data/pruned/NEW_PRUNED.tlt, else data/tlts/NEW_TRAINED.tlt)
#   KEY   opens the model, seals the export; @FILE reads it from a file ($TAOLITE_KEY, else tlt_encode)
#
# An earlier NEW_EXPORTED.etlt is set aside.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
wants_help "$@"
need_taolite
use_key "${2:-}"

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

model=$(if [ $# -gt 0 ]; then model_path "$1" "$HERE/data/tlts"; else newest_model; fi)
exported=$(resolve "$HERE/data/etlts/NEW_EXPORTED.etlt")
mkdir -p "$(dirname "$exported")"
set_aside "$exported"
say "exporting $model"
detectnet_v2 export \
  -m "$model" \
  -o "$HERE/data/etlts/NEW_EXPORTED.etlt" \
  ${KEY_FLAGS[@]+"${KEY_FLAGS[@]}"}
