"""SMTP smuggling (CVE-2023-51764, -51765, -51766 and their kin): one message in, one message out.

Every sequence that some server has taken for an end of data, with a second envelope behind it, in
the body and in the header, through DATA and BDAT, whole and in pieces. Behind the gate are a sink
that keeps each byte, and a real Postfix.
"""

import pytest

from conformance import chunk
from rig import postfix
from rig.gate import PRODUCTION_CLIENT, Gate, listener, production, upstream
from rig.sink import Sink
from rig.wait import wait_for

ENDS = {
    "LF dot LF": b"\n.\n",
    "LF dot CRLF": b"\n.\r\n",
    "LF dot CR": b"\n.\r",
    "CR dot CR": b"\r.\r",
    "CR dot LF": b"\r.\n",
    "CR dot CRLF": b"\r.\r\n",
    "CRLF dot LF": b"\r\n.\n",
    "CRLF dot CR": b"\r\n.\r",
    "CRLF dot CR CRLF": b"\r\n.\r\r\n",
    "CRLF dot CR dot CRLF": b"\r\n.\r.\r\n",
    "CR CRLF dot CRLF": b"\r\r\n.\r\r\n",
    "LF CR dot LF CR": b"\n\r.\n\r",
    "LF LF dot LF": b"\n\n.\n",
    "CR LF LF dot CRLF": b"\r\n\n.\r\n",
    "CRLF two dots CRLF": b"\r\n..\r\n",
    "CRLF two dots LF": b"\r\n..\n",
    "LF two dots CRLF": b"\n..\r\n",
    "CRLF three dots CRLF": b"\r\n...\r\n",
    "CRLF dot blank CRLF": b"\r\n. \r\n",
    "CRLF blank dot CRLF": b"\r\n .\r\n",
    "CRLF dot VT CRLF": b"\r\n.\x0b\r\n",
    "CRLF dot FF LF": b"\r\n.\x0c\n",
    "CRLF dot NEL": b"\r\n.\xc2\x85",
    "line separator dot line separator": b"\xe2\x80\xa8.\xe2\x80\xa8",
}
# The gate refuses content with a NUL: nothing arrives at all.
NUL_ENDS = {
    "NUL CRLF dot CRLF": b"\0\r\n..\r\n",
    "CRLF NUL dot CRLF": b"\r\n\0.\r\n",
    "CRLF dot NUL CRLF": b"\r\n.\0\r\n",
    "CRLF dot CRLF with NUL between": b"\r\n.\r\0\n",
    "LF dot NUL LF": b"\n.\0\n",
}
# These end a message that comes with DATA; the octets of BDAT have no end within.
TRUE_ENDS = {
    "CRLF dot CRLF": b"\r\n.\r\n",
    "CRLF dot CRLF twice": b"\r\n.\r\n.\r\n",
}


def second(number):
    return (f"MAIL FROM:<evil@x.example>\r\nRCPT TO:<smuggled{number}@z.example>\r\nDATA\r\n"
            f"Subject: evil\r\n\r\nboo\r\n").encode()


def data_whole(client, before, end, after):
    client.expect(354, "DATA")
    client.send(before + end + after + b".\r\n")
    return client.reply()


def data_in_pieces(client, before, end, after):
    """Each byte of the end is a segment of its own."""
    client.expect(354, "DATA")
    client.send(before)
    for n in range(len(end)):
        client.send(end[n:n + 1])
    client.send(after + b".\r\n")
    return client.reply()


def bdat_whole(client, before, end, after):
    client.send(chunk(before + end + after, last=True))
    return client.reply()


def bdat_in_pieces(client, before, end, after):
    """Each byte of the end is a chunk of its own."""
    pieces = [before] + [end[n:n + 1] for n in range(len(end))] + [after]
    for piece in pieces:
        client.send(chunk(piece))
        code, text = client.reply()
        assert code == 250, text
    return client.command("BDAT 0 LAST")


WAYS = [data_whole, data_in_pieces, bdat_whole, bdat_in_pieces]
PLACES = {"body": b"Subject: case\r\n\r\none", "header": b"Subject: case\r\nX-One: one"}

CASES = [(name, end, way, place) for name, end in (ENDS | NUL_ENDS).items()
         for way in WAYS for place in PLACES]
CASES += [(name, end, way, place) for name, end in TRUE_ENDS.items()
          for way in (bdat_whole, bdat_in_pieces) for place in PLACES]
NUMBERED = [(n, *case) for n, case in enumerate(CASES)]
IDS = [f"{name}, {way.__name__}, {place}" for name, _, way, place in CASES]


def try_to_smuggle(gate, number, end, way, place):
    """Returns whether the message was taken; the session must be where it was before."""
    with gate.client(PRODUCTION_CLIENT) as client:
        client.expect(250, "MAIL FROM:<a@b.example> BODY=8BITMIME")
        client.expect(250, f"RCPT TO:<case{number}@d.example>")
        code, text = way(client, PLACES[place], end, second(number))
        if b"\0" in end:
            assert code in (550, 554) and text.startswith("5.6.0"), text
        else:
            assert code == 250 and "queued as" in text, text
        # Not one reply more than the commands that were meant as such.
        assert client.command("NOOP one")[0] == 250
        assert client.command("MAIL FROM:<a@b.example>")[0] == 250
        assert client.command("QUIT")[0] == 221 and client.reply() == (0, "")
    return code == 250


@pytest.fixture(scope="module")
def before_sink(tmp_path_factory):
    sink = Sink()
    gate = Gate(tmp_path_factory.mktemp("smuggling"), listener() + upstream(sink) + production())
    yield gate.start(), sink
    # What was smuggled would arrive behind the message that brought it, so by now.
    gate.close()
    sink.stop()
    assert not [r for r in sink.recipients() if r.startswith("smuggled")]


@pytest.mark.parametrize("number, name, end, way, place", NUMBERED, ids=IDS)
def test_one_message_reaches_the_sink(number, name, end, way, place, before_sink):
    gate, sink = before_sink
    if not try_to_smuggle(gate, number, end, way, place):
        return
    to = f"case{number}@d.example"
    wait_for(f"the message to {to}", lambda: to in sink.recipients())
    messages = [m for m in list(sink.messages) if m.recipients == [to]]
    assert len(messages) == 1 and messages[0].sender == "a@b.example"
    assert b"smuggled%d@z.example" % number in messages[0].wire, "content is missing"
    rest = messages[0].wire.replace(b"\r\n", b"")
    assert b"\r" not in rest and b"\n" not in rest and b"\0" not in rest
    assert f"smuggled{number}@z.example" not in sink.recipients()


BARE = {name: end for name, end in ENDS.items() if set(end.replace(b"\r\n", b"")) & set(b"\r\n")}


@pytest.mark.parametrize("end", BARE.values(), ids=BARE.keys())
@pytest.mark.parametrize("way", WAYS, ids=lambda w: w.__name__)
def test_a_strict_listener_refuses_bare_newlines(end, way, strict):
    gate, sink = strict
    with gate.client(PRODUCTION_CLIENT) as client:
        client.expect(250, "MAIL FROM:<a@b.example>")
        client.expect(250, "RCPT TO:<c@d.example>")
        code, text = way(client, PLACES["body"], end, second(0))
        assert code in (550, 554) and text.startswith("5.6.0"), (code, text)
        client.expect(250, "NOOP")
    assert gate.counts("production") == {} and not sink.messages


@pytest.fixture(scope="module")
def strict(tmp_path_factory):
    sink = Sink()
    gate = Gate(tmp_path_factory.mktemp("strict"),
                listener("bare_newline = reject") + upstream(sink) + production())
    yield gate.start(), sink
    gate.close()
    sink.stop()


@pytest.fixture(scope="module")
def before_postfix(tmp_path_factory):
    reason = postfix.why_not()
    if reason:
        pytest.skip(reason)
    server = postfix.Postfix()
    gate = Gate(tmp_path_factory.mktemp("postfix"),
                listener() + f'upstream "smarthost" {{ address = "{server.address}" }}\n'
                + production())
    yield gate.start(), server
    gate.close()
    server.stop()


def test_one_message_a_case_reaches_postfix(before_postfix):
    """All cases, one after the other; Postfix ends with just as many messages as were taken."""
    gate, server = before_postfix
    taken = [n for n, _, end, way, place in NUMBERED if try_to_smuggle(gate, n, end, way, place)]
    gate.wait_count("production", "sent", len(taken))
    arrived = server.wait(len(taken))
    assert len(arrived) == len(taken)
    for message in arrived:
        header = message.partition(b"\n\n")[0]
        assert b"\nDelivered-To: smuggled" not in b"\n" + header
        assert b"Return-Path: <a@b.example>" in header
