"""One connection, and more mail waiting for it than it takes: what the gate says ahead.

`Gatehouse` stands at the end of each message, notes what the gate has said behind the dot by then,
and answers as the test says. `filled` is a gate with so much mail for it.
"""

import ssl
import threading

from .client import letter
from .gate import PRODUCTION_CLIENT, production
from .sink import CUT, hung_up
from .wait import wait_for

ONE = "connections = 1"
LOOPS = "loops = 1\n"


class Gatehouse:
    """A rule: each message waits at its end until let(). `answers` are for the first ones, in turn.

    `then` is asked at all other stages; session.early says there whether the envelope under way came
    behind a dot.
    """

    def __init__(self, *answers, then=None):
        self.answers = list(answers)
        self.then = then or (lambda *_: None)
        self.said = []  # behind the dot of each message
        self.turn = threading.Semaphore(0)

    def let(self, count=1000):
        for _ in range(count):
            self.turn.release()

    def __call__(self, stage, argument, session):
        if stage != "end":
            session.early = getattr(session, "early", False)
            return self.then(stage, argument, session)
        self.said.append(session)
        while not self.turn.acquire(timeout=0.01):
            if hung_up(session.sock, 0):
                return CUT
        session.early = b"MAIL FROM" in self.behind(session)
        return self.answers.pop(0) if self.answers else None

    def wait_said(self, place, what=b"MAIL FROM"):
        """Until the gate has said that behind the message (from 0) that stands there now."""
        wait_for(f"message {place} is there", lambda: len(self.said) > place)
        session = self.said[place]
        wait_for(f"{what} behind it", lambda: what in self.behind(session))

    @staticmethod
    def behind(session):
        try:
            session.sock.setblocking(False)
            more = session.sock.recv(65536)
        except (BlockingIOError, ssl.SSLWantReadError):
            more = b""
        finally:
            session.sock.setblocking(True)
        session.pending += more
        return session.pending


def names(count):
    return [f"a{n}@x.test" for n in range(count)]


def filled(gate, sink, count, keys="", recipients=lambda name: [name], environment=None,
           source=PRODUCTION_CLIENT):
    """A gate with so many messages for one connection, the first of which stands at its end."""
    running = gate(environment or production(), upstream_keys=f"{ONE} {keys}", more=LOOPS)
    for name in names(count):
        running.send(letter(), recipients(name), source, sender="")  # no reports
    wait_for("the first is there", lambda: sink.rule.said)
    return running


def seen(running, environment="production"):
    """Its deliveries by recipient."""
    return {row["recipient"]: row for row in running.deliveries(environment=environment)}
