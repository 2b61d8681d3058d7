"""tests/bench/run in its short form: every row works, and no mail is lost on the way.

Nothing here is about how fast anything is.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rig import postfix
from rig.gate import MAILFUSED, TOP, sanitized

TOOLS = Path(os.environ.get("BENCH_TOOLS", Path(MAILFUSED).parent / "tests" / "bench"))
ROWS = ("end-to-end", "smtp-source", "one-each", "latency", "memory", "tls", "newsletter",
        "ten-million")


def why_not():
    if postfix.why_not():
        return postfix.why_not()
    if sanitized():
        return "a measurement of a sanitizer build says nothing"
    missing = [name for name in ("blast", "sink", "load_store") if not (TOOLS / name).exists()]
    return f"not built: {', '.join(missing)}; make check builds them" if missing else None


@pytest.mark.heavy
def test_every_row_of_the_bench_works(tmp_path):
    if reason := why_not():
        pytest.skip(reason)
    done = subprocess.run([sys.executable, "-B", TOP / "tests" / "bench" / "run", "--short",
                           "--json", tmp_path / "raw.json"],
                          capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    for row in ROWS:
        assert f"\n| {row} " in done.stdout, f"{row} is not in the table:\n{done.stdout}"
    assert (tmp_path / "raw.json").stat().st_size > 0
