#!/usr/bin/env python3
"""How long every list and page of the API takes with a million held deliveries.

    MAILFUSED=build/mailfused tests/bench/lists.py --load-store build/tests/bench/load_store [--held N]

Fills a store (load_store), starts the gate on it, and asks each call in turn over the control
socket, its body read to the end: median and worst of --rounds, bytes, and rows. Ends with 1 if a
median is above --limit milliseconds. Nothing stays.
"""

import argparse
import http.client
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
MAILFUSED = os.environ.get("MAILFUSED", str(TOP / "build" / "mailfused"))
START = 120  # seconds that the gate may take to answer

CONFIG = """hostname = "gate.example"
store = "{dir}/mailfuse.db"
control = "{dir}/control.sock"
min_free_space = "1MB"
listener "apps" {{ address = "127.0.0.1:0" }}
upstream "up" {{ address = "127.0.0.1:1" }}
environment "production" {{
    production = true match {{ network = {{"127.0.1.0/24"}} }} upstream = "up"
}}
environment "staging" {{ match {{ network = {{"127.0.2.0/24"}} }} upstream = none }}
"""

CALLS = """
/v1/status
/v1/batches
/v1/batches/B1
/v1/batches/B1/story
/v1/environments
/v1/environments/production
/v1/rules
/v1/alerts
/v1/audit?last=100
/v1/settings
/v1/queue
/v1/traffic
/metrics
/v1/deliveries?environment=production
/v1/deliveries?environment=production&order=newest
/v1/deliveries?environment=production&limit=1000
/v1/deliveries?environment=production&state=held&order=newest&limit=1000
/v1/deliveries?environment=staging
/v1/deliveries?batch=B1&limit=1000
/v1/deliveries?batch=B1&order=newest
/v1/deliveries?batch=B1&q=nobody
/v1/deliveries?environment=production&q=nobody&order=newest
/v1/deliveries?environment=production&q=c99&limit=1000
/v1/deliveries?environment=staging&q=nobody
/v1/messages/ID
""".split()


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
    answers = [ask(control, path) for _ in range(rounds)]
    times = sorted(1000 * seconds for seconds, _, _ in answers)
    status, body = answers[-1][1:]
    if status != 200:
        sys.exit(f"{path}: {status} {body[:200]}")
    rows = len(json.loads(body).get("items", [])) if body[:1] == b"{" else 0
    median = statistics.median(times)
    print(f"{median:8.1f} ms   worst {times[-1]:7.1f}   {len(body):8,} bytes   {rows:5} rows   {path}",
          flush=True)
    return median


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--load-store", required=True)
    parser.add_argument("--held", type=int, default=1000000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--limit", type=float, default=200.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        config = Path(directory) / "mailfuse.conf"
        config.write_text(CONFIG.format(dir=directory))
        subprocess.run([options.load_store, f"{directory}/mailfuse.db", str(options.held)],
                       check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        process = subprocess.Popen([MAILFUSED, "-c", str(config)], stderr=subprocess.DEVNULL)
        control = f"{directory}/control.sock"
        try:
            wait_for_gate(process, control)
            first = json.loads(ask(control, "/v1/deliveries?batch=B1&limit=1")[2])["items"][0]
            slow = [path for path in CALLS if measure(
                control, path.replace("ID", first["message"]), options.rounds) > options.limit]
        finally:
            process.terminate()
            process.wait()
    sys.exit(f"above {options.limit:.0f} ms: {', '.join(slow)}" if slow else 0)


if __name__ == "__main__":
    main()
