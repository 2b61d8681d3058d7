"""The smarthost as the world knows it: down, slow, refusing, lying, cutting."""

import time

import pytest

from rig.client import Blast, letter
from rig.gate import PRODUCTION_CLIENT, listener, production, upstream
from rig.sink import CUT, HANG
from rig.wait import stays_true, wait_for


def send(running, *names, **keys):
    return running.send(letter(), list(names), PRODUCTION_CLIENT, **keys)


def first_time(stage, answer, matching=""):
    """A rule that gives `answer` the first time a stage (and an argument) comes by."""
    seen = []

    def rule(now, argument, _session):
        if now == stage and matching in str(argument) and not seen:
            seen.append(argument)
            return answer
        return None

    rule.seen = seen
    return rule


def test_down_for_a_while_and_back(gate, sink):
    sink.stop()
    running = gate(production())
    for n in range(30):
        send(running, f"a{n}@x.test")
    wait_for("the gate says the upstream is down",
             lambda: running.status()["upstreams"][0]["up"] is False)
    assert running.status()["upstreams"][0]["why"]
    running.wait_counts("production", {"queued": 30})
    sink.start()
    sink.wait(30)
    running.wait_count("production", "sent", 30)
    assert sorted(sink.recipients()) == sorted(f"a{n}@x.test" for n in range(30))
    wait_for("and that it is up again", lambda: running.status()["upstreams"][0]["up"] is True)


def test_down_at_the_start_with_mail_from_before(gate, sink):
    sink.stop()
    running = gate(production())
    send(running, "a@x.test")
    running.stop()
    running.start()
    sink.start()
    assert sink.only().recipients == ["a@x.test"]


def test_goes_away_in_the_middle(gate, sink):
    running = gate(production())
    for n in range(60):
        send(running, f"a{n}@x.test")
        if n == 20:
            sink.stop()
        if n == 40:
            sink.start()
    wait_for("everybody got it", lambda: len(set(sink.recipients())) == 60)
    running.wait_count("production", "sent", 60)


@pytest.mark.parametrize("stage", ["connect", "ehlo", "mail", "rcpt", "data", "end"])
@pytest.mark.parametrize("answer", ["451 4.3.0 later", "421 4.3.2 shutting down", CUT],
                         ids=["451", "421", "cut"])
def test_temporary_trouble_is_retried(stage, answer, gate, sink):
    sink.rule = first_time(stage, answer)
    running = gate(production())
    send(running, "a@x.test", "b@x.test")
    sink.wait(2)
    running.wait_count("production", "sent", 2)
    assert sink.rule.seen
    assert sorted(sink.recipients()) == ["a@x.test", "b@x.test"]


@pytest.mark.parametrize("stage", ["connect", "ehlo", "mail", "rcpt", "data", "end"])
def test_silence_is_retried(stage, gate, sink):
    sink.rule = first_time(stage, HANG)
    running = gate(production(), upstream_keys='timeout = "1s"')
    send(running, "a@x.test")
    assert sink.only().recipients == ["a@x.test"]
    running.wait_count("production", "sent", 1)


@pytest.mark.parametrize("stage", ["mail", "rcpt", "data", "end"])
def test_refused_for_good_is_failed_with_its_reason(stage, gate, sink):
    sink.rule = lambda now, *_: "550 5.1.1 no such user here" if now == stage else None
    running = gate(production())
    message_id = send(running, "a@x.test", sender="")  # whom no report is sent to
    running.wait_count("production", "failed", 1)
    row = running.deliveries(message=message_id)[0]
    assert "550 5.1.1 no such user here" in row["reply"]
    stays_true("not sent", lambda: not sink.messages, 0.2)
    sink.rule = None
    send(running, "b@x.test")
    assert sink.only().recipients == ["b@x.test"]


def test_upstream_that_greets_with_5xx_loses_nothing(gate, sink):
    """A smarthost that refuses us as a whole says nothing about the mail: keep it."""
    sink.rule = lambda now, *_: "554 5.7.1 go away" if now == "connect" else None
    running = gate(production())
    send(running, "a@x.test")
    wait_for("it was tried", lambda: sink.connections > 0)
    stays_true("not failed", lambda: not running.counts("production").get("failed"), 0.5)
    sink.rule = None
    assert sink.only().recipients == ["a@x.test"]


def test_one_recipient_of_many_is_refused(gate, sink):
    sink.rule = lambda now, argument, _: (
        "550 5.1.1 unknown" if now == "rcpt" and argument == "bad@x.test" else None)
    running = gate(production())
    message_id = send(running, "a@x.test", "bad@x.test", "b@x.test", sender="")
    sink.wait(2)
    running.wait_count("production", "sent", 2)
    assert sorted(sink.recipients()) == ["a@x.test", "b@x.test"]
    states = {d["recipient"]: d["state"] for d in running.deliveries(message=message_id)}
    assert states == {"a@x.test": "sent", "bad@x.test": "failed", "b@x.test": "sent"}


def test_one_recipient_of_many_comes_later_and_nobody_twice(gate, sink):
    sink.rule = first_time("rcpt", "450 4.2.1 greylisted", "slow@x.test")
    running = gate(production())
    message_id = send(running, "a@x.test", "slow@x.test", "b@x.test")
    sink.wait(3)
    running.wait_count("production", "sent", 3)
    assert sorted(sink.recipients()) == ["a@x.test", "b@x.test", "slow@x.test"]
    tries = {d["recipient"]: d["tries"] for d in running.deliveries(message=message_id)}
    assert tries["slow@x.test"] == 2


def test_all_recipients_refused_sends_no_data(gate, sink):
    sink.rule = lambda now, *_: "550 5.1.1 unknown" if now == "rcpt" else None
    running = gate(production())
    send(running, "a@x.test", "b@x.test", sender="")
    running.wait_count("production", "failed", 2)
    assert not sink.messages


LIES = [
    "hello there", "999 what", "250-never\r\n250-ending\r\n354 or so", "220", "2", "25",
    "250 " + "x" * 100000, "\0\0\0", "250-a\r\n550 b",
]


# A bare "220" is a greeting: RFC 5321 4.2 lets the text be empty.
@pytest.mark.parametrize("stage, lie", [
    (stage, lie) for stage in ("connect", "mail", "end") for lie in LIES
    if (stage, lie) != ("connect", "220")])
def test_rubbish_is_never_taken_for_success(stage, lie, gate, sink):
    """What is no proper reply cannot mean "sent"; the message comes again on another connection."""
    sink.rule = first_time(stage, lie)
    running = gate(production(), upstream_keys='timeout = "1s"')
    send(running, "a@x.test")
    wait_for("it arrived", lambda: "a@x.test" in sink.recipients())
    running.wait_count("production", "sent", 1)


def test_retry_for_ends_in_failed(gate, sink):
    sink.rule = lambda now, *_: "451 4.3.0 never" if now == "rcpt" else None
    running = gate(production(), upstream_keys='retry_for = "2s"')
    message_id = send(running, "a@x.test", sender="")  # whom no report is sent to
    running.wait_count("production", "failed", 1)
    row = running.deliveries(message=message_id)[0]
    assert row["tries"] >= 2
    assert "451 4.3.0 never" in row["reply"] or "4.4.7" in row["reply"], row


def test_dead_address_without_listener_is_retried_until_retry_for(gate, sink):
    sink.stop()
    running = gate(production(), upstream_keys='retry_for = "2s"')
    send(running, "a@x.test")
    running.wait_count("production", "failed", 1)


def test_connections_are_reused_and_bounded(gate, sink):
    running = gate(production(), upstream_keys="connections = 3")
    with running.client(PRODUCTION_CLIENT) as client:
        for n in range(100):
            assert client.mail([f"a{n}@x.test"], letter())[1][0] == 250
    sink.wait(100)
    assert sink.connections <= 3
    assert len({m.connection for m in sink.messages}) <= 3


def test_upstream_without_extensions(gate, sink):
    sink.extensions = []
    running = gate(production())
    for n in range(5):
        send(running, f"a{n}@x.test", f"b{n}@x.test")
    sink.wait(10)


def test_upstream_that_only_knows_helo(gate, sink):
    refused = lambda now, argument, session: (  # noqa: E731
        "500 5.5.2 what" if now == "ehlo" and not session.__dict__.setdefault("asked", None)
        and not setattr(session, "asked", True) else None)
    sink.rule = refused
    running = gate(production())
    send(running, "a@x.test")
    assert sink.only().recipients == ["a@x.test"]


def test_one_upstream_down_does_not_hold_up_the_other(make_gate, sink):
    from rig.sink import Sink

    other = Sink()
    other.stop()
    running = make_gate(
        listener() + upstream(sink, name="good") + upstream(other, name="bad")
        + 'environment "a" { production = true match { network = {"127.0.1.0/24"} } '
          'upstream = "good" }\n'
        + 'environment "b" { production = true match { network = {"127.0.2.0/24"} } '
          'upstream = "bad" }\n'
    ).start()
    for n in range(10):
        running.send(letter(), [f"b{n}@x.test"], "127.0.2.1")
        running.send(letter(), [f"a{n}@x.test"], "127.0.1.1")
    sink.wait(10, deadline=10)
    assert all(r.startswith("a") for r in sink.recipients())
    other.start()
    other.wait(10)
    other.stop()


def test_message_larger_than_the_upstream_allows_is_failed(gate, sink):
    sink.extensions = ["PIPELINING", "SIZE 1000"]
    running = gate(production())
    message_id = running.send(letter(body="x" * 70 + "\r\n" * 2000), ["a@x.test"],
                              PRODUCTION_CLIENT)
    wait_for("a decision", lambda: running.deliveries(message=message_id)[0]["state"]
             in ("failed", "sent"))


def test_upstream_that_allows_few_connections_is_not_hammered(gate, sink):
    """With four open it answers 421: the open ones carry the mail, and new ones are tried seldom."""
    refused = []

    def four(now, argument, session):
        if now == "connect" and len(sink.open) > 4:
            refused.append(session.number)
            return "421 4.7.0 too many connections"
        return None

    sink.rule = four
    running = gate(production(), upstream_keys="connections = 20")
    began = time.monotonic()
    blast = Blast(running.address(), 400, PRODUCTION_CLIENT, connections=20)
    blast.run()
    running.wait_count("production", "sent", 400)
    rounds = (time.monotonic() - began) // 5  # that is when it tries again
    assert len(refused) <= 40 + 20 * rounds
    assert "upstream.down" not in running.text()
    assert "new=suspect" not in running.text()


def test_all_connections_cut_at_once_come_back(gate, sink):
    """As many as wait for one are opened again, and nothing is lost."""
    running = gate(production(), upstream_keys="connections = 10")
    blast = Blast(running.address(), 300, PRODUCTION_CLIENT, connections=10)
    blast.start()
    sink.wait(50)
    sink.cut()
    blast.join()
    running.wait_count("production", "sent", 300)
    assert set(sink.recipients()) == {blast.recipient(n) for n in range(300)}


def test_upstream_that_takes_few_messages_a_connection(gate, sink):
    """As OpenSMTPD says it; that is no word on a message, which needs no second try."""
    taken = {}

    def three(now, argument, session):
        if now == "end":
            taken[session.number] = taken.get(session.number, 0) + 1
        if now == "mail" and taken.get(session.number, 0) >= 3:
            return "452 4.5.3 too many messages"
        return None

    sink.rule = three
    running = gate(production())
    blast = Blast(running.address(), 100, PRODUCTION_CLIENT, connections=8).run()
    running.wait_count("production", "sent", 100)
    assert sorted(sink.recipients()) == sorted(blast.recipient(n) for n in range(100))
    assert {d["tries"] for d in running.deliveries(state="sent")} == {1}


def test_upstream_that_wants_nothing_for_a_while_is_not_connected_to_again_and_again(gate, sink):
    """A rate limit at MAIL: each connection is given up once, and the ones after it are kept."""
    running = gate(production())
    for n in range(8):
        send(running, f"a{n}@x.test")
    running.wait_count("production", "sent", 8)
    sink.rule = lambda stage, *_: "450 4.7.1 too much mail" if stage == "mail" else None
    before = sink.connections
    for n in range(50):
        send(running, f"b{n}@x.test")
    wait_for("a try of each", lambda: all(d["tries"] > 0 for d in running.deliveries(state="queued")))
    assert sink.connections - before <= 2 * 8
    sink.rule = None
    running.wait_count("production", "sent", 58)
