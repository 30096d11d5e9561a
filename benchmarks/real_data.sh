#!/usr/bin/env bash
# Accuracy and time on real photographs, from Pascal VOC files to a pruned and retrained detector.
#
#   benchmarks/real_data.sh bccd|raccoon DATA
#
#   DATA  the folder that holds bccd/, raccoon/ and pretrained/resnet18.safetensors
#
# Trains on the data set's own training part (BCCD: trainval) and scores on its test part, prunes to at most 12 % of
# the parameters, retrains and scores again. Everything lands in workspace/bccd or workspace/raccoon.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../commands/common.sh"
wants_help "$@"
name=${1:?bccd or raccoon} data=$(cd "${2:?the folder of the data sets}" && pwd -P)
need_taolite
cd "$ROOT"
here=$HERE/$name
work=$(resolve "$here")
set_aside "$work"
mkdir -p "$work"
export TAOLITE_KEY=${TAOLITE_KEY:-tlt_encode}
mount=(--mount "$data/pretrained:$HERE/pretrained")

timed() { local began=$SECONDS; say "== $*"; "$@"; say "   $((SECONDS - began)) s"; }

for part in train test; do
  if [ "$name" = bccd ]; then
    split=$part
    if [ "$part" = train ]; then split=trainval; fi
  else
    split=$data/raccoon/data/${part}_labels.csv
  fi
  timed taolite dataset convert "$data/$name" "$work/$part" --from voc --to kitti --split "$split"
  timed detectnet_v2 dataset_convert -d "$HERE/specs/$name/tfrecords_$part.txt" -o "$here/tfrecords/$part"
done
timed detectnet_v2 train -e "$HERE/specs/$name/train.txt" -r "$here/trained" -n detector "${mount[@]}"
timed detectnet_v2 evaluate -e "$HERE/specs/$name/train.txt" -m "$here/trained/weights/detector.tlt"
timed detectnet_v2 prune -m "$here/trained/weights/detector.tlt" -o "$here/pruned/pruned.tlt" -eq union -nf 96 --target 0.12
timed detectnet_v2 train -e "$HERE/specs/$name/retrain.txt" -r "$here/retrained" -n detector
timed detectnet_v2 evaluate -e "$HERE/specs/$name/retrain.txt" -m "$here/retrained/weights/detector.tlt"
timed detectnet_v2 export -m "$here/retrained/weights/detector.tlt" -o "$here/retrained.etlt"
timed detectnet_v2 evaluate -e "$HERE/specs/$name/retrain.txt" -m "$here/retrained.etlt"
