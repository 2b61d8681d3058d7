"""Nothing that a client says in an address, a name or a parameter becomes a command to the
smarthost, a header field, a line of the log, or a line of a bounce. And mail that goes in a circle
is stopped."""

import socket
from email import message_from_bytes, policy

import pytest

from rig.client import b64, letter
from rig.gate import PRODUCTION_CLIENT, QUIET, STAGING_CLIENT, production, staging
from rig.wait import wait_for

EVIL = "X-Evil"
# What is tried: as it is, quoted, and hidden in what somebody may decode.
FORMS = {
    "CR LF": "a\r\nX-Evil: 1",
    "LF": "a\nX-Evil: 1",
    "CR": "a\rX-Evil: 1",
    "folded": "a\r\n X-Evil: 1",
    "nul": "a\0X-Evil: 1",
    "xtext": "a+0D+0AX-Evil:+201",
    "xtext LF": "a+0AX-Evil:+201",
    "percent": "a%0D%0AX-Evil:%201",
    "encoded word": "=?utf-8?q?a=0D=0AX-Evil:_1?=",
    "encoded word in base64": f"=?utf-8?b?{b64(chr(13) + chr(10) + 'X-Evil: 1').decode()}?=",
    "backslashes": "a\\r\\nX-Evil: 1",
    "NEL": "a\u0085X-Evil: 1",
    "line separator": "a\u2028X-Evil: 1",
    "vertical tab": "a\x0bX-Evil: 1",
    "end of a path": "a> X-Evil: 1 <b",
    "end of a comment": "a) X-Evil: 1 (b",
    "end of a literal": "a] X-Evil: 1 [b",
}
PLACES = {
    "helo": ["EHLO {}", "MAIL FROM:<a@b.example>", "RCPT TO:<c@d.example>"],
    "helo literal": ["EHLO [{}]", "MAIL FROM:<a@b.example>", "RCPT TO:<c@d.example>"],
    "sender": ["MAIL FROM:<{}@b.example>", "RCPT TO:<c@d.example>"],
    "quoted sender": ['MAIL FROM:<"{}"@b.example>', "RCPT TO:<c@d.example>"],
    "sender in utf-8": ['MAIL FROM:<"{}"@b.example> SMTPUTF8', "RCPT TO:<c@d.example>"],
    "sender's domain": ["MAIL FROM:<a@{}>", "RCPT TO:<c@d.example>"],
    "source route": ["MAIL FROM:<@{}:a@b.example>", "RCPT TO:<c@d.example>"],
    "recipient": ["MAIL FROM:<a@b.example>", "RCPT TO:<{}@d.example>"],
    "quoted recipient": ["MAIL FROM:<a@b.example>", 'RCPT TO:<"{}"@d.example>'],
    "recipient in utf-8": ["MAIL FROM:<a@b.example> SMTPUTF8", 'RCPT TO:<"{}"@d.example>'],
    "recipient's domain": ["MAIL FROM:<a@b.example>", "RCPT TO:<c@{}>"],
    "envid": ["MAIL FROM:<a@b.example> ENVID={}", "RCPT TO:<c@d.example>"],
    "orcpt": ["MAIL FROM:<a@b.example>", "RCPT TO:<c@d.example> ORCPT=rfc822;{}"],
    "orcpt type": ["MAIL FROM:<a@b.example>", "RCPT TO:<c@d.example> ORCPT={};c@d.example"],
    "auth parameter": ["MAIL FROM:<a@b.example> AUTH={}", "RCPT TO:<c@d.example>"],
}
VERBS = {"EHLO", "HELO", "MAIL", "RCPT", "DATA", "RSET", "NOOP", "QUIT"}


def converse(gate, source, lines):
    """The envelope, line by line; where a line is refused a harmless one takes its place."""
    with gate.client(source) as client:
        for line in lines:
            client.send(line.encode() + b"\r\n")
            code = 0
            for _ in range(line.count("\r\n") + 1):
                code, text = client.reply()
                assert text.replace("\n", "").isprintable(), text
            if code != 250:
                client.command("RSET")
                client.command("EHLO client.example")
                client.command("MAIL FROM:<a@b.example>")
        client.command("RCPT TO:<good@d.example>")
        code, text = client.command("DATA")
        assert code == 354, text
        client.send(letter() + b"\r\n.\r\n")
        code, text = client.reply()
        assert code == 250, text


def check_message(message):
    """No field of the attacker's, and nothing of him at the start of a line."""
    parsed = message_from_bytes(message.data, policy=policy.SMTP)
    assert EVIL not in parsed.keys(), message.header
    for line in message.header.split(b"\r\n"):
        assert not line.strip().lower().startswith(b"x-evil"), message.header
    assert b"\r" not in message.wire.replace(b"\r\n", b"")
    assert b"\n" not in message.wire.replace(b"\r\n", b"")
    assert message.sender == "" or message.body == b"Hi.\r\n"


def check_commands(sink):
    """Each line that the smarthost heard is a command of the gate's own."""
    for _, _, text in list(sink.heard):
        assert text.split(" ")[0] in VERBS, text
        assert not set(text) & set("\r\n\0"), text


@pytest.mark.parametrize("lines", PLACES.values(), ids=PLACES.keys())
def test_no_address_becomes_a_field_or_a_command(lines, gate, sink):
    sink.extensions += ["SMTPUTF8", "DSN"]
    running = gate(production())
    for form in FORMS.values():
        converse(running, PRODUCTION_CLIENT, [line.replace("{}", form) for line in lines])
    wait_for("a message for each form", lambda: len(sink.messages) >= len(FORMS))
    for message in list(sink.messages):
        check_message(message)
    check_commands(sink)
    check_log(running)


def check_log(gate):
    for line in gate.text().split("\n"):
        assert not line.lower().lstrip().startswith("x-evil"), line
        assert line.isprintable(), line


def test_originals_of_rewritten_recipients_stay_one_field(gate, sink):
    """X-Mailfuse-Original-To holds what the client wrote, and nothing of it gets out."""
    running = gate(staging(f'others = rewrite rewrite_to = "qa+%u=%d@example.com" {QUIET}'))
    for form in FORMS.values():
        for place in ("recipient", "quoted recipient", "recipient's domain"):
            converse(running, STAGING_CLIENT,
                     [line.replace("{}", form) for line in PLACES[place]])
    wait_for("all messages", lambda: len(sink.messages) >= 3 * len(FORMS))
    for message in list(sink.messages):
        check_message(message)
        assert all(r.startswith("qa+") and r.endswith("@example.com") for r in message.recipients)
    check_commands(sink)


def test_no_parameter_becomes_a_line_of_a_bounce(gate, sink):
    """ENVID and ORCPT are decoded in a delivery status notification, which is all lines."""
    sink.rule = lambda stage, argument, _: (
        "550 5.1.1 no such user" if stage == "rcpt" and "bad" in str(argument) else None)
    running = gate(production())
    count = 0
    for form in FORMS.values():
        if set(form) & set("\r\n\0"):
            continue  # refused as a command, above
        with running.client(PRODUCTION_CLIENT) as client:
            if client.command(f"MAIL FROM:<app@b.example> ENVID={form}")[0] != 250:
                client.expect(250, "MAIL FROM:<app@b.example>")
            if client.command(f"RCPT TO:<bad@d.example> ORCPT=rfc822;{form}")[0] != 250:
                client.expect(250, "RCPT TO:<bad@d.example>")
            client.expect(354, "DATA")
            client.send(letter() + b"\r\n.\r\n")
            assert client.reply()[0] == 250
            count += 1
    wait_for("a bounce for each", lambda: len(bounces(sink)) >= count)
    for bounce in bounces(sink):
        parsed = message_from_bytes(bounce.data, policy=policy.SMTP)
        for part in parsed.walk():
            assert EVIL not in set(part.keys()), bounce.data
        for line in bounce.data.split(b"\r\n"):
            assert not line.lower().startswith(b"x-evil"), bounce.data
        rest = bounce.wire.replace(b"\r\n", b"")
        assert b"\r" not in rest and b"\n" not in rest and b"\0" not in rest


def bounces(sink):
    return [m for m in list(sink.messages) if m.sender == ""]


# ---- mail in a circle


def received(count, name="Received"):
    return f"{name}: from a by b; Mon, 1 Jan 2024 00:00:00 +0000\r\n".encode() * count


@pytest.mark.parametrize("count, code", [(99, 250), (100, 250), (101, 554), (1000, 554)])
def test_hops_are_counted(count, code, gate, sink):
    """RFC 5321 6.3: at least 100 are no loop."""
    running = gate(production())
    with running.client(PRODUCTION_CLIENT) as client:
        _, end = client.mail(["c@d.example"], received(count) + letter())
        assert end[0] == code and (code == 250 or end[1].startswith("5.4.6")), end
    assert len(sink.wait(1 if code == 250 else 0)) == (code == 250)


@pytest.mark.parametrize("name", ["RECEIVED", "received", "ReCeIvEd"])
def test_hops_are_counted_in_any_case(name, gate, sink):
    running = gate(production())
    with running.client(PRODUCTION_CLIENT) as client:
        assert client.mail(["c@d.example"], received(101, name) + letter())[1][0] == 554
    assert not sink.messages


def test_hops_told_of_in_the_body_do_not_count(gate, sink):
    running = gate(production())
    running.send(letter(body=received(500).decode()), ["c@d.example"], PRODUCTION_CLIENT)
    sink.wait(1)


def test_a_message_that_was_here_is_refused(gate, sink):
    """What comes back from the smarthost as it left."""
    running = gate(production())
    running.send(letter(), ["c@d.example"], PRODUCTION_CLIENT)
    back = sink.only().data
    for data in (back, received(2) + back):
        with running.client(PRODUCTION_CLIENT) as client:
            _, end = client.mail(["c@d.example"], data[:-2])
            assert end[0] == 554 and end[1].startswith("5.4.6"), end
    assert len(sink.messages) == 1


def test_an_id_of_ours_in_the_body_is_no_circle(gate, sink):
    """A bounce or a forwarded mail quotes the header of what we sent."""
    running = gate(production())
    running.send(letter(), ["c@d.example"], PRODUCTION_CLIENT)
    quoted = sink.only().data.decode()
    running.send(letter(body=quoted), ["e@f.example"], PRODUCTION_CLIENT)
    sink.wait(2)


def test_an_id_of_another_gate_is_no_circle(gate, sink):
    """A staging gate in front of a production gate."""
    running = gate(production())
    stranger = b"X-Mailfuse-Id: 01JD8Z2E3M0G4S7T2V9W1X5Y6Z\r\n" + letter()
    running.send(stranger, ["c@d.example"], PRODUCTION_CLIENT)
    assert sink.only().field("X-Mailfuse-Id") != "01JD8Z2E3M0G4S7T2V9W1X5Y6Z"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


ANYBODY = f"""environment "all" {{
    production = true
    match {{ network = {{"127.0.0.0/8"}} }}
    {QUIET}
}}
"""


def test_a_gate_that_is_its_own_smarthost(make_gate):
    """The oldest mistake in a configuration: the message goes round once, and fails."""
    port = free_port()
    running = make_gate(f'listener "apps" {{ address = "127.0.0.1:{port}" }}\n'
                        f'upstream "me" {{ address = "127.0.0.1:{port}" }}\n' + ANYBODY).start()
    running.send(letter(sender=""), ["c@d.example"], PRODUCTION_CLIENT, sender="")
    running.wait_counts("all", {"failed": 1})


def test_two_gates_that_are_each_others_smarthost(make_gate):
    ports = free_port(), free_port()
    gates = [make_gate(f'listener "apps" {{ address = "127.0.0.1:{mine}" }}\n'
                       f'upstream "other" {{ address = "127.0.0.1:{other}" }}\n' + ANYBODY).start()
             for mine, other in (ports, ports[::-1])]
    gates[0].send(letter(sender=""), ["c@d.example"], PRODUCTION_CLIENT, sender="")
    gates[1].wait_counts("all", {"failed": 1})
    gates[0].wait_counts("all", {"sent": 1})
