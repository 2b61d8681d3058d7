"""The server's side of SMTP: replies, limits, and the exact bytes of a message."""

import socket

import pytest

from rig.client import letter
from rig.gate import PRODUCTION_CLIENT, QUIET, production, staging
from rig.wait import wait_for

CONVERSATIONS = [
    # name, lines; each a command and the reply it must get
    ("the usual", [("EHLO a.example", 250), ("MAIL FROM:<a@b.example>", 250),
                   ("RCPT TO:<c@d.example>", 250), ("RSET", 250), ("NOOP", 250), ("QUIT", 221)]),
    ("helo", [("HELO a.example", 250), ("MAIL FROM:<a@b.example>", 250)]),
    ("lower case", [("ehlo a.example", 250), ("mail from:<a@b.example>", 250)]),
    ("null sender", [("EHLO a.example", 250), ("MAIL FROM:<>", 250)]),
    ("blank after the colon", [("EHLO a.example", 250), ("MAIL FROM: <a@b.example>", 250)]),
    ("noop with argument", [("NOOP anything", 250)]),
    ("vrfy", [("EHLO a.example", 250), ("VRFY someone", 252)]),
    ("help", [("HELP", 214)]),
    ("unknown command", [("FROBNICATE", 500)]),
    ("empty line", [("", 500)]),
    ("mail before helo", [("MAIL FROM:<a@b.example>", 503)]),
    ("rcpt before mail", [("EHLO a.example", 250), ("RCPT TO:<c@d.example>", 503)]),
    ("data before mail", [("EHLO a.example", 250), ("DATA", 503)]),
    ("data without recipients", [("EHLO a.example", 250), ("MAIL FROM:<a@b.example>", 250),
                                 ("DATA", 554)]),
    ("nested mail", [("EHLO a.example", 250), ("MAIL FROM:<a@b.example>", 250),
                     ("MAIL FROM:<a@b.example>", 503)]),
    ("ehlo resets", [("EHLO a.example", 250), ("MAIL FROM:<a@b.example>", 250),
                     ("EHLO a.example", 250), ("RCPT TO:<c@d.example>", 503)]),
    ("ehlo without name", [("EHLO", 501)]),
    ("mail without address", [("EHLO a.example", 250), ("MAIL", 501)]),
    ("mail without brackets' end", [("EHLO a.example", 250), ("MAIL FROM:<a@b.example", 501)]),
    ("null recipient", [("EHLO a.example", 250), ("MAIL FROM:<a@b.example>", 250),
                        ("RCPT TO:<>", 501)]),
    ("recipient without domain", [("EHLO a.example", 250), ("MAIL FROM:<a@b.example>", 250),
                                  ("RCPT TO:<nobody>", 501)]),
    ("unknown parameter", [("EHLO a.example", 250), ("MAIL FROM:<a@b.example> FOO=BAR", 555)]),
    ("8bitmime", [("EHLO a.example", 250), ("MAIL FROM:<a@b.example> BODY=8BITMIME", 250)]),
    ("bad body", [("EHLO a.example", 250), ("MAIL FROM:<a@b.example> BODY=9BIT", 501)]),
    ("size", [("EHLO a.example", 250), ("MAIL FROM:<a@b.example> SIZE=1000", 250)]),
    ("size too big", [("EHLO a.example", 250), ("MAIL FROM:<a@b.example> SIZE=27000000", 552)]),
    ("bad size", [("EHLO a.example", 250), ("MAIL FROM:<a@b.example> SIZE=big", 501)]),
    ("nul in a command", [("EHLO a\0b", 500)]),
    ("8-bit in a command", [("EHLO a.example", 250), (b"MAIL FROM:<\xe9@b.example>", 500)]),
    ("data with argument", [("EHLO a.example", 250), ("MAIL FROM:<a@b.example>", 250),
                            ("RCPT TO:<c@d.example>", 250), ("DATA now", 501)]),
]


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """A gate that all conversations share: none of them ends in a message."""
    from rig.gate import Gate, listener

    gate = Gate(tmp_path_factory.mktemp("smtp"), listener() + production()).start()
    yield gate
    gate.close()


@pytest.mark.parametrize("name, lines", CONVERSATIONS, ids=[c[0] for c in CONVERSATIONS])
def test_replies(name, lines, shared):
    with shared.client(PRODUCTION_CLIENT, greet=False) as client:
        assert client.greeting[0] == 220
        for line, code in lines:
            got = client.command(line)
            assert got[0] == code, f"{line!r}: {got}"
            if code >= 400 or line == "QUIT":
                # ENHANCEDSTATUSCODES: every refusal carries one, of the same class.
                assert got[1][0] == str(code)[0] and got[1][1] == ".", got


def test_ehlo_announces_what_it_can(shared):
    with shared.client(PRODUCTION_CLIENT, greet=False) as client:
        lines = client.expect(250, "EHLO client.example").split("\n")
    assert lines[0].startswith("gate.example")
    assert {"PIPELINING", "SIZE 26214400", "8BITMIME", "ENHANCEDSTATUSCODES"} <= set(lines)
    assert {"CHUNKING", "SMTPUTF8", "DSN"} <= set(lines)
    assert not any(line.startswith(("STARTTLS", "AUTH")) for line in lines)


def test_line_too_long_is_500_and_the_session_goes_on(shared):
    with shared.client(PRODUCTION_CLIENT) as client:
        assert client.command("NOOP " + "x" * 70000)[0] == 500
        client.expect(250, "NOOP")


def test_line_without_end_is_bounded(shared):
    """A client that never ends its line gets an answer or is cut, and costs no memory."""
    with shared.client(PRODUCTION_CLIENT) as client:
        try:
            for _ in range(200):
                client.send(b"x" * 65536)
            client.send(b"\r\n")
        except OSError:
            return
        assert client.reply()[0] in (500, 421, 0)


def test_http_is_hung_up_on(shared):
    with shared.client(PRODUCTION_CLIENT, greet=False) as client:
        client.send("POST / HTTP/1.1\r\nHost: x\r\n\r\nEHLO a\r\nMAIL FROM:<a@b.example>\r\n")
        replies = []
        while not replies or replies[-1][0]:
            replies.append(client.reply())
        assert all(code in (0, 421, 500, 502, 554) for code, _ in replies), replies


def test_too_many_bad_commands_end_the_session(shared):
    with shared.client(PRODUCTION_CLIENT) as client:
        codes = []
        for _ in range(200):
            try:
                codes.append(client.command("FROBNICATE")[0])
            except OSError:
                break
            if codes[-1] in (0, 421):
                break
        assert codes[-1] in (0, 421), "a client may send rubbish for ever"


def test_pipelining_a_whole_session_in_one_packet(gate, sink):
    running = gate(production())
    with running.client(PRODUCTION_CLIENT, greet=False) as client:
        transaction = ("MAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nRCPT TO:<bad>\r\n"
                       "RCPT TO:<e@f.example>\r\nDATA\r\nSubject: one\r\n\r\nx\r\n.\r\n")
        client.send("EHLO a.example\r\n" + transaction + transaction + "QUIT\r\n")
        codes = [client.reply()[0] for _ in range(14)]
    one = [250, 250, 501, 250, 354, 250]
    assert codes == [250] + one + one + [221]
    sink.wait(4)
    assert sorted(sink.recipients()) == ["c@d.example"] * 2 + ["e@f.example"] * 2


def test_client_that_says_no_more_hears_every_reply(gate, sink):
    """`printf ... | nc`: the client closes its side behind its last command."""
    running = gate(production(QUIET))
    message = (b"MAIL FROM:<a@b.example>\r\n" + 50 * b"RCPT TO:<c@x.test>\r\n"
               + b"DATA\r\nSubject: x\r\n\r\nhello\r\n.\r\n")
    with socket.create_connection(running.address(), timeout=30,
                                  source_address=(PRODUCTION_CLIENT, 0)) as client:
        client.sendall(b"EHLO a.example\r\n" + 20 * message)
        client.shutdown(socket.SHUT_WR)
        heard = b""
        while piece := client.recv(65536):
            heard += piece
    assert heard.count(b"queued as") == 20
    sink.wait(20)


def test_bytes_that_come_one_at_a_time(gate, sink):
    running = gate(production())
    with running.client(PRODUCTION_CLIENT, greet=False) as client:
        text = (b"EHLO a.example\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\n"
                b"Subject: slow\r\n\r\n..dot\r\n.\r\n")
        for n in range(len(text)):
            client.send(text[n:n + 1])
        assert [client.reply()[0] for _ in range(5)] == [250, 250, 250, 354, 250]
    assert sink.only().body == b".dot\r\n"


BODIES = [
    # name, what goes over the wire after the header, what the message's body is
    ("empty", b"", b""),
    ("one dot stuffed", b"..\r\n", b".\r\n"),
    ("dot and text", b"..text\r\n", b".text\r\n"),
    ("two dots stuffed", b"...\r\n", b"..\r\n"),
    ("dot not at a line's start", b"a.\r\nb .\r\n", b"a.\r\nb .\r\n"),
    ("a dot that was not stuffed", b".text\r\n", b"text\r\n"),
    ("blank lines", b"\r\n\r\n\r\n", b"\r\n\r\n\r\n"),
    ("long line", b"x" * 998 + b"\r\n", b"x" * 998 + b"\r\n"),
    ("a line of 100,000", b"x" * 100000 + b"\r\n", b"x" * 100000 + b"\r\n"),
    ("8-bit", bytes(range(128, 256)) + b"\r\n", bytes(range(128, 256)) + b"\r\n"),
    ("controls", b"\x01\x02\x1b[0m\x7f\r\n", b"\x01\x02\x1b[0m\x7f\r\n"),
    ("bare LF", b"a\nb\r\n", b"a\r\nb\r\n"),
    ("bare LF and a dot", b"a\n.\nb\r\n", b"a\r\n.\r\nb\r\n"),
    ("LF dot CRLF", b"a\n.\r\nb\r\n", b"a\r\n.\r\nb\r\n"),
    ("CRLF dot LF", b"a\r\n.\nb\r\n", None),
    ("CR dot CR", b"a\r.\rb\r\n", b"a . b\r\n"),
    ("bare CR", b"a\rb\r\n", b"a b\r\n"),
    ("ends in CR", b"a\r\r\n", b"a \r\n"),
]


@pytest.mark.parametrize("name, wire, body", BODIES, ids=[b[0] for b in BODIES])
def test_body_bytes(name, wire, body, gate, sink):
    """What arrives is the message that was sent, and there is exactly one of it."""
    running = gate(production())
    with running.client(PRODUCTION_CLIENT) as client:
        client.expect(250, "MAIL FROM:<a@b.example> BODY=8BITMIME")
        client.expect(250, "RCPT TO:<c@d.example>")
        client.expect(354, "DATA")
        client.send(b"Subject: x\r\n\r\n" + wire + b".\r\n")
        assert client.reply()[0] == 250
        client.expect(250, "NOOP")
    message = sink.only()
    if body is None:  # not an end of data, and nothing that another server could take for one
        assert b"\n.\n" not in message.wire and b"\r\n.\r\n" not in message.wire
        assert message.body.endswith(b"b\r\n")
    else:
        assert message.body == body
    assert b"\n" not in message.wire.replace(b"\r\n", b"")
    assert b"\r" not in message.wire.replace(b"\r\n", b"")


SMUGGLED = (b"a\n.\r\nMAIL FROM:<x@y.example>\r\nRCPT TO:<smuggled@z.example>\r\n"
            b"DATA\r\nSubject: evil\r\n\r\nboo")


@pytest.mark.parametrize("end", [b"\n.\r\n", b"\n.\n", b"\r.\r", b"\r\n.\n", b"\r\n.\r"])
def test_no_second_message_can_be_smuggled(end, gate, sink):
    running = gate(production())
    wire = b"Subject: x\r\n\r\n" + SMUGGLED.replace(b"\n.\r\n", end, 1)
    running.send(wire, ["c@d.example"], PRODUCTION_CLIENT)
    message = sink.only()
    assert sink.recipients() == ["c@d.example"]
    for bad in (b"\n.\n", b"\n.\r\n", b"\r.\r"):
        assert bad not in message.wire.replace(b"\r\n..", b"")


@pytest.mark.parametrize("wire", [b"a\nb", b"a\rb", b"a\n.\r\nb"])
def test_bare_newline_reject(wire, gate, sink):
    running = gate(production(), listener_keys="bare_newline = reject")
    with running.client(PRODUCTION_CLIENT) as client:
        _, end = client.mail(["c@d.example"], b"Subject: x\r\n\r\n" + wire)
        assert end[0] in (550, 554) and end[1].startswith("5."), end
        client.expect(250, "NOOP")
        assert client.mail(["ok@d.example"], letter())[1][0] == 250
    sink.wait(1)
    assert sink.recipients() == ["ok@d.example"]


def test_nul_in_a_message_is_refused(gate, sink):
    running = gate(production())
    with running.client(PRODUCTION_CLIENT) as client:
        _, end = client.mail(["c@d.example"], b"Subject: x\r\n\r\na\0b")
        assert end[0] in (550, 554) and end[1].startswith("5."), end
        assert client.mail(["ok@d.example"], letter())[1][0] == 250
    sink.wait(1)
    assert sink.recipients() == ["ok@d.example"]


def test_size_limit_is_552_after_the_data_too(gate, sink):
    running = gate(production(), listener_keys='max_message_size = "20KB"')
    with running.client(PRODUCTION_CLIENT) as client:
        _, end = client.mail(["c@d.example"], b"Subject: x\r\n\r\n" + b"x" * 70 + b"\r\n" * 20000)
        assert end[0] == 552 and end[1].startswith("5.3.4"), end
        assert client.mail(["ok@d.example"], letter())[1][0] == 250
    sink.wait(1)
    assert sink.recipients() == ["ok@d.example"]


def test_recipient_limit_is_452_and_the_others_are_taken(gate, sink):
    running = gate(production(), listener_keys="max_recipients = 5")
    with running.client(PRODUCTION_CLIENT) as client:
        names = [f"r{n}@d.example" for n in range(8)]
        results, end = client.mail(names, letter())
        assert [code for code, _ in results] == [250] * 5 + [452] * 3
        assert all(text.startswith("4.5.3") for _, text in results[5:])
        assert end[0] == 250
    sink.wait(5)
    assert sorted(sink.recipients()) == names[:5]


@pytest.mark.parametrize("over", [0, 1])
def test_size_limit_is_exact(over, gate, sink):
    """Content bytes count: the final CRLF, but neither doubled dots nor what the gate adds."""
    running = gate(production(), listener_keys='max_message_size = "100KB"')
    head = b"Subject: x\r\n\r\n"
    body = b"..\r\n" * 100 + b"x" * (102400 + over - len(head) - 300 - 2)
    with running.client(PRODUCTION_CLIENT) as client:
        _, end = client.mail(["c@d.example"], head + body)
    assert end[0] == (552 if over else 250), end


def test_full_list_of_recipients_behind_many_refused_ones(gate, sink):
    """Wrong or refused addresses are not the client's misbehaviour: the others get their mail."""
    running = gate(staging('allow = {"@example.com"} others = reject '
                           'burst "b" { limit = "100000/1h" per = {environment} }'))
    wrong = [f"w{n}@customer.test" for n in range(100)] + [f"no-domain-{n}" for n in range(100)]
    good = [f"r{n}@example.com" for n in range(1000)]
    with running.client() as client:
        results, end = client.mail(wrong + good, letter())
        assert [code for code, _ in results] == [550] * 100 + [501] * 100 + [250] * 1000
        assert end[0] == 250, end
    sink.wait(1000)
    assert sorted(sink.recipients()) == sorted(good)


def test_endless_recipients_are_bounded(gate):
    running = gate(staging("others = reject"), listener_keys="max_recipients = 10")
    with running.client() as client:
        client.expect(250, "MAIL FROM:<a@b.example>")
        for _ in range(100):
            client.send("RCPT TO:<someone@customer.test>\r\n" * 1000)
            codes = {client.reply()[0] for _ in range(1000)}
            if codes & {0, 421}:
                return
    raise AssertionError("100,000 refused recipients in one transaction")


def test_connection_limit_is_421(gate):
    running = gate(production(), listener_keys="max_connections = 3")
    clients = [running.client(PRODUCTION_CLIENT) for _ in range(3)]
    with running.client(PRODUCTION_CLIENT, greet=False) as late:
        assert late.greeting[0] == 421 and late.greeting[1].startswith("4."), late.greeting
    clients.pop().close()

    def served():
        with running.client(PRODUCTION_CLIENT, greet=False) as next_one:
            return next_one.greeting[0] == 220

    wait_for("a place that became free is used", served)
    for client in clients:
        client.close()


def test_idle_client_gets_421(gate):
    running = gate(production(), listener_keys='idle_timeout = "1s"')
    with running.client(PRODUCTION_CLIENT) as client:
        code, text = client.reply()
        assert code == 421 and text.startswith("4.4.2"), (code, text)
        assert client.reply() == (0, "")


def test_idle_in_the_middle_of_data_leaves_nothing_behind(gate, sink):
    running = gate(production(), listener_keys='idle_timeout = "1s"')
    with running.client(PRODUCTION_CLIENT) as client:
        client.expect(250, "MAIL FROM:<a@b.example>")
        client.expect(250, "RCPT TO:<c@d.example>")
        client.expect(354, "DATA")
        client.send(b"Subject: half\r\n\r\nx" + b"y" * 600000)
        assert client.reply()[0] in (421, 0)
    assert running.counts("production") == {}
    assert not sink.messages


def test_client_that_leaves_before_the_final_dot(gate, sink):
    running = gate(production())
    for size in (10, 3000000):
        with running.client(PRODUCTION_CLIENT) as client:
            client.expect(250, "MAIL FROM:<a@b.example>")
            client.expect(250, "RCPT TO:<c@d.example>")
            client.expect(354, "DATA")
            client.send(b"Subject: half\r\n\r\n" + b"y" * size)
    running.send(letter(), ["ok@d.example"], PRODUCTION_CLIENT)
    sink.wait(1)
    assert sink.recipients() == ["ok@d.example"]


HEADERS = [
    # name, message, what must be true of what arrives
    ("no header at all", b"just text", lambda m: m.body == b"just text\r\n"),
    ("empty message", b"", lambda m: m.body == b""),
    ("header without end", b"Subject: x", lambda m: m.field("Subject") == "x"),
    ("a line that is no field", b"Subject: x\r\nrubbish\r\n\r\nbody",
     lambda m: b"rubbish" in m.body and b"body" in m.body),
    ("mbox From line", b"From me Mon\r\nSubject: x\r\n\r\nbody", lambda m: b"body" in m.body),
    ("a very long field", b"Subject: x\r\nX-Long: " + b"y" * 90000 + b"\r\n\r\nbody",
     lambda m: m.body == b"body\r\n"),
]


@pytest.mark.parametrize("name, data, holds", HEADERS, ids=[h[0] for h in HEADERS])
def test_odd_headers_arrive_as_a_sound_message(name, data, holds, gate, sink):
    running = gate(production())
    with running.client(PRODUCTION_CLIENT) as client:
        client.expect(250, "MAIL FROM:<a@b.example>")
        client.expect(250, "RCPT TO:<c@d.example>")
        client.expect(354, "DATA")
        client.send((data + b"\r\n" if data else b"") + b".\r\n")
        assert client.reply()[0] == 250
    message = sink.only()
    assert message.field("X-Mailfuse-Environment") == "production"
    assert holds(message), message.data[:2000]


def test_header_beyond_all_measure_is_refused_or_carried(gate, sink):
    """Two megabytes of header: a clear reply either way, and the gate lives."""
    running = gate(production())
    data = b"".join(b"X-%d: y\r\n" % n for n in range(200000)) + b"\r\nbody"
    with running.client(PRODUCTION_CLIENT) as client:
        _, end = client.mail(["c@d.example"], data)
        assert end[0] in (250, 552, 554), end
    running.send(letter(), ["ok@d.example"], PRODUCTION_CLIENT)
    wait_for("the next message", lambda: "ok@d.example" in sink.recipients())


def test_mail_loop_is_refused(gate, sink):
    running = gate(production())
    data = b"Received: from a by b; date\r\n" * 150 + letter()
    with running.client(PRODUCTION_CLIENT) as client:
        _, end = client.mail(["c@d.example"], data)
        assert end[0] == 554 and end[1].startswith("5.4.6"), end
    assert not sink.messages
