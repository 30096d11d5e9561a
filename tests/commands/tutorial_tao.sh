#!/usr/bin/env bash
# The commands of the third tutorial (TAO's detectnet_v2, and the scripts of its repository), as it prints them. Called
# within container-login.sh, which knows /workspace/tao-experiments, in a folder with data/, specs/ and commands/.
set -euxo pipefail

tao detectnet_v2 train \
    -e /workspace/tao-experiments/specs/detectnet_train.txt  \
    -r /workspace/tao-experiments/data/trained \
    -k tlt_encode \
    -n resnet18_detector \
    --gpus 1

tao detectnet_v2 prune \
    -m /workspace/tao-experiments/data/trained/weights/resnet18_detector.tlt \
    -o /workspace/tao-experiments/data/pruned/NEW_PRUNED.tlt \
    -k tlt_encode \
    --gpus 1 \
    -eq union \
    -pth 0.000061

tao detectnet_v2 export \
    -m /workspace/tao-experiments/data/pruned/NEW_PRUNED.tlt \
    -o /workspace/tao-experiments/data/etlts/NEW_EXPORTED.etlt \
    -k tlt_encode

cd commands
./train.sh
./prune train
./export.sh
