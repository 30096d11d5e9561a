#!/usr/bin/env bash
# Turn an exported model into an engine: data/engines/NEW_EXPORTED.engine.
#
#   commands/convert.sh [FILE] [C,H,W] [KEY] [PRECISION]
#
#   FILE       an .etlt: a path, or the name of one in data/etlts (NEW_EXPORTED.etlt)
#   C,H,W      the size of its input (3,384,1248)
#   KEY        opens the .etlt; @FILE reads it from a file ($TAOLITE_KEY, else tlt_encode)
#   PRECISION  fp16 or fp32 (fp16)
#
# Engines belong to one kind of GPU; an earlier one is set aside.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
wants_help "$@"
need_taolite
use_key "${3:-}"

etlt=$(resolve "$(model_path "${1:-NEW_EXPORTED.etlt}" "$HERE/data/etlts")")
engine=$(resolve "$HERE/data/engines/$(basename "$etlt" .etlt).engine")
mkdir -p "$(dirname "$engine")"
set_aside "$engine"
taolite convert "$etlt" \
  ${KEY_FLAGS[@]+"${KEY_FLAGS[@]}"} \
  -d "${2:-3,384,1248}" \
  -o output_cov/Sigmoid,output_bbox/BiasAdd \
  -e "$engine" \
  -t "${4:-fp16}" \
  -m 4
