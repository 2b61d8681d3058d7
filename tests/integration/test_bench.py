"""tests/bench/run: every row works in its short form, and what is lost ends it.

Nothing here is about how fast anything is.
"""

import subprocess
import sys

import pytest

from rig import postfix
from rig.gate import TOP, sanitized

sys.path.append(str(TOP / "tests" / "bench"))

from bench.table import Line, table  # noqa: E402
from bench.tools import NAMES, TOOLS, Blast, Broken, Sink, blast  # noqa: E402

ROWS = ("end-to-end", "smtp-source", "one-each", "latency", "memory", "tls", "newsletter",
        "ten-million")


def why_no_tools():
    missing = [name for name in NAMES if not (TOOLS / name).exists()]
    return f"not built: {', '.join(missing)}; make check builds them" if missing else None


@pytest.fixture
def tools():
    if reason := why_no_tools():
        pytest.skip(reason)


@pytest.mark.heavy
def test_every_row_works_and_nothing_is_lost(tmp_path, tools):
    if reason := postfix.why_not():
        pytest.skip(reason)
    if sanitized():
        pytest.skip("a measurement of a sanitizer build says nothing")
    done = subprocess.run([sys.executable, "-B", TOP / "tests" / "bench" / "run", "--short",
                           "--json", tmp_path / "raw.json"],
                          capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    for row in ROWS:
        assert f"\n| {row} " in done.stdout, f"{row} is not in the table:\n{done.stdout}"
    assert (tmp_path / "raw.json").stat().st_size > 0


@pytest.mark.parametrize("kind, encoding", [("plain", "8bit"), ("html", "8bit"), ("html", "qp"),
                                            ("html", "base64")])
@pytest.mark.parametrize("tls", [False, True])
def test_the_sink_takes_what_the_source_sends(tmp_path, tools, make_ca, kind, encoding, tls):
    server = Sink(make_ca.issue("sink.example") if tls else None)
    try:
        said = blast(server.port, count=50, connections=7, per_connection=3, recipients=2,
                     kind=kind, encoding=encoding, tls=tls)
        came = server.wait(50, 30)
        assert (came["mails"], came["bytes"]) == (50, said["bytes"])
    finally:
        server.stop()


@pytest.fixture
def make_ca(tmp_path):
    from rig.tls import CA
    return CA(tmp_path / "ca")


def test_mail_that_is_refused_or_cut_off_is_lost_for_the_run(sink, tools):
    port = int(sink.address.rpartition(":")[2])
    sink.rule = lambda stage, argument, session: "550 5.7.1 no" if stage == "end" else None
    with pytest.raises(Broken, match="'550': 5"):
        blast(port, count=5, connections=2)
    sink.rule = lambda stage, argument, session: "421 4.3.2 full" if stage == "connect" else None
    said = Blast(port, count=5, connections=2).result(whole=False)
    assert (said["accepted"], said["unreached"]) == (0, 5)


# ours, theirs, must, goal, whether less is better; then what was reached
BOUNDS = [
    ([50], [10], 5, 10, False, "must"),
    ([49, 50, 49], [10, 10, 11], 5, 10, False, "no"),
    ([100], [10], 5, 10, False, "goal"),
    ([100], [10], None, 10, False, "goal"),
    ([99], [10], None, 10, False, "no"),
    ([100], [10], None, None, False, ""),
    ([10], [100], 1 / 10, 1 / 16, True, "must"),
    ([6], [100], 1 / 10, 1 / 16, True, "goal"),
    ([11], [100], 1 / 10, 1 / 16, True, "no"),
    ([90], [], 100, 48, True, "must"),
    ([101], [], 100, 48, True, "no"),
    ([5], [0], 5, 10, False, "no"),
]


@pytest.mark.parametrize("ours, theirs, must, goal, most, reached", BOUNDS)
def test_what_a_line_has_reached(ours, theirs, must, goal, most, reached):
    line = Line("row", "what", "unit", ours, theirs, must=must, goal=goal, most=most)
    assert line.reached() == reached
    assert table([line]).splitlines()[2].rstrip("| ").endswith(reached or line.cells()[4])
