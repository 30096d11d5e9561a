"""Adapt classifiers with published weights to the input of a spec's `preprocess_mode` (`nn.inputs`)."""

from __future__ import annotations

from typing import cast

from taolite.nn.inputs import undo_preprocessing
from taolite.preprocessing import Preprocessing
from taolite.tasks.classification.model import Classifier, TaoClassifier, TorchvisionClassifier

__all__ = ["set_input"]


def set_input(network: Classifier, preprocessing: Preprocessing) -> None:
    """Make a fresh network that normalises its own input undo `preprocessing` first, in place.

    The weights do not change. A network that does not normalise its input is left as it is.
    """
    if network.normalises:
        inner = network.body if isinstance(network, TorchvisionClassifier) else cast(TaoClassifier, network).backbone
        undo_preprocessing(inner, preprocessing)
