"""Smarthosts that are broken, or mean it badly (RFC 5321 4.2, 4.2.5, 4.5.3.2; RFC 2920).

A row is what the smarthost does, each time, until the test lets it be: a list of steps, each a
stage of rig.sink (a part of its argument behind a blank: "rcpt bob") and what it answers there.
What must become of a message to ann, bob and cid is a letter each: s(ent), q(ueued), f(ailed),
while the trouble lasts. After it whatever was queued arrives, and so does a next message.
"""

import pytest

from rig.client import letter
from rig.gate import PRODUCTION_CLIENT, listener, production, upstream
from rig.sink import CUT, HANG, RESET, Drip, Sink
from rig.wait import stays_true, wait_for

ANN, BOB, CID = EVERYBODY = [f"{name}@x.test" for name in ("ann", "bob", "cid")]
STATES = {"s": "sent", "q": "queued", "f": "failed"}
PIPELINING = ("PIPELINING", "SIZE 100000000", "8BITMIME")
LONG = "\r\n".join(["250-" + "x" * 95] * 1000 + ["250 end"])
LONG_NO = "\r\n".join(["550-5.7.1 " + "x" * 88] * 1000 + ["550 5.7.1 end"])
ENDLESS = ("250-" + "x" * 95 + "\r\n") * 3000


def refusals():
    """4xx, 5xx and 421 at each step of a transaction."""
    for stage, code, states in [
        ("mail", "451 4.3.0", "qqq"), ("mail", "550 5.1.8", "fff"), ("mail", "421 4.3.2", "qqq"),
        ("mail", "530 5.7.0", "qqq"), ("mail", "535 5.7.8", "qqq"), ("mail", "552 5.2.3", "fff"),
        ("rcpt bob", "450 4.2.1", "sqs"), ("rcpt bob", "550 5.1.1", "sfs"),
        ("rcpt bob", "421 4.3.2", "qqq"), ("rcpt bob", "552 too many", "sqs"),
        ("rcpt", "450 4.2.1", "qqq"), ("rcpt", "550 5.1.1", "fff"), ("rcpt", "421 4.3.2", "qqq"),
        ("data", "451 4.3.0", "qqq"), ("data", "554 5.5.1", "fff"), ("data", "421 4.3.2", "qqq"),
        ("end", "451 4.3.0", "qqq"), ("end", "554 5.7.1", "fff"), ("end", "421 4.3.2", "qqq"),
        ("end", "552 5.3.4", "fff"),
    ]:
        yield f"{code[:3]} at {stage}", [(stage, f"{code} says the test")], states
    yield "421 and refused", [("rcpt ann", "550 5.1.1 no"), ("data", "421 4.3.2 bye")], "fqq"
    for code in ("451", "500", "421"):
        yield f"{code} at RSET", [("rcpt", "550 5.1.1 no"), ("rset", f"{code} no")], "fff"
    for code in ("421", "500"):
        yield f"{code} at QUIT", [("quit", f"{code} no")], "sss"


def nonsense():
    """What is no reply, or one of another command, is never taken for success nor for refusal."""
    for stage in ("mail", "rcpt bob", "data", "end"):
        yield f"garbage at {stage}", [(stage, "hello there")], "qqq"
        yield f"binary at {stage}", [(stage, b"\x00\xff\xfe\r\n\x80\r\n")], "qqq"
        yield f"code 600 at {stage}", [(stage, "600 beyond")], "qqq"
        yield f"codes that differ at {stage}", [(stage, "250-5.1.1 a\r\n550 5.1.1 b")], "qqq"
        yield f"endless at {stage}", [(stage, ENDLESS + "250 end")], "qqq"
        yield f"silence at {stage}", [(stage, HANG)], "qqq"
        yield f"cut at {stage}", [(stage, CUT)], "qqq"
        yield f"reset at {stage}", [(stage, RESET)], "qqq"
        yield f"cut within a reply at {stage}", [(stage, (b"250-2.0.0 Ok\r\n250", CUT))], "qqq"
        yield f"silence within a reply at {stage}", [(stage, (b"250 2.0.0 Ok\r", HANG))], "qqq"
    yield "354 to MAIL", [("mail", "354 go")], "qqq"
    yield "250 to DATA", [("data", "250 2.0.0 taken")], "qqq"
    yield "354 to the content", [("end", "354 more")], "qqq"
    yield "taken before it was sent", [("data", b"354 go\r\n250 2.0.0 taken\r\n")], "qqq"
    yield "refused before it was sent", [("data", b"354 go\r\n554 5.7.1 no\r\n")], "fff"


def too_many():
    """Replies that nobody asked for must not be counted for what comes after."""
    yield "two to MAIL", [("mail", b"250 2.1.0 Ok\r\n250 2.1.0 Ok\r\n")], "qqq"
    yield "two to MAIL, the second refuses", [("mail", b"250 Ok\r\n550 5.1.1 no\r\n")], "qqq"
    yield "two to a RCPT", [("rcpt bob", b"250 Ok\r\n550 5.1.1 no\r\n")], "qqq"
    yield "two to the content", [("end", b"250 taken\r\n250 taken\r\n")], "sss"
    yield "taken and goodbye", [("end", b"250 taken\r\n421 4.3.2 bye\r\n")], "sss"
    yield "two to RSET", [("rcpt", "550 5.1.1 no"), ("rset", b"250 Ok\r\n250 Ok\r\n")], "fff"


def slow_and_long():
    for stage in ("connect", "ehlo", "mail", "rcpt", "data", "end"):
        code = {"connect": "220", "data": "354"}.get(stage, "250")
        yield f"byte by byte at {stage}", [(stage, Drip(f"{code}-2.0.0 well\r\n{code} Ok"))], "sss"
        yield f"100 KB at {stage}", [(stage, LONG.replace("250", code))], "sss"
        yield f"a line of 100 KB at {stage}", [(stage, f"{code} " + "x" * 100000)], "sss"
        yield f"a code alone at {stage}", [(stage, code)], "sss"
    for stage in ("mail", "rcpt", "data", "end"):
        yield f"100 KB of refusal at {stage}", [(stage, LONG_NO)], "fff"


def rule_of(steps):
    def rule(now, argument, _session):
        for at, answer in steps:
            stage, _, part = at.partition(" ")
            if stage == now and part in str(argument):
                return answer
        return None

    return rule


def send(running, recipients, subject="Hello"):
    """From nobody: a report about what failed would be one message more."""
    return running.send(letter(subject), recipients, PRODUCTION_CLIENT, sender="")


def patience(steps):
    """Only where silence is waited out: a slow machine is not to be taken for it."""
    silent = any(HANG in (answer if isinstance(answer, tuple) else [answer])
                 for _, answer in steps)
    return 'timeout = "1s"' if silent else ""


def rows(*generators):
    found = [row for generator in generators for row in generator()]
    return pytest.mark.parametrize("steps, states", [row[1:] for row in found],
                                   ids=[row[0].replace(" ", "-") for row in found])


def settled(running, message_id, states):
    """True once each recipient has come to what was to become of it."""
    found = {d["recipient"]: d for d in running.deliveries(message=message_id)}
    return all(found[who]["state"] == STATES[state] and found[who]["tries"] >= 1
               for who, state in zip(EVERYBODY, states))


@rows(refusals, nonsense, too_many, slow_and_long)
@pytest.mark.parametrize("extensions", [PIPELINING, ()], ids=["pipelined", "one-by-one"])
def test_what_becomes_of_whom(steps, states, extensions, gate, sink):
    sink.extensions, sink.rule = list(extensions), rule_of(steps)
    running = gate(production(), upstream_keys=patience(steps))
    message_id = send(running, EVERYBODY)
    wait_for(f"{states}, is {running.deliveries(message=message_id)}",
             lambda: settled(running, message_id, states))
    # What it makes of the content itself, after such an end, is its own matter.
    if steps[-1][0] != "end" or "q" not in states:
        assert sorted(sink.recipients()) == [
            who for who, state in zip(EVERYBODY, states) if state == "s"]
    sink.rule = None
    send(running, ["next@x.test"], "Next")
    wait_for("what was queued, and the next one, are there",
             lambda: {"next@x.test"} | {who for who, state in zip(EVERYBODY, states)
                                        if state != "f"} <= set(sink.recipients()))
    running.wait_count("production", "sent", 4 - states.count("f"))
    assert not [r for r, state in zip(EVERYBODY, states) if state == "f" and r in sink.recipients()]


def at_the_door():
    """Trouble before the first MAIL says nothing about the mail: it waits."""
    for stage in ("connect", "ehlo"):
        for name, answer in [
            ("4xx", "451 4.3.0 says the test"), ("421", "421 4.3.2 says the test"),
            ("garbage", "hello there"), ("codes that differ", "220-a\r\n550 b"),
            ("silence", HANG), ("cut", CUT), ("reset", RESET), ("endless", ENDLESS),
            ("more than asked", f"{220 if stage == 'connect' else 250} Ok\r\n250 Ok"),
        ]:
            yield f"{name} at {stage}", [(stage, answer)], ""
    yield "5xx at connect", [("connect", "554 5.7.1 says the test")], ""
    yield "5xx at HELO too", [("ehlo", "502 no"), ("helo", "554 5.7.1 says the test")], ""


@rows(at_the_door)
def test_trouble_at_the_door_is_the_upstreams(steps, states, gate, sink):
    assert not states
    sink.rule = rule_of(steps)
    running = gate(production(), upstream_keys=patience(steps))
    message_id = send(running, EVERYBODY)
    wait_for("the gate says that the upstream is down",
             lambda: not running.status()["upstreams"][0]["up"])
    if any("says the test" in str(answer) for _, answer in steps):
        assert "says the test" in running.status()["upstreams"][0]["why"]
    assert {d["state"] for d in running.deliveries(message=message_id)} == {"queued"}
    sink.rule = None
    sink.wait(3)
    running.wait_count("production", "sent", 3)
    assert sorted(sink.recipients()) == EVERYBODY


def test_cut_after_the_final_dot_is_sent_again(gate, sink):
    """Whether it was taken nobody knows (RFC 5321 6.1): twice is better than never."""
    seen = []

    def rule(now, message, _session):
        if now == "end" and not seen:
            seen.append(message)
            return CUT
        return None

    sink.rule = rule
    running = gate(production())
    send(running, EVERYBODY, "Once at least")
    sink.wait(3)
    running.wait_count("production", "sent", 3)
    assert seen[0].data == sink.only().data


def test_one_of_many_is_refused(gate, sink):
    """Also beyond the first transaction, which has 100 recipients."""
    everybody = [f"r{n}@x.test" for n in range(250)]
    bad = {everybody[n] for n in (0, 77, 99, 100, 249)}
    sink.rule = lambda now, who, _: "550 5.1.1 no" if now == "rcpt" and who in bad else None
    running = gate(production())
    send(running, everybody)
    running.wait_counts("production", {"sent": 245, "failed": 5})
    assert sorted(sink.recipients()) == sorted(set(everybody) - bad)
    assert {d["recipient"] for d in running.deliveries(state="failed")} == bad


def test_goodbye_while_idle_costs_nothing(gate, sink):
    """421 on a kept connection (RFC 5321 3.8): the next message takes another, at once."""
    running = gate(production())
    sessions = []
    sink.rule = lambda now, _, session: sessions.append(session) if now == "end" else None
    send(running, [ANN])
    running.wait_count("production", "sent", 1)
    sessions[0].sock.sendall(b"421 4.4.2 idle too long\r\n")
    running.wait_logged(r"client\.end .*421 4\.4\.2")
    send(running, [BOB])
    running.wait_count("production", "sent", 2)
    assert sink.connections == 2
    assert running.status()["upstreams"][0]["up"]
    assert {d["tries"] for d in running.deliveries(state="sent")} == {1}


def test_an_answer_before_the_question_ends_the_connection(gate, sink):
    """A 250 that came while nobody asked must not become the answer to a MAIL or a final dot."""
    running = gate(production())
    sessions = []
    sink.rule = lambda now, _, session: sessions.append(session) if now == "end" else None
    send(running, [ANN])
    running.wait_count("production", "sent", 1)
    sessions[0].sock.sendall(b"250 2.0.0 taken\r\n" * 5)
    running.wait_logged(r"client\.end ")
    send(running, [BOB])
    sink.wait(2)
    assert [m.connection for m in sink.messages] == [1, 2]


def test_a_reply_that_holds_anything_is_shown_as_text(gate, sink):
    """It reaches logs, the store and terminals: no control characters, no more than a line."""
    hostile = b"550-5.1.1 \x1b[31mred\x07\r\n550 5.1.1 \xff\xfe \"q\" \\ =\r\n"
    sink.rule = rule_of([("rcpt", hostile)])
    running = gate(production())
    message_id = send(running, [ANN])
    running.wait_count("production", "failed", 1)
    reply = running.deliveries(message=message_id)[0]["reply"]
    assert reply.startswith("550 5.1.1 ?[31mred?")
    assert all(" " <= c <= "~" for c in reply)
    assert "\x1b" not in running.text()


def test_trouble_of_one_is_not_the_trouble_of_another(make_gate, sink):
    """A silent upstream holds nothing up but its own mail."""
    silent = Sink(rule=lambda now, *_: HANG if now == "mail" else None)
    running = make_gate(
        listener() + upstream(sink, name="good") + upstream(silent, "connections = 2", name="bad")
        + 'environment "a" { production = true match { network = {"127.0.1.0/24"} } '
          'upstream = "good" }\n'
        + 'environment "b" { production = true match { network = {"127.0.2.0/24"} } '
          'upstream = "bad" }\n').start()
    for n in range(20):
        running.send(letter(), [f"b{n}@x.test"], "127.0.2.1")
    wait_for("its connections are taken", lambda: silent.connections >= 2)
    for n in range(20):
        running.send(letter(), [f"a{n}@x.test"], "127.0.1.1")
    sink.wait(20)
    stays_true("nothing of it is lost or failed",
               lambda: set(running.counts("b")) <= {"queued"}, 0.2)
    silent.rule = None
    silent.cut()
    silent.wait(20)
    silent.stop()
