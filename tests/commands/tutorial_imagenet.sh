#!/usr/bin/env bash
# The commands of the second tutorial (imagenet, and a data set of one's own), as it prints them; only paths and epochs
# are others. Called in a copy of commands/jetson, with its bin/ on the PATH, DATA, the data set, MODELS, a folder, and
# NETWORKS, the folder of the weights of ResNet-18.
set -euxo pipefail

# Before any training it looks with a published network. GoogLeNet is downloaded, and where that cannot be, the answer says
# which file to bring; the weights of ResNet-18 are here.
(cd bin && ! https_proxy=http://127.0.0.1:9 ./imagenet "$DATA/test/bear/black_bear.jpg" bear.jpg)
(cd bin && TAOLITE_NETWORKS=$NETWORKS ./imagenet --network=resnet-18 "$DATA/test/bear/black_bear.jpg" bear.jpg)

cd python/training/classification
python3 train.py --model-dir="$MODELS" --epochs=1 "$DATA"
python3 onnx_export.py --model-dir="$MODELS"
imagenet.py --model="$MODELS/resnet18.onnx" --input_blob=input_0 --output_blob=output_0 --labels="$DATA/labels.txt" "$DATA/test/bear/black_bear.jpg"

# Going on, without the data set: the run knows it. --start-epoch is its riddle, and not needed.
python3 train.py --model-dir="$MODELS" --resume "$MODELS/checkpoint.pth.tar" --start-epoch 1 --epochs=2
python3 onnx_export.py --model-dir="$MODELS"
