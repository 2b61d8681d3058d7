"""The short form of tests/load/soak.py: twenty seconds, where only leaks of descriptors and lost mail
can show. By hand it runs for half an hour."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

SOAK = Path(__file__).resolve().parents[1] / "load" / "soak.py"


@pytest.mark.heavy
def test_twenty_seconds_of_everything():
    done = subprocess.run([sys.executable, "-B", str(SOAK), "--minutes", "0.33"],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300,
                          check=False)
    found = re.search(r"acknowledged (\d+), lost (\d+), .* faults (\d+)$", done.stdout, re.M)
    assert found and done.returncode == 0, done.stdout + done.stderr
    assert int(found[1]) > 20 and found[2] == found[3] == "0"
