"""What a session may do in which state: a reload under it, chunks that were refused, logins and TLS
in an odd order. The replies of an ordinary session are in test_conformance.py."""

import signal

import pytest

from conformance import chunk
from rig.client import letter
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
