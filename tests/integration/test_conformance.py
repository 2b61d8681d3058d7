"""SMTP to the letter: the rows of conformance/, over every transport they hold on.

One gate and one smarthost serve all rows of a worker. Each row comes from a loopback address of
its own, which is how its messages are told from others', and why no row's mistakes count against
another.
"""

import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from conformance import (CLOSED, EVERYWHERE, HANDSHAKE, MAX_RECIPIENTS, MAX_SIZE, PASSWORD, USER,
                         Reply, data, extensions, security, smtp)
from rig.client import Client
from rig.gate import QUIET, Gate, listener, secured, upstream, users
from rig.sink import Sink
from rig.tls import make_ca
from rig.wait import wait_for

ROWS = smtp.ROWS + data.ROWS + extensions.ROWS + security.ROWS
CASES = [(row, transport) for row in ROWS for transport in row.on]
SOURCES = {case: f"127.{'2' if case[0].limited else '1'}.{n >> 8}.{n & 255}"
           for n, case in enumerate(CASES, 256)}
assert len(ROWS) == len({row.name for row in ROWS}), "two rows of one name"

ENVIRONMENTS = f"""
environment "open" {{ production = true match {{ network = {{"127.1.0.0/16"}} }} {QUIET} }}
environment "limited" {{
    match {{ network = {{"127.2.0.0/16"}} }} allow = {{"@friend.example"}} others = reject {QUIET}
}}
"""


class World:
    """The gate, its listeners, and the smarthost."""

    def __init__(self, directory):
        self.ca = make_ca(directory / "ca")
        issued = self.ca.issue("gate.example", ip="127.0.0.1")
        self.sink = Sink(extensions=("PIPELINING", "SIZE 100000000", "8BITMIME", "SMTPUTF8",
                                     "DSN"))
        limits = (f' max_message_size = "{MAX_SIZE // 1024}KB" '
                  f'max_recipients = {MAX_RECIPIENTS} max_client_errors = "100000/1m"')
        config = users(directory, **{USER: PASSWORD, "utf8": "pässwörd"})
        config += listener("auth = optional" + limits, "clear")
        config += listener("auth = off" + limits, "bare")
        config += listener(secured(issued, "starttls", "optional", more=limits), "starttls")
        config += listener(secured(issued, "implicit", "optional", more=limits), "implicit")
        config += listener(secured(issued, "required", "optional", more=limits), "required")
        config += listener(secured(issued, "starttls", "required", more=limits), "login")
        (directory / "gate").mkdir()
        self.gate = Gate(directory / "gate", config + upstream(self.sink) + ENVIRONMENTS).start()
        # A login that fails is answered late, and on purpose. Those rows wait side by side.
        self.pool = ThreadPoolExecutor(48)
        self.early = {case: self.pool.submit(self.run, case) for case in CASES if is_slow(case[0])}

    def close(self):
        self.pool.shutdown(cancel_futures=True)
        self.gate.close()
        self.sink.stop()

    def run(self, case):
        row, (name, tls) = case
        with Client(self.gate.address(name), SOURCES[case], greet=False, tls=tls,
                    ca=self.ca.path) as client:
            assert client.greeting[0] == 220 and client.greeting[1].startswith("gate.example ")
            talk(client, row.steps)
        self.check_arrived(row, SOURCES[case])

    def check_arrived(self, row, source):
        """Just the messages of the row came, with CRLF only, and as the row says."""
        wait_for(f"{len(row.arrives)} messages of {source}",
                 lambda: len(self.arrived(source)) >= len(row.arrives))
        messages = self.arrived(source)
        assert len(messages) == len(row.arrives), [m.data for m in messages]
        for message in messages:
            rest = message.wire.replace(b"\r\n", b"")
            assert b"\r" not in rest and b"\n" not in rest, message.wire
        # Two messages of one client may overtake each other on their way to the smarthost.
        if None not in row.arrives:
            assert sorted(m.body for m in messages) == sorted(row.arrives)
        if row.envelope:
            sender, recipients = row.envelope
            assert text(messages[-1].sender) == sender
            assert [text(r) for r in messages[-1].recipients] == recipients

    def arrived(self, source):
        mark = f"[{source}]".encode()
        return [m for m in list(self.sink.messages)
                if mark in m.header.partition(b"\r\nSubject:")[0]]


def text(path):
    """What the sink read as bytes."""
    return path.encode("utf-8", "surrogateescape").decode()


def is_slow(row):
    return any("535" in str(heard) for _, heard in filter(lambda s: s is not HANDSHAKE, row.steps))


def talk(client, steps):
    for step in steps:
        if step is HANDSHAKE:
            client.handshake()
            continue
        said, heard = step
        client.send(said if isinstance(said, bytes) else said.encode() + b"\r\n")
        for wanted in heard if isinstance(heard, tuple) else (heard,):
            got = client.reply()
            if wanted is CLOSED:
                assert got == (0, ""), f"after {said!r}: still there, with {got}"
                return
            check_reply(said, got, wanted)
    client.send(b"NOOP\r\n")
    check_reply("NOOP, to see where the session stands", client.reply(), "250 2.0.0")


def check_reply(said, got, wanted):
    code, lines = got
    where = f"{said[:300]!r}: got {code} {lines[:300]!r}, wanted {wanted}"
    look = wanted if isinstance(wanted, Reply) else Reply(wanted)
    status = re.match(r"[245]\.\d{1,3}\.\d{1,3}(?= )", lines)
    assert any(matches(choice, code, status and status[0]) for choice in look.code.split("|")), \
        where
    # RFC 2034 4: every 2yz, 4yz and 5yz but the greeting and the answers to EHLO and HELO, whose
    # classes must agree.
    first = said if isinstance(said, str) else ""
    if code // 100 in (2, 4, 5) and not first.upper().startswith(("EHLO", "HELO")) \
            and "gate.example" not in lines:
        assert status and status[0][0] == str(code)[0], f"no enhanced code: {where}"
    have = [line.upper() for line in lines.split("\n")]
    assert lines.startswith(look.starts), where
    assert all(line.upper() in have for line in look.has), where
    assert not any(line.upper() in have for line in look.lacks), where


def matches(choice, code, status):
    number, _, enhanced = choice.partition(" ")
    return code == int(number) and (not enhanced or enhanced == status)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    world = World(tmp_path_factory.mktemp("conformance"))
    yield world
    world.close()


def cases():
    for row, transport in CASES:
        # The reference is in the name, so that a failure says what to read.
        name = f"{row.name} ({row.reference}) {'-'.join(transport)}"
        yield pytest.param((row, transport), id=name)


@pytest.mark.parametrize("case", cases())
def test_row(case, world):
    if case in world.early:
        world.early[case].result()
    else:
        world.run(case)


def test_the_table_is_as_large_as_it_claims():
    everywhere = [row for row in ROWS if row.on == EVERYWHERE]
    assert len(ROWS) >= 250 and len(everywhere) >= 200
