"""Classifiers with published weights, made to take what a spec's `preprocess_mode` gives (`nn.inputs`)."""

from __future__ import annotations

from typing import cast

from taolite.nn.inputs import undo_preprocessing
from taolite.preprocessing import Preprocessing
from taolite.tasks.classification.model import Classifier, TaoClassifier, TorchvisionClassifier

__all__ = ["set_input"]


def set_input(network: Classifier, preprocessing: Preprocessing) -> None:
    """Have a fresh network that normalises its input, in place, undo `preprocessing`; its weights and any other network
    stay."""
    if network.normalises:
        inner = network.body if isinstance(network, TorchvisionClassifier) else cast(TaoClassifier, network).backbone
        undo_preprocessing(inner, preprocessing)
