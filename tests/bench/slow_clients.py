#!/usr/bin/env python3
"""A working client beside a thousand that are slow, idle or stuck: is its mail still taken at once?

    MAILFUSED=build/mailfused tests/bench/slow_clients.py [--clients N] [--sends N] [--rounds N]

Measures one send (connect, EHLO, MAIL, RCPT, DATA, the 250 behind the final dot) in turns without
and with the crowd, in one run, so that a slow disk or a busy machine counts on both sides. Prints
median and 95th percentile of both and their ratios: each a round's, and of the rounds the middle
one, so that a moment in which the machine did something else does not decide. Ends with 1 if a
ratio is above 2, with 2 if there was nothing to measure. Needs nothing but Python and the openssl
command; takes less than a minute.
"""

import argparse
import asyncio
import multiprocessing
import os
import re
import resource
import signal
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
MAILFUSED = os.environ.get("MAILFUSED", str(TOP / "build" / "mailfused"))
LIMIT = 2.0
PAUSE = 1.0  # seconds between the bytes of a client that drips
HANG = 120  # seconds after which a hung gate ends the run

CONFIG = """hostname = "gate.example"
store = "{dir}/mailfuse.db"
control = "{dir}/control.sock"
min_free_space = "1MB"
listener "apps" {{ address = "127.0.0.1:0" }}
listener "tls" {{
    address = "127.0.0.1:0" tls = implicit certificate = "{dir}/pem" key = "{dir}/key"
}}
upstream "sink" {{ address = "127.0.0.1:{sink}" tls = off }}
environment "all" {{
    production = true
    match {{ network = {{"127.0.0.0/8"}} }}
    burst "none" {{ limit = "1000000/1h" per = {{environment}} }}
}}
"""


# ---- the smarthost


async def take_mail(reader, writer):
    writer.write(b"220 sink.example ESMTP\r\n")
    try:
        while line := await reader.readline():
            verb = line[:4].upper()
            if verb == b"EHLO":
                writer.write(b"250-sink.example\r\n250 PIPELINING\r\n")
            elif verb == b"DATA":
                writer.write(b"354 go ahead\r\n")
                await reader.readuntil(b"\r\n.\r\n")
                writer.write(b"250 taken\r\n")
            else:
                writer.write(b"250 ok\r\n")
    except (ConnectionError, asyncio.IncompleteReadError):
        pass
    writer.close()


def run_sink(pipe):
    async def serve():
        server = await asyncio.start_server(take_mail, "127.0.0.1", 0)
        pipe.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(serve())


# ---- the crowd


def half_a_hello():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    out = ssl.MemoryBIO()
    tls = context.wrap_bio(ssl.MemoryBIO(), out, server_hostname="gate.example")
    try:
        tls.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return out.read()[:100]


ENVELOPE = b"EHLO slow.example\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\n"
# What each kind says at once, and then again and again, a byte at a time.
KINDS = {
    "idle after connect": ("apps", b"", b""),
    "idle after EHLO": ("apps", b"EHLO slow.example\r\n", b""),
    "drips commands": ("apps", b"", b"NOOP\r\n"),
    "drips content": ("apps", ENVELOPE + b"DATA\r\nSubject: slow\r\n\r\n", b"slow content\r\n"),
    "drips a chunk": ("apps", ENVELOPE + b"BDAT 1000000 LAST\r\n", b"slow content\r\n"),
    "does not read": ("apps", b"HELP\r\n" * 5000, b""),
    "half a handshake": ("tls", half_a_hello(), b""),
    "no handshake": ("tls", b"", b""),
}


async def be_slow(number, addresses, crowd):
    name, first, drip = list(KINDS.values())[number % len(KINDS)]
    source = f"127.0.2.{number % 200 + 1}"
    deaf = first.startswith(b"HELP")
    while True:  # whoever is let go comes back
        reader, writer = await asyncio.open_connection(
            *addresses[name], local_addr=(source, 0), limit=1024)
        crowd.add(number)
        try:
            writer.write(first)
            n = number  # not all of them in the same moment
            while True:
                await asyncio.sleep(PAUSE)
                if not deaf and reader.at_eof():
                    break
                if drip:
                    writer.write(drip[n % len(drip):n % len(drip) + 1])
                    n += 1
        except OSError:
            pass
        finally:
            crowd.discard(number)
            writer.transport.abort()


def run_crowd(pipe, addresses, count):
    async def live():
        crowd, tasks = set(), []
        while (word := await asyncio.to_thread(pipe.recv)) != "end":
            if word == "come":
                tasks = [asyncio.create_task(be_slow(n, addresses, crowd)) for n in range(count)]
                while len(crowd) < count:
                    await asyncio.sleep(0.05)
                await asyncio.sleep(2 * PAUSE)  # until all of them are at their slow part
            elif word == "go":
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
            pipe.send(len(crowd))

    asyncio.run(live())


# ---- the working client


LETTER = [
    (b"EHLO quick.example", b"250"), (b"MAIL FROM:<a@b.example>", b"250"),
    (b"RCPT TO:<c@d.example>", b"250"), (b"DATA", b"354"),
    (b"Subject: quick\r\n\r\n" + b"x" * 70 + b"\r\n.", b"250"),
]


def send_one(address):
    """One message on a connection of its own; how long until it was durable, in seconds."""
    begin = time.perf_counter()
    with socket.create_connection(address, 30, source_address=("127.0.1.1", 0)) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with sock.makefile("rb") as replies:
            hear(replies, b"220")
            for line, code in LETTER:
                sock.sendall(line + b"\r\n")
                hear(replies, code)
            taken = time.perf_counter() - begin
            sock.sendall(b"QUIT\r\n")
            hear(replies, b"221")
    return taken


def hear(replies, code):
    while (line := replies.readline())[3:4] == b"-":
        pass
    if not line.startswith(code):
        raise Unmeasurable(f"the gate said {line!r} where {code!r} was due")


class Unmeasurable(Exception):
    """There is nothing to measure."""


def measure(address, count):
    return [send_one(address) for _ in range(count)]


# ---- the gate


class Gate:
    def __init__(self, directory, sink):
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                        "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=gate.example",
                        "-keyout", directory / "key", "-out", directory / "pem"],
                       check=True, capture_output=True)
        (directory / "key").chmod(0o600)
        (directory / "conf").write_text(CONFIG.format(dir=directory, sink=sink))
        self.log = directory / "log"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen([MAILFUSED, "-c", directory / "conf"],
                                            stdin=subprocess.DEVNULL, stderr=log)
        end = time.monotonic() + 30
        while not re.search(r"- ready\b", self.log.read_text()):
            if self.process.poll() is not None or time.monotonic() > end:
                raise Unmeasurable(f"{MAILFUSED} did not start:\n{self.log.read_text()}")
            time.sleep(0.02)

    def address(self, name):
        found = re.search(rf"listener\.bound name={name} address=([0-9.]+):(\d+)",
                          self.log.read_text())
        return found[1], int(found[2])

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()


def start(function, *arguments):
    """A process of its own, so that what it does is not counted as the gate's."""
    mine, theirs = multiprocessing.Pipe()
    process = multiprocessing.Process(target=function, args=(theirs, *arguments), daemon=True)
    process.start()
    return mine, process


def ask(pipe, word):
    pipe.send(word)
    if not pipe.poll(60):
        raise Unmeasurable("the crowd did not answer")
    return pipe.recv()


def percentile(values, percent):
    return sorted(values)[int(len(values) * percent / 100)]


def report(quiet, crowded):
    """Prints both, each a list of rounds; returns the larger ratio."""
    ratios = []
    print(f"{'':10}{'median':>12}{'95th':>12}{'sends':>8}")
    for name, rounds in (("quiet", quiet), ("crowded", crowded)):
        middle = [statistics.median(percentile(sends, percent) for sends in rounds) * 1000
                  for percent in (50, 95)]
        print(f"{name:10}{middle[0]:9.2f} ms{middle[1]:9.2f} ms{sum(map(len, rounds)):8}")
    for percent in (50, 95):
        # Neighbours in time are compared: what else the machine does counts in both.
        ratios.append(statistics.median(percentile(beside, percent) / percentile(alone, percent)
                                        for alone, beside in zip(quiet, crowded)))
    print(f"{'ratio':10}{ratios[0]:12.2f}{ratios[1]:12.2f}    at most {LIMIT:.1f}")
    return max(ratios)


def run(arguments, directory):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    need = 2 * arguments.clients + 200
    if hard != resource.RLIM_INFINITY and hard < need:
        raise Unmeasurable(f"{need} open files are needed, {hard} are allowed; see ulimit -n")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, need), hard))
    pipe, sink = start(run_sink)
    gate = Gate(directory, pipe.recv())
    addresses = {name: gate.address(name) for name in ("apps", "tls")}
    crowd, people = start(run_crowd, addresses, arguments.clients)
    quiet, crowded = [], []
    try:
        measure(addresses["apps"], 20)  # warms up: files, caches, the upstream's connection
        for _ in range(arguments.rounds):
            quiet.append(measure(addresses["apps"], arguments.sends))
            came = ask(crowd, "come")
            crowded.append(measure(addresses["apps"], arguments.sends))
            stayed = ask(crowd, "count")
            print(f"crowd: {came} came, {stayed} were there at the end")
            if stayed < arguments.clients * 0.9:
                raise Unmeasurable("the crowd did not stay")
            ask(crowd, "go")
        crowd.send("end")
    finally:
        gate.stop()
        people.kill()
        sink.kill()
    return 1 if report(quiet, crowded) > LIMIT else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--clients", type=int, default=1000, help="slow ones, default 1000")
    parser.add_argument("--sends", type=int, default=200, help="of each kind a round, default 200")
    parser.add_argument("--rounds", type=int, default=7, help="default 7")
    arguments = parser.parse_args()
    signal.alarm(HANG)
    with tempfile.TemporaryDirectory(prefix="mailfuse-bench-") as directory:
        try:
            return run(arguments, Path(directory))
        except (Unmeasurable, OSError) as why:
            print(why, file=sys.stderr)
            return 2


if __name__ == "__main__":
    sys.exit(main())
