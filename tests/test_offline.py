"""No test reaches a network: what the hooks of offline.py refuse, and whom."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.sockets

SAMPLES = Path(__file__).with_name("offline_samples.py")
PLAIN = "no test reaches a network; tests with the mark `sockets` may, on this machine"
MARKED = "no test reaches a network; it is not this machine"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can refuse a process its sockets")
def test_a_test_has_the_sockets_of_its_mark_and_fails_even_where_the_refusal_is_passed_over():
    words = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-rfEp", "-m", "", str(SAMPLES)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=SAMPLES.parents[1])

    found = dict(re.findall(r"^(?:FAILED|PASSED|ERROR) \S+::test_(\w+)(?: - )?(.*)$", done.stdout, re.MULTILINE))
    why = dict(re.findall(r"^_+ (?:ERROR at setup of )?test_(\w+) _+\n(.*)$", done.stdout, re.MULTILINE))
    assert why == {
        "plain_connects_and_passes_over_the_error": f"socket.connect 127.0.0.1: {PLAIN}",
        "plain_looks_up": f"socket.getaddrinfo example.org: {PLAIN}",
        "plain_binds": f"socket.bind 127.0.0.1: {PLAIN}",
        "plain_has_a_fixture_that_looks_up": f"socket.gethostbyname example.org: {PLAIN}",
        "marked_connects_elsewhere": f"socket.connect 198.51.100.7: {MARKED}",
        "marked_looks_up": f"socket.getaddrinfo example.org: {MARKED}",
        "marked_sends_elsewhere": f"socket.sendto 198.51.100.7: {MARKED}",
    }
    assert set(found) - set(why) == {
        "plain_has_no_sockets_in_processes",
        "plain_has_unix_sockets",
        "marked_connects_to_this_machine",
    }
    assert done.returncode == 1
