"""A held blast is packed in the store, and is the same mail as ever to everybody who gets it."""

import base64
import os
import random
import sqlite3

import pytest

from rig.batch import MARKED
from rig.client import letter
from rig.gate import PRODUCTION_CLIENT, listener, production, scaled, upstream
from rig.wait import wait_for

WHY = ("--reason", "checked by hand")
FIELDS = ("Received", "X-Mailfuse-Id", "Message-ID", "Date")  # each mail has its own


def newsletter(person):
    """About 20 KB of HTML in base64, a text part, and what is personal in both."""
    shared = random.Random(6)  # the same for everybody
    rows = "\r\n".join(
        f'<tr><td class="c{shared.randrange(9)}">article {shared.getrandbits(40):x}</td>'
        f'<td><a href="https://shop.example/{shared.getrandbits(32):x}">more</a></td></tr>'
        for _ in range(180))
    html = f"<html><p>Dear customer {person * 7919},</p>{rows}</html>".encode()
    coded = base64.b64encode(html).decode()
    lines = "\r\n".join(coded[i:i + 76] for i in range(0, len(coded), 76))
    return (f"--b\r\nContent-Type: text/plain\r\n\r\nDear {person},\r\n.a line with a dot\r\n"
            "--b\r\nContent-Type: text/html\r\nContent-Transfer-Encoding: base64\r\n\r\n"
            f"{lines}\r\n--b--")


def blast(gate, count, subject):
    """Sends one to each; {recipient: the body as it was sent}."""
    sent = {}
    for n in range(count):
        name, body = f"c{n}@x.test", newsletter(n)
        data = letter(subject, to=name, body=body.replace("\r\n.", "\r\n.."),
                      extra='MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="b"\r\n')
        gate.send(data, [name], PRODUCTION_CLIENT)
        sent[name] = body.encode() + b"\r\n"
    return sent


def arrived(messages):
    return {m.recipients[0]: m for m in messages}


def fields(message):
    """Its header without what differs from mail to mail."""
    lines = message.header.replace(b"\r\n ", b" ").replace(b"\r\n\t", b" ").split(b"\r\n")
    return [line for line in lines if not line.startswith(tuple(f.encode() for f in FIELDS))]


def query(gate, text):
    db = sqlite3.connect(f"file:{gate.store}?mode=ro", uri=True)
    try:
        return db.execute(text).fetchall()
    finally:
        db.close()


@pytest.fixture
def gate(make_gate, sink):
    return make_gate(listener() + upstream(sink) + production(MARKED)).start()


def test_a_released_blast_is_the_mail_that_passes(gate, sink):
    count = 25
    passed = blast(gate, count, "Hello")
    sink.wait(count)
    held = blast(gate, count, "Sale for you")
    assert gate.batch()["held"] == count
    assert query(gate, "SELECT count(*) FROM message WHERE complete = 2") == [(count,)]
    gate.one("release", "B1", *WHY)
    sink.wait(2 * count)
    before, after = arrived(sink.messages[:count]), arrived(sink.messages[count:])
    for name, body in held.items():
        assert passed[name] == body
        assert after[name].body == before[name].body == body
        assert [line.replace(b"Sale for you", b"Hello") for line in fields(after[name])] \
            == fields(before[name])


def test_it_takes_little_room(gate):
    count = scaled(300)
    sent = sum(map(len, blast(gate, count, "Sale for you").values()))
    gate.stop()  # all of the log is in the file
    assert os.path.getsize(gate.store) < 1_000_000 + sent // 8, sent
    assert query(gate, "SELECT uses FROM dictionary") == [(count - 1,)]
    assert query(gate, "SELECT sum(bytes) FROM message")[0][0] > sent


def test_people_copies_and_exports_have_it_as_it_came(gate, make_gate, sink, tmp_path):
    held = blast(gate, 6, "Sale for you")
    rows = {row["recipient"]: row for row in gate.deliveries(batch="B1")}
    raw = {}
    for name, body in held.items():
        status, raw[name] = gate.api("GET", f"/v1/messages/{rows[name]['message']}/raw")
        assert status == 200 and raw[name].endswith(b"\r\n\r\n" + body)
        shown = gate.cli("message", rows[name]["message"], "--raw")
        assert shown.returncode == 0 and shown.stdout.encode() == raw[name].replace(b"\r\n", b"\n")
    gate.one("backup", tmp_path / "copy.db")
    gate.one("export", "B1", tmp_path / "export")
    files = [p.read_bytes() for p in (tmp_path / "export").glob("*.eml")]
    assert sorted(files) == sorted(raw.values())
    for words in (["restore-from", tmp_path / "copy.db", "--batch", "B1"],
                  ["import", tmp_path / "export"]):
        other = make_gate(listener() + upstream(sink) + production(MARKED)).start()
        batch = other.one(*words, *WHY)["batch"]
        assert query(other, "SELECT count(*) FROM message WHERE complete = 2") == [(6,)]
        there = {row["recipient"]: row for row in other.deliveries(batch=batch)}
        for name in held:
            assert other.api("GET", f"/v1/messages/{there[name]['message']}/raw")[1] == raw[name]
    sent = len(sink.messages)
    other.one("release", batch, *WHY)
    sink.wait(sent + 6)
    assert {name: m.body for name, m in arrived(sink.messages[sent:]).items()} == held


def test_a_kill_loses_none_of_it(gate, sink):
    """The dictionary and what needs it are one transaction."""
    first = blast(gate, 5, "Sale for you")
    gate.kill()
    gate.start()
    more = blast(gate, 5, "Sale for you")
    assert first == more
    assert query(gate, "SELECT uses FROM dictionary") == [(9,)]
    for row in gate.batches():
        gate.one("release", row["id"], *WHY)
    sink.wait(10)
    assert sorted(m.body for m in sink.messages) == sorted([*first.values(), *more.values()])


def test_what_a_purge_frees_goes_back(gate):
    """The writer does it by itself, when there is little to do."""
    for n in range(120):
        noise = base64.b85encode(os.urandom(90000)).decode()
        gate.send(letter("Sale", body=noise), [f"c{n}@x.test"], PRODUCTION_CLIENT)
    gate.one("discard", "B1", *WHY)
    assert os.path.getsize(gate.store) > 7_000_000  # the last checkpoint was at about 8 MB
    gate.one("purge", "B1", *WHY)
    wait_for("a smaller file", lambda: os.path.getsize(gate.store) < 6_000_000, 60)
    gate.stop()
    assert query(gate, "PRAGMA integrity_check") == [("ok",)]
