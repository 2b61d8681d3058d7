"""The HTTP port against who has no token and means harm: memory, seats, and where a request ends."""

import re
import socket

import pytest

from rig.gate import sanitized
from rig.people import ask, drain, http_section, port

PATIENCE = 120


@pytest.fixture
def served(holding, tmp_path):
    running, _, _ = holding(2, more=http_section(tmp_path, viewer="viewer", operator="operator"))
    return running


def connect(gate, source="127.0.0.1", room=None):
    peer = socket.socket()
    if room:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
    peer.bind((source, 0))
    peer.settimeout(PATIENCE)
    peer.connect(("127.0.0.1", port(gate)))
    return peer


def large(gate):
    """A request whose answer is larger than what sockets hold: many of the same at once."""
    page = ask(gate, "GET", "/")[1]
    script = re.search(rb'src="(/app-[^"]*)"', page)
    path = script[1] if script else b"/livez"  # the console was not built in
    return b"GET " + path + b" HTTP/1.1\r\nHost: localhost\r\n\r\n"


def test_who_takes_no_answer_and_sends_on(served):
    """What stands behind a request whose answer is not taken is bounded like any other."""
    block, before = large(served) * 1000, served.memory_peak()
    with connect(served, room=4096) as peer:
        sent = 0
        with pytest.raises(OSError):  # its end
            while sent < 256 << 20:
                sent += peer.send(block)
    served.wait_logged(r"http\.full unread=\d+ refused=1 client=127\.0\.0\.1")
    assert ask(served, "GET", "/livez")[0] == 200
    assert sanitized() or served.memory_peak() - before < 100 << 20


def test_who_takes_no_answers_does_not_keep_all_seats(served):
    block = large(served) * 40
    idle = [connect(served, "127.0.0.9", 4096) for _ in range(64)]
    try:
        for peer in idle:
            peer.sendall(block)
        for peer in idle:
            assert peer.recv(1) == b"H"
        for _ in range(10):
            with connect(served, "127.0.0.8") as peer:
                peer.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                assert drain(peer).startswith(b"HTTP/1.1 200")
    finally:
        for peer in idle:
            peer.close()


@pytest.mark.parametrize("header", [
    b"Content-Length : 60", b"Content-Length\t: 60", b"Content-Length: +60", b"Content-Length: 60, 60",
    b"Content-Length: 0x3c", b"Content-Length: ", b"Transfer-Encoding : chunked",
    b"Transfer-Encoding\x0b: chunked", b"Transfer-Encoding: gzip, chunked", b": 60", b"X Y: 60",
    b"Content-Length: 60\r\nContent-Length: 60", b"Content-Length: 60\r\nTransfer-Encoding: chunked",
], ids=repr)
@pytest.mark.parametrize("method", [b"GET", b"POST"])
def test_what_is_read_in_two_ways_is_not_read_at_all(served, method, header):
    """A request behind it, which a program between would take for its body, or its body for it."""
    hidden = (b"GET /livez HTTP/1.1\r\nHost: localhost\r\n"
              b"Connection: close\r\n\r\n").ljust(60)
    with connect(served) as peer:
        peer.sendall(method + b" /v1/session HTTP/1.1\r\nHost: localhost\r\n" + header + b"\r\n\r\n" + hidden)
        answers = re.findall(rb"HTTP/1\.1 (\d+)", drain(peer))
    assert answers in ([b"400"], [b"413"]), "one answer, and the end"
    assert ask(served, "GET", "/livez")[0] == 200
