"""What the internet throws at mail servers: the gate stays up, serves the others, and nothing that
was not a whole, proper message ever leaves."""

import random
import select
import socket
import sqlite3
import ssl
import struct
import time

import pytest

from conformance import chunk
from rig.client import Client, letter, plain
from rig.gate import (PRODUCTION_CLIENT, QUIET, STAGING_CLIENT, listener, production, sanitized,
                      secured, staging, upstream, users)
from rig.tls import make_ca
from rig.wait import wait_for

OTHER = "127.0.1.77"  # another client of production, that behaves


@pytest.fixture(scope="module")
def ca(tmp_path_factory):
    return make_ca(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def issued(ca):
    return ca.issue("gate.example", ip="127.0.0.1")


@pytest.fixture
def guarded(make_gate, sink, issued, tmp_path):
    """guarded(keys): listeners apps (STARTTLS) and tls (implicit), with logins, all with `keys`."""

    def start(keys="", environments=None):
        config = users(tmp_path, app="secret")
        config += listener(secured(issued, "starttls", "optional", more=keys), "apps")
        config += listener(secured(issued, "implicit", "optional", more=keys), "tls")
        return make_gate(config + upstream(sink) + (environments or production())).start()

    return start


def begin(client):
    client.expect(250, "MAIL FROM:<a@b.example>")
    client.expect(250, "RCPT TO:<c@d.example>")


def reset(client):
    """RST instead of FIN, and nothing that waits is sent."""
    raw = client.sock
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    if isinstance(raw, ssl.SSLSocket):
        raw = socket.socket(fileno=raw.detach())  # no close_notify either
    raw.close()


def served(gate, to="fine@d.example"):
    """Somebody else's mail goes through."""
    gate.send(letter(to=to), [to], OTHER)
    gate.wait_count("production", "sent", 1)


def nothing_came(gate, sink):
    """After what the hostile client did: a good message, and only that."""
    served(gate)
    assert gate.counts("production") == {"sent": 1}
    assert [m.recipients for m in sink.messages] == [["fine@d.example"]]
    wait_for("the store to have nothing else", lambda: rows(gate, "message") == 1)
    assert rows(gate, "delivery") == 1 and rows(gate, "chunk") <= 1


def rows(gate, table):
    """A look past the program: what is left in the database of messages that never were."""
    connection = sqlite3.connect(f"file:{gate.store}?mode=ro", uri=True)
    try:
        return connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
    finally:
        connection.close()


# ---- commands


def test_what_was_said_in_clear_does_not_count_under_tls(guarded, sink):
    """CVE-2011-0411: an envelope put behind STARTTLS must not meet the content under TLS."""
    gate = guarded()
    with gate.client(PRODUCTION_CLIENT) as client:
        client.send(b"STARTTLS\r\nEHLO evil\r\nMAIL FROM:<evil@x.example>\r\n"
                    b"RCPT TO:<victim@x.example>\r\nDATA\r\n")
        assert client.reply()[0] == 220
        client.handshake()
        assert client.command("DATA")[0] == 503
        client.expect(250, "EHLO client.example")
        assert client.mail(["c@d.example"], letter())[1][0] == 250
    assert sink.only().recipients == ["c@d.example"]


def test_half_an_envelope_in_clear_is_forgotten_under_tls(guarded, sink):
    gate = guarded()
    with gate.client(PRODUCTION_CLIENT) as client:
        begin(client)
        client.send(chunk(b"Subject: clear\r\n\r\nevil\r\n"))
        assert client.reply()[0] == 250
        client.expect(250, "RSET")
        begin(client)
        client.start_tls()
        assert client.command("BDAT 0 LAST")[0] == 503
        client.expect(250, "EHLO client.example")
        assert client.command("BDAT 0 LAST")[0] == 503
    nothing_came(gate, sink)


INJECTIONS = [
    b"RCPT TO:<a@b.example\r>\r\n",
    b"RCPT TO:<a@b.example>\rRCPT TO:<evil@x.example>\r\n",
    b"RCPT TO:<a@b.example\0>\r\n",
    b"RCPT TO:<a@b.example>\0 NOTIFY=NEVER\r\n",
    b"RCPT TO:<\"a\rRCPT TO:<evil@x.example>\"@b.example>\r\n",
    b"RCPT TO:<\"a\0b\"@c.example>\r\n",
    b"RCPT TO:<a\tb@c.example>\r\n",
    b"RCPT TO:<\"a\x7fb\"@c.example>\r\n",
    b"RCPT TO:<a@b.example\x0bRCPT>\r\n",
    b"RCPT TO:<a@b.example>\x85\r\n",
    b"RCPT TO:<a@\xe2\x80\xa8b.example>\r\n",
    b"RCPT TO:<a@b.example> ORCPT=rfc822;a\rb\r\n",
    b"RCPT TO:<a@b.example> ORCPT=rfc822;a\0b\r\n",
    b"MAIL FROM:<a@b.example> ENVID=a\rb\r\n",
    b"NOOP a\rRCPT TO:<evil@x.example>\r\n",
    b"VRFY a\0b\r\n",
    b"HELP \x1b]0;evil\x07\r\n",
]


@pytest.mark.parametrize("line", INJECTIONS, ids=[repr(i)[2:-5] for i in INJECTIONS])
def test_control_characters_in_a_command_are_refused(line, gate, sink):
    running = gate(production())
    with running.client(PRODUCTION_CLIENT) as client:
        client.expect(250, "MAIL FROM:<a@b.example>")
        client.send(line)
        code, text = client.reply()
        assert 500 <= code <= 503 or code == 553, text
        assert text.isprintable(), text
        client.expect(250, "RCPT TO:<c@d.example>")
        client.expect(354, "DATA")
        client.send(letter() + b"\r\n.\r\n")
        assert client.reply()[0] == 250
    assert sink.only().recipients == ["c@d.example"]


LONG = 65536
LONG_LINES = [
    "EHLO " + "h" * LONG,
    "MAIL FROM:<" + "a" * LONG + "@b.example>",
    "MAIL FROM:<a@" + "b." * (LONG // 2) + "example>",
    'MAIL FROM:<"' + "\\a" * (LONG // 2) + '"@b.example>',
    "MAIL FROM:<" + "@r.example," * (LONG // 11) + "@r.example:a@b.example>",
    "MAIL FROM:<a@b.example> ENVID=" + "e" * LONG,
    "MAIL FROM:<a@b.example>" + " SIZE=1" * (LONG // 7),
    "RCPT TO:<" + "a" * LONG + "@b.example>",
    "VRFY " + "v" * LONG,
    "AUTH PLAIN " + "A" * LONG,
    "BDAT " + "9" * LONG,
    "BDAT " + "0" * LONG + "6 LAST",
    "X" * LONG,
]


@pytest.mark.parametrize("line", LONG_LINES, ids=[line[:30] for line in LONG_LINES])
def test_64_kilobytes_in_one_command(line, guarded, sink):
    gate = guarded()
    with gate.client(PRODUCTION_CLIENT) as client:
        code, text = client.command(line)
        assert code == 500 and text.startswith("5.5."), (code, text)
        assert client.mail(["c@d.example"], letter())[1][0] == 250
    sink.wait(1)


@pytest.mark.parametrize("before", ["", "AUTH LOGIN\r\n", "BDAT ", "EHLO "])
def test_a_line_without_end_costs_no_memory(before, guarded, sink):
    gate = guarded()
    served(gate)
    memory = gate.memory_peak()
    with gate.client(PRODUCTION_CLIENT) as client:
        client.send(before)
        try:
            for _ in range(1000):
                client.send(b"x" * 65536)
            client.send(b"\r\n")
            codes = [client.reply()[0] for _ in range(2 if before.endswith("\n") else 1)]
            assert codes[-1] in (500, 421, 0), codes
        except OSError:
            pass  # hung up on, which is as good
    assert sanitized() or gate.memory_peak() - memory < 16 << 20
    gate.send(letter(), ["next@d.example"], OTHER)


# ---- slow ones


def test_a_line_that_drips_does_not_hold_its_place_for_ever(gate):
    running = gate(production(), listener_keys='idle_timeout = "1s"')
    with running.client(PRODUCTION_CLIENT) as client:
        assert drip(client, b"x") == 421


def test_content_that_drips_does_not_hold_its_place_for_ever(gate, sink):
    running = gate(production(), listener_keys='idle_timeout = "1s"')
    with running.client(PRODUCTION_CLIENT) as client:
        begin(client)
        client.expect(354, "DATA")
        client.send(b"Subject: slow\r\n\r\n")
        assert drip(client, b"x\r\n") == 421
    nothing_came(running, sink)


def test_a_chunk_that_drips_does_not_hold_its_place_for_ever(gate, sink):
    running = gate(production(), listener_keys='idle_timeout = "1s"')
    with running.client(PRODUCTION_CLIENT) as client:
        begin(client)
        client.send(b"BDAT 1000 LAST\r\nSubject: slow\r\n\r\n")
        assert drip(client, b"x") == 421
    nothing_came(running, sink)


def test_a_record_that_drips_does_not_hold_its_place_for_ever(guarded):
    """Under TLS nothing of a line is seen before its record is whole."""
    gate = guarded('idle_timeout = "1s"')
    with Client(gate.address("tls"), PRODUCTION_CLIENT, tls="implicit") as client:
        raw = socket.socket(fileno=client.sock.detach())
        client.sock = raw  # a record of application data, its length, and then ever so slowly
        client.send(b"\x17\x03\x03\x40\x00")
        end = time.monotonic() + 30
        while time.monotonic() < end and not readable(raw, 0.05):
            try:
                raw.send(b"x")
            except OSError:
                break
        else:
            assert readable(raw, 0), "it may drip for ever"
        wait_closed(raw)


def drip(client, data):
    """Sends a little, often, until the gate has had enough; returns its last word."""
    end = time.monotonic() + 30
    client.sock.settimeout(0.05)
    while time.monotonic() < end:
        try:
            client.send(data)
            return client.reply()[0]
        except TimeoutError:
            continue
        except OSError:
            return 421
    raise AssertionError("it may drip for ever")


@pytest.mark.parametrize("transport", ["off", "implicit"])
def test_a_client_that_does_not_read_is_read_no_further(transport, guarded):
    """Replies wait, within bounds; the others do not; in the end the client is cut off."""
    # So many recipients allow for so many commands: a million.
    gate = guarded('idle_timeout = "2s" max_recipients = 100000')
    served(gate)
    memory = gate.memory_peak()
    with Client(gate.address("tls" if transport == "implicit" else "apps"), PRODUCTION_CLIENT,
                tls=transport) as client:
        client.sock.settimeout(0.5)
        with pytest.raises(OSError):  # nothing can be sent for that long, or it was cut off
            for _ in range(20000):
                client.sock.sendall(b"HELP\r\n" * 10000)
        gate.send(letter(), ["meanwhile@d.example"], OTHER)
        gate.wait_logged(rf"session\.end client={PRODUCTION_CLIENT} reason=(?!too-many)")
    assert sanitized() or gate.memory_peak() - memory < 16 << 20


@pytest.mark.parametrize("said", [b"", b"EHLO a.example\r\n", b"EHLO", b"STARTTLS\r\n",
                                  b"EHLO a.example\r\nAUTH LOGIN\r\n"])
def test_a_silent_client_is_let_go(said, guarded):
    gate = guarded('idle_timeout = "1s"')
    with Client(gate.address(), PRODUCTION_CLIENT, greet=False) as client:
        client.send(said)
        wait_closed(client.sock)


def wait_closed(sock):
    """Until the gate has hung up; what it says first is not looked at."""
    sock.settimeout(45)
    try:
        while sock.recv(65536):
            pass
    except ConnectionResetError:
        pass


def hello(version=None):
    """The first flight of a TLS client."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if version:
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version = context.maximum_version = version
    into, out = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(into, out, server_hostname="gate.example")
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    return out.read()


def test_half_a_handshake_is_let_go(guarded):
    """Whether it stopped or drips: one limit for all of it, idle_timeout or else 30 s."""
    gate = guarded('idle_timeout = "3s"')
    first = hello()
    socks = [socket.create_connection(gate.address("tls"), 30,
                                      source_address=(PRODUCTION_CLIENT, 0)) for _ in range(5)]
    for sock, part in zip(socks, (0, 1, 5, 100)):
        sock.sendall(first[:part])
    late = time.monotonic() + 60
    try:
        for n in range(len(first) - 1):
            assert time.monotonic() < late, "a handshake may drip for ever"
            socks[-1].send(first[n:n + 1])
            if readable(socks[-1], 0.5):
                break
    except OSError:
        pass
    for sock in socks:
        wait_closed(sock)
        sock.close()
    served(gate)


def readable(sock, seconds):
    return select.select([sock], [], [], seconds)[0]


# ---- floods


def test_connections_of_one_client_are_limited(guarded):
    gate = guarded("max_client_connections = 3")
    clients = [gate.client(PRODUCTION_CLIENT) for _ in range(3)]
    with gate.client(PRODUCTION_CLIENT, greet=False) as late:
        assert late.greeting[0] == 421 and late.greeting[1].startswith("4."), late.greeting
        assert late.reply() == (0, "")
    with pytest.raises((ssl.SSLError, OSError)):
        Client(gate.address("tls"), PRODUCTION_CLIENT, tls="implicit")
    served(gate)  # from another address
    clients.pop().close()

    def free():
        with gate.client(PRODUCTION_CLIENT, greet=False) as client:
            return client.greeting[0] == 220

    wait_for("a place that became free is used", free)
    for client in clients:
        client.close()


def test_mistakes_of_one_client_are_limited_over_its_connections(guarded):
    gate = guarded('max_client_errors = "30/10m"')
    codes = []
    for _ in range(20):
        with gate.client(PRODUCTION_CLIENT, greet=False) as client:
            if client.greeting[0] != 220:
                codes.append(client.greeting[0])
                break
            for _ in range(5):
                codes.append(say(client, "FROBNICATE")[0])
                if codes[-1] != 500:
                    break
    assert codes[-1] in (421, 0) and 29 <= codes.count(500) <= 35, codes
    with gate.client(PRODUCTION_CLIENT, greet=False) as client:
        assert client.greeting[0] == 421 and client.greeting[1].startswith("4."), client.greeting
    served(gate)


def say(client, line):
    """A command to a gate that may have hung up meanwhile."""
    try:
        client.send(line + "\r\n")
    except OSError:
        pass
    return client.reply()


def test_refused_recipients_are_no_mistakes(guarded, sink):
    """A list with stale addresses must not shut its sender out."""
    gate = guarded('max_client_errors = "5/10m"',
                   staging(f'allow = {{"@d.example"}} others = reject {QUIET}'))
    with gate.client(STAGING_CLIENT) as client:
        results, end = client.mail([f"r{n}@x.example" for n in range(50)] + ["c@d.example"],
                                   letter())
        assert [code for code, _ in results] == [550] * 50 + [250] and end[0] == 250
    with gate.client(STAGING_CLIENT) as client:
        assert client.greeting[0] == 220


def test_wrong_logins_get_slower_and_then_an_end(guarded):
    gate = guarded()
    times = []
    with gate.client(PRODUCTION_CLIENT) as client:
        for _ in range(3):
            start = time.monotonic()
            assert client.login("app", "guess")[0] == 535
            times.append(time.monotonic() - start)
        assert client.reply()[0] in (421, 0)
    assert times[0] >= 1 and times[1] >= 2 and times[2] >= 4, times


def test_wrong_logins_of_one_client_slow_down_no_other(guarded, sink):
    gate = guarded()
    with gate.client(PRODUCTION_CLIENT) as bad, gate.client(OTHER) as good:
        bad.send(b"AUTH PLAIN " + plain("app", "guess") + b"\r\n")
        assert good.login("app", "secret")[0] == 235
        assert good.mail(["c@d.example"], letter())[1][0] == 250
        bad.sock.setblocking(False)
        with pytest.raises(BlockingIOError):  # it is still waiting for its no
            bad.sock.recv(1)
    sink.wait(1)


def test_a_client_that_leaves_while_its_login_is_checked(guarded):
    gate = guarded()
    for password in ("guess", "secret") * 10:
        with gate.client(PRODUCTION_CLIENT) as client:
            client.send(b"AUTH PLAIN " + plain("app", password) + b"\r\n")
    served(gate)


def test_a_flood_of_connections(guarded):
    """Two thousand that come and go, most of them rudely; no place is lost."""
    gate = guarded("max_connections = 100")
    for n in range(2000):
        sock = socket.socket()
        sock.bind((PRODUCTION_CLIENT, 0))
        sock.connect(gate.address(("apps", "tls")[n % 2]))
        if n % 3:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()
    wait_for("room for a client", lambda: can_enter(gate))
    clients = []
    for _ in range(100):  # every place is free again
        wait_for("room for one more", lambda: clients.append(enter(gate)) or clients[-1])
    for client in clients:
        if client:
            client.close()
    wait_for("room again", lambda: can_enter(gate))
    served(gate)


def enter(gate):
    client = gate.client(PRODUCTION_CLIENT, greet=False)
    if client.greeting[0] == 220:
        return client
    client.close()
    return None


def can_enter(gate):
    client = enter(gate)
    if client:
        client.close()
    return client


# ---- messages that do not come to their end


HEAD = b"Subject: half\r\n\r\n"
HALVES = {
    "header": b"Subject: ha",
    "empty line": HEAD,
    "body": HEAD + b"y" * 1000 + b"\r\n",
    "much": HEAD + (b"y" * 998 + b"\r\n") * 3000,
    "dot": HEAD + b"y\r\n.",
    "dot CR": HEAD + b"y\r\n.\r",
}


@pytest.mark.parametrize("transport", ["off", "starttls", "implicit"])
@pytest.mark.parametrize("part", HALVES.values(), ids=HALVES.keys())
@pytest.mark.parametrize("leave", [reset, Client.close], ids=["reset", "closed"])
def test_half_a_message_by_data_never_leaves(part, leave, transport, guarded, sink):
    gate = guarded()
    client = Client(gate.address("tls" if transport == "implicit" else "apps"), PRODUCTION_CLIENT,
                    tls=transport)
    begin(client)
    client.expect(354, "DATA")
    client.send(part)
    leave(client)
    nothing_came(gate, sink)


@pytest.mark.parametrize("transport", ["off", "starttls", "implicit"])
@pytest.mark.parametrize("said", [
    chunk(HALVES["body"]),
    chunk(HALVES["body"]) + b"BDAT 1000 LAST\r\nmore",
    chunk(HALVES["body"])[:-1],
    chunk(HALVES["body"], last=True)[:-1],
    chunk(HALVES["much"]),
    chunk(HALVES["much"], last=True)[:-1],
    b"BDAT 1000 LAST\r\n",
    b"BDAT 0 LAST\r",
], ids=["one chunk", "one and a half", "nearly one", "nearly the last", "a large one",
        "nearly a large one", "none of it", "half a line"])
def test_half_a_message_by_bdat_never_leaves(said, transport, guarded, sink):
    gate = guarded()
    client = Client(gate.address("tls" if transport == "implicit" else "apps"), PRODUCTION_CLIENT,
                    tls=transport)
    begin(client)
    client.send(said)
    reset(client)
    nothing_came(gate, sink)


def test_quit_and_rset_between_chunks_leave_nothing(guarded, sink):
    gate = guarded()
    for word in ("RSET", "QUIT", "EHLO a.example"):
        with gate.client(PRODUCTION_CLIENT) as client:
            begin(client)
            client.send(chunk(HALVES["much"]))
            assert client.reply()[0] == 250
            assert client.command(word)[0] // 100 == 2
    nothing_came(gate, sink)


# ---- garbage


def noise(seed, size):
    return random.Random(seed).randbytes(size)


@pytest.mark.parametrize("name", ["apps", "tls"])
@pytest.mark.parametrize("size", [1, 100, 5000, 300000])
def test_noise(size, name, guarded, sink):
    gate = guarded()
    for seed in range(5):
        talk_rubbish(gate.address(name), noise(seed, size))
    nothing_came(gate, sink)


def test_noise_instead_of_a_handshake(guarded, sink):
    gate = guarded()
    for seed in range(10):
        talk_rubbish(gate.address(), b"EHLO a.example\r\nSTARTTLS\r\n", noise(seed, 1000))
    nothing_came(gate, sink)


def test_noise_behind_a_handshake(guarded, sink):
    """Rubbish in clear where TLS records are due ends the connection, and counts as nothing."""
    gate = guarded()
    for seed in range(10):
        client = Client(gate.address("tls"), PRODUCTION_CLIENT, tls="implicit")
        begin(client)
        raw = socket.socket(fileno=client.sock.detach())
        raw.settimeout(30)
        raw.sendall(b"DATA\r\nSubject: x\r\n\r\n.\r\n" if seed == 0 else noise(seed, 1000))
        wait_closed(raw)
        raw.close()
    nothing_came(gate, sink)


WRONG_PROTOCOLS = {
    "tls to the clear port": ("apps", hello),
    "http to the clear port": ("apps", lambda: b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
    "http with an envelope": ("apps", lambda: b"POST / HTTP/1.1\r\nContent-Length: 99\r\n\r\n"
                              b"MAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\n"
                              b"Subject: x\r\n\r\n.\r\n"),
    "http to the tls port": ("tls", lambda: b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
    "smtp to the tls port": ("tls", lambda: b"EHLO a.example\r\nMAIL FROM:<a@b.example>\r\n"),
    "tls 1.0": ("tls", lambda: hello(ssl.TLSVersion.TLSv1)),
    "tls 1.1": ("tls", lambda: hello(ssl.TLSVersion.TLSv1_1)),
    "sslv2 hello": ("tls", lambda: b"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10" + b"\1" * 40),
    "a record of 64 KB": ("tls", lambda: b"\x16\x03\x01\xff\xff" + b"\0" * 65535),
    "a hello of 16 MB": ("tls", lambda: b"\x16\x03\x01\x40\x00\x01\xff\xff\xff" + b"\0" * 16380),
    "empty records": ("tls", lambda: b"\x16\x03\x01\x00\x00" * 1000),
    "alerts": ("tls", lambda: b"\x15\x03\x01\x00\x02\x01\x00" * 1000),
}


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")  # old, which is the point
@pytest.mark.parametrize("name, said", WRONG_PROTOCOLS.values(), ids=WRONG_PROTOCOLS.keys())
def test_a_wrong_protocol_ends_soon(name, said, guarded, sink):
    gate = guarded('idle_timeout = "2s"')
    talk_rubbish(gate.address(name), said())
    nothing_came(gate, sink)


def talk_rubbish(address, *parts):
    """Says it, takes no notice of what comes back, and goes when the gate does."""
    with socket.create_connection(address, 45, source_address=(PRODUCTION_CLIENT, 0)) as sock:
        try:
            for part in parts:
                sock.sendall(part)
            sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        wait_closed(sock)
