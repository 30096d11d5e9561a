"""Blocks of a DetectNet_v2 spec that every spec written here shares: TAO's fixed fields around the chosen numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from taolite.spec.write import literal
from taolite.tasks.proposal import each

__all__ = ["beginning", "cost", "evaluation", "inference", "network", "training"]


def beginning(folder: str, *, pretrained: str, pruned: bool) -> str:
    """The lines of `model_config` on the weights that training starts from. pretrained: a file, "" for random weights;
    pruned: the pruned detector of `folder` instead."""
    if pruned:
        return f"""pretrained_model_file: {literal(f"{folder}/pruned/detector.tlt")}
  load_graph: true  # the pruned network is read from this file"""
    return f"pretrained_model_file: {literal(pretrained)}" if pretrained else "# random weights"


def network(start: str, *, num_layers: int, scale_note: str = "") -> str:
    """`model_config`: a ResNet. start: from `beginning`. scale_note: a comment on the scale of boxes."""
    return f"""model_config {{
  {start}
  arch: "resnet"
  num_layers: {num_layers}
  use_batch_norm: true
  objective_set {{
    bbox {{
      scale: 35.0{scale_note and "  # "}{scale_note}
      offset: 0.5
    }}
    cov {{ }}
  }}
}}"""


def evaluation(classes: Sequence[str], *, period: int, least: int) -> str:
    """`evaluation_config`: mAP at an IoU of 0.5 every `period` epochs, of objects of `least` pixels or more."""
    judged = each(
        classes,
        f"""  minimum_detection_ground_truth_overlap {{ key: NAME value: 0.5 }}
  evaluation_box_config {{
    key: NAME
    value {{ minimum_height: {least} maximum_height: 9999 minimum_width: {least} maximum_width: 9999 }}
  }}""",
    )
    return f"""evaluation_config {{
  validation_period_during_training: {period}
  first_validation_epoch: {period}
{judged}
  average_precision_mode: INTEGRATE
}}"""


def cost(weights: Mapping[str, str]) -> str:
    """`cost_function_config`. weights: of each class, as it is written."""
    costs = each(
        list(weights),
        """  target_classes {
    name: NAME
    class_weight: WEIGHT
    coverage_foreground_weight: 0.5
    objectives { name: "cov" initial_weight: 1.0 weight_target: 1.0 }
    objectives { name: "bbox" initial_weight: 10.0 weight_target: 10.0 }
  }""",
        WEIGHT=weights,
    )
    return f"""cost_function_config {{
{costs}
  enable_autoweighting: false
  max_objective_weight: 0.9999
  min_objective_weight: 0.0001
}}"""


def training(*, batch_size: int, epochs: str, rates: str, regularizer: str, last: int) -> str:
    """`training_config`, with Adam. epochs: number and comment; rates: the lines of the schedule;
    regularizer: its lines; last: the epoch of the checkpoint."""
    return f"""training_config {{
  batch_size_per_gpu: {batch_size}
  num_epochs: {epochs}
  learning_rate {{
    soft_start_annealing_schedule {{
{rates}
    }}
  }}
  regularizer {{
{regularizer}
  }}
  optimizer {{
    adam {{
      epsilon: 1e-08
      beta1: 0.9
      beta2: 0.999
    }}
  }}
  cost_scaling {{
    enabled: false
    initial_exponent: 20.0
    increment: 0.005
    decrement: 1.0
  }}
  checkpoint_interval: {last}
}}"""


def inference(merged: Mapping[str, str], *, model: str, size_hw: tuple[int, int], batch_size: int) -> str:
    """A whole inference spec, but for its comment. merged: for each class the IoU above which finds are one object."""
    height, width = size_hw
    handlers = each(
        list(merged),
        """  classwise_bbox_handler_config {
    key: NAME
    value {
      output_map: NAME
      clustering_config {
        clustering_algorithm: NMS
        coverage_threshold: 0.3
        nms_iou_threshold: MERGED
        nms_confidence_threshold: 0.3
      }
    }
  }""",
        MERGED=merged,
    )
    return f"""inferencer_config {{
  target_classes: [{", ".join(map(literal, merged))}]
  image_width: {width}
  image_height: {height}
  image_channels: 3
  batch_size: {batch_size}
  tlt_config {{
    model: {literal(model)}
  }}
}}
bbox_handler_config {{
  kitti_dump: true
{handlers}
}}
"""
