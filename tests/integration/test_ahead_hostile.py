"""Smarthosts that answer badly what was said behind a final dot (rig/gatehouse.py).

Whatever they say: no message is lost, none is failed for what another was told, none is counted
delivered that was not, and none is sent twice.
"""

import pytest

from rig.client import letter
from rig.gate import PRODUCTION_CLIENT, QUIET, STAGING_CLIENT, staging
from rig.gatehouse import Gatehouse, filled, names, seen
from rig.sink import CUT, HANG, Drip, tls_context
from rig.tls import make_ca
from rig.wait import wait_for

COUNT = 8


def early(**answers):
    """A rule for what was said ahead only, by stage."""
    return lambda stage, _argument, session: answers.get(stage) if session.early else None


def each_once(running, sink, wanted):
    running.wait_count("production", "sent", len(wanted))
    assert sorted(sink.recipients()) == sorted(wanted)


def run(gate, sink, rule, keys="", **more):
    """Until one is said ahead for sure; then lets all go."""
    sink.rule = rule
    running = filled(gate, sink, COUNT, keys, **more)
    if b"MAIL FROM" not in sink.rule.behind(sink.rule.said[0]):
        sink.rule.let(1)  # when the first one left nobody waited yet
        sink.rule.wait_said(1)
    sink.rule.let()
    return running


@pytest.mark.parametrize("stage", ["mail", "rcpt", "data"])
@pytest.mark.parametrize("answer, off", [
    (CUT, True), ("421 4.3.2 bye", True), ("hello there", True), ("354 go", None),
    ((b"250 2.0", CUT), True), (b"250 Ok\r\n250 Ok\r\n", None), (Drip("250 Ok"), False),
], ids=["cut", "421", "nonsense", "354", "cut-within", "two", "byte-by-byte"])
def test_another_connection_takes_it_at_once(stage, answer, off, gate, sink):
    """Nobody's content has left, so nobody is tried again later."""
    if stage == "data" and isinstance(answer, str) and answer[:3] in ("354", "250"):
        pytest.skip("that is in order")
    running = run(gate, sink, Gatehouse(then=early(**{stage: answer})))
    each_once(running, sink, names(COUNT))
    assert {row["tries"] for row in seen(running).values()} == {1}
    if off is not None:
        assert bool(running.logged("upstream.no-ahead")) == off


def test_silence_shows_it_at_once(gate, sink):
    """Who forgets what came with the dot would keep each message for its whole time limit."""
    running = run(gate, sink, Gatehouse(then=early(mail=HANG)), 'timeout = "5s"')
    each_once(running, sink, names(COUNT))
    assert running.text().count("no answer in time (envelope)") == 1
    assert running.logged("upstream.no-ahead")
    assert {row["tries"] for row in seen(running).values()} == {1}


@pytest.mark.parametrize("second", ["250 2.1.5 Ok", "550 5.1.1 no", "451 4.3.0 later"])
def test_a_reply_for_each_recipient(second, gate, sink):
    """As LMTP has it: what is one too many says nothing about the next message."""
    both = f"250 2.1.5 Ok\r\n{second}\r\n".encode()
    running = run(gate, sink, Gatehouse(*[both] * (3 * COUNT)))
    each_once(running, sink, names(COUNT))
    assert {row["tries"] for row in seen(running).values()} == {1}


def test_a_reply_too_many_where_many_are_asked(gate, sink):
    """Shifted by one, the refusal of one recipient would be that of another."""
    def then(stage, argument, _session):
        return "550 5.1.1 no" if stage == "rcpt" and argument.startswith("bad") else None

    rule = Gatehouse(*[b"250 Ok\r\n550 5.7.1 no\r\n"] * (3 * COUNT), then=then)
    running = run(gate, sink, rule, recipients=lambda name: [name, f"bad-{name}"])
    each_once(running, sink, names(COUNT))
    assert sum(row["state"] == "failed" for row in seen(running).values()) == COUNT


@pytest.mark.parametrize("code", ["354", "334"])
def test_no_answer_to_a_dot(code, gate, sink):
    """What follows answers nothing that was said: the connection ends."""
    running = run(gate, sink, Gatehouse(None, f"{code} what".encode() + b"\r\n"))
    running.wait_count("production", "sent", COUNT)
    arrived = sink.recipients()
    assert set(arrived) == set(names(COUNT)) and len(arrived) == COUNT + 1  # it kept that one too
    assert sum(row["tries"] == 2 for row in seen(running).values()) == 1
    assert len({m.connection for m in sink.messages}) == 2


def test_bad_sequence_at_the_dot(gate, sink):
    """503 is not about the content, which goes again, with nothing behind it."""
    class Strict(Gatehouse):
        def __call__(self, stage, argument, session):
            answer = super().__call__(stage, argument, session)
            if stage == "end" and session.early:
                return "503 5.5.0 improper use of pipelining"
            return answer

    running = run(gate, sink, Strict())
    each_once(running, sink, names(COUNT))
    assert running.logged("upstream.no-ahead")


def test_each_recipient_has_its_own_answer(gate, sink):
    def then(stage, argument, _session):
        who = argument.split("-")[0] if stage == "rcpt" else ""
        return {"bad": "550 5.1.1 no", "later": "450 4.2.1 later"}.get(who)

    rule = Gatehouse(then=then)
    running = run(gate, sink, rule, recipients=lambda n: [f"bad-{n}", n, f"later-{n}"])
    wait_for("each knows", lambda: all(row["tries"] > 0 for row in seen(running).values()))
    wait_for("the good ones arrived", lambda: len(sink.recipients()) == COUNT)
    assert sorted(sink.recipients()) == names(COUNT)
    for name, row in seen(running).items():
        wanted = {"bad": "failed", "later": "queued"}.get(name.split("-")[0], "sent")
        assert row["state"] == wanted, row


@pytest.mark.parametrize("reply", ["250 2.0.0 Ok", "500 5.5.1 no", CUT], ids=["taken", "500", "cut"])
def test_all_are_refused(reply, gate, sink):
    """RSET ends it, whatever that is answered."""
    def then(stage, argument, _session):
        if stage == "rset":
            return reply
        return "550 5.1.1 no" if stage == "rcpt" and argument in names(COUNT)[2::2] else None

    running = run(gate, sink, Gatehouse(then=then))
    bad = set(names(COUNT)[2::2])
    running.wait_counts("production", {"sent": COUNT - len(bad), "failed": len(bad)})
    assert sorted(sink.recipients()) == sorted(set(names(COUNT)) - bad)


def test_bad_sequence_for_one_mailbox_of_many(gate, sink):
    """Recipients rewritten to one mailbox: one copy, and 503 is no refusal of that either."""
    rewritten = staging(f'{QUIET} others = rewrite rewrite_to = "qa@partner.test"')
    running = run(gate, sink, Gatehouse(then=early(mail="503 5.5.1 one after the other")),
                  environment=rewritten, source=STAGING_CLIENT,
                  recipients=lambda name: [name, f"b-{name}"])
    running.wait_counts("staging", {"sent": 2 * COUNT})
    assert sink.recipients() == ["qa@partner.test"] * COUNT
    assert {row["tries"] for row in running.deliveries(environment="staging")} == {1}


def test_too_large_for_it(gate, sink):
    """Nothing can be said ahead of it: it fails when its turn has come, and for that reason."""
    sink.extensions = ("PIPELINING", "SIZE 3000")
    sink.rule = Gatehouse()
    running = filled(gate, sink, 3)
    running.send(letter(body="x" * 70 + "\r\n" * 2000), ["l@x.test", "m@x.test"],
                 PRODUCTION_CLIENT, sender="")
    running.send(letter(), ["last@x.test"], PRODUCTION_CLIENT, sender="")
    sink.rule.let()
    running.wait_counts("production", {"sent": 4, "failed": 2})
    assert sorted(sink.recipients()) == [*names(3), "last@x.test"]
    row = seen(running)["l@x.test"]
    assert "5.3.4" in row["reply"] and row["tries"] == 1


def test_under_tls(gate, sink, tmp_path):
    ca = make_ca(tmp_path)
    sink.context = tls_context(ca.issue("localhost", ip="127.0.0.1"))
    running = run(gate, sink, Gatehouse(), f'tls = required ca = "{ca.path}"')
    each_once(running, sink, names(COUNT))
    assert all(m.secured for m in sink.messages)
    assert sink.connections == 1
