#!/usr/bin/env bash
# Turn an exported model into an engine: data/engines/NEW_EXPORTED.engine.
#
#   commands/convert.sh [FILE] [C,H,W] [KEY] [PRECISION]
#
#   FILE       an .etlt: a path, or the name of one in data/etlts (NEW_EXPORTED.etlt)
#   C,H,W      size of the input, checked against the model's (the model's)
#   KEY        opens the .etlt; @FILE reads it from a file ($TAOLITE_KEY, else tlt_encode)
#   PRECISION  fp16 or fp32 (fp16)
#   -m FILE, -k KEY and -o OUT, the engine, may be given as flags
#
# The model knows its size and outputs from the spec of its training. What builds the engine is what this machine has:
# TensorRT with an NVIDIA GPU, otherwise OpenVINO. Engines belong to one kind of GPU; an earlier one is set aside.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
wants_help "$@"
take_flags "$@"
set -- ${WORDS[@]+"${WORDS[@]}"}
need_taolite
use_key "${KEY:-${3:-}}"

etlt=$(resolve "$(model_path "${MODEL:-${1:-NEW_EXPORTED.etlt}}" "$HERE/data/etlts")")
engine=$(resolve "${OUT:-$HERE/data/engines/$(basename "$etlt" .etlt).engine}")
mkdir -p "$(dirname "$engine")"
set_aside "$engine"
size=()
if [ -n "${2:-}" ]; then size=(-d "$2"); fi
taolite convert "$etlt" \
  ${KEY_FLAGS[@]+"${KEY_FLAGS[@]}"} \
  ${size[@]+"${size[@]}"} \
  -e "$engine" \
  -t "${4:-fp16}" \
  -m 4
