"""The next message's envelope goes out behind the final dot, before that is answered (RFC 2920 3.1).

Bad answers to it are in test_ahead_hostile.py, what is called back meanwhile in test_called_back.py.
"""

import pytest

from rig.gate import listener, production, upstream
from rig.gatehouse import LOOPS, ONE, Gatehouse, filled, names, seen
from rig.sink import CUT, Sink
from rig.wait import stays_true, wait_for


def lines(sink, verb):
    return [line for _, _, line in sink.heard if line.upper().startswith(verb)]


def test_envelope_behind_the_dot(gate, sink):
    sink.rule = Gatehouse()
    running = filled(gate, sink, 8)
    sink.rule.let(1)  # when the first one left nobody waited yet, perhaps
    sink.rule.wait_said(1)
    assert sink.rule.said[1].pending.count(b"MAIL FROM") == 1
    assert b"RCPT TO" in sink.rule.said[1].pending and b"DATA" in sink.rule.said[1].pending
    sink.rule.let()
    sink.wait(8)
    assert sorted(sink.recipients()) == names(8)
    running.wait_count("production", "sent", 8)
    assert not lines(sink, "RSET")
    assert sink.connections == 1


def test_not_without_pipelining(gate, sink):
    sink.extensions = ("SIZE 100000000",)
    sink.rule = Gatehouse()
    running = filled(gate, sink, 4)
    sink.rule.let(1)
    wait_for("the second is there", lambda: len(sink.rule.said) == 2)
    stays_true("nothing behind it", lambda: not sink.rule.behind(sink.rule.said[1]), 0.3)
    sink.rule.let()
    running.wait_count("production", "sent", 4)


@pytest.mark.parametrize("answer, state", [
    ("451 4.3.0 later", "queued"), ("550 5.7.1 no", "failed"), ("421 4.3.2 bye", "queued"),
    (CUT, "queued"), ("hello there", "queued"),
], ids=["451", "550", "421", "cut", "nonsense"])
def test_the_reply_is_that_of_the_one_before(answer, state, gate, sink):
    sink.rule = Gatehouse(None, answer)
    running = filled(gate, sink, 5)
    sink.rule.let(1)
    sink.rule.wait_said(1)
    bad = sink.messages[1].recipients[0]
    sink.rule.let()
    wait_for("all others arrived", lambda: len(set(sink.recipients()) - {bad}) == 4)
    wait_for("the gate knows", lambda: all(
        row["state"] == "sent" for name, row in seen(running).items() if name != bad))
    rows = seen(running)
    tries = {name: (row["tries"], row["reply"]) for name, row in rows.items() if name != bad}
    assert {n for n, _ in tries.values()} == {1}, tries
    if state == "failed":
        assert rows[bad]["state"] == "failed" and "550 5.7.1 no" in rows[bad]["reply"]
        assert bad not in sink.recipients()
    else:
        wait_for("it is tried again", lambda: bad in sink.recipients())
    running.stop()
    arrived = sink.recipients()
    assert len(arrived) == len(set(arrived)), "each once"


def test_panic_button_behind_the_dot(gate, sink):
    """Of what was said ahead the content does not leave, since nobody has promised it."""
    sink.rule = Gatehouse()
    running = filled(gate, sink, 5)
    sink.rule.let(1)
    sink.rule.wait_said(1)
    status, answer = running.api("POST", "/v1/hold",
                                 {"scope": "everything", "reason": "something is wrong"})
    assert status == 200, answer
    sink.rule.let()
    running.wait_count("production", "sent", 2)
    running.wait_count("production", "held", 3)
    assert len(sink.recipients()) == 2
    status, answer = running.api("POST", "/v1/unhold",
                                 {"scope": "everything", "reason": "it is fine"})
    assert status == 200, answer


def test_upstream_that_cannot(gate, sink):
    """It offers PIPELINING and answers what comes behind a dot with 503."""
    def then(stage, _argument, session):
        early = stage == "mail" and session in early_sessions
        return "503 5.5.1 one after the other" if early else None

    early_sessions = []
    sink.rule = Gatehouse(then=then)
    running = filled(gate, sink, 8)
    sink.rule.let(1)
    sink.rule.wait_said(1)
    early_sessions.append(sink.rule.said[1])
    sink.rule.let()
    running.wait_count("production", "sent", 8)
    assert sorted(sink.recipients()) == names(8)
    running.wait_logged("upstream.no-ahead")
    assert not any(session.pending for session in sink.rule.said[3:])


def test_upstream_that_closes_behind_each_message(gate, sink):
    """RFC 5321 has it say 421; some do not. After some times nothing is said ahead any more."""
    sink.rule = Gatehouse(*[(b"250 2.0.0 taken\r\n", CUT)] * 12)
    running = filled(gate, sink, 12)
    sink.rule.let()
    running.wait_count("production", "sent", 12)
    running.wait_logged("upstream.no-ahead")
    assert len(sink.rule.said) == 12, "each once"


def test_reload_to_another_upstream(gate, sink):
    """What was said ahead to the old one goes to the new one."""
    other = Sink()
    sink.rule = Gatehouse()
    running = filled(gate, sink, 5)
    sink.rule.let(1)
    sink.rule.wait_said(1)
    running.reload(listener() + upstream(other, ONE) + production() + LOOPS)
    sink.rule.let()
    try:
        other.wait(3)
        running.wait_count("production", "sent", 5)
        assert len(sink.recipients()) == 2
        assert sorted(sink.recipients() + other.recipients()) == names(5)
    finally:
        other.stop()
