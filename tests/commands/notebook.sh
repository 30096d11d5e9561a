#!/usr/bin/env bash
# The commands of TAO's detectnet_v2 notebook, cell by cell, in its order and its words; only the paths are others.
# Called with SPECS_DIR, DATA_DOWNLOAD_DIR and USER_EXPERIMENT_DIR set, as the notebook's first cell sets them.
set -euxo pipefail
KEY=tlt_encode
NUM_GPUS=1
tao() { taolite tao "$@"; }

# 2. Prepare dataset
tao detectnet_v2 dataset_convert \
    -d "$SPECS_DIR/detectnet_v2_tfrecords_kitti_trainval.txt" \
    -o "$DATA_DOWNLOAD_DIR/tfrecords/kitti_trainval/kitti_trainval"

# 4. Run TAO training
tao detectnet_v2 train -e "$SPECS_DIR/detectnet_v2_train_resnet10_kitti.txt" \
    -r "$USER_EXPERIMENT_DIR/experiment_dir_unpruned" \
    -k $KEY \
    -n resnet10_detector \
    --gpus $NUM_GPUS
ls -lh "$USER_EXPERIMENT_DIR/experiment_dir_unpruned/weights"

# 5. Evaluate the trained model
tao detectnet_v2 evaluate -e "$SPECS_DIR/detectnet_v2_train_resnet10_kitti.txt" \
    -m "$USER_EXPERIMENT_DIR/experiment_dir_unpruned/weights/resnet10_detector.tlt" \
    -k $KEY

# 6. Prune the trained model
mkdir -p "$USER_EXPERIMENT_DIR/experiment_dir_pruned"
tao detectnet_v2 prune \
    -m "$USER_EXPERIMENT_DIR/experiment_dir_unpruned/weights/resnet10_detector.tlt" \
    -o "$USER_EXPERIMENT_DIR/experiment_dir_pruned/resnet10_nopool_bn_detectnet_v2_pruned.tlt" \
    -eq union \
    -pth 0.0000052 \
    -k $KEY
ls -rlt "$USER_EXPERIMENT_DIR/experiment_dir_pruned/"

# 7. Retrain the pruned model
tao detectnet_v2 train -e "$SPECS_DIR/detectnet_v2_retrain_resnet10_kitti.txt" \
    -r "$USER_EXPERIMENT_DIR/experiment_dir_retrain" \
    -k $KEY \
    -n resnet10_detector_pruned \
    --gpus $NUM_GPUS
ls -rlt "$USER_EXPERIMENT_DIR/experiment_dir_retrain/weights"

# 8. Evaluate the retrained model
tao detectnet_v2 evaluate -e "$SPECS_DIR/detectnet_v2_retrain_resnet10_kitti.txt" \
    -m "$USER_EXPERIMENT_DIR/experiment_dir_retrain/weights/resnet10_detector_pruned.tlt" \
    -k $KEY

# 9. Visualize inferences
tao detectnet_v2 inference -e "$SPECS_DIR/detectnet_v2_inference_kitti_tlt.txt" \
    -o "$USER_EXPERIMENT_DIR/tlt_infer_testing" \
    -i "$DATA_DOWNLOAD_DIR/testing/image_2" \
    -k $KEY

# 10. Deploy: the plain export, then int8
mkdir -p "$USER_EXPERIMENT_DIR/experiment_dir_final"
rm -rf "$USER_EXPERIMENT_DIR/experiment_dir_final/resnet10_detector.etlt"
tao detectnet_v2 export \
    -m "$USER_EXPERIMENT_DIR/experiment_dir_retrain/weights/resnet10_detector_pruned.tlt" \
    -o "$USER_EXPERIMENT_DIR/experiment_dir_final/resnet10_detector.etlt" \
    -k $KEY
ls -lh "$USER_EXPERIMENT_DIR/experiment_dir_final"

tao detectnet_v2 calibration_tensorfile -e "$SPECS_DIR/detectnet_v2_retrain_resnet10_kitti.txt" \
    -m "${CALIBRATION_BATCHES:-10}" \
    -o "$USER_EXPERIMENT_DIR/experiment_dir_final/calibration.tensor"

rm -rf "$USER_EXPERIMENT_DIR/experiment_dir_final/resnet10_detector.etlt"
rm -rf "$USER_EXPERIMENT_DIR/experiment_dir_final/calibration.bin"
tao detectnet_v2 export \
    -m "$USER_EXPERIMENT_DIR/experiment_dir_retrain/weights/resnet10_detector_pruned.tlt" \
    -o "$USER_EXPERIMENT_DIR/experiment_dir_final/resnet10_detector.etlt" \
    -k $KEY \
    --cal_data_file "$USER_EXPERIMENT_DIR/experiment_dir_final/calibration.tensor" \
    --data_type int8 \
    --batches "${CALIBRATION_BATCHES:-10}" \
    --batch_size 4 \
    --max_batch_size 4 \
    --engine_file "$USER_EXPERIMENT_DIR/experiment_dir_final/resnet10_detector.trt.int8" \
    --cal_cache_file "$USER_EXPERIMENT_DIR/experiment_dir_final/calibration.bin" \
    --verbose

tao converter "$USER_EXPERIMENT_DIR/experiment_dir_final/resnet10_detector.etlt" \
    -k $KEY \
    -c "$USER_EXPERIMENT_DIR/experiment_dir_final/calibration.bin" \
    -o output_cov/Sigmoid,output_bbox/BiasAdd \
    -d 3,384,1248 \
    -i nchw \
    -m 64 \
    -t int8 \
    -e "$USER_EXPERIMENT_DIR/experiment_dir_final/resnet10_detector.trt" \
    -b 4

# 11. Verify deployed model
tao detectnet_v2 inference -e "$SPECS_DIR/detectnet_v2_inference_kitti_etlt.txt" \
    -o "$USER_EXPERIMENT_DIR/etlt_infer_testing" \
    -i "$DATA_DOWNLOAD_DIR/testing/image_2" \
    -k $KEY

# 12. QAT workflow
tao detectnet_v2 train -e "$SPECS_DIR/detectnet_v2_retrain_resnet10_kitti_qat.txt" \
    -r "$USER_EXPERIMENT_DIR/experiment_dir_retrain_qat" \
    -k $KEY \
    -n resnet10_detector_pruned_qat \
    --gpus $NUM_GPUS
ls -rlt "$USER_EXPERIMENT_DIR/experiment_dir_retrain_qat/weights"

tao detectnet_v2 evaluate -e "$SPECS_DIR/detectnet_v2_retrain_resnet10_kitti_qat.txt" \
    -m "$USER_EXPERIMENT_DIR/experiment_dir_retrain_qat/weights/resnet10_detector_pruned_qat.tlt" \
    -k $KEY \
    -f tlt

rm -rf "$USER_EXPERIMENT_DIR/experiment_dir_final/resnet10_detector_qat.etlt"
rm -rf "$USER_EXPERIMENT_DIR/experiment_dir_final/calibration_qat.bin"
tao detectnet_v2 export \
    -m "$USER_EXPERIMENT_DIR/experiment_dir_retrain_qat/weights/resnet10_detector_pruned_qat.tlt" \
    -o "$USER_EXPERIMENT_DIR/experiment_dir_final/resnet10_detector_qat.etlt" \
    -k $KEY \
    --data_type int8 \
    --batch_size 64 \
    --max_batch_size 64 \
    --engine_file "$USER_EXPERIMENT_DIR/experiment_dir_final/resnet10_detector_qat.trt.int8" \
    --cal_cache_file "$USER_EXPERIMENT_DIR/experiment_dir_final/calibration_qat.bin" \
    --verbose

tao detectnet_v2 evaluate -e "$SPECS_DIR/detectnet_v2_retrain_resnet10_kitti_qat.txt" \
    -m "$USER_EXPERIMENT_DIR/experiment_dir_final/resnet10_detector_qat.trt.int8" \
    -f tensorrt

tao detectnet_v2 inference -e "$SPECS_DIR/detectnet_v2_inference_kitti_etlt_qat.txt" \
    -o "$USER_EXPERIMENT_DIR/tlt_infer_testing_qat" \
    -i "$DATA_DOWNLOAD_DIR/testing/image_2" \
    -k $KEY
