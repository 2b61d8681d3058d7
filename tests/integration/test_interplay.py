"""Several rules, several recipients, and people who decide meanwhile."""

import random

import pytest

from rig.client import Blast, letter
from rig.gate import PRODUCTION_CLIENT, QUIET, production, scaled, staging
from rig.wait import stays_true, wait_for

WHY = ("--reason", "checked by hand")


def people(prefix, count):
    return [f"{prefix}{n}@x.test" for n in range(count)]


def rows(running, environment="production", **filters):
    return {d["recipient"]: d
            for d in running.deliveries(environment=environment, **filters)}


# ---- which rule


def test_eighty_five_copies(gate, sink):
    """One person in every message; the others get theirs."""
    running = gate(production('burst "volume" { limit = "500/10m" per = {source, subject} } '
                              'burst "repeat" { limit = "5/1h" per = {recipient, subject} }'))
    for n in range(85):
        running.send(letter("Your ticket 4711"), ["victim@x.test", f"other{n}@x.test"],
                     PRODUCTION_CLIENT)
    running.wait_counts("production", {"sent": 5 + 85, "held": 80})
    assert sink.recipients().count("victim@x.test") == 5
    batch = running.batch()
    assert (batch["rule"], batch["held"], batch["leaked"], batch["distinct_recipients"]) == (
        "burst repeat", 80, 5, 1)


def test_first_rule_in_order_has_the_batch(gate, sink):
    """Content before audience before burst, whatever the file's order; within a kind the file's."""
    running = gate(production(
        'burst "one" { limit = "3/10m" per = {source} } '
        'burst "two" { limit = "3/10m" per = {environment} } '
        'content "marker" { header = Subject match = test }'))
    declared = "X-Mailfuse-Campaign: spring\r\nX-Mailfuse-Audience: 2\r\n"
    for subject, extra, name in (("a test", declared, "content"), ("Sale", declared, "audience"),
                                 ("Sale", "", "burst")):
        running.send(letter(subject, extra=extra), people(name, 5), PRODUCTION_CLIENT)
    running.wait_counts("production", {"held": 15})
    assert {n: d["rule"] for n, d in rows(running).items() if n[-8] in "34"} == {
        "content3@x.test": "content marker", "content4@x.test": "content marker",
        "audience3@x.test": "audience", "audience4@x.test": "audience",
        "burst3@x.test": "burst one", "burst4@x.test": "burst one"}


def test_one_message_with_held_waiting_and_free_recipients(gate, sink):
    running = gate(production('burst "repeat" { limit = "2/1h" per = {recipient} } '
                              'burst "volume" { limit = "100/1h" per = {source} '
                              'head = "4/1h" settle = "1h" }'))
    for _ in range(2):
        running.send(letter(), ["busy@x.test"], PRODUCTION_CLIENT)
    running.wait_counts("production", {"sent": 2})
    running.send(letter(), ["a@x.test", "busy@x.test", "b@x.test", "c@x.test"], PRODUCTION_CLIENT)
    running.wait_counts("production", {"sent": 3, "held": 1, "waiting": 2})
    assert sink.recipients() == ["busy@x.test", "busy@x.test", "a@x.test"]
    found = rows(running)
    assert found["busy@x.test"]["rule"] == "burst repeat"
    assert found["b@x.test"]["state"] == found["c@x.test"]["state"] == "waiting"


def test_what_one_rule_holds_is_no_leak_of_another(gate, sink):
    running = gate(production('burst "repeat" { limit = "2/1h" per = {recipient} } '
                              'burst "volume" { limit = "10/1h" per = {source} }'))
    for _ in range(8):
        running.send(letter(), ["busy@x.test"], PRODUCTION_CLIENT)
    running.send(letter(), people("a", 3), PRODUCTION_CLIENT)
    running.wait_counts("production", {"sent": 2, "held": 9})
    leaks = {b["rule"]: b["leaked"] for b in running.batches()}
    assert leaks == {"burst repeat": 2, "burst volume": 2}
    assert len(sink.recipients()) == 2


# ---- the recipients filter


def test_allowlisted_recipients_under_a_burst(gate, sink):
    """Who is dropped is not counted; who is allowed is held like anybody."""
    running = gate(staging('allow = {"@x.test"} others = drop '
                           'burst "volume" { limit = "10/10m" per = {environment} }'))
    for n in range(10):
        running.send(letter(), [f"a{n}@x.test", f"b{n}@elsewhere.test"])
    running.wait_counts("staging", {"sent": 10, "dropped": 10})
    running.send(letter(), ["a10@x.test", "b10@elsewhere.test"])
    running.wait_counts("staging", {"sent": 10, "dropped": 11, "held": 1})


def test_what_the_panic_button_stopped_is_no_leak(gate, sink):
    """It was judged to leave later, and did not: no batch that comes counts it."""
    running = gate(production('burst "volume" { limit = "20/1h" per = {source} '
                              'head = "2/1h" settle = "1h" }'))
    for name in people("a", 6):
        running.send(letter(), [name], PRODUCTION_CLIENT)
    running.wait_counts("production", {"sent": 2, "waiting": 4})
    running.do("hold", "--environment", "production", *WHY)
    running.do("unhold", "--environment", "production", *WHY)
    running.wait_counts("production", {"sent": 2, "held": 4})
    for name in people("b", 15):
        running.send(letter(), [name], PRODUCTION_CLIENT)
    running.wait_counts("production", {"sent": 2, "held": 19})
    leaked = {b["rule"]: b["leaked"] for b in running.batches()}
    assert leaked == {"panic": 0, "burst volume": 2}


def test_what_was_released_is_no_leak_after_a_restart(gate, sink):
    """Its stream trips again: what somebody let go is not what slipped through."""
    running = gate(production('burst "volume" { limit = "5/1h" per = {source} cooldown = "1s" } '
                              'burst "mailbox" { limit = "8/1h" per = {sender} }'))
    for name in people("a", 5):
        running.send(letter(), [name], PRODUCTION_CLIENT)
    running.send(letter(), ["b@x.test"], PRODUCTION_CLIENT)
    running.wait_counts("production", {"sent": 5, "held": 1})
    running.one("release", running.batch()["id"], *WHY)
    running.wait_counts("production", {"sent": 6})
    running.kill()
    running.start()
    running.send(letter(), people("c", 3), PRODUCTION_CLIENT)
    running.wait_counts("production", {"sent": 6, "held": 3})
    leaked = {b["rule"]: b["leaked"] for b in running.batches()}
    assert leaked == {"burst mailbox": 5}


def test_qa_mailbox_is_not_flooded(gate, sink):
    """Rewritten recipients count as whom they became."""
    running = gate(staging('allow = {"@x.test"} others = rewrite rewrite_to = "qa@x.test" '
                           'burst "repeat" { limit = "5/1h" per = {recipient} } '
                           'burst "volume" { limit = "1000/1h" per = {environment} }'))
    for n in range(20):
        running.send(letter(f"Order {n}"), [f"customer{n}@elsewhere.test"])
    running.wait_counts("staging", {"sent": 5, "held": 15})
    assert sink.recipients() == ["qa@x.test"] * 5
    assert running.batch()["leaked"] == 5
    running.send(letter(), ["dev@x.test"])
    sink.wait(6)


# ---- decisions


def test_released_mail_is_never_held_again_by_its_rule(gate, sink):
    """Also where it cannot leave at once, and the stream trips again meanwhile."""
    running = gate(production('burst "volume" { limit = "5/1h" per = {source} '
                              'head = "2/1h" settle = "1h" }'))
    for name in people("a", 2):
        running.send(letter(), [name], PRODUCTION_CLIENT)
    running.wait_counts("production", {"sent": 2})  # what is still here at the trip is held too
    for name in people("a", 6)[2:]:
        running.send(letter(), [name], PRODUCTION_CLIENT)
    running.wait_counts("production", {"sent": 2, "held": 4})
    first = running.batch()["id"]
    sink.stop()
    running.one("release", first, *WHY)
    running.wait_counts("production", {"sent": 2, "queued": 4})
    for name in people("b", 6):
        running.send(letter(), [name], PRODUCTION_CLIENT)
    running.wait_counts("production", {"sent": 2, "queued": 4, "held": 6})
    sink.start()
    running.wait_counts("production", {"sent": 6, "held": 6})
    assert sorted(sink.recipients()) == people("a", 6)
    second = [b for b in running.batches() if b["id"] != first]
    assert [(b["held"], b["leaked"]) for b in second] == [(6, 0)]


def test_no_rule_calls_back_what_somebody_released(gate, sink):
    running = gate(production('burst "subject" { limit = "3/1h" per = {subject} } '
                              'burst "all" { limit = "6/1h" per = {source} }'))
    running.send(letter("One"), people("a", 4), PRODUCTION_CLIENT)
    running.wait_counts("production", {"held": 4})
    sink.stop()
    running.one("release", running.batch()["id"], *WHY)
    running.wait_counts("production", {"queued": 4})
    running.send(letter("Two"), people("b", 2), PRODUCTION_CLIENT)
    running.send(letter("Three"), people("c", 1), PRODUCTION_CLIENT)
    sink.start()
    running.wait_counts("production", {"sent": 4, "held": 3})
    assert sorted(sink.recipients()) == people("a", 4)
    batch = [b for b in running.batches() if b["state"] == "held"]
    assert [(b["rule"], b["held"], b["leaked"]) for b in batch] == [("burst all", 3, 0)]


def test_after_a_release_the_stream_is_counted_afresh(gate, sink):
    running = gate(production('burst "volume" { limit = "5/1h" per = {source} }'))
    running.send(letter(), people("a", 6), PRODUCTION_CLIENT)
    running.wait_counts("production", {"held": 6})
    running.one("release", running.batch()["id"], *WHY)
    running.wait_counts("production", {"sent": 6})
    for restart in False, True:
        if restart:
            running.kill()
            running.start()
        for name in people(f"b{restart}-", 2):
            running.send(letter(), [name], PRODUCTION_CLIENT)
    running.wait_counts("production", {"sent": 10})
    running.send(letter(), people("c", 2), PRODUCTION_CLIENT)
    running.wait_counts("production", {"sent": 10, "held": 2})
    assert [b["leaked"] for b in running.batches()] == [4]


@pytest.mark.heavy
@pytest.mark.parametrize("seed", range(3))
def test_decisions_while_the_blast_goes_on(seed, gate, sink):
    """Everybody is accounted for exactly once, whatever was decided when."""
    running = gate(production('burst "volume" { limit = "50/10m" per = {source} '
                              'head = "10/10m" settle = "1h" }'))
    rng = random.Random(seed)
    blast = Blast(running.address(), scaled(2000), PRODUCTION_CLIENT).start()
    for _ in range(6):
        wait_for("a batch, or the end", lambda: running.batches() or not any(
            t.is_alive() for t in blast.threads))
        for batch in running.batches():
            if batch["state"] == "held":
                verb = rng.choice(["release", "release", "discard"])
                some = ["--first", rng.randrange(1, 40)] if rng.random() < 0.5 else []
                running.cli("--yes", verb, batch["id"], *(some if verb == "release" else []), *WHY)
    blast.join()
    assert len(blast.accepted) == scaled(2000)
    wait_for("nothing queued", lambda: not running.counts("production").get("queued"))
    found = rows(running)
    assert set(found) == set(blast.accepted)
    sent = [name for name, d in found.items() if d["state"] == "sent"]
    assert sorted(sink.recipients()) == sorted(sent)
    assert {d["state"] for d in found.values()} <= {"sent", "held", "discarded", "waiting"}
    for batch in running.batches("--all"):
        assert batch["recipients"] == (batch["held"] + batch["sent"] + batch["failed"]
                                       + batch["discarded"]), batch
    # What nobody released is the leak of some batch, or is within a head.
    leaked = sum(b["leaked"] for b in running.batches("--all"))
    released = sum(b["released"] for b in running.batches("--all"))
    assert len(sent) - released - leaked in range(0, 11), (len(sent), released, leaked)


def test_panic_and_trip_together(gate, sink):
    """What waits is held by the button; the stream's own batch has what came after."""
    running = gate(production('burst "volume" { limit = "10/1h" per = {source} '
                              'head = "2/1h" settle = "1h" }'))
    for name in people("a", 8):
        running.send(letter(), [name], PRODUCTION_CLIENT)
    running.wait_counts("production", {"sent": 2, "waiting": 6})
    running.do("hold", "--environment", "production", "--reason", "stop")
    running.wait_counts("production", {"sent": 2, "held": 6})
    running.do("unhold", "--environment", "production")
    for name in people("b", 3):
        running.send(letter(), [name], PRODUCTION_CLIENT)
    running.wait_count("production", "held", 9)
    assert len(sink.recipients()) == 2


def test_quiet_rules_hold_nothing(gate, sink):
    """The rules of these tests themselves are not what holds."""
    running = gate(production(QUIET))
    running.send(letter("a test"), people("a", 50), PRODUCTION_CLIENT)
    sink.wait(50)
    stays_true("no batch", lambda: running.batches("--all") == [], 0.2)
