"""The least spec of TAO's that an SSD can be trained by."""

NETWORK = """ssd_config {
  aspect_ratios_global: "[1.0, 2.0, 0.5, 3.0, 1.0/3.0]"
  scales: "[0.05, 0.1, 0.25, 0.4, 0.55, 0.7, 0.85]"
  variances: "[0.1, 0.1, 0.2, 0.2]"
  arch: "resnet"
  nlayers: 18
}
"""
LEAST = f"""{NETWORK}training_config {{
  batch_size_per_gpu: 2
  num_epochs: 3
  learning_rate {{ soft_start_annealing_schedule {{
    min_learning_rate: 5e-5 max_learning_rate: 2e-2 soft_start: 0.1 annealing: 0.6 }} }}
  regularizer {{ }}
}}
eval_config {{ validation_period_during_training: 1 batch_size: 4 matching_iou_threshold: 0.5 }}
nms_config {{ confidence_threshold: 0.01 clustering_iou_threshold: 0.6 top_k: 200 }}
augmentation_config {{ output_width: 96 output_height: 64 output_channel: 3 }}
dataset_config {{
  data_sources {{ label_directory_path: "labels" image_directory_path: "images" }}
  target_class_mapping {{ key: "Cat" value: "cat" }}
  target_class_mapping {{ key: "ape" value: "ape" }}
  validation_data_sources {{ label_directory_path: "labels" image_directory_path: "images" }}
}}
"""
