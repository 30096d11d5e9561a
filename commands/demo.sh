#!/usr/bin/env bash
# The whole life of a detector, on this machine: labelled photographs, training, pruning, an engine, pictures.
#
#   commands/demo.sh [--quick] [--pretrained FILE] [DIR]
#
#   DIR                your own labelled photographs (labelme, VOC, COCO, YOLO, KITTI ...): `taolite spec new` writes the
#                      specs for them. Without it: a cat, a cup, coins and wheels, from photographs of scikit-image
#   --pretrained FILE  weights to start from, with DIR. Few photographs need them: ImageNet's, for instance
#   --quick            2 epochs, to see everything run in a minute or two; the scores mean nothing then
#
# Needs nothing but Python 3.10 or newer: the first run makes .venv and installs taolite there. On two processor cores
# the rest takes under 10 minutes, and an hour or two with DIR. Everything lands in workspace/demo; an earlier one
# becomes workspace/demo.1.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
wants_help "$@"

quick='' photographs='' pretrained=()
while [ $# -gt 0 ]; do
  case "$1" in
    --quick) quick=yes ;;
    --pretrained) pretrained=(--pretrained "${2:?--pretrained needs a file of weights}"); shift ;;
    -*) help >&2; fail "$1 is not an option here" ;;
    *) [ -d "$1" ] || fail "$1: no such folder"; photographs=$(cd "$1" && pwd -P) ;;
  esac
  shift
done

number=0 began=$SECONDS
# step WHAT COMMAND...: run one step, say what it is and how long it took.
step() {
  local what=$1 started=$SECONDS
  shift
  number=$((number + 1))
  say ""
  say "== $number. $what"
  if [ "$(type -t "$1")" != function ]; then say "   $(show "$@")"; fi
  "$@" || fail "step $number ($what) did not succeed; its message stands above"
  say "   $((SECONDS - started)) s"
}
# The command as one would type it: without the folder its program is in.
show() {
  local word
  printf '%s' "$(basename "$1")"
  shift
  for word in "$@"; do
    case "$word" in *[!A-Za-z0-9_./,:=@%+-]* | '') printf ' %q' "$word" ;; *) printf ' %s' "$word" ;; esac
  done
}

# score NAME SPEC MODEL: evaluate, and keep what was said for the table.
score() {
  say "   $(show detectnet_v2 evaluate -e "$2" -m "$3")"
  detectnet_v2 evaluate -e "$2" -m "$3" | tee "$work/evaluated/$1.txt"
}

set_up train,tensorrt,openvino,demo torch skimage
installed=$((SECONDS - began))
cd "$ROOT"
unset LAUNCHER_MOUNTS # the map of this checkout counts
demo=$HERE/demo
work=$(resolve "$demo")
if [ -n "$(ls -A "$work" 2>/dev/null)" ]; then set_aside "$work"; fi
own_key=${TAOLITE_KEY:+yes}
export TAOLITE_KEY=${TAOLITE_KEY:-tlt_encode} # instead of -k in every line: seals and opens the models
# What is printed below runs as it is printed, after these lines. A key of one's own is not printed.
say "cd $ROOT"
say "export PATH=$(dirname "$(command -v python)"):\$PATH$([ -n "$own_key" ] || printf " TAOLITE_KEY=tlt_encode")"

if [ -n "$photographs" ]; then
  specs=$work heldout=$work/data/val/image_2 prune=(-nf 48 --target 0.12 --importance taylor -e "$work/train.txt")
  step "KITTI folders, and specs for these photographs" taolite spec new detectnet "$photographs" -o "$work" \
    ${pretrained[@]+"${pretrained[@]}"}
  for part in train val; do
    step "KITTI to TFRecords: $part" detectnet_v2 dataset_convert -d "$specs/tfrecords_$part.txt" -o "$work/tfrecords/$part"
  done
else
  specs=$demo/specs heldout=$demo/heldout prune=(-nf 64 --target 0.2)
  step "photographs, labelled with labelme" python commands/demo/make_data.py "$work/labelme"
  step "labelme to KITTI" taolite dataset convert "$work/labelme" "$work/kitti" --to kitti --image-format jpg
  mkdir -p "$work"/{specs,heldout}
  cp specs/demo/*.txt "$work/specs"
  cp "$work"/kitti/image_2/heldout-* "$work/heldout"
  step "KITTI to TFRecords" detectnet_v2 dataset_convert -d "$specs/tfrecords.txt" -o "$demo/tfrecords/demo"
fi
if [ -n "$quick" ]; then
  for spec in "$(resolve "$specs")"/{train,retrain}.txt; do
    sed -E 's/^( *(num_epochs|checkpoint_interval|(first_)?validation_(period_during_training|epoch)): ).*/\12/' "$spec" \
      >"$spec.quick"
    mv "$spec.quick" "$spec"
  done
fi
mkdir -p "$work"/{evaluated,pruned,etlts,engines}
step "train" detectnet_v2 train -e "$specs/train.txt" -r "$demo/trained" -n detector --gpus 1
trained=$demo/trained/weights/detector.tlt
step "evaluate" score trained "$specs/train.txt" "$trained"
step "prune" detectnet_v2 prune -m "$trained" -o "$demo/pruned/detector.tlt" -eq union "${prune[@]}" --gpus 1
step "evaluate the pruned model, before it learns again" score pruned "$specs/retrain.txt" "$demo/pruned/detector.tlt"
step "retrain" detectnet_v2 train -e "$specs/retrain.txt" -r "$demo/retrained" -n detector --gpus 1
retrained=$demo/retrained/weights/detector.tlt
step "evaluate" score retrained "$specs/retrain.txt" "$retrained"
step "export, sealed with the key" detectnet_v2 export -m "$retrained" -o "$demo/etlts/retrained.etlt"
step "export the unpruned one too, to compare" detectnet_v2 export -m "$trained" -o "$demo/etlts/trained.etlt"
step "evaluate the export" score exported "$specs/retrain.txt" "$demo/etlts/retrained.etlt"
step "an engine: TensorRT-RTX's where it is installed, otherwise OpenVINO's for this processor" \
  taolite convert "$work/etlts/retrained.etlt" -e "$work/engines/retrained.engine" -t fp16 -m 4
step "pictures of what was held out" detectnet_v2 inference -e "$specs/inference.txt" -i "$heldout" \
  -o "$demo/pictures" -m "$demo/etlts/retrained.etlt"
step "what it all came to" python commands/demo/table.py "$work"

say ""
say "pictures: $work/pictures/images_annotated ($(find "$work/pictures/images_annotated" -type f | wc -l))"
say "curves:   $work/trained/plots"
say "total:    $(((SECONDS - began) / 60)) min $(((SECONDS - began) % 60)) s, $installed s of it for installing"
