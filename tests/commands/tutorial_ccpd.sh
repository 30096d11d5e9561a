#!/usr/bin/env bash
# The commands of the fourth tutorial (SSD-MobileNet on licence plates), as it prints them; only epochs are others. Called
# in a copy of pytorch-ssd's folder, commands/jetson/python/training/detection/ssd, with data/CCPD2020-voc and test/.
set -euxo pipefail

python3 train_ssd.py --dataset-type=voc --data=data/CCPD2020-voc --model-dir=models/CCPD2020-voc --batch-size=4 --epochs=1

python3 train_ssd.py --dataset-type=voc --data=data/CCPD2020-voc --model-dir=models/voc-ccpd2020 --batch-size=4 --epochs=1

python3 onnx_export.py --model-dir=models/voc-ccpd2020

./detectnet --model=models/voc-ccpd2020/ssd-mobilenet.onnx \
--labels=models/voc-ccpd2020/labels.txt --input-blob=input_0 \
--output-cvg=scores --output-bbox=boxes "./test/*.jpg" ./demo/plate_%i.jpg
