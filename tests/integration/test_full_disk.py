"""Decisions on a full disk: a clear answer, nothing lost, and it goes on when there is room."""

import subprocess

import pytest

from rig.batch import Batch, fill, marked
from rig.gate import listener, upstream
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
