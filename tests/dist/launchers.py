"""Both ways to start the processes of a training: PyTorch's launcher, and ours where PyTorch has another one."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch

import taolite.dist

LAUNCHERS = ("elastic", "plain")
PRIVATE = "torch.distributed.elastic.agent.server.local_elastic_agent"
FALLBACK = (
    f"PyTorch {torch.__version__} has another launcher than taolite knows (import of {PRIVATE} halted; None in "
    "sys.modules): taolite starts the processes itself"
)


@contextmanager
def launcher(name: str) -> Iterator[None]:
    """Inside, `launch` uses the launcher `name`; for "plain", PyTorch's has no module of the name that is needed."""
    with pytest.MonkeyPatch.context() as patch:
        if name == "plain":
            patch.setitem(sys.modules, PRIVATE, None)
            patch.delitem(sys.modules, "taolite.dist.elastic", raising=False)
            patch.delattr(taolite.dist, "elastic", raising=False)
        yield
