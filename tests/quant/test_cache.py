"""TensorRT's calibration cache as text."""

from __future__ import annotations

import numpy as np
import pytest

from taolite.errors import DataError
from taolite.quant.cache import cache_text, parse_cache

EXAMPLE = """TRT-8502-EntropyCalibration2
input_1: 3c010a14
(Unnamed Layer* 64) [Shuffle]_output: 3d0a1b2c
output_cov/Sigmoid: 3c000a14
"""


def bits(scale: int) -> float:
    return float(np.array(scale, np.uint32).view(np.float32))


def test_the_example_of_the_format_is_read_and_written_back_to_the_byte():
    cache = parse_cache(EXAMPLE)

    assert cache.header == "TRT-8502-EntropyCalibration2"
    assert list(cache.ranges) == ["input_1", "(Unnamed Layer* 64) [Shuffle]_output", "output_cov/Sigmoid"]
    assert cache.ranges["input_1"] == 127 * bits(0x3C010A14)
    assert cache.ranges["input_1"] == pytest.approx(1.0002, abs=1e-4)
    assert cache_text(cache.ranges, tensorrt="8.5.2") == EXAMPLE


def test_every_scale_survives_the_way_through_the_text():
    scales = np.exp(np.random.default_rng(0).uniform(-60, 60, 500)).astype(np.float32)
    ranges = {f"tensor {index}: x": float(scale) * 127 for index, scale in enumerate(scales)}

    back = parse_cache(cache_text(ranges)).ranges

    assert list(back) == list(ranges)
    np.testing.assert_array_equal((np.array(list(back.values())) / 127).astype(np.float32), scales)


@pytest.mark.parametrize(
    ("tensorrt", "header"),
    [("7.1.3", "TRT-7103"), ("8.6.1", "TRT-8601"), ("10.14.1", "TRT-101401"), ("10.13.3.9", "TRT-101303")],
)
def test_the_first_line_names_the_tensorrt_it_is_for(tensorrt, header):
    assert cache_text({"x": 0.0}, tensorrt=tensorrt) == f"{header}-EntropyCalibration2\nx: 0\n"


def test_the_old_exporters_bare_1_is_a_first_line_too():
    assert parse_cache("1\nx: 3f800000\n").ranges == {"x": 127.0}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "cal.bin: line 1 is ''; a calibration cache begins with TRT-<version>-<calibrator>"),
        ("TRT-8601-EntropyCalibration2\nx=1\n", "cal.bin: line 2 is 'x=1'; it needs NAME: HEX, as input_1: 3c010a14"),
        (
            "TRT-8601-EntropyCalibration2\nx: bf800000\n",
            "cal.bin: line 2: bf800000 is -1.0; a scale needs to be 0 or more, and finite",
        ),
        (
            "TRT-8601-EntropyCalibration2\nx: 7fc00000\n",
            "cal.bin: line 2: 7fc00000 is nan; a scale needs to be 0 or more, and finite",
        ),
    ],
)
def test_what_is_no_cache_is_refused_by_line(text, message):
    with pytest.raises(DataError) as caught:
        parse_cache(text, where="cal.bin")

    assert str(caught.value) == message
