"""A full store: people are told once. Decisions on a full disk: a clear answer, nothing lost, and
it goes on when there is room."""

import os
import shutil
import signal
import subprocess

import pytest

from rig.batch import Batch, channel, fill, marked
from rig.client import letter
from rig.gate import PRODUCTION_CLIENT, listener, upstream
from rig.sink import Valve
from rig.wait import stays_true, wait_for

BIG = 400


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 20 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    result = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=20m", "tmpfs", str(place)],
                            capture_output=True, text=True)
    if result.returncode != 0:
        pytest.skip(f"cannot mount a small file system here: {result.stderr.strip()}")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


class Disk:
    """The small file system, which something else fills to the last byte."""

    def __init__(self, place):
        self.place, self.filler = place, place / "filler"

    def fill(self):
        with open(self.filler, "ab", buffering=0) as file:
            size = 1 << 16
            while size:
                try:
                    if file.write(b"x" * size) < size:
                        size //= 2
                except OSError:
                    size //= 2

    def free(self):
        self.filler.unlink()


@pytest.fixture
def cramped(small_disk, make_gate, sink):
    """cramped(count): a gate that keeps no room of its own, its batch, the names, and its disk."""

    def make(count=BIG, connections=2):
        config = listener() + upstream(sink, f"connections = {connections}") + marked()
        running = make_gate(config)
        running.head = running.head.replace("{dir}/mailfuse.db", f"{small_disk}/mailfuse.db")
        running.head = running.head.replace('"1MB"', '"0"')
        running.write(config)
        running.start()
        names = fill(running, count)
        return running, Batch(running), names, Disk(small_disk)

    yield make


def until_it_cannot(disk, attempt):
    """Calls attempt(n) on a disk that is full until it answers something else than 200.

    The log of the database may have pages to use again, so that the first calls may well succeed.
    """
    disk.fill()
    for n in range(200):
        status, answer = attempt(n)
        if status != 200:
            assert status in (503, 507), (status, answer)
            assert answer["detail"], answer
            return answer
    raise AssertionError("two hundred decisions on a full disk, and none failed")


def each_once(sink, names):
    assert sorted(sink.recipients()) == sorted(names)


def test_discard_and_restore_on_a_full_disk(cramped, sink):
    """What is answered with 200 holds, what is refused has not happened."""
    running, batch, names, disk = cramped()
    counts = {"held": BIG, "discarded": 0}

    def attempt(n):
        verb = "discard" if n % 2 == 0 else "restore"
        status, answer = batch.post(verb)
        if status == 200:
            counts.update({"held": 0, "discarded": BIG} if verb == "discard"
                          else {"held": BIG, "discarded": 0})
        return status, answer

    answer = until_it_cannot(disk, attempt)
    assert any(word in answer["detail"] for word in ("full", "space", "room", "disk")), answer
    row = batch.row()
    assert {name: row[name] for name in counts} == counts
    assert not sink.messages
    disk.free()
    if counts["discarded"]:
        batch.must("restore")
    batch.release()
    batch.wait(sent=BIG, held=0)
    each_once(sink, names)
    running.stop()


@pytest.mark.parametrize("body", [{}, {"rings": [100, "all"]}], ids=["plain", "rings"])
def test_release_on_a_full_disk_is_all_or_nothing(body, cramped, sink):
    """Pausing and resuming it fills what was left, until one of them is refused."""
    running, batch, names, disk = cramped()
    sink.rule = Valve()
    state = None

    def attempt(n):
        nonlocal state
        verb = "release" if state is None else "pause" if state == "running" else "resume"
        status, answer = batch.post(verb, **(body if verb == "release" else {}))
        if status == 200:
            state = "paused" if verb == "pause" else "running"
        return status, answer

    until_it_cannot(disk, attempt)
    plan = batch.row().get("plan") or batch.plan
    assert (plan["state"] if plan else None) == state
    disk.free()
    sink.rule.open()
    if state is None:
        batch.release(**body)
    elif state == "paused":
        batch.resume()
    batch.wait_plan("done", deadline=60)
    batch.wait(sent=BIG, held=0, state="released")
    each_once(sink, names)
    running.stop()


def test_disk_fills_in_a_ring_and_has_room_again(cramped, sink):
    """Results that cannot be written wait; the next ring does not begin before they are."""
    running, batch, names, disk = cramped()
    sink.rule = valve = Valve(free=50)
    batch.release(rings=[100, "all"])
    wait_for("in the middle of ring one", lambda: valve.waiting)
    disk.fill()
    valve.open()
    stays_true("ring two waits", lambda: len(set(sink.recipients())) <= BIG, 0.5)
    running.api("GET", "/v1/status")
    disk.free()
    batch.wait_plan("done", deadline=60)
    batch.wait(sent=BIG, held=0)
    assert set(sink.recipients()) == set(names)
    each_once(sink, names)
    running.stop()


def test_disk_fills_in_a_ring_and_the_gate_is_killed(cramped, sink):
    """The worst of both: what the store could not be told may come once more, nothing is lost."""
    running, batch, names, disk = cramped()
    sink.rule = valve = Valve(free=50)
    batch.release(rings=[100, "all"])
    wait_for("in the middle of ring one", lambda: valve.waiting)
    disk.fill()
    valve.open()
    stays_true("it goes on as far as it can", lambda: True, 0.5)
    running.kill()
    wait_for("the upstream has noticed", lambda: not sink.open)
    before = sink.recipients()
    disk.free()
    running.start()
    batch.wait_plan("done", deadline=60)
    batch.wait(sent=BIG, held=0)
    arrived = sink.recipients()
    assert set(arrived) == set(names)
    for name in set(arrived):
        assert arrived.count(name) <= 1 + (name in before)
    running.stop()


def test_paused_by_the_stop_rule_on_a_full_disk(cramped, sink):
    """The stop itself cannot be written: nothing of the next ring leaves all the same."""
    running, batch, names, disk = cramped()
    sink.rule = valve = Valve(free=20, rule=lambda stage, name, _: "550 5.1.1 no such user"
                              if stage == "rcpt" and name in names[90:100] else None)
    batch.release(rings=[100, "all"], stop_on=5)
    wait_for("in the middle of ring one", lambda: valve.waiting)
    disk.fill()
    valve.open()
    stays_true("nothing of ring two", lambda: set(sink.recipients()) <= set(names[:100]), 1.5)
    disk.free()
    batch.wait_plan("paused", deadline=60)
    wait_for("nothing on its way", lambda: "queued" not in batch.by_state())
    states = batch.by_state()
    assert set(sink.recipients()) <= set(names[:100]) == (
        states.get("sent", set()) | states.get("failed", set())
        | (states["held"] & set(names[:100])))
    sink.rule = None
    batch.resume()
    batch.wait_plan("done", deadline=60)
    wait_for("all of it", lambda: set(sink.recipients()) == set(names) - states["failed"])
    running.stop()


def offer(running, name, size=200):
    """What the gate says at last of a sale of `size` random bytes, which it would hold."""
    with running.client(PRODUCTION_CLIENT, timeout=60) as client:
        body = os.urandom(size // 2).hex()
        lines = "\r\n".join(body[i:i + 70] for i in range(0, len(body), 70))
        return client.mail([name], letter("Sale today", to=name, body=lines), sender="")[1]


def offer_until_refused(running, size=100000, most=400):
    for n in range(most):
        end = offer(running, f"f{n}@customers.example", size)
        if end[0] != 250:
            assert end[0] == 452 and end[1].startswith("4.3.1"), end
            return n
    raise AssertionError(f"{most} messages of {size} bytes were taken")


def told(webhook, *events):
    return [a["event"] for a in list(webhook.alerts) if a["event"] in events]


STORE = ("store.filling", "store.full", "store.recovered")


def test_a_store_over_its_limit_is_told_once_and_recovers(make_gate, sink, webhook):
    """By webhook and by mail, though new mail is refused; and again that it is over."""
    people = ('alert "people" { type = email to = {"ops@people.test"} '
              'events = {"store.*"} }\n')
    config = ('quarantine_limit = "3MB"\n' + listener() + upstream(sink) + marked()
              + channel(webhook) + people)
    running = make_gate(config).start()
    assert offer_until_refused(running) > 5
    [full] = webhook.wait("store.full")
    for words in ("by quarantine_limit", "of quarantine_limit 3.0 MB", "free", "452 4.3.1",
                  "try again", "mailfuse purge"):
        assert words in full["text"], full["text"]
    wait_for("the mail about it", lambda: any(
        "by quarantine_limit" in m.data.decode() for m in list(sink.messages)
        if "ops@people.test" in m.recipients))
    assert [row["action"] for row in running.audit() if row["action"] == "store.full"]
    # A restart is no news.
    running.stop()
    running.start()
    wait_for("no room", lambda: not running.status()["store"]["room"])
    assert offer(running, "still@customers.example")[0] == 452
    running.do("discard", "B1", "--reason", "a test")
    running.do("purge", "B1", "--reason", "a test", "--yes")
    wait_for("mail is taken at once", lambda: offer(running, "new@customers.example")[0] == 250)
    [over] = webhook.wait("store.recovered", deadline=180)
    assert "takes mail again" in over["text"]
    assert told(webhook, "store.full", "store.recovered") == ["store.full", "store.recovered"]
    running.stop()


def test_a_store_that_fills_is_told_before_it_is_full(make_gate, sink, webhook):
    """The limit comes down to the store: what is used does not change meanwhile."""
    config = listener() + upstream(sink) + marked() + channel(webhook)
    running = make_gate(config).start()
    for n in range(40):
        assert offer(running, f"f{n}@customers.example", 40000)[0] == 250
    running.stop()
    running.start()  # which measures it
    used = running.status()["metrics"]["store_bytes_now"]
    assert used > 500000

    def limit(size):
        running.write(f'quarantine_limit = "{int(size)}"\n' + config)
        running.signal(signal.SIGHUP)
        webhook.wait("config.reloaded", len(webhook.events("config.reloaded")) + 1)

    limit(used * 1.3)
    limit(used * 1.05)
    [filling] = webhook.wait("store.filling")
    assert "by quarantine_limit" in filling["text"] and "452 4.3.1" in filling["text"]
    assert not webhook.events("store.full")
    limit(used / 2)
    webhook.wait("store.full")
    limit(used * 1.05)
    limit(used / 2)
    wait_for("no room", lambda: not running.status()["store"]["room"])
    assert told(webhook, *STORE) == ["store.filling", "store.full"]
    running.stop()


def test_a_full_disk_is_told_past_the_store(small_disk, make_gate, sink, webhook):
    """No row can be written: straight to the webhook, once, and mail is taken when there is room.

    The probe of the store may find a page that it can use again, and lose it again: no news.
    """
    config = listener() + upstream(sink) + marked() + channel(webhook)
    running = make_gate(config)
    running.head = running.head.replace("{dir}/mailfuse.db", f"{small_disk}/mailfuse.db")
    running.head = running.head.replace('"1MB"', '"0"')
    running.write(config)
    running.start()
    assert offer(running, "first@customers.example")[0] == 250
    disk = Disk(small_disk)
    disk.fill()
    offer_until_refused(running)
    [full] = webhook.wait("store.full")
    assert "found no space" in full["text"] and "make room on that disk" in full["text"]
    stays_true("once", lambda: len(webhook.events("store.full")) == 1, 2.5)
    disk.free()
    wait_for("mail is taken at once", lambda: offer(running, "new@customers.example")[0] == 250)
    assert len(webhook.events("store.full")) == 1
    running.stop()


def test_a_disk_under_min_free_space_is_told(small_disk, make_gate, sink, webhook):
    config = listener() + upstream(sink) + marked() + channel(webhook)
    running = make_gate(config)
    running.head = running.head.replace("{dir}/mailfuse.db", f"{small_disk}/mailfuse.db")
    running.write(config)
    running.start()
    assert offer(running, "first@customers.example")[0] == 250
    filler = small_disk / "filler"
    filler.write_bytes(b"x" * (shutil.disk_usage(small_disk).free - (3 << 19)))
    [filling] = webhook.wait("store.filling")
    assert "min_free_space" in filling["text"]
    with open(filler, "ab") as file:
        file.write(b"x" * (1 << 20))
    [full] = webhook.wait("store.full")
    assert "by min_free_space" in full["text"] and "keeps 1.0 MB" in full["text"]
    assert offer(running, "second@customers.example")[0] == 452
    filler.unlink()
    wait_for("mail is taken at once", lambda: offer(running, "third@customers.example")[0] == 250)
    assert told(webhook, *STORE) == ["store.filling", "store.full"]
    running.stop()
