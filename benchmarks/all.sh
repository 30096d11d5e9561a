#!/usr/bin/env bash
# Every table about speed, one after the other: benchmarks/all.sh OUT [MODEL PICTURES [RUNTIME]]
# OUT gets NAME.md for each. MODEL is an exported model (its key in TAOLITE_KEY) and PICTURES a folder for the tables of
# inference; without them these are skipped. TAOLITE_TEST_DATA: the folder of data sets, for the time to a score (two
# tables, half an hour each).
# ULTRALYTICS: the folder with `python` and `yolo` of an environment with Ultralytics, to compare with; YOLO_WEIGHTS:
# files for `yolo predict`. Nothing else should be running.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
if [ $# -lt 1 ] || [ $# = 2 ]; then sed -n 2,7p "${BASH_SOURCE[0]}" >&2; exit 1; fi
out=$1
mkdir -p "$out"
failed=

# one NAME COMMAND...: its table in OUT/NAME.md and on the screen; what it says beside in OUT/NAME.log.
one() {
  local name=$1
  shift
  echo "== $name"
  "$@" 2>"$out/$name.log" | tee "$out/$name.md" || { failed+=" $name"; tail -n 5 "$out/$name.log" >&2; }
}

one step env OMP_NUM_THREADS=1 python benchmarks/step.py
one data env OMP_NUM_THREADS=1 python benchmarks/data.py
one metrics python benchmarks/metrics.py
one sealing python benchmarks/sealing.py
one startup python benchmarks/startup.py
one growth python benchmarks/growth.py --picture "$out/growth.png"
if [ $# -ge 3 ]; then
  one inference python benchmarks/inference.py "$2" "$3" ${4:+--runtime "$4"}
  one pipeline python benchmarks/pipeline.py "$2" "$3"
  peer=()
  # shellcheck disable=SC2206  # several files
  [ -z "${ULTRALYTICS:-}" ] || [ -z "${YOLO_WEIGHTS:-}" ] || peer=(--yolo "$ULTRALYTICS/yolo" --weights $YOLO_WEIGHTS)
  one predict python benchmarks/predict.py "$3" "$2" ${4:+--runtime "$4"} "${peer[@]}"
else
  echo "skipped: inference, pipeline and predict, no MODEL and PICTURES were given"
fi
if [ -n "${TAOLITE_TEST_DATA:-}" ]; then
  one score env OMP_NUM_THREADS=1 taskset -c 0 python benchmarks/time_to_score.py "$TAOLITE_TEST_DATA" "$out/score" \
    ${ULTRALYTICS:+--peer "$ULTRALYTICS/python"}
  one score_cat_dog env OMP_NUM_THREADS=1 taskset -c 0 python benchmarks/time_to_score.py "$TAOLITE_TEST_DATA" \
    "$out/score_cat_dog" --set cat_dog
else
  echo "skipped: score, TAOLITE_TEST_DATA is not set"
fi
[ -z "$failed" ] || { echo "failed:$failed" >&2; exit 1; }
