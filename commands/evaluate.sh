#!/usr/bin/env bash
# Measure a model on the validation photographs of a spec.
#
#   commands/evaluate.sh [train|retrain|FILE] [SPEC] [KEY]
#
#   train    data/tlts/NEW_TRAINED.tlt with specs/detectnet_train.txt (what is measured unless told)
#   retrain  data/tlts/NEW_RETRAINED.tlt with specs/detectnet_retrain.txt
#   FILE     another model: a path, or the name of one in data/tlts
#   SPEC     a file, or the name of one in specs/
#   KEY      opens the model; @FILE reads it from a file ($TAOLITE_KEY, else tlt_encode)
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
wants_help "$@"
case "${1:-train}" in
  train) file=NEW_TRAINED.tlt spec=detectnet_train.txt ;;
  retrain) file=NEW_RETRAINED.tlt spec=detectnet_retrain.txt ;;
  *) file=$1 spec=detectnet_train.txt ;;
esac
need_taolite
use_key "${3:-}"

detectnet_v2 evaluate \
  -e "$(spec_path "${2:-$spec}")" \
  -m "$(model_path "$file" "$HERE/data/tlts")" \
  ${KEY_FLAGS[@]+"${KEY_FLAGS[@]}"}
