"""The machine fails under the gate: disks, descriptors, memory, clocks, slow and stuck neighbours.

Never a wrong 250, nothing accepted is lost, the operator is told, and it goes on by itself where
it can. The faults are tests/crash/faults.c, preloaded.
"""

import sqlite3
import sys
import threading
import time
from pathlib import Path

import pytest

from rig.batch import channel
from rig.client import Blast, letter
from rig.gate import listener, sanitized, scaled, staging, upstream
from rig.sink import HANG
from rig.wait import stays_true, wait_for

sys.path.append(str(Path(__file__).resolve().parents[1] / "crash"))
from shim import Faults  # noqa: E402

OPEN = 'allow = {"*"} burst "volume" { limit = "1000000/1h" per = {environment} }'


@pytest.fixture
def faulty(make_gate, sink, tmp_path, webhook):
    """(gate, faults): started, with a webhook that hears of everything."""
    if sanitized():
        pytest.skip("the sanitizers' own library must be the first")

    def make(more="", keys=OPEN):
        config = listener() + upstream(sink) + staging(keys) + channel(webhook)
        running = make_gate(more + config)
        faults, plain = Faults(tmp_path, running.dir), dict(running.environment)
        running.environment.update(faults.environment)
        running.start()
        running.environment = plain  # the operator's tool is well
        return running, faults

    return make


def send(running, name, source="127.0.2.1", **keys):
    """(code, text) of the end of one small message, or of what refused it."""
    with running.client(source, timeout=60) as client:
        return client.mail([name], letter(to=name), **keys)[1]


def taken(running, name):
    return send(running, name)[0] == 250


def warnings(running):
    return " ".join(running.status()["warnings"])


# ---- the disk


@pytest.mark.parametrize("fault, code", [("no_space", 452), ("bad_write", 451)])
def test_a_write_fails_and_works_again(fault, code, faulty, sink):
    running, faults = faulty()
    assert taken(running, "before@x.test")
    sink.wait(1)
    running.wait_count("staging", "sent", 1)
    faults[fault] = -1
    for n in range(3):
        end = send(running, f"refused{n}@x.test")
        assert end[0] == code and end[1].startswith("4.3."), end
    assert "takes no more mail" in warnings(running)
    faults[fault] = 0
    wait_for("it writes again", lambda: taken(running, "after@x.test"))
    wait_for("after", lambda: "after@x.test" in sink.recipients())
    assert not [r for r in sink.recipients() if r.startswith("refused")]
    assert "takes no more mail" not in warnings(running)


def test_a_failed_sync_is_believed(faulty, sink, webhook):
    """The next sync would work, and prove nothing: nothing is written until the next start."""
    running, faults = faulty()
    assert taken(running, "before@x.test")
    sink.wait(1)
    running.wait_count("staging", "sent", 1)
    webhook.status = lambda attempt: 500 if attempt == 1 else 200
    faults["bad_sync"] = 1
    end = send(running, "first@x.test")
    assert end[0] == 451 and end[1].startswith("4.3.0"), end
    wait_for("it failed", lambda: faults["bad_sync"] == 0)
    before = faults["syncs"]
    for n in range(5):
        end = send(running, f"later{n}@x.test")
        assert end[0] == 451 and "restart" in end[1], end
    stays_true("nothing is synced any more", lambda: faults["syncs"] == before, 2.5)
    assert running.logged("store.sync_failed")
    assert "sync" in warnings(running) and "restart" in warnings(running)
    told = webhook.wait("store.broken")
    assert len(told) == 1 and "restart" in told[0]["text"]
    status, answer = running.api("POST", "/v1/hold", {"scope": "everything", "name": "",
                                                      "reason": "what is going on"})
    assert status == 503 and "restart" in answer["detail"], answer
    running.stop()
    running.start()
    assert taken(running, "after@x.test")
    wait_for("after", lambda: "after@x.test" in sink.recipients())
    assert sink.recipients().count("before@x.test") == 1
    assert not [r for r in sink.recipients() if r.startswith("later")]
    assert running.cli("audit", "verify").returncode == 0


def test_a_sync_fails_under_load_and_no_250_was_wrong(faulty, sink):
    running, faults = faulty()
    blast = Blast(running.address(), scaled(3000), connections=8).start()
    wait_for("it runs", lambda: len(blast.accepted) > 300)
    faults["bad_sync"] = 1
    blast.join()
    assert blast.refused and len(blast.accepted) < blast.count
    assert {end[0] for _, end in blast.refused} == {451}
    running.kill()
    running.start()
    wait_for("nothing on its way", lambda: not running.counts("staging").get("queued"), 60)
    assert set(blast.accepted) <= set(sink.recipients())


def test_a_sync_fails_in_a_checkpoint(faulty, sink):
    """The log is synced and whole, the file is not: it is copied again from its beginning."""
    running, faults = faulty(keys="others = drop")
    body = "x" * 70 + "\r\n"
    sent = []
    with running.client(timeout=60) as client:
        for n in range(200):
            sent.append(f"c{n}@x.test")
            end = client.mail([sent[-1]], letter(body=body * 1000))[1]
            assert end[0] == 250, end
            if n == 60:
                break
    faults["bad_sync"] = 1  # of the log, or of the file if it is its turn
    end = send(running, "x@x.test")
    assert end[0] == 451, end
    running.kill()
    running.start()
    rows = {d["recipient"] for d in running.deliveries(environment="staging")}
    assert set(sent) <= rows


def test_content_cannot_be_read(faulty, sink):
    """What is due and cannot be read waits; it is neither lost nor sent in part."""
    running, faults = faulty(keys='allow = {"*"} burst "v" { limit = "5/1h" per = {environment} }')
    body = "\r\n".join(["y" * 76] * 60000)  # more than the page cache of the reader
    with running.client(timeout=60) as client:
        for n in range(6):
            end = client.mail([f"b{n}@x.test"], letter(body=body))[1]
            assert end[0] == 250, end
    batch = running.batch()["id"]
    running.stop()
    running.start()
    faults["bad_read"] = -1
    status, answer = running.api("POST", "/v1/release", {"ids": [batch], "reason": "checked"})
    assert status in (200, 503), answer
    stays_true("nothing in part", lambda: all(len(m.body) >= len(body) for m in sink.messages), 1)
    faults["bad_read"] = 0

    def through():
        if running.batch()["held"]:
            running.api("POST", "/v1/release", {"ids": [batch], "reason": "checked"})
        return len(set(sink.recipients())) == 6

    wait_for("all of it", through, 60)
    assert all(len(m.body) >= len(body) for m in sink.messages)


@pytest.mark.heavy
def test_slow_disk_and_stuck_upstream(faulty, sink):
    """Every sync takes 200 ms, and nobody takes mail: it goes on within its memory, or says 4xx."""
    running, faults = faulty('memory_limit = "16MB"\n')
    faults["slow_sync_ms"] = 200
    sink.rule = lambda stage, *_: HANG if stage == "end" else None
    blast = Blast(running.address(), 600, connections=40).start().join()
    assert len(blast.accepted) + len(blast.refused) == blast.count
    assert all(end[0] in (451, 452) for _, end in blast.refused), blast.refused[:5]
    assert len(blast.accepted) > 100
    assert running.memory_peak() < 200 << 20
    faults["slow_sync_ms"] = 0
    sink.rule = None
    sink.cut()
    wait_for("all of it", lambda: set(blast.accepted) <= set(sink.recipients()), 60)


# ---- a database that is damaged


def zero_page(path, number):
    with open(path, "r+b") as file:
        file.seek(8192 * number)
        file.write(bytes(8192))


def root_of(path, name):
    db = sqlite3.connect(path)
    try:
        return db.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", [name]).fetchone()[0]
    finally:
        db.close()


DAMAGE = {
    "header": lambda path: path.write_bytes(b"SQLite format 4\0" + path.read_bytes()[16:]),
    "text": lambda path: path.write_bytes(b"Dear diary,\n" * 4000),
    "schema": lambda path: path.write_bytes(
        path.read_bytes()[:100] + b"\xff" * 1000 + path.read_bytes()[1100:]),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:8192 * 3]),
    "messages": lambda path: zero_page(path, root_of(path, "message") - 1),
    "deliveries": lambda path: zero_page(path, root_of(path, "delivery") - 1),
    "audit": lambda path: zero_page(path, root_of(path, "audit") - 1),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_store_is_refused_with_the_way_out(kind, make_gate, sink):
    running = make_gate(listener() + upstream(sink) + staging("others = drop")).start()
    for n in range(20):
        running.send(letter(body="z" * 70 + "\r\n" * 900), [f"a{n}@x.test"])
    running.stop()
    DAMAGE[kind](running.store)
    content = running.store.read_bytes()
    running.spawn()
    wait_for("it ends", running.exited)
    assert running.process.returncode == 1
    running.process = None
    last = running.text().strip().splitlines()[-1]
    assert str(running.store) in last
    assert "mailfuse backup" in last and ".recover" in last, last
    assert running.store.read_bytes() == content, "it is left as it is"


# ---- descriptors


def test_no_descriptors_to_accept_with(faulty, sink):
    """The listener rests between its tries, and takes who waited."""
    running, faults = faulty()
    faults["no_accept"] = -1
    before = faults["accepts"]
    began = time.monotonic()
    late = Blast(running.address(), 1, connections=1).start()
    wait_for("it is told", lambda: running.logged("listener.accept-failed"))
    stays_true("nobody gets in", lambda: not late.accepted, 2.2)
    tries = faults["accepts"] - before
    assert tries <= 4 + 2 * (time.monotonic() - began), f"{tries} tries"
    faults["no_accept"] = 0
    late.join()
    assert late.accepted
    sink.wait(1)


def test_no_descriptors_for_the_operator(faulty):
    """The control socket rests in the same way."""
    running, faults = faulty()
    faults["no_accept"] = -1
    before, began = faults["accepts"], time.monotonic()
    late = threading.Thread(target=running.cli, args=("status",))
    late.start()
    wait_for("it tried", lambda: faults["accepts"] > before)
    stays_true("it is no tight circle",
               lambda: faults["accepts"] - before <= 6 + 4 * (time.monotonic() - began), 2.2)
    faults["no_accept"] = 0
    late.join()
    assert running.status()["pid"]


def test_no_descriptors_for_an_upstream(faulty, sink):
    running, faults = faulty()
    faults["no_socket"] = -1
    assert taken(running, "a@x.test")
    stays_true("it waits", lambda: not sink.recipients(), 0.5)
    assert [d["state"] for d in running.deliveries(environment="staging")] == ["queued"]
    faults["no_socket"] = 0
    sink.wait(1)
    running.wait_count("staging", "sent", 1)


# ---- memory and clocks


def test_out_of_memory_ends_it_and_nothing_is_lost(faulty, sink):
    """Memory is bounded, so running out means a broken machine: it ends at once and says why, as
    base/mem.h has it; who restarts it finds all that was answered with 250."""
    running, faults = faulty()
    blast = Blast(running.address(), scaled(3000), connections=8).start()
    wait_for("it runs", lambda: len(blast.accepted) > 200)
    faults["memory_least"] = 64
    faults["no_memory"] = 1
    blast.join()
    wait_for("it ends, or it went without", lambda: running.exited()
             or len(blast.accepted) == blast.count, 60)
    faults["no_memory"] = 0
    if running.exited():
        assert running.logged("out of memory") or running.process.returncode in (1, -6)
        running.process = None
        running.start()
    wait_for("nothing on its way", lambda: not running.counts("staging").get("queued"), 60)
    assert set(blast.accepted) <= set(sink.recipients())


@pytest.mark.parametrize("jump", [86400, -86400], ids=["ahead", "back"])
def test_the_wall_clock_jumps(jump, faulty, sink):
    """Retries and settling go by the steady clock: nothing stands still, nothing goes at once."""
    running, faults = faulty()
    sink.rule = lambda stage, *_: "451 4.3.0 later" if stage == "end" else None
    assert taken(running, "a@x.test")
    wait_for("it was tried", lambda: any(
        row["tries"] for row in running.deliveries(environment="staging")))
    faults["wall_jump_s"] = jump
    sink.rule = None
    assert taken(running, "b@x.test")
    wait_for("both", lambda: {"a@x.test", "b@x.test"} <= set(sink.recipients()), 60)
    running.wait_count("staging", "sent", 2)
    assert running.cli("audit", "verify").returncode == 0
    running.stop()
    faults["wall_jump_s"] = 0
    running.start()
    assert taken(running, "c@x.test")
    wait_for("c", lambda: "c@x.test" in sink.recipients())
    running.wait_count("staging", "sent", 3)
