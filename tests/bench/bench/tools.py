"""The programs that measure: blast, the source; sink, the smarthost; and what /proc says.

The programs are built by `make check` or `make tests/bench/blast ...`; BENCH_TOOLS names their
folder, by default the one beside the mailfused that MAILFUSED names.
"""

import json
import os
import select
import subprocess
import time
from pathlib import Path

from rig.gate import MAILFUSED

TOOLS = Path(os.environ.get("BENCH_TOOLS", Path(MAILFUSED).parent / "tests" / "bench"))
TICK = 1_000_000 // os.sysconf("SC_CLK_TCK")  # microseconds; what utime and stime count
NAMES = ("blast", "sink", "load_store")


class Broken(Exception):
    """Something does not work: a mail is lost, a count is wrong, a program hangs."""


def need(condition, what):
    if not condition:
        raise Broken(what() if callable(what) else what)


def tool(name):
    path = TOOLS / name
    need(os.access(path, os.X_OK), f"{path} is not there: make tests/bench/{name} in the build "
                                   "directory, or set BENCH_TOOLS")
    return str(path)


def read_line(pipe, seconds, what):
    """One JSON object from a program that may hang."""
    need(select.select([pipe], [], [], seconds)[0], f"after {seconds:.0f} s still not: {what}")
    line = pipe.readline()
    need(line, f"it ended instead of: {what}")
    return json.loads(line)


class Sink:
    """Takes everything and counts it."""

    def __init__(self, issued=None):
        self.process = subprocess.Popen(
            [tool("sink"), "0", *map(str, issued or ())], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, bufsize=0)
        self.port = read_line(self.process.stdout, 10, "the sink's port")["port"]
        self.address = f"127.0.0.1:{self.port}"

    def ask(self, words, seconds=10.0):
        self.process.stdin.write(f"{words}\n".encode())
        return read_line(self.process.stdout, seconds, f"the sink's answer to {words}")

    def zero(self):
        self.ask("zero")

    def wait(self, count, seconds):
        """Until so many mails have come."""
        try:
            return self.ask(f"wait {count}", seconds)
        except Broken as error:
            raise Broken(f"{error}: {self.ask('count')}") from None

    def stop(self):
        self.process.stdin.close()
        self.process.wait(10)
        self.process.stdout.close()


def options(keys):
    """`count=5, per_connection=1, tls=True` as a command line."""
    words = []
    for name, value in keys.items():
        if value is not False and value is not None:
            words.append("--" + name.replace("_", "-"))
            words += [] if value is True else [str(value)]
    return words


def patience(count):
    """Seconds that so many mails may take, at worst: a guard against what hangs."""
    return 60 + count / 40


class Blast:
    """The source, under way."""

    def __init__(self, port, **keys):
        self.count = keys.get("count", 1000)
        self.process = subprocess.Popen([tool("blast"), *options(keys), f"127.0.0.1:{port}"],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)

    def result(self, whole=True):
        """What it says in the end; all must have been accepted, where `whole`."""
        try:
            out, _ = self.process.communicate(timeout=patience(self.count))
        except subprocess.TimeoutExpired:
            self.stop()
            raise Broken(f"the source has not ended after {patience(self.count):.0f} s") from None
        said = json.loads(out)
        need(not whole or said["accepted"] == self.count,
             lambda: f"of {self.count} mails not all were accepted: {said}")
        return said

    def stop(self):
        self.process.kill()
        self.process.wait()


def blast(port, **keys):
    return Blast(port, **keys).result()


class Idle:
    """So many connections that say EHLO and then nothing; a context."""

    def __init__(self, port, count, tls=False):
        self.count = count
        self.source = Blast(port, idle=True, connections=count, tls=tls)

    def __enter__(self):
        said = read_line(self.source.process.stdout, 300, f"{self.count} open connections")
        need(said["idle"] == self.count, f"of {self.count} connections not all were taken: {said}")
        return self

    def __exit__(self, *_):
        self.source.process.stdin.close()
        self.source.process.wait(60)
        self.source.process.stdout.close()


def smtp_source(port, count, connections, size):
    """Postfix's own source, which keeps its connections; returns seconds."""
    begin = time.monotonic()
    subprocess.run(["/usr/sbin/smtp-source", "-d", "-s", str(connections), "-m", str(count), "-l",
                    str(size), "-f", "news@shop.example", "-t", "c@customers.example",
                    f"127.0.0.1:{port}"],
                   check=True, timeout=patience(count), stdin=subprocess.DEVNULL)
    return begin, time.monotonic() - begin


# ---- processes


def stat(pid):
    """The fields of /proc/PID/stat behind the name; None if it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None


def children(parent):
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit() and (fields := stat(entry)) and int(fields[1]) == parent:
            found.append(int(entry))
    return found


def cpu_us(pids):
    """User and system time of processes with all their threads, and of children that have ended."""
    ticks = 0
    for pid in pids:
        if fields := stat(pid):
            ticks += sum(map(int, fields[11:15]))
    return ticks * TICK


def pss_mb(pids):
    """Their share of memory: pages that several have count in parts."""
    total = 0
    for pid in pids:
        try:
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        total += next((int(line.split()[1]) for line in text.splitlines()
                       if line.startswith("Pss:")), 0)
    return total / 1024
