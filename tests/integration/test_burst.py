"""The fuse: what counts, when it blows, how much leaked, and what is held afterwards."""

import re
import time

import pytest

from rig.client import Blast, letter
from rig.gate import PRODUCTION_CLIENT, STAGING_CLIENT, production, scaled, staging
from rig.wait import stays_true, wait_for


def settled(running, environment):
    """Waits until nothing of an environment is on its way; returns the counts."""
    wait_for("nothing queued or waiting", lambda: not (
        running.counts(environment).get("queued", 0)
        + running.counts(environment).get("waiting", 0)))
    return running.counts(environment)


@pytest.mark.heavy
@pytest.mark.parametrize("environment, source, leak", [
    (production(""), PRODUCTION_CLIENT, 10),  # the head of the built-in rule
    (staging('allow = {"@customers.example"}'), STAGING_CLIENT, 50),  # its limit
], ids=["production", "staging"])
def test_blast_is_held_as_one_batch_and_every_recipient_accounted_for(
        environment, source, leak, gate, sink):
    running = gate(environment)
    name = "production" if source == PRODUCTION_CLIENT else "staging"
    blast = Blast(running.address(), scaled(5000), source).run()
    assert len(blast.accepted) == scaled(5000), blast.refused[:3]
    counts = settled(running, name)
    assert set(counts) <= {"sent", "held"}
    assert counts.get("sent", 0) + counts["held"] == scaled(5000)
    assert counts.get("sent", 0) <= leak
    assert sorted(sink.recipients()) == sorted(
        d["recipient"] for d in running.deliveries(environment=name, state="sent"))
    batch = running.batch()
    assert batch["state"] == "held"
    assert batch["held"] == counts["held"]
    assert batch["leaked"] == counts.get("sent", 0)
    assert batch["recipients"] == counts["held"]
    assert batch["distinct_recipients"] == counts["held"]


@pytest.mark.heavy
def test_dropped_and_held_and_sent_add_up(gate, sink):
    running = gate(staging('allow = {"@customers.example"} others = drop '
                           'burst "volume" { limit = "20/10m" per = {environment} }'))
    count = scaled(1000)
    allowed = Blast(running.address(), count).start()
    others = Blast(running.address(), count, domain="elsewhere.example").run()
    allowed.join()
    assert len(allowed.accepted) == len(others.accepted) == count
    counts = settled(running, "staging")
    assert counts["dropped"] == count
    assert counts.get("sent", 0) + counts["held"] == count
    assert counts.get("sent", 0) <= 20


def test_recipients_count_not_messages(gate, sink):
    running = gate(staging('allow = {"*"} burst "volume" { limit = "30/10m" per = {environment} }'))
    running.send(letter(), [f"a{n}@x.test" for n in range(20)])
    running.wait_count("staging", "sent", 20)
    running.send(letter(), [f"b{n}@x.test" for n in range(20)])
    running.wait_counts("staging", {"sent": 20, "held": 20})


def test_message_that_crosses_the_limit_leaks_nothing_of_itself(gate, sink):
    """A thousand recipients in one message: none of them may leave first."""
    running = gate(staging('allow = {"*"} burst "volume" { limit = "50/10m" per = {environment} }'))
    running.send(letter(), [f"a{n}@x.test" for n in range(500)])
    running.wait_counts("staging", {"held": 500})
    assert running.batch()["leaked"] == 0
    stays_true("nothing at the sink", lambda: not sink.messages, 0.3)


def test_up_to_the_limit_everything_passes_at_once(gate, sink):
    running = gate(staging('allow = {"*"} burst "volume" { limit = "50/10m" per = {environment} }'))
    for n in range(50):
        running.send(letter(), [f"a{n}@x.test"])
    sink.wait(50, deadline=10)
    assert running.batches("--all") == []


def test_beyond_the_head_waits_and_then_leaves(gate, sink):
    running = gate(production('burst "volume" { limit = "100/10m" per = {source} '
                              'head = "5/1m" settle = "2s" }'))
    for n in range(12):
        running.send(letter(), [f"a{n}@x.test"], PRODUCTION_CLIENT)
    sink.wait(5)
    assert running.counts("production").get("waiting", 0) == 7
    assert len(sink.recipients()) == 5
    sink.wait(12)
    running.wait_counts("production", {"sent": 12})
    assert running.batches("--all") == []


def test_what_waits_is_pulled_into_the_batch(gate, sink):
    running = gate(production('burst "volume" { limit = "20/10m" per = {source} '
                              'head = "5/1m" settle = "10s" }'))
    for n in range(25):
        running.send(letter(), [f"a{n}@x.test"], PRODUCTION_CLIENT)
    running.wait_count("production", "held", 20)
    running.wait_count("production", "sent", 5)
    assert sorted(sink.recipients()) == sorted(f"a{n}@x.test" for n in range(5))
    assert running.batch()["leaked"] == 5


PER = [
    # per, what the next message changes, does it join the stream
    ("{source, subject}", {"subject": "Hello"}, True),
    ("{source, subject}", {"subject": "Something else"}, False),
    ("{source, subject}", {"subject": "Re: [STAGING] hello"}, True),
    ("{source, subject}", {"source": "127.0.2.9"}, False),
    ("{source}", {"subject": "Something else"}, True),
    ("{environment}", {"source": "127.0.2.9", "subject": "Something else"}, True),
    ("{sender}", {"sender": "other@shop.example"}, False),
    ("{sender}", {"source": "127.0.2.9"}, True),
    ("{campaign}", {"campaign": "spring"}, True),
    ("{campaign}", {"campaign": "summer"}, False),
]


@pytest.mark.parametrize("per, change, joins", PER, ids=[f"{p[0]} {p[1]}" for p in PER])
def test_what_a_stream_is(per, change, joins, gate, sink):
    running = gate(staging(f'allow = {{"*"}} burst "b" {{ limit = "10/10m" per = {per} }}'))

    def one(names, source=STAGING_CLIENT, subject="Hello", sender="app@shop.example",
            campaign="spring"):
        running.send(letter(subject, extra=f"X-Mailfuse-Campaign: {campaign}\r\n"), names, source,
                     sender=sender)

    one([f"a{n}@x.test" for n in range(11)])
    running.wait_counts("staging", {"held": 11})
    one(["next@x.test"], **change)
    if joins:
        running.wait_counts("staging", {"held": 12})
        assert running.batch()["recipients"] == 12
    else:
        sink.wait(1)
        assert sink.recipients() == ["next@x.test"]


def test_numbers_in_a_subject_do_not_make_another_stream(gate, sink):
    running = gate(staging('allow = {"*"} '
                           'burst "b" { limit = "10/10m" per = {source, subject} }'))
    for n in range(30):
        running.send(letter(f"Your order {n * 7919}"), [f"a{n}@x.test"])
    counts = settled(running, "staging")
    assert counts == {"sent": 10, "held": 20}


def test_one_person_mailed_again_and_again(gate, sink):
    running = gate(production('burst "repeat" { limit = "5/1h" per = {recipient, subject} }'))
    for n in range(12):
        running.send(letter("Status"), ["ops@x.test", f"other{n}@x.test"], PRODUCTION_CLIENT)
    counts = settled(running, "production")
    assert sink.recipients().count("ops@x.test") == 5
    assert counts == {"sent": 17, "held": 7}


def test_alert_action_observes_and_holds_nothing(gate, sink, webhook):
    running = gate(
        staging('allow = {"*"} burst "b" { limit = "10/10m" per = {environment} action = alert }'),
        more=f'alert "ops" {{ type = webhook url = "{webhook.url}" events = {{"batch.*"}} }}\n')
    for n in range(15):
        running.send(letter(), [f"a{n}@x.test"])
    sink.wait(15)
    running.wait_counts("staging", {"sent": 15})
    webhook.wait("batch.observed")


def test_window_slides(gate, sink):
    running = gate(staging('allow = {"*"} '
                           'burst "b" { limit = "5/2s" per = {environment} cooldown = "1s" }'))
    running.send(letter(), [f"a{n}@x.test" for n in range(5)])
    sink.wait(5)

    # Seldom enough that the probes themselves stay under the limit, or the stream never cools.
    def passes():
        time.sleep(0.7)
        running.send(letter(), ["probe@x.test"])
        return "probe@x.test" in sink.recipients()

    wait_for("the window has passed", passes, 20)


def test_batch_ends_after_its_cooldown_and_the_next_blast_opens_another(gate, sink):
    running = gate(staging('allow = {"*"} '
                           'burst "b" { limit = "5/1s" per = {environment} cooldown = "1s" }'))
    running.send(letter(), [f"a{n}@x.test" for n in range(10)])
    first = running.batch()
    assert first["collecting"] is True
    wait_for("the batch stops collecting", lambda: running.batch()["collecting"] is False)
    assert running.batch()["held"] == 10
    running.send(letter(), ["calm@x.test"])
    sink.wait(1)
    running.send(letter(), [f"b{n}@x.test" for n in range(10)])
    ids = [b["id"] for b in running.batches()]
    assert len(ids) == 2 and first["id"] in ids


def test_stream_is_held_as_long_as_its_batch_collects(gate, sink):
    running = gate(staging('allow = {"*"} '
                           'burst "b" { limit = "5/1s" per = {environment} cooldown = 0 }'))
    running.send(letter(), [f"a{n}@x.test" for n in range(10)])
    # Longer than the window: a stream that tripped stays held until somebody decides.
    stays_true("nothing leaves", lambda: not sink.messages, 1.5)
    running.send(letter(), ["late@x.test"])
    running.wait_counts("staging", {"held": 11})
    assert running.batch()["recipients"] == 11


def test_counters_survive_a_restart(gate, sink):
    running = gate(staging('allow = {"*"} burst "b" { limit = "10/10m" per = {environment} }'))
    running.send(letter(), [f"a{n}@x.test" for n in range(8)])
    running.wait_count("staging", "sent", 8)
    running.stop()
    running.start()
    running.send(letter(), [f"b{n}@x.test" for n in range(3)])
    running.wait_counts("staging", {"sent": 8, "held": 3})
    running.stop()
    running.start()
    running.send(letter(), ["c@x.test"])
    running.wait_counts("staging", {"sent": 8, "held": 4})
    assert running.batch()["recipients"] == 4


def test_restart_remembers_campaigns_and_what_left(gate, sink):
    running = gate(staging('allow = {"*"} burst "b" { limit = "10/1h" per = {campaign} }'))
    first = letter(extra="X-Mailfuse-Campaign: spring\r\n")
    running.send(first, [f"a{n}@x.test" for n in range(8)])
    running.wait_count("staging", "sent", 8)
    running.stop()
    running.start()
    running.send(letter(), [f"b{n}@x.test" for n in range(8)])
    running.send(first, [f"c{n}@x.test" for n in range(3)])
    running.wait_counts("staging", {"sent": 16, "held": 3})
    assert running.batch()["leaked"] == 8


def test_story_of_a_batch(gate):
    running = gate(staging('allow = {"*"} burst "b" { limit = "10/10m" per = {source, subject} }'))
    for n in range(40):
        running.send(letter("Sale"), [f"a{n}@d{n % 3}.test"])
    batch = running.one("show", running.batch()["id"])
    assert batch["rule"] == "burst b"
    assert batch["source"] == STAGING_CLIENT
    assert re.search("sale", batch["subject"], re.I)
    assert batch["environment"] == "staging"
    story = batch["story"]
    assert sum(row["count"] for row in story["top_domains"]) == batch["recipients"]
    assert sum(row["count"] for row in story["arrivals"]) == batch["recipients"]
    assert any("release" in line for line in story["next"])
    text = running.cli("show", batch["id"]).stdout
    assert batch["id"] in text and "Sale" in text and "d1.test" in text
