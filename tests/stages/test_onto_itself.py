"""A stage that writes a model refuses to write it over the one it reads."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from taolite.artifacts import Bundle, Key
from taolite.errors import UsageError
from taolite.preprocessing import Preprocessing
from taolite.stages.exporting.engine import build
from taolite.stages.exporting.export import export_model
from taolite.stages.prune import PruneSettings, prune
from taolite.stages.trained import Trained

KEY = Key("k")


def trained(path: Path) -> Trained:
    return Trained(path, Bundle("detectnet", {}, ("cat",), Preprocessing((8, 8)), {}))


@pytest.mark.parametrize(
    "run",
    [
        lambda model: prune(trained(model), model, key=KEY, settings=PruneSettings()),
        lambda model: export_model(trained(model), model, key=KEY, overwrite=True),
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
