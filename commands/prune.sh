#!/usr/bin/env bash
# Remove the weakest channels of a trained detector: data/pruned/NEW_PRUNED.tlt.
#
#   commands/prune.sh train|retrain [FILE] [PTH] [KEY]
#
#   train    prunes data/tlts/NEW_TRAINED.tlt, retrain data/tlts/NEW_RETRAINED.tlt
#   FILE     another model instead: a path, or the name of one in data/tlts
#   PTH      channels are removed whose norm is below this share of the largest in their layer (0.1)
#   KEY      opens the model, seals the pruned one; @FILE reads it from a file ($TAOLITE_KEY, else tlt_encode)
#   -m FILE, -k KEY and -o OUT, the pruned model, may be given as flags
#
# An earlier pruned model of that name is set aside.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
wants_help "$@"
take_flags "$@"
set -- ${WORDS[@]+"${WORDS[@]}"}
case "${1:-}" in
  train | retrain) ;;
  *) if [ -z "$MODEL" ]; then help >&2; fail "the first argument is train or retrain${1:+, not $1}"; fi ;;
esac
need_taolite
use_key "${KEY:-${4:-}}"

output=${OUT:-$HERE/data/pruned/NEW_PRUNED.tlt}
pruned=$(resolve "$output")
mkdir -p "$(dirname "$pruned")"
set_aside "$pruned"
detectnet_v2 prune \
  --gpus 1 \
  -m "$(chosen_model "${MODEL:-${2:-$1}}")" \
  -o "$output" \
  ${KEY_FLAGS[@]+"${KEY_FLAGS[@]}"} \
  -eq union \
  -pth "${3:-0.1}"
