"""Holds what clients were told against the sink and the store, after each kill."""

import json
import shutil
import sqlite3
import subprocess
import tempfile
from collections import Counter
from pathlib import Path

from load import is_whole
from rig.gate import MAILFUSE
from rig.wait import wait_for

SENT = 4  # enum store_state
STATES = ("queued", "waiting", "held", "dropped", "sent", "failed", "discarded")


def left_behind(store):
    """Recipients that a dead gate's store knows as sent. Of a copy: looking must not recover it."""
    with tempfile.TemporaryDirectory() as directory:
        for suffix in ("", "-wal"):
            if Path(f"{store}{suffix}").exists():
                shutil.copy(f"{store}{suffix}", f"{directory}/copy.db{suffix}")
        db = sqlite3.connect(f"{directory}/copy.db")
        try:
            return {row[0] for row in db.execute(
                f"SELECT recipient FROM delivery WHERE state = {SENT}")}
        except sqlite3.OperationalError:
            return set()  # the first start had not made it yet
        finally:
            db.close()


class Judge:
    """Of one store, over its rounds. `faults` are sentences; `lost` and `repeated` recipients."""

    def __init__(self, gate, sink, taken):
        self.gate, self.sink, self.taken = gate, sink, taken
        self.copies = Counter()  # how often a recipient may have come besides the first time
        self.sent = set()  # what the store said was sent, at the last look
        self.seen = 0  # messages of the sink that were looked at
        self.arrived = Counter()
        self.fresh = set()  # arrived since the kill before
        self.faults, self.lost = [], set()

    def fault(self, text):
        self.faults.append(text)

    def read_sink(self):
        with self.sink.lock:
            new = self.sink.messages[self.seen:]
            self.seen += len(new)
        for message in new:
            if not is_whole(message):
                self.fault(f"{message.recipients} came with another content than was sent")
            for name in message.recipients:
                self.arrived[name] += 1
                self.fresh.add(name)
            message.wire = b""  # a long run must not keep it

    def after_kill(self):
        """Before the next start: what was in flight may come once more."""
        wait_for("the upstream has noticed", lambda: not self.sink.open)
        self.read_sink()
        known = left_behind(self.gate.store)
        if known - set(self.arrived):
            self.fault(f"the store says sent, and nobody got it: {sample(known - set(self.arrived))}")
        for name in self.sent - known:
            self.fault(f"{name} was recorded as sent, and is forgotten")
        for name in self.fresh - known:
            self.copies[name] += 1
        self.fresh.clear()

    @property
    def repeated(self):
        return sum(n - 1 for n in self.arrived.values())

    def status(self):
        code, status = self.gate.api("GET", "/v1/status")
        assert code == 200, status
        return status

    def wait_calm(self):
        """Until nothing is on its way and every release that runs has ended."""
        def calm():
            counts = Counter()
            for row in self.status()["counts"]:
                counts[row["state"]] += row["count"]
            return not counts["queued"] and not counts["waiting"] and not any(
                b["plan"] and b["plan"]["state"] == "running" for b in self.batches())

        wait_for("the queue is calm", calm, 120)

    def batches(self):
        rows, after = [], ""
        while after is not None:
            code, page = self.gate.api("GET", f"/v1/batches?all=1&limit=1000{after}")
            assert code == 200, page
            rows += page["items"]
            after = f"&after={page['next']}" if page["next"] else None
        return rows

    def judge(self):
        """With a calm gate. What is wrong is in faults and lost."""
        self.read_sink()
        rows = self.gate.deliveries()
        self.judge_mail({row["recipient"]: row for row in rows})
        self.judge_counters(rows)
        self.judge_repeats()
        self.judge_store()
        self.judge_backups()
        for path in self.gate.dir.glob("copy-*"):
            path.unlink()  # nobody was told that it is there

    def judge_mail(self, rows):
        for name, kind in list(self.taken.kinds.items()):
            row = rows.get(name)
            if row is None:
                if name not in self.taken.may_be_gone:
                    self.lost.add(name)
            elif row["state"] == "sent" and not self.arrived[name]:
                self.lost.add(name)
            elif kind == "dropped" and row["state"] != "dropped":
                self.fault(f"{name} was to be dropped and is {row['state']}")
            elif row["state"] not in ("sent", "held", "discarded", "dropped"):
                self.fault(f"{name} is {row['state']}: {row['reply']}")
        for name, came in self.arrived.items():
            # Of what was in flight at a kill the gate cannot know that it arrived: its next try may
            # be held, by the panic button or a trip. Each other arrival was recorded.
            if name in rows and rows[name]["state"] != "sent" and came > self.copies[name]:
                self.fault(f"{name} arrived and is {rows[name]['state']}")
        self.sent = {name for name, row in rows.items() if row["state"] == "sent"}

    def judge_counters(self, rows):
        per_batch, per_environment = {}, Counter()
        for row in rows:
            per_environment[row["environment"], row["state"]] += 1
            if row["batch"]:
                per_batch.setdefault(row["batch"], Counter())[row["state"]] += 1
        tally = Counter({(r["environment"], r["state"]): r["count"]
                         for r in self.status()["counts"]})
        if +tally != +per_environment:
            self.fault(f"counts say {+tally}, there are {+per_environment}")
        for b in self.batches():
            here = per_batch.get(b["id"], Counter())
            for state in ("held", "sent", "failed"):
                if b[state] != here[state]:
                    self.fault(f"{b['id']} says {b[state]} {state}, there are {here[state]}")
            if b["discarded"] - b["purged"] != here["discarded"]:
                self.fault(f"{b['id']} says {b['discarded']} discarded and {b['purged']} purged, "
                           f"there are {here['discarded']}")

    def judge_repeats(self):
        wrong = [name for name, n in self.arrived.items() if n > 1 + self.copies[name]]
        if wrong:
            self.fault(f"came again and was not in flight: {sample(wrong)}")

    def judge_store(self):
        db = sqlite3.connect(f"file:{self.gate.store}?mode=ro", uri=True)
        try:
            found = [row[0] for row in db.execute("PRAGMA integrity_check")]
            found += [str(row) for row in db.execute("PRAGMA foreign_key_check")]
        finally:
            db.close()
        if found != ["ok"]:
            self.fault(f"the database: {'; '.join(found)[:500]}")
        done = self.gate.cli("audit", "verify")
        if done.returncode != 0:
            self.fault(f"the audit log: {done.stdout}{done.stderr}")

    def judge_backups(self):
        """What was answered is on the disk, whole."""
        while self.taken.backups:
            path = self.taken.backups.pop(0)
            done = subprocess.run([MAILFUSE, "--json", "backup", "--verify", str(path)],
                                  capture_output=True, text=True, timeout=60, check=False)
            if done.returncode != 0:
                self.fault(f"the copy {path.name} was answered with 200: {done.stderr.strip()}")
            path.unlink(missing_ok=True)

    def drain(self):
        """The end of a store's life: everything that is held goes out, and was kept whole."""
        self.gate.api("POST", "/v1/unhold",
                      {"scope": "environment", "name": "staging", "reason": "the end"})
        for b in self.batches():
            for call in ("resume", "restore"):
                self.gate.api("POST", f"/v1/{call}", {"ids": [b["id"]], "reason": "the end"})
        self.wait_calm()
        for b in self.batches():
            if b["held"]:
                code, answer = self.gate.api("POST", "/v1/release",
                                             {"ids": [b["id"]], "reason": "the end"})
                if code != 200:
                    self.fault(f"the release of {b['id']} at the end: {answer}")
        self.wait_calm()
        self.judge()
        for name, kind in self.taken.kinds.items():
            if kind != "dropped" and not self.arrived[name] and name not in self.taken.may_be_gone:
                self.lost.add(name)

    def tell(self):
        return json.dumps({"lost": sorted(self.lost)[:20], "faults": self.faults[:20]}, indent=1)


def sample(names):
    return ", ".join(sorted(names)[:5])
