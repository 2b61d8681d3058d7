"""What must outlive what: a reload, a stop or the panic button in the middle of transactions."""

import signal
import threading
import time

import pytest

from rig.client import letter
from rig.gate import PRODUCTION_CLIENT, STAGING_CLIENT, listener, production, staging, upstream
from rig.sink import HANG
from rig.wait import stays_true, wait_for


class Slow:
    """A rule that keeps a stage waiting until it is let go."""

    def __init__(self, stage):
        self.stage, self.go, self.waiting = stage, threading.Event(), 0

    def __call__(self, now, argument, session):
        if now == self.stage and not self.go.is_set():
            self.waiting += 1
            self.go.wait(60)


def reload(running, config):
    before = running.text().count("config.reloaded")
    running.write(config)
    running.signal(signal.SIGHUP)
    wait_for("the reload", lambda: running.text().count("config.reloaded") > before)


def send(running, *names):
    return running.send(letter(), list(names), PRODUCTION_CLIENT)


@pytest.mark.parametrize("stage", ["ehlo", "mail", "rcpt", "data", "end"])
def test_upstream_is_renamed_under_transactions(stage, make_gate, sink):
    """What is under way ends with the old one, what waited goes to the new one; nothing stays."""
    sink.rule = Slow(stage)
    sink.extensions = []
    config = listener() + production()
    running = make_gate(config + upstream(sink, "connections = 2", "old")).start()
    for n in range(12):
        send(running, f"a{n}@x.test")
    wait_for("a transaction is under way", lambda: sink.rule.waiting >= 1)
    reload(running, config + upstream(sink, "connections = 2", "new"))
    sink.rule.go.set()
    running.wait_count("production", "sent", 12)
    assert sorted(sink.recipients()) == sorted(f"a{n}@x.test" for n in range(12))


def test_upstream_comes_back_by_a_reload(make_gate, sink):
    """Down, then out of the configuration, then in again: it is asked again."""
    sink.stop()
    config = listener() + production()
    running = make_gate(config + upstream(sink)).start()
    send(running, "a@x.test")
    wait_for("the gate says the upstream is down",
             lambda: running.status()["upstreams"][0]["up"] is False)
    reload(running, config + upstream(sink, name="other"))
    time.sleep(1)
    reload(running, config + upstream(sink))
    sink.start()
    running.wait_count("production", "sent", 1)


def test_environment_goes_away_with_mail_in_its_queue(make_gate, sink):
    """Its mail waits, and status says so; it leaves when the environment is back."""
    sink.rule = lambda stage, *_: "451 4.3.0 later" if stage == "rcpt" else None
    ends = listener() + upstream(sink)
    gate = make_gate(ends + production() + staging()).start()
    gate.send(letter(), ["c@d.example"], PRODUCTION_CLIENT)
    gate.wait_counts("production", {"queued": 1})
    for without in (ends + staging(), ends + production("upstream = none") + staging()):
        reload(gate, without)
        assert any("1 recipients of environment production are queued" in warning
                   for warning in gate.status()["warnings"])
        reload(gate, ends + production() + staging())
        assert "of environment production" not in str(gate.status()["warnings"])
    sink.rule = None
    gate.wait_counts("production", {"sent": 1})


@pytest.mark.parametrize("stage", ["connect", "ehlo", "end"])
@pytest.mark.parametrize("claimed", [False, True], ids=["fresh", "claimed"])
def test_stop_while_the_upstream_hangs(stage, claimed, make_gate, sink):
    """Bounded, and what was not finished is due after the next start."""
    if claimed:
        sink.stop()
    running = make_gate(listener() + production() + upstream(sink)).start()
    if claimed:
        send(running, "a@x.test")
        wait_for("it is down", lambda: running.status()["upstreams"][0]["up"] is False)
    heard = []
    sink.rule = lambda now, *_: (heard.append(now), HANG)[1] if now == stage else None
    if claimed:
        sink.start()
    else:
        send(running, "a@x.test")
    wait_for("the upstream hangs", lambda: heard)
    running.stop()
    sink.rule = None
    running.start()
    running.wait_count("production", "sent", 1)


def test_panic_reaches_the_rest_of_a_large_message(gate, sink):
    """A message of 1,000 recipients goes in ten transactions: those not begun do not begin."""
    sink.rule = Slow("end")
    running = gate(production())
    send(running, *[f"a{n}@x.test" for n in range(1000)])
    wait_for("the first hundred", lambda: sink.rule.waiting == 1)
    running.do("hold", "--everything", "--reason", "test")
    sink.rule.go.set()
    running.wait_count("production", "held", 900)
    running.wait_counts("production", {"sent": 100, "held": 900})
    stays_true("nothing more leaves", lambda: len(sink.recipients()) == 100, 0.5)


def deferred_once(stage):
    """The first connection that gets to this stage is told to come later."""
    first = []

    def rule(now, _argument, session):
        if now != stage:
            return None
        first.append(session.number)
        return "450 4.2.1 greylisted" if session.number == first[0] and not rule.over else None

    rule.over = False
    return rule


def test_deferred_recipients_stay_together(gate, sink):
    """Fifty that were deferred in one transaction come again in one, not in fifty."""
    sink.rule = deferred_once("data")
    running = gate(production(), upstream_keys="connections = 1")
    send(running, *[f"a{n}@x.test" for n in range(50)])
    wait_for("deferred", lambda: running.logged("delivery.queued"))
    sink.rule.over = True
    running.wait_count("production", "sent", 50)
    assert len(sink.messages) == 1, [m.recipients for m in sink.messages]


def test_one_mailbox_gets_a_deferred_message_once(gate, sink):
    sink.rule = deferred_once("data")
    running = gate(staging('others = rewrite rewrite_to = "qa@example.com" '
                           'burst "volume" { limit = "1000000/1h" per = {environment} }'))
    running.send(letter(), [f"a{n}@x.test" for n in range(20)], STAGING_CLIENT)
    wait_for("deferred", lambda: running.logged("delivery.queued"))
    sink.rule.over = True
    running.wait_count("staging", "sent", 20)
    assert sink.recipients() == ["qa@example.com"]


def test_552_to_a_recipient_means_later(gate, sink):
    """RFC 5321 4.5.3.1.10: servers of old say so when a transaction has too many recipients."""
    sink.rule = lambda now, argument, session: (
        "552 too many recipients" if now == "rcpt" and len(session.recipients) >= 2 else None)
    running = gate(production())
    send(running, *[f"a{n}@x.test" for n in range(5)])
    running.wait_count("production", "sent", 5)
