"""Declared audiences: who is beyond the number is held, and what declares itself is not delayed."""

import pytest

from rig.client import letter
from rig.gate import PRODUCTION_CLIENT, QUIET, production
from rig.wait import wait_for


def declares(audience, campaign="spring", subject="News"):
    extra = f"X-Mailfuse-Campaign: {campaign}\r\n" if campaign is not None else ""
    extra += f"X-Mailfuse-Audience: {audience}\r\n" if audience is not None else ""
    return letter(subject, extra=extra)


def people(prefix, count):
    return [f"{prefix}{n}@x.test" for n in range(count)]


def send(running, names, data):
    running.send(data, names, PRODUCTION_CLIENT)


def test_one_beyond_the_declared_audience_is_held(gate, sink, webhook):
    running = gate(production(QUIET), more=(
        f'alert "ops" {{ type = webhook url = "{webhook.url}" events = {{"batch.*"}} }}\n'))
    for n in range(6):
        send(running, people(f"r{n}-", 50), declares(300))
    running.wait_counts("production", {"sent": 300})
    send(running, ["extra@x.test"], declares(300))
    running.wait_counts("production", {"sent": 300, "held": 1})
    assert "extra@x.test" not in sink.recipients()
    assert len(sink.recipients()) == 300
    batch = running.batch()
    # Those who were declared are no leak.
    assert (batch["rule"], batch["held"], batch["leaked"]) == ("audience", 1, 0)
    alert = webhook.wait("batch.opened")[0]
    assert "declared 300, seen 301 and rising" in alert["text"]
    send(running, people("more", 10), declares(300))
    running.wait_counts("production", {"sent": 300, "held": 11})
    assert running.batch()["held"] == 11


def test_only_the_surplus_of_one_message_is_held(gate, sink):
    running = gate(production(QUIET))
    send(running, people("a", 301), declares(300))
    running.wait_counts("production", {"sent": 300, "held": 1})
    assert sorted(sink.recipients()) == sorted(people("a", 300))
    rows = running.deliveries(environment="production", state="held")
    assert [(d["recipient"], d["rule"]) for d in rows] == [("a300@x.test", "audience")]


def test_what_waits_within_the_audience_is_no_surplus(gate, sink):
    """Only those beyond the number are held, though the others have not left yet."""
    running = gate(production('burst "volume" { limit = "1000/10m" per = {source} '
                              'head = "5/10m" settle = "3s" }'))
    send(running, people("a", 20), declares(20))
    send(running, people("b", 2), declares(20))
    running.wait_counts("production", {"sent": 20, "held": 2})
    assert sorted(sink.recipients()) == sorted(people("a", 20))


def test_smallest_declaration_counts(gate, sink):
    running = gate(production(QUIET))
    send(running, people("a", 8), declares(100))
    send(running, people("b", 4), declares(10))
    running.wait_counts("production", {"sent": 10, "held": 2})
    send(running, people("c", 3), declares(100))
    running.wait_counts("production", {"sent": 10, "held": 5})


def test_campaigns_are_counted_apart(gate, sink):
    running = gate(production(QUIET))
    for campaign in "spring", "summer":
        send(running, people(campaign, 6), declares(5, campaign))
    running.wait_counts("production", {"sent": 10, "held": 2})
    assert len(running.batches()) == 2


def test_without_an_audience_nothing_is_counted(gate, sink):
    running = gate(production(QUIET))
    send(running, people("a", 20), declares(None))
    send(running, people("b", 5), declares(5))
    running.wait_counts("production", {"sent": 25})


@pytest.mark.parametrize("how", ["kill", "stop"])
def test_campaign_goes_on_after_a_restart(how, gate, sink):
    running = gate(production(QUIET))
    send(running, people("a", 7), declares(10))
    running.wait_counts("production", {"sent": 7})
    getattr(running, how)()
    running.start()
    send(running, people("b", 2), declares(50))
    running.wait_counts("production", {"sent": 9})
    getattr(running, how)()
    running.start()
    send(running, people("c", 3), declares(10))
    running.wait_counts("production", {"sent": 10, "held": 2})


def test_declarations_do_not_leave(gate, sink):
    running = gate(production(QUIET))
    send(running, ["a@x.test"], letter("News", extra=(
        "x-mailfuse-campaign: spring\r\nX-MAILFUSE-AUDIENCE : 300\r\nX-Other: stays\r\n")))
    header = sink.only().header.lower()
    assert b"campaign" not in header and b"audience" not in header and b"spring" not in header
    assert sink.only().field("X-Other") == "stays"


DECLARED = ('burst "volume" { limit = "20/10m" per = {source, subject} '
            'head = "5/10m" settle = "1h" declared = "300/1d" }')


def test_declared_campaign_is_not_delayed(gate, sink):
    running = gate(production(DECLARED))
    for n in range(6):
        send(running, people(f"r{n}-", 50), declares(300))
    sink.wait(300)
    running.wait_counts("production", {"sent": 300})
    # The same subject without a declaration is another stream: it has its own head and limit.
    send(running, people("b", 8), letter("News"))
    running.wait_counts("production", {"sent": 305, "waiting": 3})


@pytest.mark.parametrize("data", [declares(301), declares(None), letter("News")],
                         ids=["too large", "no audience", "nothing declared"])
def test_other_mail_is_ordinary(data, gate, sink):
    running = gate(production(DECLARED))
    send(running, people("a", 10), data)
    running.wait_counts("production", {"sent": 5, "waiting": 5})
    send(running, people("b", 11), data)
    running.wait_counts("production", {"sent": 5, "held": 16})


def test_declared_limit_holds_too(gate, sink):
    """Several campaigns of one stream together are more than it takes."""
    running = gate(production(DECLARED))
    for campaign in "one", "two", "three":
        send(running, people(campaign, 100), declares(100, campaign))
    running.wait_counts("production", {"sent": 300})
    send(running, ["last@x.test"], declares(100, "four"))
    running.wait_counts("production", {"sent": 300, "held": 1})
    assert running.batch()["leaked"] == 300


REFUSED = {
    "audience without campaign": declares(300, None),
    "no number": declares("many"),
    "zero": declares(0),
    "negative": declares(-1),
    "number and more": declares("300 people"),
    "too large": declares(4294967296),
    "empty": declares(""),
    "two audiences": letter(extra="X-Mailfuse-Campaign: a\r\nX-Mailfuse-Audience: 3\r\n"
                                  "X-Mailfuse-Audience: 4\r\n"),
    "two campaigns": letter(extra="X-Mailfuse-Campaign: a\r\nX-Mailfuse-Campaign: b\r\n"
                                  "X-Mailfuse-Audience: 4\r\n"),
    "campaign too long": declares(3, "x" * 201),
}


@pytest.mark.parametrize("data", REFUSED.values(), ids=REFUSED.keys())
def test_wrong_declarations_are_refused(data, gate, sink):
    running = gate(production(QUIET))
    with running.client(PRODUCTION_CLIENT) as client:
        _, (code, text) = client.mail(["a@x.test"], data)
        assert (code, text.split()[0]) == (550, "5.6.0")
        assert "X-Mailfuse-" in text
        # The next message on the connection is none the worse for it.
        _, (code, text) = client.mail(["b@x.test"], declares(300, "x" * 200))
        assert code == 250, text
    wait_for("the other one", lambda: sink.recipients() == ["b@x.test"])
    assert running.counts("production").get("held") is None


def test_the_same_declaration_twice_is_one(gate, sink):
    running = gate(production(QUIET))
    send(running, people("a", 3), letter(extra=(
        "X-Mailfuse-Campaign: a\r\nX-Mailfuse-Campaign: a\r\n"
        "X-Mailfuse-Audience: 2\r\nX-Mailfuse-Audience: 2\r\n")))
    running.wait_counts("production", {"sent": 2, "held": 1})
