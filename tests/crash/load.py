"""What goes on while the gate is killed: clients that note each 250, and an operator who decides.

Every recipient is used once, so that a recipient is a delivery's name: pass7.0.12.1@x.test is of
kind pass, round 7, client 0, message 12.
"""

import http.client
import random
import ssl
import threading
import zlib
from dataclasses import dataclass, field

from rig.client import Client

# Where a client's mail comes from decides what becomes of it.
SOURCES = {"pass": "127.0.2.1", "held": "127.0.1.1", "dropped": "127.0.4.1"}

CONFIG = """
listener "apps" {{ address = "127.0.0.1:0" tls = starttls certificate = "{certificate}" key = "{key}" }}
upstream "smarthost" {{ address = "{upstream}" connections = 6 }}
environment "production" {{
    production = true
    match {{ network = {{"127.0.1.0/24"}} }}
    burst "volume" {{ limit = "1000000/1h" per = {{environment}} }}
    content "marker" {{ header = Subject match = sale }}
}}
environment "staging" {{
    match {{ network = {{"127.0.2.0/24"}} }}
    allow = {{"*"}}
    burst "volume" {{ limit = "1000000/1h" per = {{environment}} }}
}}
environment "qa" {{
    match {{ network = {{"127.0.4.0/24"}} }}
    allow = {{"@nobody.test"}}
    others = drop
    burst "volume" {{ limit = "1000000/1h" per = {{environment}} }}
}}
"""


def letter(kind, recipients, text):
    """Its body says what it sums up to: see is_whole()."""
    subject = "Sale today" if kind == "held" else "Your order"
    return (f"From: app@shop.example\r\nTo: {', '.join(recipients)}\r\nSubject: {subject}\r\n\r\n"
            f"{zlib.crc32(text.encode()):08x}\r\n{text}").encode()


def is_whole(message):
    """Of a message that the sink took."""
    head, _, text = message.body.partition(b"\r\n")
    return head == b"%08x" % zlib.crc32(text.removesuffix(b"\r\n"))


@dataclass
class Taken:
    """What clients and operators were told so far; the gate must stand to it."""

    kinds: dict = field(default_factory=dict)  # recipient -> kind, once its message got its 250
    backups: list = field(default_factory=list)  # copies that were answered with 200
    may_be_gone: set = field(default_factory=set)  # recipients whose purge was asked for
    decisions: dict = field(default_factory=dict)  # call -> how many were answered with 200
    wrong: list = field(default_factory=list)  # answers that should not be
    lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, kind, recipients):
        with self.lock:
            self.kinds.update((r, kind) for r in recipients)

    def decided(self, call):
        with self.lock:
            self.decisions[call] = self.decisions.get(call, 0) + 1


class Sender(threading.Thread):
    """One client, until its connection ends or stop is set. `pause`: between two messages; with
    one it takes a new connection now and then, and sends nothing large."""

    def __init__(self, address, taken, kind, name, seed, stop, tls="off", pause=0.0):
        super().__init__(daemon=True)
        self.pause, self.number = pause, 0
        self.address, self.taken, self.kind, self.label = address, taken, kind, name
        self.random, self.stop, self.tls = random.Random(seed), stop, tls
        self.start()

    def text(self):
        """A line or two; now and then one that goes to the store in pieces while it comes."""
        sizes = [40] * 20 + [4000] * 8 + [60000] * 2 * (not self.pause) + [
            700000] * (not self.pause)
        size = self.random.choice(sizes)
        line = f"{self.random.getrandbits(300):076x}"
        return "\r\n".join([line] * max(1, size // 78))

    def run(self):
        more = True
        while more and not self.stop.is_set():
            more = self.connection() and self.pause > 0

    def connection(self):
        """True if it could go on with another one."""
        most = 20 if self.pause else 1 << 60
        try:
            with Client(self.address, SOURCES[self.kind], tls=self.tls, timeout=60) as client:
                while not self.stop.wait(self.pause) and (most := most - 1):
                    names = [f"{self.label}.{self.number}.{k}@x.test"
                             for k in range(self.random.choice([1, 1, 1, 2, 5]))]
                    results, end = client.mail(names, letter(self.kind, names, self.text()))
                    if end[0] == 250 and all(code == 250 for code, _ in results):
                        self.taken.note(self.kind, names)
                    elif end[0] == 0:
                        return False
                    elif end[0] // 100 != 4:
                        self.taken.wrong.append(f"{names}: {results} {end}")
                    self.number += 1
            return True
        except (OSError, ssl.SSLError, AssertionError):
            return False


class Operator(threading.Thread):
    """Decides at random until the gate is gone or stop is set."""

    CALLS = (["release"] * 5 + ["discard"] * 3 + ["restore"] * 3
             + ["pause", "resume", "backup", "purge", "hold", "unhold", "look"])

    def __init__(self, gate, taken, name, seed, stop, pause=0.04):
        super().__init__(daemon=True)
        self.rest = pause  # at most, between two calls
        self.gate, self.taken, self.label = gate, taken, name
        self.random, self.stop = random.Random(seed), stop
        self.start()

    def run(self):
        try:
            while not self.stop.is_set():
                getattr(self, self.random.choice(self.CALLS))()
                self.stop.wait(self.random.uniform(0, self.rest))
        except (OSError, http.client.HTTPException, ValueError):
            return  # it is dead, perhaps in the middle of an answer

    def post(self, call, **body):
        status, answer = self.gate.api("POST", f"/v1/{call}", body)
        if status == 200:
            self.taken.decided(call)
        elif status not in (403, 404, 409, 503, 507):
            self.taken.wrong.append(f"{call} {body}: {status} {answer}")
        return status

    def batch(self):
        status, answer = self.gate.api("GET", "/v1/batches?all=1&limit=1000")
        rows = answer["items"] if status == 200 else []
        return self.random.choice(rows)["id"] if rows else None

    def decide(self, call, **body):
        batch = self.batch()
        return batch and self.post(call, ids=[batch], reason="crash test", **body)

    def part(self):
        return self.random.choice([{}, {}, {"first": 7}, {"percent": 30}, {"to": "*.1@x.test"}])

    def release(self):
        self.decide("release", **self.random.choice(
            [{}, self.part(), {"rings": [3, 10, "all"]}, {"rings": [5, "all"], "stop_on": 5}]))

    def discard(self):
        self.decide("discard", **self.part())

    def restore(self):
        self.decide("restore", **self.part())

    def pause(self):
        self.decide("pause")

    def resume(self):
        self.decide("resume")

    def purge(self):
        batch = self.batch()
        if not batch:
            return
        rows = self.gate.deliveries(batch=batch, state="discarded")
        with self.taken.lock:
            self.taken.may_be_gone.update(row["recipient"] for row in rows)
        self.post("purge", ids=[batch], reason="crash test")

    def backup(self):
        path = self.gate.dir / f"copy-{self.label}-{self.random.getrandbits(32):08x}"
        if self.post("backup", path=str(path)) == 200:
            with self.taken.lock:
                self.taken.backups.append(path)

    def hold(self):
        self.post("hold", scope="environment", name="staging", reason="crash test")

    def unhold(self):
        self.post("unhold", scope="environment", name="staging", reason="crash test")

    def look(self):
        self.gate.api("GET", "/v1/status")
