"""kill -9 at each step of a release in rings: afterwards it goes on, and the counts are right.

Each recipient gets the message once; once more only for each kill at which the upstream had taken
it and the store did not know yet. That is read from the store as the dead process left it.
"""

import hashlib
import http.client
import json
import re
import shutil
import sqlite3
import struct
import subprocess
import tempfile
import threading
from collections import Counter
from mmap import mmap
from pathlib import Path

import pytest

from rig.batch import Batch, fill, marked
from rig.gate import UnixHTTPConnection, listener, sanitized, scaled, upstream
from rig.sink import CUT, Refuse, Valve
from rig.wait import stays_true, wait_for

SENT = 4  # enum store_state


def left_behind(store, query):
    """Rows of a dead gate's store. Of a copy: looking must not do the recovery's work."""
    with tempfile.TemporaryDirectory() as directory:
        for suffix in ("", "-wal"):
            if Path(f"{store}{suffix}").exists():
                shutil.copy(f"{store}{suffix}", f"{directory}/copy.db{suffix}")
        db = sqlite3.connect(f"{directory}/copy.db")
        try:
            return db.execute(query).fetchall()
        finally:
            db.close()


class Life:
    """A gate that is killed and started again, and what its upstream may have got so far."""

    def __init__(self, running, batch, sink, names):
        self.running, self.batch, self.sink, self.names = running, batch, sink, names
        self.copies = Counter({name: 1 for name in names})  # at most
        self.before = Counter()  # at the last kill
        self.kills = 0

    def crash(self, start=True):
        """Kills it if it lives, counts, checks, and starts it again."""
        self.running.kill()
        self.kills += 1
        wait_for("the upstream has noticed", lambda: not self.sink.open)
        taken = Counter(self.sink.recipients())
        known = {row[0] for row in left_behind(
            self.running.store, f"SELECT recipient FROM delivery WHERE state = {SENT}")}
        assert known <= set(taken), "the store says sent, and nobody got it"
        for name in taken:
            if taken[name] > self.before[name] and name not in known:
                self.copies[name] += 1
        self.before = taken
        self.check(taken)
        if start:
            self.running.start()

    def rise(self):
        """Starts it where it may be killed again before it is even ready."""
        self.running.spawn()
        wait_for("ready, or dead", lambda: self.running.logged(r"- ready\b")
                 or self.running.exited())

    def check(self, taken):
        """Nobody too often, nobody before the ring that the store says has begun."""
        too_many = {name: count for name, count in taken.items() if count > self.copies[name]}
        assert not too_many, f"after {self.kills} kills: {too_many}"
        for sizes, ring, total, released in left_behind(
                self.running.store, "SELECT sizes, ring, total, released FROM plan"):
            sizes = [int(size) for size in re.findall(r"\d+", sizes)[:ring]]
            reach = len(self.names) if 0 in sizes else sum(sizes)
            early = set(taken) - set(self.names[:reach])
            assert not early, f"in ring {ring} of {sizes} already: {early}"
            assert len(self.names) >= total >= released

    def finish(self):
        """It goes on by itself to the end."""
        self.batch.wait_plan("done", deadline=60)
        shown = self.batch.wait(sent=len(self.names), held=0, state="released")
        assert shown["failed"] == shown["discarded"] == 0
        taken = Counter(self.sink.recipients())
        self.check(taken)
        assert set(taken) == set(self.names)
        plan = self.batch.plan
        assert plan["total"] == plan["released"] == len(self.names)
        assert self.running.counts("production") == {"sent": len(self.names)}


def has_state(batch, *states):
    try:
        return batch.plan["state"] in states
    except (OSError, http.client.HTTPException):
        return False


def is_over(batch):
    return has_state(batch, "done")


class Killer:
    """Kills the gate at the nth time that its upstream comes to a moment."""

    def __init__(self, life, moment):
        self.life, self.moment = life, moment
        self.left, self.dead = 0, threading.Event()
        self.lock = threading.Lock()
        life.sink.rule, life.sink.after = self.before_reply, self.after_reply

    def arm(self, count):
        with self.lock:
            self.dead.clear()
            self.left = count

    def disarm(self):
        """True if it struck before."""
        with self.lock:
            self.left = 0
            return self.dead.is_set()

    def comes(self, stage):
        if stage != self.moment:
            return False
        with self.lock:
            self.left -= 1
            if self.left != 0:
                return False
            self.life.running.process.kill()
            self.dead.set()
            return True

    def before_reply(self, stage, argument, session):
        return CUT if self.comes(stage) else None

    def after_reply(self, stage, argument, session):
        self.comes(f"{stage} answered")


@pytest.fixture
def life(holding, sink):
    def make(count, upstream_keys="connections = 2"):
        running, batch, names = holding(count, upstream_keys)
        return Life(running, batch, sink, names)

    return make


MOMENTS = ["mail", "rcpt", "rcpt answered", "data answered", "end", "end answered"]


@pytest.mark.parametrize("moment", MOMENTS, ids=[m.replace(" ", "-") for m in MOMENTS])
def test_killed_again_and_again_at_the_upstream(moment, life):
    """Twelve kills on its way through three rings, each a step further."""
    one = life(16)
    killer = Killer(one, moment)
    killer.arm(1)
    try_to(one.batch, "release", rings=[2, 5, "all"])
    for step in range(scaled(10) + 2):
        wait_for("the kill, or the end", lambda: killer.dead.is_set() or is_over(one.batch))
        if not killer.dead.is_set():
            break
        one.crash(start=False)
        killer.arm(1 + step % 3)
        one.rise()
    assert one.kills >= 4
    if killer.disarm():
        one.crash()
    one.finish()


def test_killed_when_the_upstream_has_so_many(life, sink):
    """By the count of recipients, every time the same."""
    one = life(24, "connections = 4")
    sink.rule = valve = Valve(free=1)
    one.batch.release(rings=[3, 6, "all"])
    for _ in range(scaled(10)):
        wait_for("it stands before the valve", lambda: valve.waiting or is_over(one.batch))
        if not valve.waiting:
            break
        one.crash()
        valve.let(2)
    valve.open()
    one.finish()


# ---- around what operators are answered


def ask_and_do_not_listen(running, batch, call, **body):
    """Sends the request and kills the gate without reading the answer."""
    connection = UnixHTTPConnection(running.control)
    keys = {"ids": [batch.name], "reason": "checked by hand", **body}
    connection.request("POST", f"/v1/{call}", json.dumps(keys),
                       {"Content-Type": "application/json"})
    running.process.kill()
    connection.close()


def test_killed_right_after_each_answer(life, sink):
    one = life(12)
    sink.rule = valve = Valve()
    plan = one.batch.release(rings=[3, 4, "all"])["plan"]
    one.crash()
    assert one.batch.plan["id"] == plan["id"] and one.batch.plan["state"] == "running"
    one.batch.pause(reason="let me think")
    one.crash()
    valve.open()
    stays_true("paused stays paused", lambda: not sink.recipients(), 1.3)
    assert one.batch.plan["state"] == "paused" and one.batch.show()["state"] == "paused"
    assert one.batch.show()["held"] == 12
    one.batch.resume(reason="go on")
    one.crash()
    wait_for("ring two", lambda: is_over(one.batch) or one.batch.plan["ring"] >= 2)
    if not is_over(one.batch):
        one.batch.post("pause")
        one.crash()
        one.batch.post("resume")
        one.crash()
    one.finish()
    reasons = [r["reason"] for r in one.running.audit() if r["action"] in ("batch.paused", "batch.resumed")]
    assert reasons[:2] == ["let me think", "go on"]


@pytest.mark.parametrize("call", ["release", "pause", "resume", "discard", "second-release"])
def test_killed_with_the_answer_on_its_way(call, life, sink):
    """It was done or it was not, and the log says the same."""
    one = life(10)
    sink.rule = valve = Valve()
    body = {"rings": [2, "all"]} if call == "release" else {}
    if call != "release":
        one.batch.release(rings=[4, "all"])
    if call == "resume":
        one.batch.pause()
    verb = call.rpartition("-")[2]
    ask_and_do_not_listen(one.running, one.batch, verb, **body)
    one.crash()
    plan = one.batch.plan
    rows = [row["action"] for row in one.running.audit()]
    valve.open()
    if call == "release":
        assert (plan is not None) == ("batch.released" in rows)
        if plan is None:
            one.batch.release(**body)
    elif call == "pause":
        assert (plan["state"] == "paused") == ("batch.paused" in rows)
        if plan["state"] == "paused":
            stays_true("paused stays paused", lambda: not sink.recipients(), 1.2)
            one.batch.resume()
    elif call == "resume":
        assert (plan["state"] == "running") == ("batch.resumed" in rows)
        if plan["state"] == "paused":
            one.batch.resume()
    elif call == "discard":
        discarded = one.batch.show()["discarded"]
        assert discarded == (6 if "batch.discarded" in rows else 0)
        if discarded:
            wait_for("what was released is through", lambda: one.batch.show()["sent"] == 4)
            one.batch.must("restore")
            one.batch.release()
            one.batch.wait(sent=10, held=0)
            one.check(Counter(sink.recipients()))
            assert set(sink.recipients()) == set(one.names)
            return
    one.finish()


# ---- around approvals


@pytest.fixture
def guarded(make_gate, sink, tmp_path):
    """A Life whose releases of more than five need a second person; and the call of that one."""
    tokens = tmp_path / "tokens"
    tokens.touch(mode=0o600)
    tokens.write_text("second:approver:" + hashlib.sha256(b"t" * 40).hexdigest() + "\n")
    running = make_gate(
        listener() + upstream(sink, "connections = 2") + marked() + "approval { above = 5 }\n"
        f'http {{ address = "127.0.0.1:0" tokens = "{tokens}" }}\n').start()
    one = Life(running, Batch(running), sink, fill(running, 12))

    def approve():
        host, port = re.search(r"http\.listening address=([0-9.]+):(\d+)", running.text()).groups()
        connection = http.client.HTTPConnection(host, int(port), timeout=30)
        connection.request("POST", "/v1/approve", json.dumps({"ids": [one.batch.name]}), {
            "Content-Type": "application/json", "Authorization": "Bearer " + "t" * 40})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())

    return one, approve


def test_killed_around_an_approval(guarded, sink):
    one, approve = guarded
    answer = one.batch.release(rings=[2, 4, "all"])
    assert (answer["state"], answer["released"]) == ("asked", 0), answer
    one.crash()
    plan = one.batch.plan
    assert (plan["state"], plan["approvals_missing"], plan["ring"]) == ("asked", 1, 0)
    one.batch.refused("approve", "another")
    stays_true("nothing left", lambda: not sink.messages, 1.2)
    status, answer = approve()
    assert status == 200 and answer["state"] == "running", answer
    one.crash()
    assert one.batch.plan["state"] in ("running", "done")
    assert one.batch.plan["approved_by"] == ["token:second"]
    one.finish()


def test_killed_with_the_approval_on_its_way(guarded, sink):
    """It is either running, with the name of who approved it, or still asked for."""
    one, approve = guarded
    sink.rule = valve = Valve()
    one.batch.release(rings=[2, 4, "all"])
    threading.Timer(0.002, one.running.process.kill).start()
    try:
        approve()
    except (OSError, http.client.HTTPException):
        pass
    wait_for("it is dead", one.running.exited)
    one.crash()
    plan = one.batch.plan
    assert (plan["state"] == "running") == (plan["approved_by"] == ["token:second"]), plan
    assert ("batch.approved" in [row["action"] for row in one.running.audit()]) == (
        plan["state"] == "running")
    valve.open()
    if plan["state"] == "asked":
        approve()
    one.finish()


# ---- at what the plan says


@pytest.mark.parametrize("ring", [1, 2])
def test_killed_in_the_wait_after_a_ring(ring, life, sink):
    one = life(9)
    one.batch.release(rings=[2, 3, "all"], wait="1s")
    wait_for("the ring is through",
             lambda: (p := one.batch.plan)["ring"] == ring and p["next_ring_at"])
    at = len(sink.recipients())
    due = one.batch.plan["next_ring_at"]
    one.crash()
    assert one.batch.plan["next_ring_at"] in (due, None)
    one.finish()
    times = sorted(message.at for message in sink.messages)
    assert len(times) == 9, "nothing was in flight"
    assert times[at] - times[at - 1] >= 0.95, "the wait was cut short"


def test_killed_when_it_is_done(life, sink):
    one = life(6)
    one.batch.release(rings=[2, "all"])
    one.batch.wait_plan("done")
    one.crash()
    assert one.batch.plan["state"] == "done"
    stays_true("nothing more", lambda: len(sink.recipients()) == 6, 0.5)
    one.finish()


@pytest.mark.parametrize("refused", [1, 2, 3])
def test_killed_at_the_stop(refused, life, sink):
    """Right when the upstream has said no for the last time, and once it is paused."""
    one = life(30)
    names = one.names[4:4 + refused]
    refuse = Refuse("451 4.7.1 slow down", names=names, times=1)
    dead = threading.Event()

    def after(stage, argument, session):
        if stage == "rcpt" and argument == names[-1] and not dead.is_set():
            dead.set()
            one.running.process.kill()

    sink.rule, sink.after = refuse, after
    one.batch.release(rings=[20, "all"], stop_on=0)
    # The first no may stop it before the last is asked for.
    wait_for("the kill, or a stop", lambda: dead.is_set() or has_state(one.batch, "paused", "done"))
    one.crash()
    sink.after = None
    wait_for("paused, or through", lambda: one.batch.plan["state"] in ("paused", "done"))
    if one.batch.plan["state"] == "paused":
        wait_for("nothing on its way", lambda: "queued" not in one.batch.by_state())
        one.crash()
        at = len(sink.recipients())
        stays_true("paused stays paused", lambda: len(sink.recipients()) == at, 1.2)
        assert one.batch.plan["refused"] >= 1 and one.batch.plan["why"]
        sink.rule = None
        one.batch.resume()
    one.finish()


# ---- between any two writes of the store


@pytest.fixture(scope="session")
def shim(tmp_path_factory):
    """A library that counts the store's writes and dies at one; see rig/killer.c."""
    if sanitized():
        pytest.skip("the sanitizers' own library must be the first")
    library = tmp_path_factory.mktemp("killer") / "killer.so"
    source = Path(__file__).parent / "rig" / "killer.c"
    subprocess.run(["cc", "-O1", "-Wall", "-Wextra", "-shared", "-fPIC", "-o", str(library),
                    str(source), "-ldl"], check=True)
    return library


class Countdown:
    """The two numbers that the library looks at."""

    def __init__(self, path):
        path.write_bytes(bytes(16))
        self.file = open(path, "r+b")
        self.map = mmap(self.file.fileno(), 16)

    def arm(self, count, kind):
        self.map[8:16] = struct.pack("q", {"sync": 0, "write": 1}[kind])
        self.map[0:8] = struct.pack("q", count)

    def disarm(self):
        self.map[0:8] = struct.pack("q", 0)


@pytest.fixture
def mortal(shim, tmp_path, make_gate, sink):
    """mortal(count): a Life whose gate counts its writes, and the countdown."""
    def make(count):
        countdown = Countdown(tmp_path / "countdown")
        running = make_gate(
            listener() + upstream(sink, "connections = 2") + marked(),
            environment={"LD_PRELOAD": str(shim),
                         "MAILFUSE_TEST_COUNTDOWN": str(tmp_path / "countdown")})
        running.start()
        names = fill(running, count)
        return Life(running, Batch(running), sink, names), countdown

    return make


def try_to(batch, call, **body):
    """The answer, or None where the gate died meanwhile."""
    try:
        status, answer = batch.post(call, **body)
    except (OSError, http.client.HTTPException):
        return None
    assert status == 200, answer
    return answer


STEPS = [("sync", n) for n in (1, 2, 3, 4, 5, 6, 7, 8, 10, 12)] + [
    ("write", n) for n in (1, 2, 5, 11, 21, 34)]


@pytest.mark.parametrize("kind, step", STEPS, ids=[f"{k}{n}" for k, n in STEPS])
def test_killed_at_a_write_of_a_release(kind, step, mortal):
    one, countdown = mortal(8)
    countdown.arm(step, kind)
    answer = try_to(one.batch, "release", rings=[3, "all"])
    wait_for("the kill, or the end", lambda: one.running.exited() or is_over(one.batch))
    died = one.running.exited()
    countdown.disarm()
    if died:
        one.crash()
        assert one.batch.plan or not answer, "what was answered is forgotten"
        if not one.batch.plan:
            one.batch.release(rings=[3, "all"])
    assert died or step > 6, "it never came so far"
    one.finish()


@pytest.mark.parametrize("call", ["pause", "resume"])
@pytest.mark.parametrize("kind, step", [("sync", 1), ("sync", 2), ("sync", 3), ("write", 1),
                                        ("write", 2), ("write", 4)],
                         ids=lambda value: str(value))
def test_killed_at_a_write_of_a_pause(call, kind, step, mortal, sink):
    one, countdown = mortal(10)
    sink.rule = valve = Valve(free=2)
    one.batch.release(rings=[4, "all"])
    wait_for("it stands before the valve", lambda: valve.waiting)
    if call == "resume":
        one.batch.pause()
        valve.open()
        wait_for("nothing on its way", lambda: "queued" not in one.batch.by_state())
        sink.rule = valve = Valve()
    countdown.arm(step, kind)
    answer = try_to(one.batch, call)
    valve.open()
    wait_for("the kill, or quiet", lambda: one.running.exited() or is_over(one.batch)
             or at_rest(one.batch))
    died = one.running.exited()
    countdown.disarm()
    if died:
        one.crash()
    plan = one.batch.plan
    if call == "pause" and answer:
        assert plan["state"] == "paused"
    if call == "resume" and answer:
        assert plan["state"] in ("running", "done")
    if plan["state"] == "paused":
        wait_for("nothing on its way", lambda: "queued" not in one.batch.by_state())
        at = len(sink.recipients())
        stays_true("paused stays paused", lambda: len(sink.recipients()) == at, 1.2)
        one.batch.resume()
    one.finish()


def at_rest(batch):
    try:
        return batch.plan["state"] == "paused" and "queued" not in batch.by_state()
    except (OSError, http.client.HTTPException):
        return False
