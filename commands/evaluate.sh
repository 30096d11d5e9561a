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
#   -m FILE, -e SPEC and -k KEY may be given as flags
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
wants_help "$@"
take_flags "$@"
set -- ${WORDS[@]+"${WORDS[@]}"}
model=${MODEL:-${1:-train}}
spec=detectnet_train.txt
if [ "$model" = retrain ]; then spec=detectnet_retrain.txt; fi
need_taolite
use_key "${KEY:-${3:-}}"

detectnet_v2 evaluate \
  -e "$(spec_path "${SPEC:-${2:-$spec}}")" \
  -m "$(chosen_model "$model")" \
  ${KEY_FLAGS[@]+"${KEY_FLAGS[@]}"}
