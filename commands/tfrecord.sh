#!/usr/bin/env bash
# KITTI labels to TFRecords, in data/training unless the spec says otherwise.
#
#   commands/tfrecord.sh [SPEC]
#
#   SPEC  a file, or the name of one in specs/ (detectnet_tfrecords.txt); -e SPEC says the same
#
# They go to specs/tfrecords/, as in the tutorials. Records of an earlier run are set aside, because the glob in a
# training spec would read both.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
wants_help "$@"
take_flags "$@"
set -- ${WORDS[@]+"${WORDS[@]}"}
need_taolite

records=$(resolve "$HERE/specs/tfrecords")
if [ -n "$(ls -A "$records" 2>/dev/null)" ]; then set_aside "$records"; fi
detectnet_v2 dataset_convert \
  -d "$(spec_path "${SPEC:-${1:-detectnet_tfrecords.txt}}")" \
  -o "$HERE/specs/tfrecords/kitti_trainval"
