"""The table of a run, and the facts of the machine it ran on."""

import json
import os
import platform
import statistics
import subprocess
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

from rig.gate import MAILFUSED

from .relays import file_system


@dataclass
class Line:
    """One line: what we have measured, what the other has, and what was wanted.

    `must` and `goal` are bounds of the quotient ours / theirs where there is something to compare
    with, else of our own value; at least that much, or with `most` at most.
    """

    row: str
    what: str
    unit: str
    ours: list
    theirs: list = field(default_factory=list)
    must: float = None
    goal: float = None
    most: bool = False
    beside: str = "Postfix"  # whose `theirs` are

    @property
    def ratio(self):
        if not self.theirs or not statistics.median(self.theirs):
            return None
        return statistics.median(self.ours) / statistics.median(self.theirs)

    def reached(self):
        if self.must is None and self.goal is None:
            return ""
        value = self.ratio if self.theirs else statistics.median(self.ours)

        def good(bound):
            return bound is not None and value is not None and (
                value <= bound if self.most else value >= bound)

        if good(self.goal):
            return "goal"
        return "must" if good(self.must) else "no"

    def cells(self):
        sign = "<=" if self.most else ">="
        times = " x" if self.theirs else ""

        def bound(value):
            return "" if value is None else f"{sign} {value:.4g}{times}"

        beside = "" if not self.theirs else spread(self.theirs)
        if self.theirs and self.beside != "Postfix":
            beside += f" ({self.beside})"
        ratio = "" if self.ratio is None else f"{self.ratio:.3g}"
        return [self.row, f"{self.what}, {self.unit}", spread(self.ours), beside, ratio,
                bound(self.must), bound(self.goal), self.reached()]


def number(value):
    if abs(value) >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.3g}"


def spread(values):
    middle = number(statistics.median(values))
    return middle if len(values) == 1 else (
        f"{middle} ({number(min(values))} - {number(max(values))})")


HEAD = ["row", "what", "mailfuse", "beside it", "ratio", "must", "goal", "reached"]


def table(lines, judged=True):
    """Markdown, aligned for people who read it in a terminal; else without what is wanted."""
    shown = len(HEAD) if judged else HEAD.index("must")
    rows = [row[:shown] for row in (HEAD, *(line.cells() for line in lines))]
    widths = [max(len(row[i]) for row in rows) for i in range(shown)]
    text = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths)) + " |"
            for row in rows]
    text.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(text)


# ---- facts


def said(*command):
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    except OSError:
        return ""
    return done.stdout.strip()


def sync_latency(directory, count=200):
    """Microseconds of a write of 4 KiB with fdatasync(2): the median and the 99th percentile."""
    path = Path(directory) / "sync"
    took = []
    with open(path, "wb", buffering=0) as file:
        for _ in range(count):
            file.write(os.urandom(4096))
            begin = time.perf_counter()
            os.fdatasync(file.fileno())
            took.append((time.perf_counter() - begin) * 1e6)
    path.unlink()
    took.sort()
    return statistics.median(took), took[int(count * 0.99)]


def facts(directory):
    model = [line.partition(":")[2].strip()
             for line in Path("/proc/cpuinfo").read_text().splitlines()
             if line.startswith("model name")]
    memory = Path("/proc/meminfo").read_text().split()[1]
    kind, device = file_system(directory)
    versions = said(MAILFUSED, "-V").splitlines()
    median, slow = sync_latency(directory)
    return {
        "processor": f"{os.cpu_count()} x {model[0] if model else platform.machine()}",
        "memory": f"{int(memory) / 1048576:.0f} GiB",
        "kernel": platform.release(),
        "file system": f"{kind} on {device}",
        "fdatasync of 4 KiB": f"median {median:.0f} us, 99 % {slow:.0f} us",
        "mailfuse": ", ".join(line for line in versions
                              if line.startswith(("mailfused", "SQLite", "OpenSSL", "libevent"))),
        "Postfix": said("/usr/sbin/postconf", "-d", "-h", "mail_version") or "not there",
        "load before": f"{os.getloadavg()[0]:.1f}",
    }


def save(path, machine, lines, arguments):
    raw = [dict(asdict(line), ratio=line.ratio, reached=line.reached()) for line in lines]
    Path(path).write_text(json.dumps({"facts": machine, "arguments": arguments, "lines": raw},
                                     indent=1) + "\n")
