"""Large messages: the same bytes out as in, and memory that stays bounded."""

import hashlib
import random
import threading
import time

import pytest

from conformance import chunk
from rig.client import Client, letter
from rig.gate import (PRODUCTION_CLIENT, STAGING_CLIENT, listener, production, sanitized, secured,
                      staging, upstream)
from rig.sink import HANG
from rig.tls import make_ca
from rig.wait import wait_for

MEGABYTE = 1 << 20
TRIPS = 'allow = {"*"} burst "volume" { limit = "1/10m" per = {environment} cooldown = 0 }'


def big_body(size, seed=1):
    """Lines of every kind, some with dots, of exactly `size` bytes; CRLF at the end."""
    source = random.Random(seed)
    lines, total = [], 0
    while total < size - 1100:
        line = source.randbytes(source.choice((0, 1, 40, 75, 998)))
        line = line.replace(b"\n", b"n").replace(b"\r", b"r").replace(b"\0", b"0")
        line = source.choice((b"", b"", b".", b"..")) + line
        lines.append(line)
        total += len(line) + 2
    lines.append(b"x" * (size - total - 2))
    return b"\r\n".join(lines) + b"\r\n"


def stuffed(body):
    wire = b"\r\n" + body
    return wire.replace(b"\r\n.", b"\r\n..")[2:]


def send_big(running, body, source, recipients=("a@x.test",), timeout=120):
    with running.client(source, timeout=timeout) as client:
        client.expect(250, f"MAIL FROM:<app@shop.example> SIZE={len(body) + 50} BODY=8BITMIME")
        for recipient in recipients:
            client.expect(250, f"RCPT TO:<{recipient}>")
        client.expect(354, "DATA")
        client.send(b"Subject: big\r\n\r\n" + stuffed(body) + b".\r\n")
        return client.reply()


@pytest.mark.heavy
def test_25_megabytes_byte_for_byte(gate, sink):
    running = gate(production())
    body = big_body(25 * MEGABYTE - 200)
    assert send_big(running, body, PRODUCTION_CLIENT)[0] == 250
    sink.wait(1, deadline=120)
    assert sink.only().body == body


@pytest.mark.heavy
@pytest.mark.parametrize("tls", ["off", "implicit"])
@pytest.mark.parametrize("size", [100, 8191, MEGABYTE, 64 * MEGABYTE])
def test_chunks_of_any_size_byte_for_byte(size, tls, make_gate, sink, tmp_path):
    """RFC 3030: small chunks, chunks cut in the middle of a line, all of it in one."""
    keys = "" if tls == "off" else secured(make_ca(tmp_path / "ca").issue("gate.example"), tls)
    running = make_gate(listener(keys) + upstream(sink) + production()).start()
    body = big_body(MEGABYTE // 4 if size < 1000 else 8 * MEGABYTE)
    data = b"Subject: big\r\n\r\n" + body
    with running.client(PRODUCTION_CLIENT, tls=tls, timeout=120) as client:
        client.expect(250, "MAIL FROM:<app@shop.example> BODY=8BITMIME")
        client.expect(250, "RCPT TO:<a@x.test>")
        for at in range(0, len(data), size):
            client.send(chunk(data[at:at + size], last=at + size >= len(data)))
            assert client.reply()[0] == 250
    sink.wait(1, deadline=120)
    assert sink.only().body == body


@pytest.mark.heavy
def test_25_megabytes_held_and_released_byte_for_byte(gate, sink):
    running = gate(staging(TRIPS))
    body = big_body(25 * MEGABYTE - 200)
    assert send_big(running, body, STAGING_CLIENT, ("a@x.test", "b@x.test"))[0] == 250
    running.kill()
    running.start()
    batch = running.batch()
    assert batch["held"] == 2
    message_id = running.do("messages", batch["id"])[0]["message"]
    status, raw = running.api("GET", f"/v1/messages/{message_id}/raw")
    assert status == 200 and raw.endswith(body)
    running.one("release", batch["id"], "--reason", "fine")
    sink.wait(2, deadline=120)
    assert all(m.body == body for m in sink.messages)


@pytest.mark.heavy
def test_larger_than_the_limit_is_552_at_once_or_after(gate, sink):
    running = gate(production())
    body = big_body(26 * MEGABYTE)
    with running.client(PRODUCTION_CLIENT, timeout=120) as client:
        assert client.command(f"MAIL FROM:<a@b.example> SIZE={len(body)}")[0] == 552
        client.expect(250, "MAIL FROM:<a@b.example> BODY=8BITMIME")
        client.expect(250, "RCPT TO:<c@d.example>")
        client.expect(354, "DATA")
        client.send(b"Subject: big\r\n\r\n" + stuffed(body) + b".\r\n")
        code, text = client.reply()
        assert code == 552 and text.startswith("5.3.4")
        client.expect(250, "NOOP")
    assert running.counts("production") == {}


@pytest.mark.heavy
@pytest.mark.parametrize("way", ["sent", "held"])
def test_many_large_messages_at_once_do_not_cost_their_size(way, make_gate, sink):
    """Eight times 20 MB at once, each to five people, in far less memory than one copy of all."""
    from rig.gate import listener, upstream

    config = 'memory_limit = "32MB"\n' + listener() + upstream(sink) + (
        staging('allow = {"*"} burst "b" { limit = "100000/1m" per = {environment} }')
        if way == "sent" else staging(TRIPS))
    running = make_gate(config).start()
    before = running.memory_peak()
    bodies = [big_body(20 * MEGABYTE, seed) for seed in range(2)]
    results = []

    def one(n):
        # A gate short of memory may say 4xx; a client then comes again.
        for _ in range(60):
            answer = try_once(n)
            if answer[0] == 250:
                break
            assert answer[0] in (451, 452, 421), answer
        results.append(answer)

    def try_once(n):
        with running.client(timeout=120) as client:
            names = [f"m{n}r{r}@x.test" for r in range(5)]
            _, end = client.mail(names, b"Subject: big\r\n\r\n" + stuffed(bodies[n % 2])[:-2],
                                 parameters=" BODY=8BITMIME")
            return end

    threads = [threading.Thread(target=one, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(180)
    assert [code for code, _ in results] == [250] * 8, results
    if way == "held":
        running.one("release", running.batch()["id"], "--reason", "fine")
    sink.wait(40, deadline=180)
    wanted = {hashlib.sha256(b).hexdigest() for b in bodies}
    assert {hashlib.sha256(m.body).hexdigest() for m in sink.messages} == wanted
    assert sorted(sink.recipients()) == sorted(f"m{n}r{r}@x.test" for n in range(8)
                                               for r in range(5))
    grown = running.memory_peak() - before
    if not sanitized():
        assert grown < 110 * MEGABYTE, f"{grown / MEGABYTE:.0f} MB for 160 MB of messages"


def test_large_body_with_small_limit_leaves_no_rest_in_the_store(gate, sink):
    running = gate(staging(TRIPS), listener_keys='max_message_size = "3MB"')
    assert send_big_refused(running) == 552
    running.send(letter(), ["a@x.test"])
    assert [d["recipient"] for d in running.deliveries()] == ["a@x.test"]


def send_big_refused(running):
    with running.client(timeout=60) as client:
        return client.mail(["big@x.test"], b"Subject: x\r\n\r\n" + b"y" * 3999998)[1][0]


def test_headers_without_end_are_bounded_together(gate):
    """Many that send headers for ever are refused before memory ends; the others are not."""
    running = gate(production(), more='memory_limit = "16MB"\n')
    before = running.memory_peak()
    clients = []
    for _ in range(100):
        client = Client(running.address(), PRODUCTION_CLIENT)
        if client.command("MAIL FROM:<a@x.test>")[0] != 250:
            client.close()
            continue
        client.expect(250, "RCPT TO:<b@x.test>")
        client.expect(354, "DATA")
        client.send(b"X-Long: " + (b"x" * 990 + b"\r\n ") * 1000)
        clients.append(client)
    for client in clients:
        client.send(b"\r\n.\r\n")
    codes = [client.reply()[0] for client in clients]
    for client in clients:
        client.close()
    assert 250 in codes
    assert len(clients) < 100 or 451 in codes
    assert set(codes) <= {250, 451}
    if not sanitized():
        assert running.memory_peak() - before < 64 * MEGABYTE
    running.send(letter(), ["c@x.test"], PRODUCTION_CLIENT)
    assert running.api("GET", "/v1/status")[0] == 200


def test_bodies_that_content_rules_look_at_are_bounded_together(gate):
    """What is kept of each for the rules counts: many that never end do not fill the memory."""
    rule = 'content "filler" { part = text match = "lorem ipsum" }'
    running = gate(production(rule), more='memory_limit = "8MB"\n')
    before = running.memory_peak()
    clients = []
    for _ in range(100):
        client = Client(running.address(), PRODUCTION_CLIENT)
        client.expect(250, "MAIL FROM:<a@x.test>")
        client.expect(250, "RCPT TO:<b@x.test>")
        client.expect(354, "DATA")
        clients.append(client)
    for client in clients:
        client.send(b"Subject: x\r\n\r\n" + (b"x" * 998 + b"\r\n") * 1000)
    for client in clients:
        client.send(b".\r\n")
    codes = [client.reply()[0] for client in clients]
    for client in clients:
        client.close()
    assert set(codes) == {250, 451}
    if not sanitized():
        assert running.memory_peak() - before < 48 * MEGABYTE
    running.send(letter(), ["c@x.test"], PRODUCTION_CLIENT)


def test_refused_recipients_are_bounded(gate):
    """A long list of refused addresses is kept until the transaction ends: not without end."""
    running = gate(staging('others = reject'), more='memory_limit = "1MB"\n')
    with Client(running.address(), STAGING_CLIENT) as client:
        client.expect(250, "MAIL FROM:<a@x.test>")
        client.send("".join(f"RCPT TO:<{'n' * 60}{n}@{'d' * 60}.test>\r\n" for n in range(9000)))
        codes = [client.reply()[0] for _ in range(9000)]
        assert set(codes) == {550, 451}
        client.expect(250, "RSET")
    running.send(letter(), ["c@x.test"], PRODUCTION_CLIENT)


def test_a_queue_of_large_messages_is_taken_as_memory_allows(gate, sink):
    sink.stop()
    running = gate(production(), more='memory_limit = "8MB"\n')
    running.send(letter(), ["first@x.test"], PRODUCTION_CLIENT)
    wait_for("it is down", lambda: running.status()["upstreams"][0]["up"] is False)
    body = "x" * 70 + "\r\n"
    for n in range(200):
        running.send(letter(body=body * 4000), [f"a{n}@x.test"], PRODUCTION_CLIENT)
    before = running.memory_peak()
    heard = []
    sink.rule = lambda now, *_: (heard.append(now), HANG)[1] if now == "mail" else None
    sink.start()
    wait_for("it is tried", lambda: heard)
    time.sleep(1.5)
    if not sanitized():
        assert running.memory_peak() - before < 32 * MEGABYTE
    sink.rule = None
    sink.cut()
    running.wait_count("production", "sent", 201)
