#!/usr/bin/env bash
# Draw what a model finds in photographs, and write it down as KITTI labels.
#
#   commands/infer.sh IMAGES [OUT] [FILE] [SPEC] [KEY]
#
#   IMAGES  a folder of photographs, or one
#   OUT     images_annotated/ and labels/ go here (data/inferred)
#   FILE    a model: train, retrain, a path, or the name of one in data/tlts (the one the spec names)
#   SPEC    an inference spec: a file, or the name of one in specs/ (detectnet_inference.txt)
#   KEY     opens the model; @FILE reads it from a file ($TAOLITE_KEY, else tlt_encode)
#   -o OUT, -m FILE, -e SPEC and -k KEY may be given as flags
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
wants_help "$@"
take_flags "$@"
set -- ${WORDS[@]+"${WORDS[@]}"}
if [ $# -eq 0 ]; then help >&2; fail "which photographs? name a folder"; fi
need_taolite
use_key "${KEY:-${5:-}}"

model=()
if [ -n "${MODEL:-${3:-}}" ]; then model=(-m "$(chosen_model "${MODEL:-$3}")"); fi
detectnet_v2 inference \
  -e "$(spec_path "${SPEC:-${4:-detectnet_inference.txt}}")" \
  -i "$1" \
  -o "${OUT:-${2:-$HERE/data/inferred}}" \
  ${KEY_FLAGS[@]+"${KEY_FLAGS[@]}"} \
  ${model[@]+"${model[@]}"}
