#!/usr/bin/env python3
"""How long every list and page of the API takes with a million held deliveries.

    MAILFUSED=build/mailfused tests/bench/lists.py --load-store build/tests/bench/load_store
        [--held N] [--batches N]

Fills a store (load_store) with one batch of --held, two of 5,000, whose rows are all read, and
--batches of 30 each in 300 environments; starts the gate on it, and asks each GET call of
docs/openapi.json in turn over the control socket, its body read to the end: median and worst of
--rounds, bytes, and rows. Ends with 1 if a median is above --limit milliseconds or an answer above
--bytes. Nothing stays.
"""

import argparse
import http.client
import json
import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
MAILFUSED = os.environ.get("MAILFUSED", str(TOP / "build" / "mailfused"))
START = 600  # seconds that the gate may take to answer

CONFIG = """hostname = "gate.example"
store = "{dir}/mailfuse.db"
control = "{dir}/control.sock"
min_free_space = "1MB"
listener "apps" {{ address = "127.0.0.1:0" }}
upstream "up" {{ address = "127.0.0.1:1" }}
environment "production" {{
    production = true match {{ network = {{"127.0.1.0/24"}} }} upstream = "up"
}}
"""
ENVIRONMENTS, EACH = 300, 30

CALLS = """
/v1/status
/v1/batches
/v1/batches?limit=1000
/v1/batches?state=held
/v1/batches?state=discarded
/v1/batches?all=1
/v1/batches/B1
/v1/batches/B2
/v1/batches/B3
/v1/batches/B1/story
/v1/batches/B2/story
/v1/batches/B1/alerts
/v1/environments
/v1/environments/production
/v1/environments/env-7
/v1/rules
/v1/alerts
/v1/audit?last=100
/v1/log
/v1/openapi.json
/livez
/readyz
/v1/settings
/v1/queue
/v1/traffic
/metrics
/v1/deliveries?environment=production
/v1/deliveries?environment=production&order=newest
/v1/deliveries?environment=production&limit=1000
/v1/deliveries?environment=production&state=held&order=newest&limit=1000
/v1/deliveries
/v1/deliveries?state=held
/v1/deliveries?environment=env-7
/v1/deliveries?environment=env-7&order=newest
/v1/deliveries?environment=env-7&state=held&limit=1000
/v1/deliveries?batch=B1&limit=1000
/v1/deliveries?batch=B1&order=newest
/v1/deliveries?batch=B1&q=nobody
/v1/deliveries?environment=production&q=nobody&order=newest
/v1/deliveries?environment=production&q=c99&limit=1000
/v1/deliveries?environment=env-7&q=nobody
/v1/messages/ID
/v1/messages/ID/raw
""".split()


# No lists of what is held: who asks, a stream that does not end, and what load_store's mail has not.
LEFT_OUT = {"/v1/session", "/v1/events", "/v1/messages/{message}/html"}


def missing():
    """GET routes that are not measured."""
    paths = json.loads((TOP / "docs" / "openapi.json").read_text())["paths"]
    known = {re.sub(r"/B\d+", "/{batch}", call.split("?")[0]).replace("/ID", "/{message}")
             for call in CALLS}
    known |= {re.sub(r"(/environments)/.*", r"\1/{environment}", call) for call in known}
    return {path for path, verbs in paths.items() if "get" in verbs} - known - LEFT_OUT


class Connection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=60)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(60)
        self.sock.connect(self.path)


def ask(control, path):
    """(seconds, status, bytes)."""
    connection = Connection(control)
    begin = time.perf_counter()
    connection.request("GET", path)
    answer = connection.getresponse()
    body = answer.read()
    seconds = time.perf_counter() - begin
    connection.close()
    return seconds, answer.status, body


def wait_for_gate(process, control):
    end = time.monotonic() + START
    while True:
        try:
            return ask(control, "/v1/status")
        except OSError:
            if process.poll() is not None or time.monotonic() > end:
                sys.exit("mailfused did not start")
            time.sleep(0.1)


def measure(control, path, rounds):
    """(median in milliseconds, bytes of the body)."""
    answers = [ask(control, path) for _ in range(rounds)]
    times = sorted(1000 * seconds for seconds, _, _ in answers)
    status, body = answers[-1][1:]
    if status != 200:
        sys.exit(f"{path}: {status} {body[:200]}")
    rows = len(json.loads(body).get("items", [])) if body[:1] == b"{" else 0
    median = statistics.median(times)
    print(f"{median:8.1f} ms   worst {times[-1]:7.1f}   {len(body):8,} bytes   {rows:5} rows   {path}",
          flush=True)
    return median, len(body)


def fill(options, path):
    """B1 of --held, B2 and B3 of 5,000 each, and --batches of EACH."""
    for arguments in ([path, options.held],
                      ["--seed", 10**9, "--batches", 2, path, 10000],
                      ["--seed", 2 * 10**9, "--batches", options.batches,
                       "--environments", ENVIRONMENTS, path, options.batches * EACH]):
        subprocess.run([options.load_store, *map(str, arguments)], check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--load-store", required=True)
    parser.add_argument("--held", type=int, default=1000000)
    parser.add_argument("--batches", type=int, default=10000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--limit", type=float, default=200.0)
    parser.add_argument("--bytes", type=int, default=1 << 20)
    options = parser.parse_args()
    if missing():
        sys.exit(f"not measured: {', '.join(sorted(missing()))}")
    with tempfile.TemporaryDirectory() as directory:
        config = Path(directory) / "mailfuse.conf"
        config.write_text(CONFIG.format(dir=directory) + "".join(
            f'environment "env-{i}" {{ match {{ network = {{"127.2.{i // 200}.{i % 200 + 1}"}} }} '
            "upstream = none }\n" for i in range(ENVIRONMENTS)))
        fill(options, f"{directory}/mailfuse.db")
        process = subprocess.Popen([MAILFUSED, "-c", str(config)], stderr=subprocess.DEVNULL)
        control = f"{directory}/control.sock"
        try:
            wait_for_gate(process, control)
            first = json.loads(ask(control, "/v1/deliveries?batch=B1&limit=1")[2])["items"][0]
            bad = []
            for path in CALLS:
                median, size = measure(control, path.replace("ID", first["message"]),
                                       options.rounds)
                if median > options.limit or size > options.bytes:
                    bad.append(path)
        finally:
            process.terminate()
            process.wait()
    sys.exit(f"above {options.limit:.0f} ms or {options.bytes} bytes: {', '.join(bad)}" if bad
             else 0)


if __name__ == "__main__":
    main()
