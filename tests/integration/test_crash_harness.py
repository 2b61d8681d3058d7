"""The short form of tests/crash/run: twenty rounds of each kind. By hand it runs hundreds."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from rig.gate import sanitized

RUN = Path(__file__).resolve().parents[1] / "crash" / "run"


def run(*arguments):
    if sanitized():
        pytest.skip("the plain build has it; the sanitizers' own library must be the first")
    done = subprocess.run([sys.executable, "-B", str(RUN), *arguments], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=600, check=False)
    found = re.search(r"^rounds (\d+), acknowledged (\d+), lost (\d+), repeated \d+ \((.*)\)$",
                      done.stdout, re.M)
    assert found, done.stdout + done.stderr
    return done, int(found[1]), int(found[2]), int(found[3])


@pytest.mark.heavy
@pytest.mark.parametrize("more", [(), ("--power-cut",)], ids=["kill", "power"])
def test_nothing_acknowledged_is_lost(more):
    done, rounds, acknowledged, lost = run("--rounds", "20", "--life", "10", "--seed", "7", *more)
    assert done.returncode == 0 and lost == 0, done.stdout + done.stderr
    assert rounds == 20 and acknowledged > 100


@pytest.mark.heavy
def test_the_harness_finds_mail_that_is_lost():
    """Of a log that is never synced a power cut leaves little."""
    done, rounds, acknowledged, lost = run("--rounds", "20", "--seed", "1", "--power-cut", "--liar")
    assert done.returncode == 1 and lost > 0, done.stdout + done.stderr
    assert rounds <= 20 and acknowledged >= lost
