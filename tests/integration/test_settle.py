"""Head and settle: what waits when the limit trips joins the batch, wherever it is just then."""

import random
import sqlite3
import threading
from datetime import datetime, timedelta, timezone
from email import message_from_string
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest

from rig.client import Blast, letter
from rig.gate import PRODUCTION_CLIENT, listener, production, sanitized, scaled, upstream
from rig.sink import CUT
from rig.wait import stays_true, wait_for

# Nothing that waits gets out by itself within a test.
FOREVER = 'head = "5/10m" settle = "1h"'
TRIPS = f'burst "volume" {{ limit = "50/10m" per = {{source}} {FOREVER} }}'


def send(running, names, data=None):
    """A message each, over one connection."""
    with running.client(PRODUCTION_CLIENT) as client:
        for name in names:
            _, end = client.mail([name], data or letter(to=name))
            assert end[0] == 250, end


def people(prefix, count):
    return [f"{prefix}{n}@x.test" for n in range(count)]


def wait_at_rest(running, deadline=30):
    """Until nothing is on its way; returns the counts."""
    wait_for(lambda: f"all is sent or held: {running.counts('production')}",
             lambda: set(running.counts("production")) <= {"sent", "held", "failed"}, deadline)
    return running.counts("production")


def check_accounts(running, sink, accepted, deadline=30):
    """Everybody is sent or held, and the batch's leak is what the sink got."""
    counts = wait_at_rest(running, deadline)
    got = sink.recipients()
    assert len(got) == len(set(got))
    rows = running.deliveries(environment="production")
    sent = {d["recipient"] for d in rows if d["state"] == "sent"}
    held = {d["recipient"] for d in rows if d["state"] == "held"}
    assert sent == set(got) and sent | held == set(accepted) and not sent & held
    batch = running.batch()
    assert batch["leaked"] == len(got), counts
    assert batch["held"] == len(held)
    return batch


class Gatekeeper:
    """A sink's rule: a stage gets no answer before open() is called."""

    def __init__(self, stage):
        self.stage, self.reached, self.opened = stage, threading.Event(), threading.Event()

    def __call__(self, stage, argument, session):
        if stage == self.stage:
            self.reached.set()
            assert self.opened.wait(120)

    def open(self):
        self.opened.set()


@pytest.mark.heavy
def test_blast_leaks_its_head(gate, sink):
    running = gate(production(TRIPS))
    blast = Blast(running.address(), scaled(1000), PRODUCTION_CLIENT).run()
    assert len(blast.accepted) == scaled(1000)
    batch = check_accounts(running, sink, blast.accepted)
    assert batch["leaked"] == 5


@pytest.mark.heavy
def test_upstream_is_slow(gate, sink):
    sink.rule = lambda stage, *_: threading.Event().wait(0.05) and None
    running = gate(production(TRIPS), upstream_keys="connections = 1")
    blast = Blast(running.address(), 200, PRODUCTION_CLIENT).run()
    batch = check_accounts(running, sink, blast.accepted)
    assert batch["leaked"] <= 5


@pytest.mark.parametrize("stage", ["connect", "ehlo", "mail", "rcpt", "data", "end"])
def test_upstream_hangs(stage, gate, sink):
    """One delivery at most is in the upstream's hands; the rest of the head comes back."""
    sink.rule = keeper = Gatekeeper(stage)
    running = gate(production(TRIPS), upstream_keys="connections = 1")
    send(running, people("a", 10))
    assert keeper.reached.wait(30)
    send(running, people("b", 41))
    wait_for("the trip called back what was not being sent",
             lambda: running.counts("production").get("held", 0) >= 50)
    keeper.open()
    batch = check_accounts(running, sink, people("a", 10) + people("b", 41))
    assert batch["leaked"] <= 1


def test_upstream_is_down(gate, sink):
    sink.stop()
    running = gate(production(TRIPS))
    send(running, people("a", 5))
    wait_for("the upstream is known to be down",
             lambda: running.status()["upstreams"][0]["up"] is False)
    send(running, people("b", 46))
    running.wait_counts("production", {"held": 51})
    sink.start()
    assert check_accounts(running, sink, people("a", 5) + people("b", 46))["leaked"] == 0
    stays_true("nothing leaves", lambda: not sink.messages, 0.5)


def test_what_is_queued_is_recalled_without_a_head_too(gate, sink):
    sink.stop()
    running = gate(production('burst "volume" { limit = "20/10m" per = {source} }'))
    send(running, people("a", 20))
    running.wait_counts("production", {"queued": 20})
    send(running, ["b@x.test"])
    running.wait_counts("production", {"held": 21})
    assert running.batch()["leaked"] == 0
    sink.start()
    stays_true("nothing leaves", lambda: not sink.messages, 0.5)


def test_large_bodies_wait_and_are_recalled(gate, sink):
    """Beyond what is kept in memory: their bodies are in the store already."""
    running = gate(production(f'burst "volume" {{ limit = "6/10m" per = {{source}} '
                              'head = "2/10m" settle = "1h" }'))
    large = letter(body="\r\n".join(["0123456789" * 7] * 20_000))
    send(running, people("a", 6), large)
    running.wait_counts("production", {"sent": 2, "waiting": 4})
    send(running, people("b", 1), large)
    batch = check_accounts(running, sink, people("a", 6) + people("b", 1))
    assert batch["leaked"] == 2
    running.one("release", batch["id"], "--reason", "checked")
    sink.wait(7)
    assert {len(m.body) for m in sink.messages} == {len(sink.messages[0].body)}
    assert len(sink.messages[0].body) >= 1_400_000


def test_recipients_of_one_message_beyond_the_head(gate, sink):
    """The head is a number of recipients, not of messages."""
    running = gate(production(TRIPS))
    running.send(letter(), people("a", 30), PRODUCTION_CLIENT)
    running.wait_counts("production", {"sent": 5, "waiting": 25})
    assert sorted(sink.recipients()) == people("a", 5)
    running.send(letter(), people("b", 21), PRODUCTION_CLIENT)
    running.wait_counts("production", {"sent": 5, "held": 46})
    assert running.batch()["leaked"] == 5


def test_under_the_head_nothing_waits(gate, sink):
    """Whatever waited here would wait for an hour."""
    running = gate(production('burst "volume" { limit = "50/10m" per = {source, subject} '
                              'head = "5/1s" settle = "1h" } '
                              'burst "all" { limit = "500/10m" per = {source} '
                              'head = "50/10m" settle = "1h" }'))
    for subject in "one", "two", "three":
        for name in people(subject, 5):
            running.send(letter(subject), [name], PRODUCTION_CLIENT)
    sink.wait(15)
    running.wait_counts("production", {"sent": 15})
    for row in running.deliveries(environment="production"):
        assert not row["rule"] and not row["reason"], row
    assert running.batches("--all") == []


def test_two_streams_wait_apart(gate, sink):
    """A trip calls back its own stream only."""
    running = gate(production('burst "volume" { limit = "10/10m" per = {source, subject} '
                              'head = "2/10m" settle = "1h" }'))
    send(running, people("quiet", 6), letter("Quiet"))
    send(running, people("loud", 11), letter("Loud"))
    running.wait_counts("production", {"sent": 4, "waiting": 4, "held": 9})
    assert running.batch()["leaked"] == 2
    waiting = running.deliveries(environment="production", state="waiting")
    assert sorted(d["recipient"] for d in waiting) == people("quiet", 6)[2:]


def test_what_another_rule_lets_wait_is_recalled(gate, sink):
    """The rule that trips has no head of its own."""
    running = gate(production('burst "head" { limit = "1000/10m" per = {source} '
                              'head = "3/10m" settle = "1h" } '
                              'burst "subject" { limit = "20/10m" per = {subject} }'))
    send(running, people("a", 20))
    running.wait_counts("production", {"sent": 3, "waiting": 17})
    send(running, ["b@x.test"])
    batch = check_accounts(running, sink, [*people("a", 20), "b@x.test"])
    assert (batch["rule"], batch["leaked"]) == ("burst subject", 3)


def test_kill_in_the_middle_of_a_waiting_blast(gate, sink):
    """Nothing is lost, nothing that waits leaves, and the head is not granted again."""
    running = gate(production(TRIPS))
    accepted = []
    for round_ in "abcd":
        accepted += people(round_, 10)
        send(running, people(round_, 10))
        running.wait_counts("production", {"sent": 5, "waiting": len(accepted) - 5})
        running.kill()
        running.start()
    running.wait_counts("production", {"sent": 5, "waiting": 35})
    send(running, people("e", 11))
    batch = check_accounts(running, sink, accepted + people("e", 11))
    assert batch["leaked"] == 5
    running.kill()
    running.start()
    send(running, ["late@x.test"])
    running.wait_counts("production", {"sent": 5, "held": 47})
    assert running.batch()["leaked"] == 5


@pytest.mark.heavy
def test_kills_at_random_points_of_a_blast(gate, sink):
    """What was in flight at a kill may come twice, as ever; beyond the head nothing comes."""
    running = gate(production('burst "volume" { limit = "150/10m" per = {source} '
                              'head = "20/10m" settle = "1h" }'))
    accepted, rng = [], random.Random(20)
    for round_ in range(5):
        blast = Blast(running.address(), 60, PRODUCTION_CLIENT, prefix=f"r{round_}-",
                      connections=3).start()
        wait_for("some of it", lambda: len(blast.accepted) >= rng.randrange(1, 50))
        running.kill()
        blast.join()
        accepted += blast.accepted
        running.start()
    rest = Blast(running.address(), 200, PRODUCTION_CLIENT, prefix="rest").run()
    accepted += rest.accepted
    wait_at_rest(running)
    rows = {d["recipient"]: d["state"] for d in running.deliveries(environment="production")}
    assert set(accepted) <= set(rows)
    assert len(set(sink.recipients())) <= 20
    sent = {name for name, state in rows.items() if state == "sent"}
    assert sent <= set(sink.recipients())
    batch = running.batch()
    assert batch["leaked"] == len(sent)
    assert batch["held"] == len(rows) - len(sent)


class Moody:
    """A sink's rule: now slow, now busy, now gone; never after it has taken a message."""

    def __init__(self, seed):
        self.rng, self.lock = random.Random(seed), threading.Lock()

    def __call__(self, stage, argument, session):
        with self.lock:
            mood = self.rng.random()
        if stage in ("mail", "rcpt", "data") and mood < 0.01:
            return CUT
        if stage in ("mail", "rcpt", "data", "end") and mood < 0.08:
            return "451 4.3.0 later"
        if stage == "connect" and mood < 0.03:
            return "421 4.3.2 busy"
        threading.Event().wait(mood / 50)
        return None


@pytest.mark.heavy
@pytest.mark.parametrize("seed", range(3))
def test_leak_is_exact_whatever_the_upstream_does(seed, make_gate, sink):
    """Large envelopes over several loops: in every state that mail can be in when the trip comes."""
    sink.rule = Moody(seed)
    running = make_gate('loops = 4\n' + listener() + upstream(sink, "connections = 7")
                        + production(f'burst "volume" {{ limit = "{scaled(2500)}/10m" '
                                     'per = {source} head = "200/1s" settle = "1s" }')).start()
    rng = random.Random(seed)
    envelopes = [people(f"m{n}-", rng.choice([1, 1, 3, 40, 230])) for n in range(scaled(120))]
    accepted, count = [], len(envelopes)

    def work():
        with running.client(PRODUCTION_CLIENT, timeout=60) as client:
            while envelopes:
                try:
                    names = envelopes.pop()
                except IndexError:
                    return
                assert client.mail(names, letter())[1][0] == 250
                threading.Event().wait(len(names) / 400)
                accepted.extend(names)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({name.partition("-")[0] for name in accepted}) == count
    sink.rule = None
    check_accounts(running, sink, accepted, 180)  # what was refused often waits long


@pytest.mark.parametrize("window", ["10m", "1h", "7d"])
def test_limit_is_exact_across_kills(window, gate, sink):
    """Short windows are counted again from what was accepted, long ones are saved as well."""
    running = gate(production(f'burst "volume" {{ limit = "20/{window}" per = {{source}} }}'))
    rng, total = random.Random(window), 0
    while total < 20:
        more = min(20 - total, rng.randrange(1, 6))
        send(running, people(f"r{total}-", more))
        total += more
        running.wait_counts("production", {"sent": total})
        rng.choice([running.kill, running.stop])()
        running.start()
    send(running, ["one-more@x.test"])
    running.wait_counts("production", {"sent": 20, "held": 1})
    assert running.batch()["leaked"] == 20
    assert len(sink.recipients()) == 20


def test_a_trip_whose_message_was_not_stored_is_none(gate, sink):
    """What waits would belong to a batch that is not there and never will be."""
    running = gate(production('burst "volume" { limit = "10/1h" per = {source} head = "2/1h" '
                              'settle = "2s" cooldown = "0s" }'))
    send(running, people("a", 10))
    with sqlite3.connect(running.store, isolation_level=None) as lock:
        lock.execute("begin immediate")
        with running.client(PRODUCTION_CLIENT, timeout=60) as client:
            assert client.mail(["b@x.test"], letter())[1][0] == 451
        lock.execute("rollback")
    running.wait_counts("production", {"sent": 10})
    send(running, ["c@x.test"])
    running.wait_counts("production", {"sent": 10, "held": 1})
    assert running.batch()["leaked"] == 10


def test_a_flood_of_subjects_is_counted_on_after_a_kill(make_gate, sink):
    """What shares a key because there is no place for more shares it after a restart."""
    own = 1000 // 4  # a source's part of all keys
    running = make_gate("counter_keys = 1000\n" + listener() + upstream(sink) + production(
        'burst "volume" { limit = "20/1h" per = {source, subject} }')).start()
    word = "".maketrans("0123456789", "abcdefghij")  # digits are all the same in a subject

    def flood(first, count):
        for n in range(first, first + count):
            send(running, [f"r{n}@x.test"], letter(f"Offer {n}".translate(word)))

    flood(0, own + 20)
    running.wait_counts("production", {"sent": own + 20})
    running.kill()
    running.start()
    flood(own + 20, 1)
    running.wait_counts("production", {"sent": own + 20, "held": 1})


# ---- the wall clock

FAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)


class WallClock:
    """Of one gate: set() and jump() move it, the monotonic clock runs on.

    libfaketime reads the file once a second. If it did so at each call (FAKETIME_NO_CACHE), the
    other threads would be told the true time meanwhile, about once in 500 calls.
    """

    def __init__(self, directory):
        self.file = directory / "clock"
        self.environment = {"LD_PRELOAD": str(FAKETIME), "FAKETIME_TIMESTAMP_FILE": str(self.file),
                            "FAKETIME_CACHE_DURATION": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
        self.set("+0")

    def set(self, offset):
        """For a gate that does not run."""
        new = self.file.with_suffix(".new")
        new.write_text(offset)
        new.rename(self.file)

    def jump(self, running, offset):
        """For one that does: until it has seen it."""
        self.set(offset)
        wanted = datetime.now(timezone.utc) + timedelta(days=int(offset[:-1]))
        wait_for("the gate's clock has jumped",
                 lambda: abs(time_of(running) - wanted) < timedelta(hours=1))


def time_of(running):
    """What the gate takes for the time: the end of the Received field that it would write."""
    _, said = running.api("POST", "/v1/explain", {
        "client": PRODUCTION_CLIENT, "from": "a@shop.example", "to": ["b@x.test"]})
    return parsedate_to_datetime(message_from_string(said["header"])["Received"].rpartition(";")[2])


@pytest.fixture
def clock(tmp_path):
    if not FAKETIME:
        pytest.skip("libfaketime is not installed")
    if sanitized():
        pytest.skip("a sanitizer's library must be the first that is loaded")
    return WallClock(tmp_path)


def accepted_at(running, name):
    return [d["accepted_at"] for d in running.deliveries(environment="production")
            if d["recipient"] == name][0]


def at(text):
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def start_with(clock, make_gate, sink, rules):
    # What was sent is looked at after the jump.
    config = 'keep_sent = "1000d"\n' + listener() + upstream(sink) + production(rules)
    return make_gate(config, environment=clock.environment).start()


@pytest.mark.parametrize("offset", ["+3d", "-3d", "+400d"])
def test_wall_clock_jumps_while_mail_waits(offset, clock, make_gate, sink):
    running = start_with(clock, make_gate, sink, TRIPS)
    send(running, people("a", 30))
    running.wait_counts("production", {"sent": 5, "waiting": 25})
    clock.jump(running, offset)
    send(running, people("b", 10))
    assert accepted_at(running, "b0@x.test")[:10] != accepted_at(running, "a0@x.test")[:10]
    # People read when it is due by the clock as it is now: an hour after the newest.
    newest = at(accepted_at(running, "b9@x.test"))
    for row in running.deliveries(environment="production", state="waiting"):
        assert timedelta(minutes=30) < at(row["next_try_at"]) - newest < timedelta(minutes=61), row
    stays_true("all of it waits", lambda: running.counts("production").get("waiting") == 35, 0.5)
    assert len(sink.recipients()) == 5
    send(running, people("c", 11))
    batch = check_accounts(running, sink, people("a", 30) + people("b", 10) + people("c", 11))
    assert batch["leaked"] == 5


@pytest.mark.parametrize("offset", ["+3d", "-3d"])
def test_wall_clock_jumps_and_what_waits_still_leaves(offset, clock, make_gate, sink):
    running = start_with(clock, make_gate, sink,
                         'burst "volume" { limit = "50/10m" per = {source} '
                         'head = "1/10m" settle = "6s" }')
    send(running, people("a", 3))
    running.wait_counts("production", {"sent": 1, "waiting": 2})
    clock.jump(running, offset)
    sink.wait(3)


def test_wall_clock_jumps_and_nothing_is_given_up(clock, make_gate, sink):
    """How long an upstream was tried is no matter of what day it is said to be."""
    sink.rule = lambda stage, *_: "451 4.3.0 later" if stage == "rcpt" else None
    running = start_with(clock, make_gate, sink, TRIPS)
    send(running, ["a@x.test"])

    def tries():
        return running.deliveries(environment="production")[0]["tries"]

    wait_for("a try", lambda: tries() > 0)
    clock.jump(running, "+5d")
    before = tries()
    wait_for("more tries, or none any more", lambda: tries() > before + 1)
    assert running.counts("production") == {"queued": 1}


@pytest.mark.parametrize("offset", ["+3d", "-3d"])
@pytest.mark.parametrize("window", ["10m", "7d"])
def test_wall_clock_jumps_over_a_restart(window, offset, clock, make_gate, sink):
    """The machine was not started anew: its monotonic clock says how long ago it was."""
    running = start_with(clock, make_gate, sink,
                         f'burst "volume" {{ limit = "20/{window}" per = {{source}} {FOREVER} }}')
    send(running, people("a", 15))
    running.wait_counts("production", {"sent": 5, "waiting": 10})
    running.kill()
    clock.set(offset)
    running.start()
    send(running, people("b", 5))
    running.wait_counts("production", {"sent": 5, "waiting": 15})
    send(running, ["c@x.test"])
    batch = check_accounts(running, sink, people("a", 15) + people("b", 5) + ["c@x.test"])
    assert batch["leaked"] == 5
