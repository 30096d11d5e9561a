from __future__ import annotations

import argparse

import pytest

from taolite.cli.values import amount


@pytest.mark.parametrize(
    ("text", "value"), [("1300000", 1.3e6), ("1.3M", 1.3e6), ("2.5G", 2.5e9), ("4k", 4e3), ("0.3", 0.3)]
)
def test_an_amount_may_have_a_prefix(text, value):
    assert amount(text) == pytest.approx(value)


@pytest.mark.parametrize("text", ["", "M", "0", "-3", "nan", "inf", "1.3X"])
def test_what_is_no_amount_is_refused(text):
    with pytest.raises(argparse.ArgumentTypeError) as caught:
        amount(text)

    assert str(caught.value) == f"{text!r} needs to be a number above 0, such as 1300000 or 1.3M"
