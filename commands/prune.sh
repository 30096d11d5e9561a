#!/usr/bin/env bash
# Remove the weakest channels of a trained detector: data/pruned/NEW_PRUNED.tlt.
#
#   commands/prune.sh train|retrain [FILE] [PTH] [KEY]
#
#   train    prunes data/tlts/NEW_TRAINED.tlt, retrain data/tlts/NEW_RETRAINED.tlt
#   FILE     another model instead: a path, or the name of one in data/tlts
#   PTH      channels whose norm is at most this share of their layer's largest go (0.1); more prunes more
#   KEY      opens the model, seals the pruned one; @FILE reads it from a file ($TAOLITE_KEY, else tlt_encode)
#
# An earlier NEW_PRUNED.tlt is set aside.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
wants_help "$@"
case "${1:-}" in
  train) file=NEW_TRAINED.tlt ;;
  retrain) file=NEW_RETRAINED.tlt ;;
  *) help >&2; fail "the first argument is train or retrain${1:+, not $1}" ;;
esac
need_taolite
use_key "${4:-}"

pruned=$(resolve "$HERE/data/pruned/NEW_PRUNED.tlt")
mkdir -p "$(dirname "$pruned")"
set_aside "$pruned"
detectnet_v2 prune \
  --gpus 1 \
  -m "$(model_path "${2:-$file}" "$HERE/data/tlts")" \
  -o "$HERE/data/pruned/NEW_PRUNED.tlt" \
  ${KEY_FLAGS[@]+"${KEY_FLAGS[@]}"} \
  -eq union \
  -pth "${3:-0.1}"
