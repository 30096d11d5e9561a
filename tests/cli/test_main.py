"""What the command line sets for its own process, and `import taolite` does not."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

STARTED = """
import os, sys
import taolite
print(os.environ.get("OMP_WAIT_POLICY"))
sys.argv = ["taolite", "--version"]
from taolite.cli.main import started
try:
    started([])
except SystemExit:
    print(os.environ.get("OMP_WAIT_POLICY"))
"""


@pytest.mark.parametrize(
    ("given", "before", "after"),
    [
        ({}, "None", "passive"),
        ({"OMP_WAIT_POLICY": "active"}, "active", "active"),
        ({"GOMP_SPINCOUNT": "1000"}, "None", "None"),
    ],
)
def test_threads_wait_without_taking_a_core_unless_the_user_says_otherwise(
    given: dict[str, str], before: str, after: str
):
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_WAIT", "GOMP_"))}

    said = subprocess.run([sys.executable, "-c", STARTED], env=kept | given, capture_output=True, text=True, check=True)

    first, *_, last = said.stdout.split()
    assert (first, last) == (before, after)
