#!/usr/bin/env bash
# The commands of the first tutorial (cats and dogs with jetson-inference), as it prints them; only epochs and the camera
# are others. Called in a copy of commands/jetson, with its bin/ on the PATH, ~/datasets/cat_dog and CAMERA, a video.
set -euxo pipefail

cd python/training/classification
python train.py --model-dir=cat_dog --epochs=1 ~/datasets/cat_dog

# The options it names: ```-arch```, ```-batch=N``` as it misprints them, ```--resume``` and ```--epoch-start```.
python train.py -arch resnet18 -batch=8 --model-dir=cat_dog --resume=cat_dog/checkpoint.pth.tar --epoch-start=1 --epochs=1 ~/datasets/cat_dog
python train.py --help

python onnx_export.py --model-dir=cat_dog

DATASET=~/datasets/cat_dog

# C++
imagenet-console --model=cat_dog/resnet18.onnx --input_blob=input_0 --output_blob=output_0 --labels=$DATASET/labels.txt $DATASET/test/cat/01.jpg cat.jpg

# Python
imagenet-console.py --model=cat_dog/resnet18.onnx --input_blob=input_0 --output_blob=output_0 --labels=$DATASET/labels.txt $DATASET/test/cat/01.jpg cat.jpg

# C++
imagenet-console --model=cat_dog/resnet18.onnx --input_blob=input_0 --output_blob=output_0 --labels=$DATASET/labels.txt $DATASET/test/dog/01.jpg dog.jpg

# Python
imagenet-console.py --model=cat_dog/resnet18.onnx --input_blob=input_0 --output_blob=output_0 --labels=$DATASET/labels.txt $DATASET/test/dog/01.jpg dog.jpg

# C++
imagenet-camera --model=cat_dog/resnet18.onnx --input_blob=input_0 --output_blob=output_0 --labels=$DATASET/labels.txt "$CAMERA"

# Python
imagenet-camera.py --model=cat_dog/resnet18.onnx --input_blob=input_0 --output_blob=output_0 --labels=$DATASET/labels.txt "$CAMERA"
