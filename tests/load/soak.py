#!/usr/bin/python3 -B
"""A gate under mixed load for a long time: memory flat, no descriptor leaked, all mail accounted for.

    tests/load/soak.py [--minutes N] [--build DIR] [--every SECONDS]

Mail passes (some of it over TLS), is held and dropped; an operator decides; clients come and go, some
only sit there; the configuration is read again every minute. It is never restarted. On a sanitizer
build memory is not judged, and a sanitizer's report fails the run.
"""

import argparse
import os
import re
import shutil
import signal
import socket
import statistics
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(TOP / "tests" / "crash"), str(TOP / "tests" / "integration")]


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--build", type=Path, help="directory of mailfused and mailfuse")
    parser.add_argument("--every", type=float, default=5, help="seconds between two samples")
    parser.add_argument("--pause", type=float, default=0.03, help="seconds between a client's mails")
    return parser.parse_args()


ARGS = arguments()
if ARGS.build:
    os.environ["MAILFUSED"] = str(ARGS.build.resolve() / "mailfused")
    os.environ["MAILFUSE"] = str(ARGS.build.resolve() / "mailfuse")

from judge import Judge  # noqa: E402
from load import CONFIG, Operator, Sender, Taken  # noqa: E402
from rig.gate import Gate, sanitized  # noqa: E402
from rig.sink import Sink  # noqa: E402
from rig.tls import CA  # noqa: E402

# Dropped mail goes by itself, discarded mail when the operator purges it: the store stays small.
HEAD = 'keep_dropped = "2m"\n'
CLIENTS = [("pass", "off"), ("pass", "starttls"), ("held", "off"), ("held", "starttls"),
           ("dropped", "off")]
IDLE = 50
WARM_UP = 300  # seconds until memory has to be flat
FLAT = 1.05
SPARE = 16  # descriptors: six connections to the upstream, which it keeps, and the store's


@dataclass
class Sample:
    at: float
    pss: int  # KiB
    heap: int
    descriptors: int
    threads: int
    mails: int


def sample(pid, began, mails):
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()

    def kib(name):
        return int(re.search(rf"^{name}:\s+(\d+) kB", rollup, re.M)[1])

    return Sample(time.monotonic() - began, kib("Pss"), kib("Pss_Anon"),
                  len(os.listdir(f"/proc/{pid}/fd")), len(os.listdir(f"/proc/{pid}/task")), mails)


def idle_connections(address):
    made = []
    for _ in range(IDLE):
        sock = socket.create_connection(address, 30)
        sock.recv(200)
        made.append(sock)
    return made


def show(samples):
    """A table of at most twenty rows."""
    print(f"{'minute':>7} {'PSS MB':>8} {'heap MB':>8} {'descr.':>7} {'threads':>8} {'accepted':>9}")
    for s in samples[::max(1, len(samples) // 20)]:
        print(f"{s.at / 60:7.1f} {s.pss / 1024:8.1f} {s.heap / 1024:8.1f} {s.descriptors:7d} "
              f"{s.threads:8d} {s.mails:9d}")


def memory_fault(samples):
    """A sentence if it grew; medians of two minutes, since a checkpoint's pages come and go."""
    first = [s.pss for s in samples if WARM_UP <= s.at < WARM_UP + 120]
    last = [s.pss for s in samples if s.at > samples[-1].at - 120]
    if sanitized() or samples[-1].at < WARM_UP + 240:
        return None
    growth = statistics.median(last) / statistics.median(first)
    return f"memory grew by {100 * (growth - 1):.1f}%" if growth > FLAT else None


def descriptor_fault(samples, before, after):
    """Of the same clients there are never more; after them only what it keeps."""
    third = max(1, len(samples) // 3)
    early = statistics.median(s.descriptors for s in samples[:third])
    late = statistics.median(s.descriptors for s in samples[-third:])
    if after > before + SPARE or late > early + SPARE:
        return f"descriptors: {before} before the load, {early} to {late} in it, {after} after it"
    return None


def run(gate, judge, taken):
    """The load; returns (samples, reloads, descriptors when it was over)."""
    stop, began = threading.Event(), time.monotonic()
    address, pid = gate.address(), gate.process.pid
    idle = idle_connections(address)
    threads = [Sender(address, taken, kind, f"{kind}.{n}", n, stop, tls, ARGS.pause)
               for n, (kind, tls) in enumerate(CLIENTS)]
    threads.append(Operator(gate, taken, "soak", 1, stop, pause=1.0))
    samples, reloads = [], 0
    reload_every = min(60, ARGS.minutes * 60 / 4)
    while time.monotonic() - began < ARGS.minutes * 60:
        time.sleep(min(ARGS.every, ARGS.minutes * 60 / 10))
        assert not gate.exited(), gate.text()[-3000:]
        assert all(t.is_alive() for t in threads), "a client or the operator gave up"
        samples.append(sample(pid, began, len(taken.kinds)))
        judge.read_sink()
        if time.monotonic() - began > (reloads + 1) * reload_every:
            judge.judge_backups()
            gate.signal(signal.SIGHUP)
            reloads += 1
    stop.set()
    for thread in threads:
        thread.join(60)
    for sock in idle:
        sock.close()
    judge.wait_calm()
    time.sleep(1)  # it closes what clients have closed
    return samples, reloads, sample(pid, began, 0).descriptors


def main():
    directory = Path(tempfile.mkdtemp(prefix="mailfuse-soak-"))
    sink, taken = Sink(), Taken()
    issued = CA(directory / "ca").issue("gate.example")
    config = CONFIG.format(upstream=sink.address, certificate=issued[0], key=issued[1])
    config = config.replace("tls = starttls", 'tls = starttls idle_timeout = "2h"')
    gate = Gate(directory, HEAD + config).start()
    judge = Judge(gate, sink, taken)
    faults = judge.faults
    try:
        before = sample(gate.process.pid, time.monotonic(), 0).descriptors
        samples, reloads, after = run(gate, judge, taken)
        taken.may_be_gone.update(n for n, kind in taken.kinds.items() if kind == "dropped")
        judge.judge()
        show(samples)
        for fault in (descriptor_fault(samples, before, after), memory_fault(samples)):
            if fault:
                judge.fault(fault)
        if (told := gate.log.read_text("utf-8", "replace").count("config.reloaded")) < reloads:
            judge.fault(f"{reloads} reloads were asked for and {told} done")
        gate.close()
    except AssertionError as error:
        judge.fault(str(error))
        if not gate.exited():
            gate.process.kill()
        samples = []
    sink.stop()
    faults += taken.wrong[:20]
    for fault in faults:
        print(fault, file=sys.stderr)
    memory = f"{samples[-1].pss / 1024:.0f} MB" if samples else "unknown"
    print(f"{ARGS.minutes:g} minutes, acknowledged {len(taken.kinds)}, lost {len(judge.lost)}, "
          f"repeated {judge.repeated}, memory {memory}, faults {len(faults)}")
    if not faults and not judge.lost:
        shutil.rmtree(directory)
        return 0
    print(f"store and log are in {directory}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
