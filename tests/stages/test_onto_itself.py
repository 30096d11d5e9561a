"""A stage that writes a model refuses to write it over the one it reads."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from taolite.stages.engine import build
from taolite.stages.export import export_model

from taolite.artifacts import Key
from taolite.errors import UsageError
from taolite.stages.prune import PruneSettings, prune

KEY = Key("k")


@pytest.mark.parametrize(
    "run",
    [
        lambda model: prune(model, model, key=KEY, settings=PruneSettings()),
        lambda model: export_model(model, model, key=KEY, overwrite=True),
        lambda model: build(model, key=KEY, engine=model),
    ],
    ids=["prune", "export --force", "convert"],
)
def test_a_model_is_not_replaced_by_what_is_made_of_it(tmp_path: Path, run: Callable[[Path], object]) -> None:
    model = tmp_path / "m.tlt"
    model.write_bytes(b"trained for a week")

    with pytest.raises(UsageError) as caught:
        run(model)

    assert str(caught.value) == (f"{model}: this is the input model, and it would be replaced; choose another output")
    assert model.read_bytes() == b"trained for a week"
