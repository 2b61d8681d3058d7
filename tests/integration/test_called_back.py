"""What an upstream was told of, and must not get after all: the panic button, a pause, a trip.

Slow smarthosts keep the gate between MAIL and the content, or with an envelope said ahead. What has
not been handed over by the time that a decision is answered does not leave (RFC 5321 4.1.1.4: a
message is the upstream's with the end of its data).
"""

import threading

import pytest

from rig.batch import Batch, fill, marked
from rig.client import letter
from rig.gate import PRODUCTION_CLIENT, production
from rig.gatehouse import LOOPS, ONE, Gatehouse, filled, names
from rig.sink import CUT, hung_up
from rig.wait import stays_true, wait_for

ONE_BY_ONE = ("SIZE 100000000", "8BITMIME")
SCOPES = {
    "everything": {"scope": "everything"},
    "environment": {"scope": "environment", "name": "production"},
    "source": {"scope": "source", "name": PRODUCTION_CLIENT},
}


class Doorman:
    """A rule: who comes to that stage waits there until open()."""

    def __init__(self, stage):
        self.stage = stage
        self.waiting = []
        self.opened = threading.Event()

    def open(self):
        self.opened.set()

    def __call__(self, stage, argument, session):
        if stage != self.stage or self.opened.is_set():
            return None
        self.waiting.append(argument)
        while not self.opened.wait(0.01):
            if hung_up(session.sock, 0):
                return CUT
        return None


def press(running, scope, on=True):
    status, answer = running.api("POST", "/v1/hold" if on else "/v1/unhold",
                                 dict(SCOPES[scope], reason="something is wrong"))
    assert status == 200, answer


def nothing_left(running, sink, held, sent=0):
    running.wait_count("production", "held", held)
    running.wait_count("production", "queued", 0)
    assert len(sink.recipients()) == sent


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("stage", ["mail", "rcpt", "data"])
@pytest.mark.parametrize("extensions", [None, ONE_BY_ONE], ids=["pipelined", "one-by-one"])
def test_panic_before_the_content(extensions, stage, scope, gate, sink):
    """The first of all, which no reply is behind."""
    sink.extensions = extensions or sink.extensions
    sink.rule = Doorman(stage)
    running = gate(production(), upstream_keys=ONE, more=LOOPS)
    running.send(letter(), ["a@x.test", "b@x.test"], PRODUCTION_CLIENT)
    wait_for("it is being said", lambda: sink.rule.waiting)
    press(running, scope)
    sink.rule.open()
    nothing_left(running, sink, 2)
    press(running, scope, on=False)
    assert running.status()["upstreams"][0]["up"]


def test_who_was_refused_is_refused(gate, sink):
    """What the upstream has said of a recipient is known, whatever becomes of the others."""
    door = Doorman("data")

    def rule(stage, argument, session):
        bad = stage == "rcpt" and argument == "bad@x.test"
        return "550 5.1.1 no such user" if bad else door(stage, argument, session)

    sink.rule = rule
    running = gate(production(), upstream_keys=ONE, more=LOOPS)
    running.send(letter(), ["a@x.test", "bad@x.test"], PRODUCTION_CLIENT, sender="")
    wait_for("it is being said", lambda: door.waiting)
    press(running, "everything")
    door.open()
    running.wait_counts("production", {"held": 1, "failed": 1})
    assert not sink.recipients()


def test_panic_takes_back_what_waits(gate, sink):
    """At once, and not when the message before it is answered, which may take ten minutes."""
    sink.rule = Gatehouse()
    running = filled(gate, sink, 6)
    sink.rule.let(1)
    sink.rule.wait_said(1)
    press(running, "everything")
    running.wait_count("production", "held", 4)
    press(running, "everything", on=False)
    sink.rule.let()
    running.wait_count("production", "sent", 2)
    assert len(sink.recipients()) == 2
    assert not running.logged("upstream.no-ahead")


def test_pause_before_the_content(gate, sink):
    running = gate(marked(), upstream_keys=ONE, more=LOOPS)
    batch = Batch(running)
    recipients = fill(running, 6)
    sink.rule = Doorman("data")
    batch.release()
    wait_for("it is being said", lambda: sink.rule.waiting)
    batch.pause()
    sink.rule.open()
    wait_for("all are held", lambda: batch.by_state() == {"held": set(recipients)})
    stays_true("nothing leaves", lambda: not sink.recipients(), 0.3)
    batch.resume()
    batch.wait_plan("done")
    assert sorted(sink.recipients()) == sorted(recipients)


def test_trip_before_the_content(gate, sink):
    """What has only been told to an upstream is no leak yet."""
    rule = ('burst "volume" { limit = "5/1h" per = {environment} head = "1/1h" settle = "1s" }')
    running = gate(production(rule), upstream_keys=ONE, more=LOOPS)
    sink.rule = Doorman("data")
    for name in names(6):
        running.send(letter(), [name], PRODUCTION_CLIENT, sender="")
    wait_for("it is being said", lambda: sink.rule.waiting)
    batch = running.batch()
    sink.rule.open()
    wait_for("nothing is on its way", lambda: "queued" not in running.counts("production"))
    counts = running.counts("production")
    assert counts.get("sent", 0) == len(sink.recipients())
    assert running.batch()["leaked"] == counts.get("sent", 0)
    assert counts["held"] + counts.get("sent", 0) == 6
    assert batch["id"] == running.batch()["id"]
