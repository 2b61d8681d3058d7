"""Copies of the store, and single batches of them and of exports that come back."""

import hashlib
import json
import os
import sqlite3
import stat
import threading

import pytest

from rig.batch import MARKED
from rig.client import Blast, letter
from rig.gate import PRODUCTION_CLIENT, listener, production, scaled, upstream
from rig.wait import stays_true

WHY = ("--reason", "checked by hand")


@pytest.fixture
def held(make_gate, sink):
    """held(names): a gate that holds one message to each name in B1."""
    def start(names):
        gate = make_gate(listener() + upstream(sink) + production(MARKED)).start()
        for n, name in enumerate(names):
            gate.send(letter(f"sale {n}", to=name, body=f"Dear {name},\r\n.dot\r\n\r\nBye."),
                      [name], PRODUCTION_CLIENT)
        return gate

    return start


def backup(gate, path):
    result = gate.cli("backup", path, *WHY)
    assert result.returncode == 0, result.stderr
    assert "is whole" in result.stdout and "once more from here" in result.stdout, result.stdout
    return path


def contents(gate, batch):
    """{id of a message: (its bytes, [(recipient, state), ...])} of a batch."""
    found = {}
    for row in gate.deliveries(batch=batch):
        if row["message"] not in found:
            status, raw = gate.api("GET", f"/v1/messages/{row['message']}/raw")
            assert status == 200
            found[row["message"]] = (raw, [])
        found[row["message"]][1].append((row["recipient"], row["state"]))
    return found


def bodies(gate, batch):
    """The same without ids: what another store has of it."""
    return sorted(contents(gate, batch).values())


def table(path, name):
    db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    rows = db.execute(f"SELECT * FROM {name}").fetchall()
    db.close()
    return sorted(map(repr, rows))


def drop_batch(gate):
    """Discards and purges B1: it is gone for good."""
    gate.one("discard", "B1", *WHY)
    gate.one("purge", "B1", *WHY)
    assert not gate.deliveries(batch="B1")


# ---- copies

@pytest.mark.heavy
def test_a_backup_under_load_is_whole_and_starts_as_a_store(make_gate, sink, tmp_path):
    config = listener() + upstream(sink) + production(MARKED)
    gate = make_gate(config).start()
    started = threading.Event()
    blast = Blast(gate.address(), scaled(4000), PRODUCTION_CLIENT, subject="sale",
                  each=lambda n: started.set() if n == scaled(500) else None).start()
    assert started.wait(120)
    copies = [tmp_path / f"copy{n}.db" for n in range(3)]
    for copy in copies:
        backup(gate, copy)
    blast.join()
    assert len(blast.accepted) == scaled(4000)
    # Everything that had its 250 before the copy began is in it, whole.
    other = make_gate(config)
    os.rename(copies[1], other.store)
    other.start()
    there = {row["recipient"]: row for row in other.deliveries(batch="B1")}
    assert scaled(500) <= len(there) <= scaled(4000)
    assert set(there) <= set(blast.accepted)
    batch = other.batch()
    assert batch["held"] == batch["recipients"] == len(there)
    ids = list({row["message"] for row in there.values()})
    for message in ids[:: max(1, len(ids) // 50)]:
        assert (other.api("GET", f"/v1/messages/{message}/raw")
                == gate.api("GET", f"/v1/messages/{message}/raw"))
    assert other.cli("audit", "verify").returncode == 0


def test_a_copy_has_the_same_rows(held, tmp_path):
    gate = held([f"a{n}@x.test" for n in range(20)])
    copy = backup(gate, tmp_path / "copy.db")
    gate.stop()
    for name in ("message", "delivery", "batch", "chunk"):
        try:
            assert table(gate.store, name) == table(copy, name), name
        except sqlite3.OperationalError as error:
            assert name == "chunk" and "no such table" in str(error)
    assert stat.S_IMODE(copy.stat().st_mode) & 0o077 == 0


def test_a_backup_is_noted_and_told(held, tmp_path):
    gate = held(["a@x.test"])
    report = gate.one("backup", tmp_path / "copy.db", *WHY)
    assert (report["messages"], report["held"], report["batches"]) == (1, 1, 1)
    assert report["bytes"] == (tmp_path / "copy.db").stat().st_size
    row = gate.audit()[-1]
    assert (row["action"], row["reason"]) == ("backup.made", "checked by hand")
    assert str(tmp_path / "copy.db") in row["detail"]
    again = gate.one("backup", "--verify", tmp_path / "copy.db")
    assert again == report
    assert report["audit"]["id"] < row["id"]


def test_a_relative_name_is_where_the_operator_stands(held, tmp_path, monkeypatch):
    gate = held(["a@x.test"])
    monkeypatch.chdir(tmp_path)
    assert gate.cli("backup", "here.db").returncode == 0
    assert (tmp_path / "here.db").exists()


@pytest.mark.parametrize("path, words", [
    ("there.db", "exist"), ("nowhere/copy.db", ""), ("", ""),
])
def test_a_copy_that_cannot_be_made(path, words, held, tmp_path):
    gate = held(["a@x.test"])
    (tmp_path / "there.db").write_text("precious")
    result = gate.cli("backup", tmp_path / path)
    assert result.returncode == 1 and words in result.stderr and result.stderr.strip(), result
    assert (tmp_path / "there.db").read_text() == "precious"
    assert sorted(p.name for p in tmp_path.glob("*.db*")) == ["there.db"]
    assert gate.batch()["held"] == 1


@pytest.mark.parametrize("ending", ["-journal", "-wal", "-shm"])
def test_a_copy_is_not_called_what_sqlite_deletes(ending, held):
    """Beside the store itself, the next start would take it for the store's own journal."""
    gate = held(["a@x.test"])
    path = f"{gate.store}{ending}"
    result = gate.cli("backup", path)
    made = os.path.exists(path) and result.returncode == 0
    gate.stop()
    gate.start()
    assert result.returncode == 1 and ("another" in result.stderr), \
        f"{path} was made, and is {'there' if os.path.exists(path) else 'gone'}" if made else result
    assert gate.batch()["held"] == 1


@pytest.mark.parametrize("body, status", [
    ({"path": "relative.db"}, 400), ({}, 400), ({"path": 5}, 400), ({"path": "/tmp/"}, 400),
    ({"path": "/tmp/x.db", "extra": 1}, 400),
])
def test_a_call_that_is_none(body, status, held):
    got, answer = held(["a@x.test"]).api("POST", "/v1/backup", body)
    assert got == status and answer["detail"], answer


def damaged(path, kind):
    data = bytearray(path.read_bytes())
    size = len(data)
    if kind == "truncated by a byte":
        del data[-1]
    elif kind == "truncated to a half":
        del data[size // 2:]
    elif kind == "a page short":
        del data[-4096:]
    elif kind == "empty":
        data = bytearray()
    elif kind == "longer":
        data += bytes(4096)
    elif kind.startswith("bit"):
        at = int(float(kind.split()[1]) * (size - 1))
        data[at] ^= 1 << (at % 8)
    elif kind == "no database":
        data = bytearray(b"From: someone\r\n\r\nHello\r\n" * 1000)
    path.write_bytes(bytes(data))


@pytest.mark.parametrize("kind", [
    "truncated by a byte", "truncated to a half", "a page short", "empty", "longer", "no database",
    *(f"bit {n / 20}" for n in range(21)),
])
def test_a_damaged_copy_is_refused(kind, held, tmp_path):
    gate = held([f"a{n}@x.test" for n in range(5)])
    copy = backup(gate, tmp_path / "copy.db")
    damaged(copy, kind)
    before = gate.audit()
    for call in (["backup", "--verify", copy], ["restore-from", copy, "--batch", "B1"]):
        result = gate.cli(*call)
        assert result.returncode == 1 and result.stderr.strip(), (call, result)
    assert gate.audit() == before
    # The file is as it was: nobody repairs evidence.
    assert not list(tmp_path.glob("copy.db-*"))


def test_the_running_store_is_no_copy(held):
    gate = held(["a@x.test"])
    result = gate.cli("backup", "--verify", gate.store)
    assert result.returncode == 1 and result.stderr.strip()


# ---- a batch of a copy

def test_a_batch_comes_back_and_other_mail_is_untouched(held, sink, tmp_path):
    gate = held([f"a{n}@x.test" for n in range(12)])
    gate.one("discard", "B1", "--first", 3, *WHY)
    wanted = contents(gate, "B1")
    copy = backup(gate, tmp_path / "copy.db")
    drop_batch(gate)
    gate.send(letter("sale other"), ["other@x.test"], PRODUCTION_CLIENT)
    others = [row for row in gate.deliveries() if row["recipient"] == "other@x.test"]
    result = gate.cli("restore-from", copy, "--batch", "B1", *WHY)
    assert result.returncode == 0, result.stderr
    assert "ago" in result.stderr and "sent again" in result.stderr
    back = [b for b in gate.batches("--all") if b["rule"] == "restored"]
    assert len(back) == 1 and (back[0]["held"], back[0]["discarded"]) == (9, 3), back
    assert contents(gate, back[0]["id"]) == wanted
    assert [row for row in gate.deliveries() if row["recipient"] == "other@x.test"] == others
    stays_true("nothing was sent", lambda: not sink.recipients(), 0.3)
    gate.one("release", back[0]["id"], *WHY)
    sink.wait(9)
    assert len(set(sink.recipients())) == 9
    rows = gate.audit()
    assert any(r["action"] == "batch.imported" and r["reason"] == "checked by hand" for r in rows)


def test_a_batch_comes_back_once(held, tmp_path):
    gate = held([f"a{n}@x.test" for n in range(5)])
    copy = backup(gate, tmp_path / "copy.db")
    # All of it is there.
    answer = gate.one("restore-from", copy, "--batch", "B1", *WHY)
    assert (answer["added"], answer["skipped"]) == (0, 5)
    drop_batch(gate)
    answer = gate.one("restore-from", copy, "--batch", "B1", *WHY)
    assert (answer["added"], answer["skipped"]) == (5, 0)
    again = gate.one("restore-from", copy, "--batch", "b1", *WHY)
    assert (again["added"], again["skipped"]) == (0, 5)
    assert gate.counts("production") == {"held": 5}


def test_what_came_back_in_part_is_gone_on_with(held, tmp_path):
    gate = held([f"a{n}@x.test" for n in range(6)])
    copy = backup(gate, tmp_path / "copy.db")
    drop_batch(gate)
    batch = gate.one("restore-from", copy, "--batch", "B1", *WHY)["batch"]
    gone = [row["id"] for row in gate.deliveries(batch=batch)][2:]
    gate.do("discard", *gone, *WHY)
    gate.do("purge", *gone, *WHY)
    answer = gate.one("restore-from", copy, "--batch", "B1", *WHY)
    assert (answer["batch"], answer["added"], answer["skipped"]) == (batch, 4, 2)


def test_what_the_panic_button_held_comes_back(held, tmp_path):
    gate = held([])
    gate.one("hold", "--everything", *WHY)
    for n in range(3):
        gate.send(letter("mail"), [f"a{n}@x.test"], PRODUCTION_CLIENT)
    gate.one("unhold", *WHY)
    copy = backup(gate, tmp_path / "copy.db")
    drop_batch(gate)
    answer = gate.one("restore-from", copy, "--batch", "B1", *WHY)
    assert answer["added"] == 3
    assert gate.counts("production") == {"held": 3}


def test_what_was_sent_since_stays_sent(held, sink, tmp_path):
    gate = held([f"a{n}@x.test" for n in range(5)])
    copy = backup(gate, tmp_path / "copy.db")
    gate.one("release", "B1", "--first", 2, *WHY)
    sink.wait(2)
    gate.wait_counts("production", {"sent": 2, "held": 3})
    gate.one("discard", "B1", *WHY)
    gate.one("purge", "B1", *WHY)
    answer = gate.one("restore-from", copy, "--batch", "B1", *WHY)
    assert (answer["added"], answer["skipped"]) == (3, 2)
    gate.wait_counts("production", {"sent": 2, "held": 3})


def test_a_batch_comes_into_another_gate(held, make_gate, sink, tmp_path):
    gate = held([f"a{n}@x.test" for n in range(5)])
    wanted = bodies(gate, "B1")
    copy = backup(gate, tmp_path / "copy.db")
    other = make_gate(listener() + upstream(sink) + production(MARKED)).start()
    answer = other.one("restore-from", copy, "--batch", "B1", *WHY)
    assert answer["added"] == 5
    assert bodies(other, answer["batch"]) == wanted
    assert other.one("restore-from", copy, "--batch", "B1", *WHY)["added"] == 0


@pytest.mark.parametrize("words, code, said", [
    (["--batch", "B9"], 1, "B9"), (["--batch", "x"], 1, "batch"), ([], 2, "--batch"),
])
def test_restore_from_of_what_is_not_there(words, code, said, held, tmp_path):
    gate = held(["a@x.test"])
    copy = backup(gate, tmp_path / "copy.db")
    result = gate.cli("restore-from", copy, *words)
    assert result.returncode == code and said in result.stderr, result


# ---- export and import

def export(gate, tmp_path, batch="B1"):
    directory = tmp_path / "export"
    gate.one("export", batch, directory)
    return directory


def manifest(directory):
    return json.loads((directory / "manifest.json").read_text())


def test_an_export_is_byte_for_byte_what_would_leave(held, tmp_path):
    gate = held([f"a{n}@x.test" for n in range(5)])
    directory = export(gate, tmp_path)
    listed = manifest(directory)
    assert listed["batch"]["id"] == "B1" and listed["count"] == len(listed["messages"]) == 5
    for message in listed["messages"]:
        data = (directory / message["file"]).read_bytes()
        assert data == gate.api("GET", f"/v1/messages/{message['id']}/raw")[1]
        assert hashlib.sha256(data).hexdigest() == message["sha256"]
        assert len(data) == message["bytes"]
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert all(stat.S_IMODE(p.stat().st_mode) == 0o600 for p in directory.iterdir())
    assert len(list(directory.iterdir())) == 6


def test_an_export_comes_back(held, make_gate, sink, tmp_path):
    gate = held([f"a{n}@x.test" for n in range(8)])
    gate.one("release", "B1", "--first", 2, *WHY)
    sink.wait(2)
    gate.wait_counts("production", {"sent": 2, "held": 6})
    gate.one("discard", "B1", "--first", 1, *WHY)
    wanted = sorted(v for v in contents(gate, "B1").values() if v[1][0][1] != "sent")
    directory = export(gate, tmp_path)
    other = make_gate(listener() + upstream(sink) + production(MARKED)).start()
    result = other.cli("import", directory, *WHY)
    assert result.returncode == 0 and "2 recipients were neither" in result.stderr, result
    batch = other.batch()
    assert (batch["held"], batch["discarded"], batch["rule"]) == (5, 1, "imported")
    assert bodies(other, batch["id"]) == wanted
    again = other.one("import", directory, *WHY)
    assert (again["added"], again["skipped"]) == (0, 6)
    # Where it came from everything is there still.
    assert gate.one("import", directory, *WHY)["added"] == 0
    stays_true("nothing was sent", lambda: len(sink.recipients()) == 2, 0.3)


def test_the_bytes_survive_a_round_trip_whatever_they_are(held, make_gate, sink, tmp_path):
    gate = held([])
    bodies_sent = ["", "no line end", ".\r\n..\r\n", "\r\n\r\n", "x" * 70000, "caf\u00e9 \u2603"]
    for n, body in enumerate(bodies_sent):
        gate.send(letter(f"sale {n}", body=body), [f"a{n}@x.test", f"b{n}@x.test"],
                  PRODUCTION_CLIENT)
    directory = export(gate, tmp_path)
    other = make_gate(listener() + upstream(sink) + production(MARKED)).start()
    batch = other.one("import", directory, *WHY)["batch"]
    assert bodies(other, batch) == bodies(gate, "B1")
    other.one("release", batch, *WHY)
    sink.wait(12)


@pytest.mark.parametrize("way", ["export", "backup"])
def test_mail_that_needs_smtputf8_still_does(way, held, make_gate, sink, tmp_path):
    gate = held([])
    gate.send(letter("sale \u2603"), ["a@x.test"], PRODUCTION_CLIENT, parameters=" SMTPUTF8")
    gate.send(letter("sale"), ["b@x.test"], PRODUCTION_CLIENT)
    other = make_gate(listener() + upstream(sink) + production(MARKED)).start()
    if way == "export":
        batch = other.one("import", export(gate, tmp_path), *WHY)["batch"]
    else:
        copy = backup(gate, tmp_path / "copy.db")
        batch = other.one("restore-from", copy, "--batch", "B1", *WHY)["batch"]
    assert bodies(other, batch) == bodies(gate, "B1")
    other.stop()
    assert [row[1] for row in sqlite3.connect(other.store).execute(
        "SELECT message, smtputf8 FROM envelope")] == [1]


@pytest.mark.parametrize("make", [lambda d: d.mkdir() or (d / "x").write_text("x"),
                                  lambda d: d.write_text("a file"),
                                  lambda d: d.symlink_to(d.parent)])
def test_an_export_overwrites_nothing(make, held, tmp_path):
    gate = held(["a@x.test"])
    make(tmp_path / "export")
    result = gate.cli("export", "B1", tmp_path / "export")
    assert result.returncode == 1 and result.stderr.strip(), result


def rewrite(directory, change):
    """Changes the manifest as a person would who knows its form."""
    lines = (directory / "manifest.json").read_text().split("\n")
    lines = change(directory, lines)
    (directory / "manifest.json").write_text("\n".join(lines))


def edit(number, **fields):
    def change(directory, lines):
        comma = lines[number].endswith(",")
        row = json.loads(lines[number].rstrip(","))
        row.update({k: v(row) if callable(v) else v for k, v in fields.items()})
        lines[number] = json.dumps(row, separators=(",", ":")) + ("," if comma else "")
        return lines

    return change


def with_files(work):
    def change(directory, lines):
        work(sorted(directory.glob("*.eml")))
        return lines

    return change


def as_link(files):
    target = files[0].parent.parent / "elsewhere.eml"
    files[0].rename(target)
    files[0].symlink_to(target)


def as_pipe(files):
    files[0].unlink()
    os.mkfifo(files[0])


def flip(files):
    data = bytearray(files[1].read_bytes())
    data[len(data) // 2] ^= 1
    files[1].write_bytes(bytes(data))


HOSTILE = {
    "a path": edit(1, file="../../etc/passwd"),
    "an absolute path": edit(1, file="/etc/passwd"),
    "a path in the id": edit(1, id="../../../etc/passwd", file="../../../etc/passwd.eml"),
    "another's file": edit(1, file=lambda row: "0" * 26 + ".eml"),
    "a hash that is none": edit(1, sha256="abc"),
    "another hash": edit(1, sha256="0" * 64),
    "another length": edit(1, bytes=lambda row: row["bytes"] - 1),
    "a huge length": edit(1, bytes=2**62),
    "a negative length": edit(1, bytes=-1),
    "no deliveries": edit(1, deliveries=[]),
    "deliveries twice": edit(1, deliveries=lambda row: row["deliveries"] * 2),
    "number 0": edit(1, deliveries=[{"number": 0, "recipient": "a@x.test", "state": "held"}]),
    "a message twice": lambda d, lines: lines[:2] + [lines[1]] + lines[2:],
    "messages in another order": lambda d, lines: [lines[0], lines[2], lines[1], *lines[3:]],
    "a message left out": lambda d, lines: lines[:1] + lines[2:],
    "cut off": lambda d, lines: lines[:2],
    "no end": lambda d, lines: lines[:-2],
    "goes on": lambda d, lines: lines + ["{}"],
    "not JSON": lambda d, lines: [lines[0], "}{,"] + lines[2:],
    "deeply nested": lambda d, lines: [lines[0], "[" * 1000000] + lines[2:],
    "a huge line": lambda d, lines: [lines[0], '{"id":"' + "x" * (5 << 20) + '"},'] + lines[2:],
    "fields twice": lambda d, lines: [lines[0], lines[1].replace("{", '{"id":"x",', 1)] + lines[2:],
    "another version": lambda d, lines: [lines[0].replace(":1,", ":2,", 1)] + lines[1:],
    "empty": lambda d, lines: [],
    "a file missing": with_files(lambda files: files[1].unlink()),
    "a file too many": with_files(lambda files: (files[0].parent / "x.eml").write_text("x")),
    "a link": with_files(as_link),
    "a pipe": with_files(as_pipe),
    "a bit": with_files(flip),
    "a line more": with_files(lambda files: files[2].open("ab").write(b"x\r\n")),
}


@pytest.mark.parametrize("kind", HOSTILE, ids=[kind.replace(" ", "-") for kind in HOSTILE])
def test_a_hostile_export_is_refused_before_anything_comes_back(kind, held, make_gate, sink,
                                                               tmp_path):
    gate = held([f"a{n}@x.test" for n in range(3)])
    directory = export(gate, tmp_path)
    rewrite(directory, HOSTILE[kind])
    other = make_gate(listener() + upstream(sink) + production(MARKED)).start()
    before = other.audit()
    result = other.cli("import", directory, *WHY)
    assert result.returncode == 1 and result.stderr.strip(), result
    assert "passwd:" not in result.stderr and "root:" not in result.stderr
    assert other.batches("--all") == [] and other.audit() == before


def test_a_manifest_that_is_a_link_is_refused(held, tmp_path):
    gate = held(["a@x.test"])
    directory = export(gate, tmp_path)
    (directory / "manifest.json").rename(tmp_path / "m.json")
    (directory / "manifest.json").symlink_to(tmp_path / "m.json")
    result = gate.cli("import", directory, *WHY)
    assert result.returncode == 1 and "link" in result.stderr, result


# ---- the call behind it

def call(gate, **changes):
    body = {"batch": None,
            "open": {"environment": "production", "rule": "imported", "key": "by hand"},
            "message": {"id": None, "environment": "production", "source": "by hand",
                        "sender": "app@shop.example", "accepted_at": "2026-11-21T12:00:00Z",
                        "content_base64": "U3ViamVjdDogaGkNCg0KaGkNCg=="},
            "deliveries": [{"number": 1, "recipient": "a@x.test", "final": "a@x.test",
                            "state": "held"}],
            "reason": "checked by hand"}
    for key, value in changes.items():
        part, _, field = key.partition("__")
        if field:
            target = body[part][0] if part == "deliveries" else body[part]
            target[field] = value
        else:
            body[part] = value
    return gate.api("POST", "/v1/import", body)


def test_a_message_by_hand_is_held(held, sink):
    gate = held([])
    status, answer = call(gate)
    assert status == 200 and (answer["added"], answer["skipped"]) == (1, 0), answer
    assert gate.counts("production") == {"held": 1}
    stays_true("nothing was sent", lambda: not sink.recipients(), 0.3)


def b64(text):
    import base64

    return base64.b64encode(text).decode()


@pytest.mark.parametrize("changes", [
    {"message__environment": "nowhere"}, {"message__environment": "drill"},
    {"message__environment": ""}, {"message__sender": "no address"},
    {"message__sender": "a@x.test>\r\nRCPT TO:<b@x.test"}, {"message__source": "a\nb"},
    {"message__source": "x" * 1000}, {"message__accepted_at": "yesterday"},
    {"message__content_base64": "!"}, {"message__content_base64": None},
    {"message__content_base64": b64(b"Subject: a\0b\r\n\r\n")},
    {"message__content_base64": b64(b"no field at all\r\n\r\nhello")},
    {"message__content_base64": b64(b"A: " + b"x" * (1 << 21) + b"\r\n\r\n")},
    {"message__id": "x"}, {"message__id": "7ZZZZZZZZZZZZZZZZZZZZZZZZZ2"}, {"message__extra": 1},
    {"message": None}, {"message": []}, {"deliveries": []}, {"deliveries": None},
    {"deliveries__state": "queued"}, {"deliveries__state": "sent"}, {"deliveries__state": None},
    {"deliveries__number": 0}, {"deliveries__number": -1}, {"deliveries__number": 10**12},
    {"deliveries__recipient": ""}, {"deliveries__recipient": "a b@x.test"},
    {"deliveries__recipient": "<a@x.test>"}, {"deliveries__final": "not one"},
    {"batch": "B99", "open": None}, {"batch": "B99"}, {"batch": "x", "open": None}, {"open": None},
    {"open__limit": -1}, {"open__extra": 1}, {"reason": ""}, {"extra": 1},
])
def test_a_hostile_call_is_refused(changes, held):
    gate = held([])
    status, answer = call(gate, **changes)
    assert status in (400, 404, 409) and answer["detail"], answer
    assert gate.batches("--all") == [] and gate.deliveries() == []


STAGING = """environment "staging" {
    match { network = {"127.0.2.0/24"} }  upstream = "smarthost"
    allow = {"*@dev.example"}  others = %s
}
"""


@pytest.mark.parametrize("others, recipient, final, status", [
    ("drop", "a@dev.example", None, 200),
    ("drop", "ada@customer.example", None, 409),
    ("drop", "a@dev.example", "ada@customer.example", 409),
    ("reject", "ada@customer.example", "ada@customer.example", 409),
    ("hold", "ada@customer.example", None, 200),
    ('rewrite rewrite_to = "%%u@dev.example"', "ada@customer.example", None, 409),
    ('rewrite rewrite_to = "%%u@dev.example"', "ada@customer.example", "ada@dev.example", 200),
    ('rewrite rewrite_to = "%%u@catch.example"', "a@customer.example", "a@catch.example", 200),
    ('rewrite rewrite_to = "%%u@catch.example"', "a@customer.example", "a@other.example", 409),
])
def test_an_import_is_no_way_round_the_allow_list(others, recipient, final, status, make_gate,
                                                  sink):
    gate = make_gate(listener() + upstream(sink) + STAGING % others.replace("%%", "%")).start()
    done, answer = call(gate, message__environment="staging", open={"environment": "staging"},
                        deliveries__recipient=recipient, deliveries__final=final)
    assert done == status, answer
    if status == 409:
        assert "staging may not write to" in answer["detail"], answer
        assert gate.deliveries() == []


def test_line_ends_become_those_of_mail(held):
    gate = held([])
    content = b64(b"Subject: hi\nX-A: b\r\n\none\ntwo\rthree\r\nfour")
    batch = call(gate, message__content_base64=content)[1]["batch"]
    (raw, _), = contents(gate, batch).values()
    assert raw == b"Subject: hi\r\nX-A: b\r\n\r\none\r\ntwo three\r\nfour"
