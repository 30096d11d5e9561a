#!/usr/bin/env bash
# Train the pruned detector again: data/retrained/weights/resnet18_detector.tlt, copied to data/tlts/NEW_RETRAINED.tlt.
#
#   commands/retrain.sh [SPEC] [KEY]
#
#   SPEC  a file, or the name of one in specs/ (detectnet_retrain.txt)
#   KEY   opened the pruned weights, seals these; @FILE reads it from a file ($TAOLITE_KEY, else tlt_encode)
#   -e SPEC and -k KEY may be given as flags
#
# A run that was interrupted goes on; a finished one is set aside first.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
wants_help "$@"
take_flags "$@"
set -- ${WORDS[@]+"${WORDS[@]}"}
need_taolite
use_key "${KEY:-${2:-}}"

run=$(resolve "$HERE/data/retrained")
if [ -f "$run/weights/resnet18_detector.tlt" ]; then set_aside "$run"; fi
detectnet_v2 train \
  -e "$(spec_path "${SPEC:-${1:-detectnet_retrain.txt}}")" \
  -r "$HERE/data/retrained" \
  ${KEY_FLAGS[@]+"${KEY_FLAGS[@]}"} \
  -n resnet18_detector \
  --gpus 1
keep_copy "$run/weights/resnet18_detector.tlt" "$(resolve "$HERE/data/tlts/NEW_RETRAINED.tlt")"
