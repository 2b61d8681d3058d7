"""The recipient policy through real SMTP: who is let through, and what becomes of the others."""

import pytest

from rig.client import letter
from rig.gate import Gate, listener, production, staging, upstream
from rig.sink import Sink
from rig.wait import wait_for

# One environment each; its clients come from 127.0.N.1, N counted from 20.
POLICIES = {
    "nobody": "others = drop",
    "empty list": "allow = {} others = drop",
    "all": 'allow = {"*"} others = reject',
    "drop": 'allow = {"ok@example.com"} others = drop',
    "hold": 'allow = {"ok@example.com"} others = hold',
    "reject": 'allow = {"ok@example.com"} others = reject',
    "rewrite": 'allow = {"ok@example.com"} others = rewrite rewrite_to = "qa+%u=%d@example.com"',
    "rewrite to one": 'others = rewrite rewrite_to = "qa@example.com"',
    "rewrite by environment": 'others = rewrite rewrite_to = "%e@example.com"',
    "domain": 'allow = {"@example.com"} others = reject',
    "subdomains": 'allow = {"@.example.com"} others = reject',
    "globs": 'allow = {"qa-*@partner.test", "*@lab?.test"} others = reject',
    "regex": 'allow = {"/^test[0-9]+@/i"} others = reject',
    "idn": 'allow = {"@bücher.example"} others = reject',
}

SENT, DROPPED, HELD = "sent", "dropped", "held"

ROWS = [
    # policy, recipient, reply, state, where it arrives
    ("nobody", "ok@example.com", 250, DROPPED, None),
    ("empty list", "ok@example.com", 250, DROPPED, None),
    ("all", "anyone@anywhere.test", 250, SENT, "anyone@anywhere.test"),
    ("drop", "ok@example.com", 250, SENT, "ok@example.com"),
    ("drop", "anna@customer.test", 250, DROPPED, None),
    ("hold", "ok@example.com", 250, SENT, "ok@example.com"),
    ("hold", "anna@customer.test", 250, HELD, None),
    ("reject", "ok@example.com", 250, SENT, "ok@example.com"),
    ("reject", "anna@customer.test", 550, None, None),
    ("rewrite", "ok@example.com", 250, SENT, "ok@example.com"),
    ("rewrite", "anna@customer.test", 250, SENT, "qa+anna=customer.test@example.com"),
    ("rewrite", "a.b+c@customer.test", 250, SENT, "qa+a.b+c=customer.test@example.com"),
    ("rewrite to one", "anna@customer.test", 250, SENT, "qa@example.com"),
    ("rewrite by environment", "anna@customer.test", 250, SENT,
     "rewrite-by-environment@example.com"),
    ("domain", "anyone@example.com", 250, SENT, "anyone@example.com"),
    ("domain", "anyone@EXAMPLE.Com", 250, SENT, "anyone@EXAMPLE.Com"),
    ("domain", "anyone@sub.example.com", 550, None, None),
    ("domain", "anyone@notexample.com", 550, None, None),
    ("domain", "anyone@example.com.evil.test", 550, None, None),
    ("domain", "example.com@evil.test", 550, None, None),
    ("domain", '"x@example.com"@evil.test', 550, None, None),
    ("domain", "x%example.com@evil.test", 550, None, None),
    ("subdomains", "anyone@sub.example.com", 250, SENT, "anyone@sub.example.com"),
    ("subdomains", "anyone@a.b.example.com", 250, SENT, "anyone@a.b.example.com"),
    ("subdomains", "anyone@notexample.com", 550, None, None),
    ("globs", "qa-7@partner.test", 250, SENT, "qa-7@partner.test"),
    ("globs", "QA-7@PARTNER.test", 250, SENT, "QA-7@PARTNER.test"),
    ("globs", "anna@partner.test", 550, None, None),
    ("globs", "x@lab1.test", 250, SENT, "x@lab1.test"),
    ("globs", "x@lab12.test", 550, None, None),
    ("regex", "Test12@anywhere.test", 250, SENT, "Test12@anywhere.test"),
    ("regex", "contest12@anywhere.test", 550, None, None),
    ("idn", "x@xn--bcher-kva.example", 250, SENT, "x@xn--bcher-kva.example"),
    ("idn", "x@bucher.example", 550, None, None),
]


@pytest.fixture(scope="module")
def policies(tmp_path_factory):
    """One gate with all policies; each row looks at its own message only."""
    sink = Sink()
    config = listener() + upstream(sink)
    for n, (name, keys) in enumerate(POLICIES.items(), 20):
        config += (f'environment "{name.replace(" ", "-")}" {{\n'
                   f'match {{ network = {{"127.0.{n}.0/24"}} }}\n{keys}\n'
                   'burst "volume" { limit = "100000/1h" per = {environment} }\n}\n')
    gate = Gate(tmp_path_factory.mktemp("policies"), config).start()
    yield gate, sink
    gate.close()
    sink.stop()


@pytest.mark.parametrize("policy, recipient, reply, state, arrives", ROWS,
                         ids=[f"{r[0]}: {r[1]}" for r in ROWS])
def test_recipient_policy(policy, recipient, reply, state, arrives, policies):
    gate, sink = policies
    source = f"127.0.{20 + list(POLICIES).index(policy)}.1"
    with gate.client(source) as client:
        results, end = client.mail([recipient], letter(to=recipient))
    assert results[0][0] == reply, results
    if reply != 250:
        assert results[0][1].startswith("5.7.1"), results
        assert end[0] in (503, 554), end
        return
    assert end[0] == 250, end
    message_id = end[1].split()[-1]
    wait_for(f"state {state}",
             lambda: [d["state"] for d in gate.deliveries(message=message_id)] == [state])
    row = gate.deliveries(message=message_id)[0]
    assert row["recipient"] == recipient
    got = [m.recipients for m in sink.messages if m.field("X-Mailfuse-Id") == message_id]
    assert got == ([[arrives]] if arrives else [])


def test_one_message_each_recipient_by_its_own_rule(gate, sink):
    running = gate(staging('allow = {"@example.com"} others = drop'))
    running.send(letter(), ["a@example.com", "anna@customer.test", "b@example.com"])
    sink.wait(2)
    assert sorted(sink.recipients()) == ["a@example.com", "b@example.com"]
    running.wait_counts("staging", {"sent": 2, "dropped": 1})


def test_two_recipients_rewritten_to_one_address_get_it(gate, sink):
    running = gate(staging('others = rewrite rewrite_to = "qa@example.com"'))
    running.send(letter(), ["anna@customer.test", "bob@customer.test"])
    running.wait_count("staging", "sent", 2)
    assert set(sink.recipients()) == {"qa@example.com"}


def test_source_that_nobody_configured_is_held(gate, sink):
    running = gate(production() + staging('allow = {"*"}'))
    running.send(letter(), ["anna@customer.test"], "127.0.9.9")
    running.wait_counts("unknown", {"held": 1})
    batch = running.batch()
    assert batch["environment"] == "unknown"
    assert batch["source"] == "127.0.9.9"
    assert not sink.messages


@pytest.mark.parametrize("order", [0, 1])
def test_most_specific_network_wins(order, gate, sink):
    wide = ('environment "wide" { production = true match { network = {"127.0.0.0/8"} } }\n')
    narrow = ('environment "narrow" { match { network = {"127.0.2.0/24"} } others = drop }\n')
    running = gate(wide + narrow if order else narrow + wide)
    running.send(letter(), ["anna@customer.test"], "127.0.2.1")
    running.wait_counts("narrow", {"dropped": 1})
    running.send(letter(), ["anna@customer.test"], "127.0.7.1")
    sink.wait(1)
    running.wait_counts("wide", {"sent": 1})


def test_listener_can_name_the_environment(make_gate, sink):
    running = make_gate(
        listener(name="apps") + listener(name="tests") + upstream(sink)
        + 'environment "production" { production = true match { listener = {"apps"} } }\n'
        + 'environment "staging" { match { listener = {"tests"} } others = drop }\n'
    ).start()
    from rig.client import Client

    for name in ("apps", "tests"):
        with Client(running.address(name), "127.0.0.1") as client:
            assert client.mail([f"{name}@x.test"], letter())[1][0] == 250
    sink.wait(1)
    assert sink.recipients() == ["apps@x.test"]
    running.wait_counts("staging", {"dropped": 1})


def test_capture_environment_sends_nothing(gate, sink):
    running = gate(staging('allow = {"*"} upstream = none'))
    running.send(letter(), ["anna@customer.test"])
    assert sum(running.counts("staging").values()) == 1
    assert running.counts("staging").get("sent", 0) == 0
    assert len(running.deliveries(environment="staging")) == 1
    assert not sink.messages
