"""The rows about what is held: a blast of newsletters, and ten million deliveries in the store."""

import re
import shutil
import sqlite3
import statistics
import subprocess
import threading
import time
from urllib.parse import quote

from .relays import HOLDING, MailfuseRelay, sync
from .table import Line
from .tools import Blast, Sink, blast, need, patience, read_line, tool

CONNECTIONS = 50


class Gate:
    """A gate and its sink; a context."""

    def __init__(self, bench, name, **keys):
        self.sink = Sink()
        try:
            self.relay = MailfuseRelay(bench.folder(name), self.sink, bench.issued,
                                       connections=bench.upstream_connections, **keys)
        except BaseException:
            self.sink.stop()
            raise
        self.gate, self.port = self.relay.gate, self.relay.ports["plain"]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.relay.stop()
        self.sink.stop()

    def send(self, **keys):
        """A newsletter to so many, each a mail of its own; returns mails a second."""
        said = blast(self.port, connections=CONNECTIONS, **keys)
        return keys["count"] / said["seconds"]

    def timed(self, *words):
        """Seconds of a command of the operator's tool, and what it said."""
        begin = time.monotonic()
        said = self.gate.cli("--json", "--yes", *words, deadline=900)
        took = time.monotonic() - begin
        need(said.returncode == 0, f"mailfuse {' '.join(map(str, words))}: {said.stderr}")
        return took, said.stdout

    def batch(self):
        status, answer = self.gate.api("GET", "/v1/batches?all=1")
        need(status == 200 and len(answer["items"]) == 1, f"not one batch: {answer}")
        return answer["items"][0]

    def on_disk(self):
        """Bytes of the store: what its pages hold, and its files."""
        with sqlite3.connect(f"file:{quote(str(self.gate.store))}?mode=ro", uri=True) as db:
            pages, free, size = (db.execute(f"PRAGMA {name}").fetchone()[0]
                                 for name in ("page_count", "freelist_count", "page_size"))
        db.close()
        files = sum(path.stat().st_size for path in self.gate.dir.glob("mailfuse.db*"))
        return (pages - free) * size, files


def hold(bench, encoding, count):
    """A blast that is held whole; its rate, what a mail takes, and memory on the way."""
    with Gate(bench, "holding", environments=HOLDING) as g:
        g.send(count=100, encoding=encoding, seed=2, subject="sale before it")
        rest = g.relay.memory()
        pages, files = g.on_disk()
        first = max(1, count // 10)
        begin = time.monotonic()
        g.send(count=first, encoding=encoding)
        took = time.monotonic() - begin
        early = g.relay.memory()
        source = Blast(g.port, connections=CONNECTIONS, count=count - first, first=first,
                       encoding=encoding)
        most, begin = early, time.monotonic()
        while source.process.poll() is None:
            most = max(most, g.relay.memory())
            time.sleep(0.5)
        source.result()
        took += time.monotonic() - begin
        held = g.batch()["held"]
        need(held == count + 100, f"{count + 100} mails were acknowledged, {held} are held")
        pages_after, files_after = g.on_disk()
        return {"rate": count / took, "pages": (pages_after - pages) / count,
                "files": (files_after - files) / count, "rest": rest, "early": early,
                "end": (end := g.relay.memory()), "most": max(most, end)}


def pass_through(bench, encoding, count):
    """The same mails, when nothing holds them: accepted and delivered."""
    with Gate(bench, "passing") as g:
        g.send(count=100, encoding=encoding)
        g.sink.wait(100, 60)
        g.sink.zero()
        said = blast(g.port, connections=CONNECTIONS, count=count, encoding=encoding)
        came = g.sink.wait(count, patience(count))
        need(came["mails"] == count, f"{count} sent, {came} came")
        return count / (came["last_us"] - said["started_us"]) * 1e6


def newsletter(bench):
    """A blast of personalised HTML mails of about 30 KB, held; beside it the same mails passing."""
    count = bench.messages or bench.scaled(1_000_000, 400)
    lines = []
    for encoding, share in (("qp", 1), ("base64", 10)):
        mails = max(count // share, 200)
        held, passed = [], []
        for _ in range(bench.rounds):
            sync()
            held.append(hold(bench, encoding, mails))
            bench.note(f"{encoding}: {held[-1]}")
            sync()
            passed.append(pass_through(bench, encoding, min(mails, bench.scaled(50_000, 200))))
            bench.note(f"{encoding}: {passed[-1]:.0f}/s pass")

        def of(key, held=held):
            return [result[key] for result in held]

        what = f"{mails:,} newsletters ({encoding})"
        lines += [
            Line("newsletter", f"{what}: held", "mails/s", of("rate"), passed, must=0.7, goal=1.2,
                 beside="passing"),
            Line("newsletter", f"{what}: pages", "bytes/mail", of("pages"), must=2500, goal=1600,
                 most=True),
            Line("newsletter", f"{what}: files", "bytes/mail", of("files")),
            Line("newsletter", f"{what}: PSS at the end beside at a tenth", "MB", of("end"),
                 of("early"), must=1.1, goal=1.05, most=True, beside="a tenth"),
            Line("newsletter", f"{what}: PSS at most", "MB", of("most")),
        ]
    return lines


# ---- ten million


def load(bench, store, count):
    """Fills a store; returns what the loader said."""
    source = subprocess.Popen(
        [tool("load_store"), "--recipients", str(bench.per_message), str(store), str(count)],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        return read_line(source.stdout, 120 + count / 500, f"{count} deliveries in the store")
    finally:
        source.kill()
        source.wait()
        source.stdout.close()


def instructions(store):
    """What one more held delivery costs there, counted by callgrind."""
    count, out = 1000, store.with_suffix(".callgrind")
    done = subprocess.run(
        ["valgrind", "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={out}",
         tool("load_store"), "--measure", "--in-flight", "32", "--seed", "4000000000", str(store),
         str(count)], capture_output=True, text=True, timeout=900)
    need(done.returncode == 0, f"callgrind: {done.stderr[-1000:]}")
    total = int(re.search(r"^totals: (\d+)", out.read_text(), re.MULTILINE)[1])
    out.unlink()
    need(total > 0, "callgrind counted nothing: load_store was built before valgrind was installed; "
                    "make it again")
    return total / count


def drain(g):
    """Until nothing more comes: what was accepted last must not count for the next."""
    count, again = -1, g.sink.ask("count")["mails"]
    while count != again:
        time.sleep(0.5)
        count, again = again, g.sink.ask("count")["mails"]


def passing_rate(g, seconds):
    """Mails a second that reach the sink while the source sends as fast as it can."""
    g.sink.zero()
    source = Blast(g.port, kind="plain", size=10240, count=100_000_000, connections=CONNECTIONS)
    try:
        time.sleep(seconds / 5)
        before, begin = g.sink.ask("count"), time.monotonic()
        time.sleep(seconds)
        after = g.sink.ask("count")
        return (after["mails"] - before["mails"]) / (time.monotonic() - begin)
    finally:
        source.stop()
        drain(g)


def decide_meanwhile(g, seconds, decide):
    """The same while decide() runs on and on beside it."""
    done, failed = threading.Event(), []

    def go_on():
        try:
            while not done.is_set():
                decide()
        except Exception as error:  # what fails on the thread fails the row
            failed.append(error)

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        rate = passing_rate(g, seconds)
    finally:
        done.set()
        thread.join()
    if failed:
        raise failed[0]
    return rate


def release_ten(g, offset):
    """Seconds from the command until the first of ten is in the sink."""
    g.sink.zero()
    begin = time.monotonic()
    took, _ = g.timed("release", "B1", "--first", "10", "--reason", "bench")
    came = g.sink.wait(1, 60)
    g.sink.wait(10, 60)
    return took, came["first_us"] / 1e6 - begin


def looked_at(g, rounds):
    """Seconds of the three ways to look at the batch, the median of some."""
    ways = {"batches": ("batches",), "show": ("show", "B1"),
            "messages": ("messages", "B1", "--limit", "100")}
    return {name: [g.timed(*words)[0] * 1000 for _ in range(rounds)]
            for name, words in ways.items()}


def decisions(bench, g):
    """Discard and restore of the whole, again and again; and what passes meanwhile."""
    took = {"discard": [], "restore": []}

    def decide():
        for verb in took:
            took[verb].append(g.timed(verb, "B1", "--reason", "bench")[0] * 1000)

    def held():
        return g.batch()["held"]

    seconds = bench.scaled(15, 2)
    quiet, busy = [], []
    before = held()
    for _ in range(bench.rounds):
        decide()
        need(held() == before, f"{before} were held before a discard and restore, {held()} after")
        quiet.append(passing_rate(g, seconds))
        busy.append(decide_meanwhile(g, seconds, decide))
        bench.note(f"{took['discard'][-1]:.0f} ms to discard; {quiet[-1]:.0f}/s pass, "
                   f"{busy[-1]:.0f} meanwhile")
    need(held() == before, f"{before} were held, {held()} are at the end")
    return took, quiet, busy


def ten_million(bench):
    """The store with ten million held deliveries: looking, deciding, passing, and one more."""
    count = bench.held or bench.scaled(10_000_000, 2000)
    folder = bench.folder("loading")
    folder.mkdir()
    store = folder / "store.db"
    counted = None
    if shutil.which("valgrind") and not bench.short:
        empty = instructions(folder / "empty.db")
    loaded = load(bench, store, count)
    bench.note(f"loaded: {loaded}")
    if shutil.which("valgrind") and not bench.short:
        counted = instructions(store), empty
        bench.note(f"instructions of one more: {counted[1]:.0f} with none held, {counted[0]:.0f}")
    with Gate(bench, "full", store=store) as g:
        need(g.batch()["held"] >= count // bench.per_message * bench.per_message,
             f"{count} were loaded, {g.batch()} is there")
        looks = looked_at(g, 5)
        bench.note({name: statistics.median(took) for name, took in looks.items()})
        releases = [release_ten(g, n)[1] * 1000 for n in range(bench.rounds)]
        bench.note(f"releases of ten: {releases}")
        took, quiet, busy = decisions(bench, g)
    shutil.rmtree(folder)
    what = f"{count:,} held: "
    lines = [Line("ten-million", what + "load", "deliveries/s",
                  [loaded["deliveries"] / loaded["seconds"]]),
             Line("ten-million", what + "on disk", "bytes/delivery",
                  [loaded["file_bytes"] / loaded["deliveries"]])]
    lines.append(Line("ten-million", what + "start of mailfused", "ms",
                      [g.relay.start_seconds * 1000]))
    lines += [Line("ten-million", what + f"mailfuse {name}", "ms", looks[name], must=200, goal=50,
                   most=True) for name in looks]
    lines.append(Line("ten-million", what + "release of ten, first in the sink", "ms", releases,
                      must=2000, goal=500, most=True))
    lines += [Line("ten-million", what + f"{verb} of all", "ms", took[verb], must=5000, goal=1000,
                   most=True) for verb in took]
    lines.append(Line("ten-million", what + "mail passes beside discard and restore", "mails/s",
                      busy, quiet, must=0.8, goal=0.95, beside="quiet"))
    if counted:
        lines.append(Line("ten-million", what + "accept and hold one more", "instructions",
                          [counted[0]], [counted[1]], must=1.25, goal=1.05, most=True,
                          beside="none held"))
    return lines
