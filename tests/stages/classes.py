"""A tiny classification data set and spec on which a whole life passes in seconds: stripes, ResNet-10, 32x32."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

SPEC = """
model_config {{
  arch: "resnet" n_layers: 10 use_batch_norm: true input_image_size: "3,32,32"
}}
train_config {{
  train_dataset_path: "{root}/train" val_dataset_path: "{root}/val"
  {pretrained}
  optimizer {{ sgd {{ lr: 0.01 decay: 0.0 momentum: 0.9 nesterov: true }} }}
  batch_size_per_gpu: 4 n_epochs: {epochs} n_workers: 2 random_seed: 3
  reg_config {{ type: "L2" scope: "Conv2D,Dense" weight_decay: 0.00005 }}
  lr_config {{ cosine {{ learning_rate: 0.002 min_lr_ratio: 0.01 }} }}
  preprocess_mode: "{mode}" enable_random_crop: true enable_color_augmentation: true
  {more}
}}
eval_config {{ eval_dataset_path: "{root}/val" model_path: "{model}" top_k: 2 batch_size: 3 n_workers: 1 }}
"""

CLASSES = ("across", "checked", "down")


def write_spec(
    root: Path,
    name: str,
    *,
    epochs: int = 2,
    pretrained: str = "",
    mode: str = "caffe",
    more: str = "",
    model: Path | str = "",
) -> Path:
    """A spec for the tiny data set at `root`."""
    path = root / name
    pretrained = f'pretrained_model_path: "{pretrained}"' if pretrained else ""
    text = SPEC.format(root=root, epochs=epochs, pretrained=pretrained, mode=mode, more=more, model=model)
    path.write_text(text)
    return path


def draw_classes(root: Path) -> None:
    """8 training and 4 validation pictures of each of three patterns, in two colours each, on noise."""
    rng = np.random.default_rng(1)
    y, x = np.mgrid[0:40, 0:48] // 8
    patterns = dict(zip(CLASSES, (y % 2, (x + y) % 2, x % 2), strict=True))
    for split, count in (("train", 8), ("val", 4)):
        for name, pattern in patterns.items():
            folder = root / split / name
            folder.mkdir(parents=True)
            for index in range(count):
                colour = rng.integers(90, 256, 3)
                image = rng.integers(0, 60, (40, 48, 3)) + pattern[..., None] * (colour - 60)
                Image.fromarray(np.clip(image, 0, 255).astype(np.uint8)).save(folder / f"{index:02d}.png")
