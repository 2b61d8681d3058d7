"""The rows that compare traffic: the gate and Postfix in turn, A B A B, beside one sink."""

import time

from .relays import MailfuseRelay, PostfixRelay, sync
from .table import Line
from .tools import Blast, Idle, Sink, blast, need, patience, smtp_source

SIZE = 10240


class Pair:
    """Both relays before one sink, for as long as a row takes; a context."""

    def __init__(self, bench):
        self.bench = bench
        self.relays = []

    def __enter__(self):
        bench = self.bench
        self.sink = Sink()
        try:
            for kind in (MailfuseRelay, PostfixRelay):
                if kind is PostfixRelay and bench.no_postfix:
                    continue
                self.relays.append(kind(bench.folder(kind.name), self.sink, bench.issued,
                                        connections=bench.upstream_connections))
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for relay in self.relays:
            relay.stop()
        self.sink.stop()

    def through(self, relay, port="plain", **keys):
        """Sends and waits for the last one in the sink; adds `end_to_end` (mails a second)."""
        self.sink.zero()
        said = blast(relay.ports[port], kind="plain", size=SIZE, **keys)
        came = self.sink.wait(keys["count"], patience(keys["count"]))
        need(came["mails"] == keys["count"], f"{relay.name}: {keys['count']} sent, {came} came")
        said["end_to_end"] = keys["count"] / (came["last_us"] - said["started_us"]) * 1e6
        return said

    def in_turn(self, measure):
        """measure(relay) for each in turn, after one round that is not counted.

        Returns {relay's name: list of what it returned}.
        """
        results = {relay.name: [] for relay in self.relays}
        for turn in range(self.bench.rounds):
            for relay in self.relays:
                sync()
                results[relay.name].append(measure(relay))
                self.bench.note(f"round {turn + 1}, {relay.name}: {results[relay.name][-1]}")
        return results

    def warm_up(self, port="plain", **keys):
        """Starts the processes and fills the caches; not counted."""
        for relay in self.relays:
            self.through(relay, port, **{"count": 200, "connections": 100, **keys})


def column(results, name, key):
    return [result[key] for result in results.get(name, [])]


def compare(results, key, *words, **bounds):
    """The line of one measured value of both."""
    theirs = column(results, "Postfix", key)
    if not theirs:  # bounds of a quotient
        bounds = {}
    return Line(*words, column(results, "mailfuse", key), theirs, **bounds)


def direct(bench, tools="own"):
    """Source straight into sink: rate, and microseconds of processor time a mail of both."""
    sink = Sink()
    try:
        count = bench.scaled(20_000, 500)
        if tools == "own":
            said = blast(sink.port, kind="plain", size=SIZE, count=count, connections=100)
            rate = count / said["seconds"]
        else:
            rate = count / smtp_source(sink.port, count, 100, SIZE)[1]
        need(sink.ask("count")["mails"] == count, "source straight into sink: mails are missing")
        return rate
    finally:
        sink.stop()


def end_to_end(bench):
    """100 connections with 100 messages each, 10 KB: accepted, delivered, processor time."""
    count = bench.scaled(10_000, 300)

    def measure(relay):
        before = relay.cpu()
        said = pair.through(relay, count=count, connections=100)
        return {"accepted": count / said["seconds"], "rate": said["end_to_end"],
                "cpu": (relay.cpu() - before) / count}

    with Pair(bench) as pair:
        pair.warm_up()
        results = pair.in_turn(measure)
    straight = [direct(bench) for _ in range(bench.rounds)]
    return [
        compare(results, "rate", "end-to-end", "accepted and delivered", "mails/s", must=5,
                goal=10),
        Line("end-to-end", "the same beside source straight into sink", "mails/s",
             column(results, "mailfuse", "rate"), straight, goal=0.5, beside="straight"),
        compare(results, "accepted", "end-to-end", "accepted", "mails/s"),
        compare(results, "cpu", "end-to-end", "processor time of all threads", "us/mail",
                must=1 / 10, goal=1 / 16, most=True),
    ]


def postfix_source(bench):
    """The same with Postfix's own source, smtp-source, which costs more than the gate's."""
    count = bench.scaled(10_000, 300)

    def measure(relay):
        pair.sink.zero()
        begin, _ = smtp_source(relay.ports["plain"], count, 100, SIZE)
        came = pair.sink.wait(count, patience(count))
        return {"rate": count / (came["last_us"] / 1e6 - begin)}

    with Pair(bench) as pair:
        pair.warm_up()
        results = pair.in_turn(measure)
    straight = [direct(bench, "smtp-source") for _ in range(bench.rounds)]
    return [compare(results, "rate", "smtp-source", "accepted and delivered", "mails/s", must=5,
                    goal=10),
            Line("smtp-source", "the same beside source straight into sink", "mails/s",
                 column(results, "mailfuse", "rate"), straight, goal=0.5, beside="straight")]


def one_each(bench):
    """One message per connection."""
    count = bench.scaled(5000, 200)
    with Pair(bench) as pair:
        pair.warm_up(per_connection=1)
        results = pair.in_turn(lambda relay: {"rate": pair.through(
            relay, count=count, connections=100, per_connection=1)["end_to_end"]})
    return [compare(results, "rate", "one-each", "one message per connection", "mails/s", must=4,
                    goal=8)]


def latency(bench):
    """From connect to the 250 of a message: alone, and beside 49 others."""
    def measure(relay):
        alone = pair.through(relay, count=bench.scaled(300, 50), connections=1, per_connection=1)
        crowd = pair.through(relay, count=bench.scaled(5000, 200), connections=50, per_connection=1)
        return {"alone": alone["p50"], "alone99": alone["p99"], "crowd50": crowd["p50"],
                "crowd": crowd["p99"]}

    with Pair(bench) as pair:
        pair.warm_up(per_connection=1)
        results = pair.in_turn(measure)
    return [
        compare(results, "alone", "latency", "alone, median", "us", must=1 / 2, goal=1 / 3,
                most=True),
        compare(results, "alone99", "latency", "alone, 99 %", "us"),
        compare(results, "crowd50", "latency", "50 clients, median", "us"),
        compare(results, "crowd", "latency", "50 clients, 99 %", "us", must=1 / 3, goal=1 / 8,
                most=True),
    ]


def tls(bench):
    """STARTTLS and one message; and a connection under TLS that is kept."""
    def measure(relay):
        each = pair.through(relay, "tls", count=bench.scaled(1500, 100), connections=50, tls=True,
                            per_connection=1)
        before = relay.cpu()
        count = bench.scaled(10_000, 300)
        kept = pair.through(relay, "tls", count=count, connections=50, tls=True)
        return {"each": each["end_to_end"], "kept": kept["end_to_end"],
                "cpu": (relay.cpu() - before) / count}

    with Pair(bench) as pair:
        pair.warm_up("tls", tls=True)
        results = pair.in_turn(measure)
    return [compare(results, "each", "tls", "STARTTLS for each message", "mails/s", must=3, goal=5),
            compare(results, "kept", "tls", "a kept connection", "mails/s", must=5, goal=9),
            compare(results, "cpu", "tls", "a kept connection, processor time", "us/mail")]


def memory_in_load(pair, relay, count):
    """The most that was seen while so many mails went through."""
    pair.sink.zero()
    source = Blast(relay.ports["plain"], kind="plain", size=SIZE, count=count, connections=100)
    most = 0
    while source.process.poll() is None:
        most = max(most, relay.memory())
        time.sleep(0.1)
    source.result()
    pair.sink.wait(count, patience(count))
    return max(most, relay.memory())


def memory(bench):
    """PSS in the load of the first row; and the gate's with idle connections."""
    count = bench.scaled(20_000, 300)
    idle = bench.scaled(10_000, 100)
    results = {}
    with Pair(bench) as pair:
        for relay in pair.relays:
            results[relay.name] = [{"load": memory_in_load(pair, relay, count)}]
        gate = pair.relays[0]
        before = gate.memory()
        with Idle(gate.ports["plain"], idle):
            plain = gate.memory()
        with Idle(gate.ports["tls"], idle, tls=True):
            secured = gate.memory()
        pair.through(gate, count=100, connections=10)  # it still works
    return [
        compare(results, "load", "memory", "PSS in the load of end-to-end", "MB"),
        Line("memory", "the same by itself", "MB", column(results, "mailfuse", "load"), must=100,
             goal=48, most=True),
        Line("memory", "PSS at rest after it", "MB", [before]),
        Line("memory", f"PSS with {idle:,} idle connections", "MB", [plain], must=300, goal=150,
             most=True),
        Line("memory", f"PSS with {idle:,} idle under TLS", "MB", [secured], must=900, goal=500,
             most=True),
    ]
