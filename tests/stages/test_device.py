"""Which arithmetic a run takes, on machines with and without a GPU (the GPU is told, not there)."""

from __future__ import annotations

import pytest
import torch

from taolite.cli.words import Line, lines
from taolite.errors import UsageError
from taolite.stages import device
from taolite.stages.device import choose


@pytest.fixture
def processor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(device, "has_fast_bfloat16", lambda: False)


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> dict[str, bool]:
    """Two GPUs; `bfloat16` says whether they compute it."""
    told = {"bfloat16": True}
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda place: "a GPU")
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: told["bfloat16"])
    return told


def test_mixed_precision_on_a_gpu_is_bfloat16_where_it_has_it_and_float16_elsewhere(gpus: dict[str, bool]):
    assert choose(use_amp=True).autocast is torch.bfloat16
    gpus["bfloat16"] = False
    assert choose(use_amp=True).autocast is torch.float16
    assert choose().autocast is None


def test_a_spec_that_asks_for_float16_gets_it_on_a_gpu_and_bfloat16_on_a_processor(
    gpus: dict[str, bool], monkeypatch: pytest.MonkeyPatch
):
    found = choose(float16=True, gpu_index=[1])
    assert found.autocast is torch.float16
    assert lines(found.computing) == [Line("computing on GPU 1: a GPU, float16")]

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose(float16=True).autocast is torch.bfloat16


def test_precision_said_outright_comes_before_flags_and_spec(gpus: dict[str, bool]):
    assert choose(precision="fp32", use_amp=True, float16=True).autocast is None
    assert choose(precision="fp16").autocast is torch.float16


@pytest.mark.usefixtures("processor")
def test_a_processor_without_bfloat16_keeps_float32_even_with_use_amp():
    assert choose(use_amp=True).autocast is None


@pytest.mark.usefixtures("processor")
def test_a_processor_does_not_train_in_float16():
    with pytest.raises(UsageError, match=r"--precision fp16: there is no GPU here, and a processor trains in bf16"):
        choose(precision="fp16")


def test_each_process_takes_its_own_of_the_gpus_asked_for(gpus: dict[str, bool]):
    places = [choose(gpus=2, gpu_index=[1, 0], place=place).place for place in (0, 1)]

    assert places == [torch.device("cuda", 1), torch.device("cuda", 0)]


@pytest.mark.parametrize(
    ("count", "index", "text"),
    [
        (1, [0, 1], "--gpus 1 --gpu_index [0, 1]: give 1 different numbers, one for each GPU"),
        (2, [1, 1], "--gpus 2 --gpu_index [1, 1]: give 2 different numbers, one for each GPU"),
        (1, [2], "--gpus 1 --gpu_index [2]: this machine has GPUs 0 to 1"),
        (3, None, "--gpus 3 --gpu_index [0, 1, 2]: this machine has GPUs 0 to 1"),
    ],
)
def test_gpus_that_cannot_be_had(gpus: dict[str, bool], count: int, index: list[int] | None, text: str):
    with pytest.raises(UsageError) as caught:
        choose(gpus=count, gpu_index=index)

    assert str(caught.value) == text
