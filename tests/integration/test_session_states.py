"""What a session may do in which state: a reload under it, chunks that were refused, logins and TLS
in an odd order. The replies of an ordinary session are in test_conformance.py."""

import signal

import pytest

from conformance import chunk
from rig.client import b64, letter, plain
from rig.gate import (PRODUCTION_CLIENT, listener, production, secured, upstream,
                      users)
from rig.tls import make_ca
from rig.wait import wait_for

LETTER = b"Subject: chunks\r\n\r\nfirst\r\n"


@pytest.fixture(scope="module")
def issued(tmp_path_factory):
    return make_ca(tmp_path_factory.mktemp("ca")).issue("gate.example", ip="127.0.0.1")


def reload(gate):
    before = gate.text().count("config.reloaded")
    gate.signal(signal.SIGHUP)
    wait_for("the reload", lambda: gate.text().count("config.reloaded") > before)


def begin(client):
    client.expect(250, "MAIL FROM:<a@b.example>")
    client.expect(250, "RCPT TO:<c@d.example>")


# ---- a reload under a session


def test_a_removed_user_sends_nothing_more(make_gate, sink, tmp_path):
    """Where a login is required, the first MAIL after the reload asks for it."""
    head = users(tmp_path, shop="right", other="right")
    gate = make_gate(head + listener("auth = required") + upstream(sink) + production()).start()
    with gate.client(PRODUCTION_CLIENT) as client, gate.client(PRODUCTION_CLIENT) as stays:
        assert client.login("shop", "right")[0] == 235
        assert stays.login("other", "right")[0] == 235
        kept = [line for line in (tmp_path / "users").read_text().splitlines() if "other" in line]
        (tmp_path / "users").write_text(kept[0] + "\n")
        reload(gate)
        assert client.command("MAIL FROM:<a@b.example>")[0] == 530
        assert client.mail(["c@d.example"], letter())[1][0] == 530
        assert client.login("shop", "right")[0] == 535
        assert stays.mail(["c@d.example"], letter())[1][0] == 250
    assert sink.only().recipients == ["c@d.example"]


def test_tls_that_became_required(make_gate, sink, issued):
    """A session in clear from before the reload may only encrypt."""

    def config(tls):
        return listener(secured(issued, tls)) + upstream(sink) + production()

    gate = make_gate(config("starttls")).start()
    with gate.client(PRODUCTION_CLIENT) as client:
        gate.write(config("required"))
        reload(gate)
        assert client.command("MAIL FROM:<a@b.example>")[0] == 530
        client.start_tls()
        client.expect(250, "EHLO client.example")
        assert client.mail(["c@d.example"], letter())[1][0] == 250
    assert sink.only().recipients == ["c@d.example"]


def test_tls_that_became_implicit(make_gate, sink, issued):
    """A session in clear has no way to encrypt any more: it ends. One with TLS goes on."""

    def config(tls):
        return listener(secured(issued, tls)) + upstream(sink) + production()

    gate = make_gate(config("starttls")).start()
    with gate.client(PRODUCTION_CLIENT) as client, \
            gate.client(PRODUCTION_CLIENT, tls="starttls") as encrypted:
        gate.write(config("implicit"))
        reload(gate)
        assert client.command("MAIL FROM:<a@b.example>")[0] == 421
        assert client.reply() == (0, "")
        assert encrypted.mail(["c@d.example"], letter())[1][0] == 250
    assert sink.only().recipients == ["c@d.example"]


# ---- passwords


def test_no_password_in_the_log(make_gate, sink, tmp_path):
    """Not with -d either, and not where a client puts it in the wrong place."""
    secrets = ["Spring-and-summer", "Winter-and-fall"]
    gate = make_gate(users(tmp_path, shop=secrets[0]) + listener("auth = optional")
                     + upstream(sink) + production())
    gate.spawn("-d")
    gate.wait_logged("- ready")
    right, wrong = plain("shop", secrets[0]), plain("shop", secrets[1])
    encoded = [b64(secret) for secret in secrets]
    for lines in (
        [b"AUTH PLAIN " + right],
        [b"AUTH PLAIN", right],
        [b"AUTH PLAIN " + wrong],
        [b"AUTH LOGIN", b64("shop"), encoded[0]],
        [b"AUTH LOGIN " + b64("shop"), encoded[1]],
        [b"AUTH LOGIN", encoded[1], b"*"],
        [b"AUTH LOGIN !", encoded[1]],
        [b"AUTH XOAUTH2 " + right, right],
        [b"AUTH PLAIN " + right + b"\n"],
        [b"AUTH PLAIN " + right + b" " + right],
        [b"AUTHPLAIN " + right, secrets[0].encode()],
        [b"MAIL FROM:<a@b.example> AUTH=" + secrets[0].encode()],
        [secrets[0].encode() + b" " + secrets[1].encode(), b"VRFY " + secrets[0].encode()],
    ):
        with gate.client(PRODUCTION_CLIENT) as client:
            for line in lines:
                assert client.command(line)[0] >= 200
    assert gate.logged("session.reply") and gate.logged("session.login-failed user=shop")
    for word in [secret.encode() for secret in secrets] + [right, wrong] + encoded:
        assert word.decode() not in gate.text()


# ---- chunks


BAD_CHUNKS = [b"BDAT 6 FIRST\r\nmiddle", b"BDAT 6 LAST NOW\r\nmiddle"]


@pytest.mark.parametrize("bad", BAD_CHUNKS)
def test_no_message_with_a_hole(bad, gate, sink):
    """RFC 3030 2: what follows a refused chunk in the pipeline is thrown away with the message."""
    running = gate(production())
    with running.client(PRODUCTION_CLIENT) as client:
        begin(client)
        client.send(chunk(LETTER) + bad + chunk(b"last\r\n", last=True) + b"NOOP\r\n")
        assert [client.reply()[0] for _ in range(4)] == [250, 501, 503, 250]
        assert client.mail(["whole@d.example"], letter())[1][0] == 250
    assert sink.only().recipients == ["whole@d.example"]


def test_chunks_behind_a_refused_one_are_no_mistakes(gate, sink):
    """A client that pipelines learns of the refusal when all has been said."""
    running = gate(production(), 'max_message_size = "100KB" max_client_errors = "20/1h"')
    with running.client(PRODUCTION_CLIENT) as client:
        begin(client)
        client.send(chunk(LETTER) + chunk(b"x" * 200000) + chunk(b"x" * 10) * 50
                    + chunk(b"", last=True))
        codes = [client.reply()[0] for _ in range(53)]
        assert codes == [250, 552] + [503] * 51
        assert client.mail(["c@d.example"], letter())[1][0] == 250
    assert sink.only().recipients == ["c@d.example"]


@pytest.mark.parametrize("before", [b"MAIL FROM:<>\r\n", b"MAIL FROM:<nobody>\r\n"],
                         ids=["without recipients", "behind a refused sender"])
def test_refused_chunks_have_an_end(before, gate):
    running = gate(production(), "max_recipients = 10")
    with running.client(PRODUCTION_CLIENT) as client:
        client.send(before)
        client.reply()
        said = chunk(b"x") * 100
        for _ in range(20):
            client.send(said)
            codes = [client.reply()[0] for _ in range(100)]
            if 421 in codes:
                return
        pytest.fail("2000 refused chunks and no end")


@pytest.mark.parametrize("pipelined", [False, True], ids=["one by one", "pipelined"])
def test_the_store_is_full_in_the_middle(pipelined, make_gate, sink):
    """The chunk that found no room says so, those behind it are thrown away, nothing is kept."""
    gate = make_gate('quarantine_limit = "1MB"\n' + listener() + upstream(sink)
                     + production()).start()
    chunks = [chunk(LETTER + b"x" * 300000)] + [chunk(b"x" * 300000)] * 15 + [chunk(b"", last=True)]
    with gate.client(PRODUCTION_CLIENT) as client:
        begin(client)
        codes = []
        if pipelined:
            client.send(b"".join(chunks))
            codes = [client.reply()[0] for _ in chunks]
        for one in chunks[len(codes):]:
            client.send(one)
            codes.append(client.reply()[0])
        full = codes.index(452)
        assert codes == [250] * full + [452] + [503] * (len(codes) - full - 1)
        assert client.command("MAIL FROM:<a@b.example>")[0] == 452
        client.expect(250, "NOOP")
    gate.write(listener() + upstream(sink) + production())
    reload(gate)
    gate.wait_logged("store.room now=yes")
    with gate.client(PRODUCTION_CLIENT) as client:
        assert client.mail(["c@d.example"], letter())[1][0] == 250
    assert sink.only().recipients == ["c@d.example"]


# ---- a reload and a stop in each state

LARGE = b"Subject: large\r\n\r\n" + b"0123456789abcdef" * 40000 + b"\r\n"  # two pieces in the store
WRONG = b"AUTH PLAIN AHNob3AAd3Jvbmc=\r\n"
CONTENT = b"Subject: x\r\n\r\nhalf "

# What was said, how many replies that has, what is said then, and the codes that has.
PLACES = {
    "greeted": (b"", 0, b"NOOP\r\n", [250]),
    "half a line": (b"NO", 0, b"OP\r\n", [250]),
    "a line that is too long": (b"x" * 9000, 0, b"x\r\nNOOP\r\n", [500, 250]),
    "MAIL": (b"MAIL FROM:<a@b.example>\r\n", 1, b"RCPT TO:<c@d.example>\r\nRSET\r\n", [250, 250]),
    "RCPT": (b"MAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\n", 2,
             b"DATA\r\n" + CONTENT + b"\r\n.\r\n", [354, 250]),
    "STARTTLS inside a transaction": (
        b"MAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nSTARTTLS\r\n", 3, b"", []),
    "DATA": (b"MAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\n" + CONTENT, 3,
             b"a message\r\n.\r\n", [250]),
    "large DATA": (b"MAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\n" + LARGE, 3,
                   b".\r\n", [250]),
    "a chunk": (b"MAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nBDAT %d LAST\r\n"
                % len(CONTENT) + CONTENT[:-5], 2, CONTENT[-5:], [250]),
    "between chunks": (b"MAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\n" + chunk(CONTENT), 3,
                       chunk(b"", last=True), [250]),
    "between large chunks": (b"MAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\n"
                             + chunk(LARGE), 3, chunk(LARGE) + chunk(LARGE, last=True),
                             [250, 250]),
    "a refused chunk": (b"BDAT 100\r\n" + b"x" * 50, 0, b"x" * 50 + b"NOOP\r\n", [503, 250]),
    "AUTH": (b"AUTH LOGIN\r\n", 1, b"c2hvcA==\r\n*\r\n", [334, 501]),
    "a wrong login": (WRONG, 0, b"NOOP\r\n", [535, 250]),
    "logged in": (b"AUTH PLAIN AHNob3AAcmlnaHQ=\r\n", 1, b"MAIL FROM:<a@b.example>\r\nRSET\r\n",
                  [250, 250]),
    "before a handshake": (b"STARTTLS\r\n", 1, b"", []),
}


def is_handshake(name):
    return "STARTTLS" in name or "handshake" in name


@pytest.fixture(params=["off", "starttls"])
def everywhere(request, make_gate, sink, issued, tmp_path):
    """A gate with a session in each place: (gate, [(name, client)], a second configuration)."""

    def config(**keys):
        return (users(tmp_path, **keys) + 'memory_limit = "64MB"\n'
                + listener(secured(issued, auth="optional")) + upstream(sink) + production())

    second = config(shop="right", other="x")
    gate = make_gate(config(shop="right")).start()
    clients = []
    for name, (said, replies, _, _) in PLACES.items():
        if is_handshake(name) and request.param != "off":
            continue
        client = gate.client(PRODUCTION_CLIENT, tls=request.param)
        clients.append((name, client))
        client.send(said)
        for _ in range(replies):
            assert client.reply()[0] // 100 in (2, 3), name
    gate.wait_logged("session.login-failed")
    yield gate, clients, second
    for _, client in clients:
        client.close()


def test_a_reload_in_each_state(everywhere, sink):
    gate, clients, second = everywhere
    gate.write(second)
    reload(gate)
    reload(gate)
    whole = 0
    for name, client in clients:
        _, _, said, codes = PLACES[name]
        if is_handshake(name):
            client.handshake()
            client.expect(250, "EHLO client.example")
            said, codes = b"BDAT 1 LAST\r\nx", [503]
        client.send(said)
        assert [client.reply()[0] for _ in codes] == codes, name
        whole += 250 in codes and name in ("RCPT", "DATA", "large DATA", "a chunk",
                                           "between chunks", "between large chunks")
        client.expect(250, "NOOP")
    gate.wait_counts("production", {"sent": whole})
    large = [m for m in sink.messages if m.field("Subject") == "large"]
    assert sorted(len(m.body) for m in large) == sorted(
        [len(LARGE) - 18, 3 * len(LARGE) - 18])


def test_a_stop_in_each_state(everywhere, sink):
    """Who is not within a message is told 421; no half of one leaves; the gate ends by itself."""
    gate, clients, _ = everywhere
    gate.signal(signal.SIGTERM)
    for name, client in clients:
        if name in ("DATA", "large DATA", "a chunk", "a refused chunk"):
            client.close()
        elif is_handshake(name):
            assert client.reply() == (0, ""), name
        else:
            assert client.reply()[0] == 421, name
            assert client.reply() == (0, ""), name
    gate.stop()
    assert not sink.messages
