"""What was answered with 250 is never lost: kills, restarts, full disks, broken databases."""

import os
import shutil
import signal
import sqlite3
import subprocess
import time

import pytest

from rig.client import Blast, letter
from rig.gate import (
    PRODUCTION_CLIENT,
    STAGING_CLIENT,
    listener,
    production,
    scaled,
    staging,
    upstream,
)
from rig.wait import wait_for

OPEN = 'allow = {"*"} burst "volume" { limit = "1000000/1h" per = {environment} }'
TRIPS = 'allow = {"*"} burst "volume" { limit = "20/10m" per = {environment} cooldown = 0 }'


def in_the_middle(running, blast, share=3):
    """Waits until a third of the blast is accepted."""
    wait_for("a third of the blast is accepted",
             lambda: len(blast.accepted) >= blast.count // share)


@pytest.mark.heavy
@pytest.mark.parametrize("keys", [OPEN, TRIPS], ids=["flowing", "held"])
def test_kill_in_the_middle_of_a_blast(keys, gate, sink):
    running = gate(staging(keys))
    blast = Blast(running.address(), scaled(5000)).start()
    in_the_middle(running, blast)
    running.kill()
    blast.join()
    assert len(blast.accepted) < blast.count, "the blast was over before the kill"
    running.start()
    wait_for("nothing on its way", lambda: not running.counts("staging").get("queued"))
    rows = running.deliveries(environment="staging")
    assert len({d["id"] for d in rows}) == len(rows)
    stored = {d["recipient"] for d in rows}
    assert set(blast.accepted) <= stored
    sent = {d["recipient"] for d in rows if d["state"] == "sent"}
    assert set(sink.recipients()) == sent
    counts = running.counts("staging")
    assert sum(counts.values()) == len(stored) and set(counts) <= {"sent", "held"}
    # Repeats: at most what was in flight, a message on each of the upstream's connections.
    repeats = len(sink.recipients()) - len(set(sink.recipients()))
    assert repeats <= 8 * 20, f"{repeats} repeats"
    # The ids that clients were told are the ids of the store.
    assert set(blast.ids) <= {d["message"] for d in rows}


@pytest.mark.heavy
def test_graceful_restart_in_the_middle_of_a_blast(gate, sink):
    running = gate(staging(OPEN))
    blast = Blast(running.address(), scaled(5000)).start()
    in_the_middle(running, blast)
    running.stop()
    blast.join()
    running.start()
    wait_for("nothing on its way", lambda: not running.counts("staging").get("queued"))
    recipients = sink.recipients()
    assert set(blast.accepted) <= set(recipients)
    assert len(recipients) == len(set(recipients)), "a graceful stop repeats nothing"


def test_stop_says_421_to_those_who_wait(gate):
    running = gate(staging(OPEN))
    with running.client() as client:
        running.signal(signal.SIGTERM)
        code, text = client.reply()
        assert code == 421 and text.startswith("4.3.2"), (code, text)


def test_stop_is_bounded_with_a_silent_upstream_and_loses_nothing(gate, sink):
    from rig.sink import HANG

    sink.rule = lambda stage, *_: HANG if stage == "end" else None
    running = gate(staging(OPEN))
    running.send(letter(), ["a@x.test"])
    wait_for("in flight", lambda: sink.connections)
    running.stop(deadline=60)
    sink.rule = None
    running.start()
    sink.wait(1)


def test_batches_and_counts_survive_kill(gate, sink):
    running = gate(staging(TRIPS))
    running.send(letter(), [f"a{n}@x.test" for n in range(30)])
    before = running.one("show", running.batch()["id"])
    running.kill()
    running.start()
    after = running.one("show", before["id"])
    for field in ("id", "state", "rule", "recipients", "leaked", "held", "opened_at"):
        assert after[field] == before[field]
    running.send(letter(), ["late@x.test"])
    assert running.batch()["recipients"] == 31


def test_second_daemon_on_the_same_store_is_refused(gate, make_gate, sink):
    running = gate(staging(OPEN))
    other = make_gate(listener() + upstream(sink) + staging(OPEN))
    other.head = other.head.replace("{dir}/mailfuse.db", str(running.store))
    other.write(listener() + upstream(sink) + staging(OPEN))
    other.spawn()
    wait_for("it ends", other.exited)
    assert other.process.returncode == 1
    assert str(running.store) in other.text()
    other.process = None
    running.send(letter(), ["a@x.test"])
    sink.wait(1)


def test_second_daemon_on_the_same_control_socket_is_refused(gate, make_gate, sink):
    running = gate(staging(OPEN))
    other = make_gate(listener() + staging(OPEN))
    other.head = other.head.replace("{run}/control.sock", running.control)
    other.write(listener() + staging(OPEN))
    other.spawn()
    wait_for("it ends", other.exited)
    assert other.process.returncode == 1
    assert running.control in other.text()
    other.process = None
    assert running.cli("status").returncode == 0


@pytest.mark.parametrize("damage", ["rubbish", "pages", "newer"])
def test_broken_database_is_refused_with_the_way_out(damage, gate, sink):
    running = gate(staging(TRIPS))
    for n in range(30):
        running.send(letter(body="x" * 60 + "\r\n" * 200), [f"a{n}@x.test"])
    running.stop()
    if damage == "newer":
        with sqlite3.connect(running.store) as db:
            db.execute("pragma user_version = 1000000")
        db.close()
    else:
        with open(running.store, "r+b") as file:
            file.seek(0 if damage == "rubbish" else 16384)
            file.write(os.urandom(32768))
    content = running.store.read_bytes()
    running.spawn()
    wait_for("it ends or runs", lambda: running.exited() or running.logged("- ready"))
    if damage == "pages" and not running.exited():
        pytest.fail("it runs on a database whose pages are rubbish")
    assert running.process.returncode == 1
    running.process = None
    assert str(running.store) in running.text()
    assert running.text().strip().splitlines()[-1].count(" ") > 8, "no way out is told"
    assert running.store.read_bytes() == content, "a broken database is left as it is"


def test_store_that_is_a_directory_or_not_writable_is_refused(make_gate):
    for path in ("/proc/mailfuse.db", "{dir}"):
        running = make_gate(listener())
        running.head = running.head.replace("{dir}/mailfuse.db", path)
        running.write(listener())
        running.spawn()
        wait_for("it ends", running.exited)
        assert running.process.returncode == 1
        assert running.text().strip()
        running.process = None


def test_locked_database_is_451_and_later_fine(gate, sink):
    running = gate(staging(OPEN))
    lock = sqlite3.connect(running.store, isolation_level=None)
    try:
        lock.execute("begin immediate")
    except sqlite3.OperationalError as error:
        lock.close()
        if "locked" in str(error):
            return  # nobody else can lock it: better still
        raise
    with running.client(timeout=60) as client:
        _, end = client.mail(["a@x.test"], letter())
        assert end[0] == 451 and end[1].startswith("4.3"), end
        lock.execute("rollback")
        lock.close()
        assert client.mail(["b@x.test"], letter())[1][0] == 250
    wait_for("b", lambda: "b@x.test" in sink.recipients())
    assert "a@x.test" not in sink.recipients()


def incompressible(size):
    body = os.urandom(size // 2).hex()
    return "\r\n".join(body[n:n + 76] for n in range(0, len(body), 76))


def fill(running, size, most):
    """Sends messages until four were refused; returns the recipients whose message was taken.

    A refusal must be 452 4.3.1, whichever command it comes to.
    """
    accepted, refused = [], 0
    with running.client(timeout=60) as client:
        for n in range(most):
            names = [f"m{n}r{r}@x.test" for r in range(25)]
            results, end = client.mail(names, letter(subject=f"s{n}", body=incompressible(size)))
            if end[0] == 250:
                accepted += names
                continue
            assert end[0] == 452 and end[1].startswith("4.3.1"), (results, end)
            refused += 1
            if refused > 3:
                return accepted
    raise AssertionError(f"{most} messages of {size} bytes were taken")


def wait_taken(running, name):
    def taken():
        with running.client(timeout=60) as client:
            return client.mail([name], letter())[1][0] == 250

    wait_for("there is room again", taken)


def test_quarantine_limit_is_452_and_room_helps(make_gate, sink):
    config = listener() + upstream(sink) + staging(TRIPS)
    running = make_gate('quarantine_limit = "2MB"\n' + config).start()
    accepted = fill(running, 60000, 2000)
    assert len(accepted) >= 10 * 25
    assert {d["recipient"] for d in running.deliveries(environment="staging")} == set(accepted)
    assert any("quarantine_limit" in line or "full" in line
               for line in [running.status()["store"]["why"]] + running.status()["warnings"])
    running.write('quarantine_limit = "20GB"\n' + config)
    running.signal(signal.SIGHUP)
    wait_taken(running, "later@x.test")


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 12 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    result = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", str(place)],
                            capture_output=True, text=True)
    if result.returncode != 0:
        pytest.skip(f"cannot mount a small file system here: {result.stderr.strip()}")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.mark.parametrize("reserve", ["1MB", "0"])
def test_full_disk_is_452_and_nothing_accepted_is_lost(reserve, small_disk, make_gate, sink):
    """With room kept free, and with none: then it is the file system that says no."""
    running = make_gate(listener() + upstream(sink) + staging(TRIPS))
    running.head = running.head.replace("{dir}/mailfuse.db", f"{small_disk}/mailfuse.db")
    running.head = running.head.replace('"1MB"', f'"{reserve}"')
    running.write(listener() + upstream(sink) + staging(TRIPS))
    running.start()
    accepted = fill(running, 200000, 200)
    assert accepted
    assert {d["recipient"] for d in running.deliveries(environment="staging")} == set(accepted)
    assert running.cli("status").returncode == 0
    subprocess.run(["mount", "-o", "remount,size=200m", str(small_disk)], check=True)
    wait_taken(running, "later@x.test")
    running.stop()
    running.start()
    stored = {d["recipient"] for d in running.deliveries(environment="staging")}
    assert set(accepted) <= stored
    running.stop()


def test_min_free_space_stops_new_mail_before_the_disk_is_full(small_disk, make_gate, sink):
    running = make_gate(listener() + upstream(sink) + staging(OPEN))
    running.head = running.head.replace("{dir}/mailfuse.db", f"{small_disk}/mailfuse.db")
    running.write(listener() + upstream(sink) + staging(OPEN))
    running.start()
    running.send(letter(), ["a@x.test"])
    running.wait_count("staging", "sent", 1)
    free = shutil.disk_usage(small_disk).free
    (small_disk / "filler").write_bytes(b"x" * (free - 800000))

    def refused():
        time.sleep(0.5)  # the store looks at the disk about once a second
        with running.client(timeout=60) as client:
            return client.mail(["b@x.test"], letter())[1][0] == 452

    wait_for("it noticed", refused)
    assert shutil.disk_usage(small_disk).free > 400000
    (small_disk / "filler").unlink()
    wait_taken(running, "c@x.test")
    wait_for("c", lambda: "c@x.test" in sink.recipients())
    running.stop()


def test_messages_of_many_clients_share_commits(gate, sink):
    """Group commit: far fewer commits than messages when many wait at once."""
    running = gate(staging(OPEN))
    blast = Blast(running.address(), 600, connections=30).run()
    assert len(blast.accepted) == 600
    metrics = running.status()["metrics"]
    assert metrics["committed_jobs"] >= 600
    assert metrics["commits"] < metrics["committed_jobs"]


def test_ids_are_never_used_again(gate, sink):
    running = gate(staging(TRIPS))
    ids = [running.send(letter(), ["a@x.test"]) for _ in range(3)]
    running.kill()
    running.start()
    ids += [running.send(letter(), ["a@x.test"], STAGING_CLIENT) for _ in range(3)]
    assert len(set(ids)) == 6 and ids == sorted(ids)


def test_production_and_staging_at_once_lose_nothing(gate, sink):
    running = gate(production() + staging(OPEN))
    count = scaled(1000)
    one = Blast(running.address(), count, PRODUCTION_CLIENT, prefix="p").start()
    two = Blast(running.address(), count, STAGING_CLIENT, prefix="s").run()
    one.join()
    sink.wait(2 * count, deadline=60)
    assert sorted(sink.recipients()) == sorted(one.accepted + two.accepted)
    assert len(one.accepted) == len(two.accepted) == count
