"""The command line against docs/api.md: the exact requests of every verb, what it prints, and its
exit codes. A small HTTP server on a Unix socket plays mailfused, so that every answer can be had:
also the hostile, the broken and the hung ones."""

import base64
import fcntl
import json
import os
import pty
import select
import signal
import socketserver
import struct
import subprocess
import tempfile
import termios
import threading
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]
MAILFUSE = os.environ.get(
    "MAILFUSE_CLI", os.environ.get("MAILFUSE", str(TOP / "build" / "mailfuse"))
)
MESSAGE = "01JD8Z2E3M0G4S7T2V9W1X5Y6Z"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else None
        fake = self.server.fake
        fake.requests.append((self.command, self.path, body))
        fake.agents.add(self.headers.get("User-Agent"))
        answer = fake.answers.get((self.command, self.path.split("?")[0]))
        if answer is None:
            answer = Problem(404, f"no canned answer for {self.command} {self.path}")
        if callable(answer):
            answer = answer(self.path, body)
        if isinstance(answer, Raw):
            answer.send(self)
            return
        kind = "application/json"
        status = 200
        if isinstance(answer, Problem):
            status, kind = answer.status, "application/problem+json"
            answer = {"type": "about:blank", "title": "T", "status": status,
                      "detail": answer.detail}
        data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = answer

    def log_message(self, *args):
        pass

    def address_string(self):
        return "peer"


class Problem:
    def __init__(self, status, detail):
        self.status, self.detail = status, detail


class Raw:
    """Bytes as they are, then the end of the connection, or none for so many seconds."""

    def __init__(self, data, wait=0):
        self.data, self.wait = data, wait

    def send(self, handler):
        handler.wfile.write(self.data)
        handler.wfile.flush()
        handler.server.fake.stopped.wait(self.wait)
        handler.close_connection = True


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request, client_address):
        pass  # a client that goes away is part of some tests


class Fake:
    def __init__(self, path):
        self.path, self.requests, self.answers, self.agents = path, [], {}, set()
        self.stopped = threading.Event()
        self.start()

    def start(self):
        if os.path.exists(self.path):
            os.unlink(self.path)
        self.server = Server(self.path, Handler)
        self.server.fake = self
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self):
        self.stopped.set()
        self.server.shutdown()
        self.server.server_close()

    def environment(self, **more):
        keep = {k: v for k, v in os.environ.items() if k in ("PATH", "ASAN_OPTIONS",
                                                               "UBSAN_OPTIONS", "TSAN_OPTIONS")}
        return keep | {"MAILFUSE_CONTROL": self.path, "LC_ALL": "C.UTF-8", "TZ": "UTC-2",
                       "TERM": "xterm", "PAGER": ""} | more

    def run(self, *args, stdin=subprocess.DEVNULL, data=None, **environment):
        more = {"input": data} if data is not None else {"stdin": stdin}
        done = subprocess.run([MAILFUSE, *args], capture_output=True, timeout=60,
                              env=self.environment(**environment), **more)
        done.out = done.stdout.decode("utf-8", "surrogateescape")
        done.err = done.stderr.decode("utf-8", "surrogateescape")
        assert "Sanitizer" not in done.err and "runtime error" not in done.err, done.err
        return done

    def terminal(self, *args, typed=b"", columns=80, **environment):
        """Runs on a terminal; returns the exit code and all that stood on it."""
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        attributes = termios.tcgetattr(slave)
        attributes[1] &= ~termios.OPOST
        attributes[3] &= ~termios.ECHO
        termios.tcsetattr(slave, termios.TCSANOW, attributes)
        process = subprocess.Popen([MAILFUSE, *args], stdin=slave, stdout=slave, stderr=slave,
                                   env=self.environment(**environment), start_new_session=True)
        os.close(slave)
        if typed:
            os.write(master, typed)
        seen = b""
        while True:
            ready, _, _ = select.select([master], [], [], 30)
            assert ready, seen
            try:
                piece = os.read(master, 65536)
            except OSError:
                break
            if not piece:
                break
            seen += piece
        os.close(master)
        return process.wait(30), seen.decode("utf-8", "surrogateescape")


@pytest.fixture
def fake():
    # Not below tmp_path: the path of a socket has at most 107 bytes.
    with tempfile.TemporaryDirectory() as directory:
        server = Fake(f"{directory}/control.sock")
        yield server
        server.stop()


def batch(**more):
    return {
        "id": "B17", "state": "held", "environment": "staging", "rule": "burst volume",
        "key": "environment=staging", "source": "shop-7", "sender": "app@example.com",
        "subject": "Your order", "opened_at": "2026-11-21T10:04:11.123Z",
        "last_at": "2026-11-21T10:05:31.000Z", "messages": 5000, "recipients": 5000,
        "distinct_recipients": 4800, "leaked": 10, "bytes": 12400000, "released": 10, "sent": 10,
        "failed": 0, "discarded": 0, "held": 4990, "limit": 50, "window": 600,
        "collecting": True, "decided_by": "", "decided_reason": "", "decided_at": None,
    } | more


def delivery(n=1, **more):
    return {
        "id": f"{MESSAGE}.{n}", "message": MESSAGE, "number": n, "state": "held",
        "environment": "staging", "source": "shop-7", "sender": "app@example.com",
        "recipient": f"user{n}@example.net", "final": f"qa+{n}@example.com",
        "subject": "Your order", "batch": "B17", "rule": "volume", "reason": "over 50/10m",
        "reply": "", "bytes": 2480, "accepted_at": "2026-11-21T10:04:11.123Z",
        "changed_at": "2026-11-21T10:04:11.123Z", "next_try_at": None, "tries": 0,
        "sender_told": "no", "sender_notice": "",
    } | more


STORY = {
    "first_messages": [delivery()],
    "top_domains": [{"value": "example.net", "count": 4000}, {"value": "example.org", "count": 9}],
    "subjects": [{"value": "Your order #1", "count": 3}, {"value": "Your order #2", "count": 2}],
    "arrivals": [{"at": "2026-11-21T10:04:10.000Z", "count": 10},
                 {"at": "2026-11-21T10:04:20.000Z", "count": 80},
                 {"at": "2026-11-21T10:04:50.000Z", "count": 40}],
    "step_seconds": 10,
    "next": ["mailfuse release B17 --first 10 --reason TEXT"],
}

STATUS = {
    "version": "0.1.0", "pid": 4711, "started_at": "2026-11-21T08:00:00.000Z",
    "hostname": "gate.example", "config": "/etc/mailfuse/mailfuse.conf",
    "policy_warnings": ["production allows everybody"],
    "listeners": [{"name": "apps", "address": "127.0.0.1:2525", "tls": "starttls",
                   "auth": "optional"}],
    "environments": [{"name": "staging", "production": False, "upstream": "smarthost",
                      "others": "rewrite",
                      "bursts": [{"name": "volume", "limit": "50/10m", "per": ["environment"],
                                  "head": "10/10s", "settle": "5 s", "declared": None,
                                  "action": "hold"}],
                      "contents": [
                          {"name": "test", "header": "Subject", "part": None, "match": "/test/i",
                           "above": "20/10m", "per": ["source"], "action": "hold"},
                          {"name": "empty", "header": None, "part": "body", "match": "/^$/",
                           "above": None, "per": ["source"], "action": "alert"}]}],
    "upstreams": [{"name": "smarthost", "address": "127.0.0.1:25", "tls": "required", "up": False,
                   "since": "2026-11-21T09:00:00.000Z", "why": "connection refused",
                   "connections": 0}],
    "held": {"batches": 1, "recipients": 4990},
    "counts": [{"environment": "staging", "state": "held", "count": 4990},
               {"environment": "staging", "state": "queued", "count": 1200},
               {"environment": "staging", "state": "waiting", "count": 34},
               {"environment": "production", "state": "queued", "count": 5}],
    "holds": [], "alerts": {"pending": 2, "failed": 0, "oldest_at": "2026-11-21T09:00:00.000Z"},
    "store": {"room": True, "why": ""}, "last_drill": None, "warnings": ["no alert is set up"],
    "metrics": {"connections": 12345},
}

DECISION = {"decision": "release", "messages": 4990, "recipients": 4990, "left": 0,
            "batches": ["B17"]}


def decide(path, body):
    count = body.get("first", 4990)
    return DECISION | {"recipients": count, "messages": count, "left": 4990 - count,
                       "dry_run": body.get("dry_run", False)}


def plan(**more):
    return {
        "id": 5, "state": "running", "rings": [10, 100, 1000, "all"], "wait": 600, "stop_on": 2.0,
        "rate": None, "stream": 0, "who": "uid:1000(anna)", "reason": "checked with the team",
        "approvers": 0, "approvals_missing": 0, "approved_by": [], "total": 4990, "released": 110,
        "ring": 2, "ring_size": 100, "ring_released": 100, "sent": 45, "failed": 2, "deferred": 1,
        "refused": 3, "refusals": [{"count": 2, "reply": "550 5.1.1 no such user"},
                                   {"count": 1, "reply": "451 4.7.1 later"}],
        "started_at": "2026-11-21T10:20:00.000Z", "next_ring_at": None, "why": "",
        "created_at": "2026-11-21T10:10:00.000Z", "changed_at": "2026-11-21T10:20:00.000Z",
        "expires_at": None,
    } | more


def step(decision, **more):
    """The answer of approve, pause and resume."""
    return {"decision": decision, "batch": "B17", "state": "running", "recipients": 10,
            "left": 4980, "approvals_missing": 0, "dry_run": False, "plan": plan()} | more


def page(items, following=None):
    return {"items": items, "next": following}


def can(fake):
    """The answers of a healthy daemon."""
    fake.answers = {
        ("GET", "/v1/status"): STATUS,
        ("GET", "/v1/batches"): page([batch()]),
        ("GET", "/v1/batches/B17"): batch(story=STORY),
        ("GET", "/v1/deliveries"): page([delivery(1), delivery(2)]),
        ("GET", f"/v1/messages/{MESSAGE}"): {
            "id": MESSAGE, "environment": "staging", "source": "shop-7",
            "sender": "app@example.com", "subject": "Your order", "bytes": 2480,
            "accepted_at": "2026-11-21T10:04:11.123Z", "deliveries": [delivery()],
            "header": "Subject: Your order\r\nTo: a@example.com\r\n",
            "text": "Hello\r\n\tworld\r\n", "text_cut": False, "deliveries_cut": False},
        ("GET", f"/v1/messages/{MESSAGE}/raw"): b"Subject: x\r\n\r\n\x1b[31m\xff\x00body\r\n",
        ("POST", "/v1/release"): decide,
        ("POST", "/v1/discard"): decide,
        ("POST", "/v1/restore"): decide,
        ("POST", "/v1/purge"): decide,
        ("POST", "/v1/approve"): step("approve"),
        ("POST", "/v1/pause"): step("pause", state="paused"),
        ("POST", "/v1/resume"): step("resume"),
        ("POST", "/v1/hold"): {"changed": True, "stopped": 1234},
        ("POST", "/v1/unhold"): {"changed": True},
        ("POST", "/v1/explain"): {
            "environment": "staging", "production": False, "match": "network 10.2.0.0/16",
            "source": "10.2.0.7", "upstream": "smarthost",
            "recipients": [{"address": "a@example.net", "final": "qa@example.com",
                            "verdict": "rewrite", "rule": "others", "reason": "not allowed",
                            "settle": None, "observed": None}],
            "refused": None, "campaign": None, "audience": None,
            "rules": [{"rule": "burst volume", "key": "environment=staging", "applies": True,
                       "note": "", "limit": 50, "window": 600, "before": 49, "after": 51,
                       "head": 0, "head_window": 0, "head_before": 0, "settle": 0,
                       "holds": True, "trips": True}],
            "header": "Subject: [STAGING] x\r\n"},
        ("GET", "/v1/queue"): {
            "environments": [{"environment": "staging", "upstream": "smarthost", "up": False,
                              "queued": 1200, "waiting": 34, "oldest_at": None,
                              "next_try_at": "2026-11-21T10:10:00.000Z"}],
            "deliveries": [delivery(state="queued", tries=3, reply="451 4.3.0 later")]},
        ("GET", "/v1/log"): page([
            {"id": 7, "at": "2026-11-21T10:06:00.000Z", "who": "uid:0(root)",
             "action": "batch.released", "object": "B17", "reason": "checked", "detail": "10",
             "hash": "ab"}], 7),
    }


# name, arguments, the requests
REQUESTS = [
    ("status", ["status"], [("GET", "/v1/status", None)]),
    ("batches", ["batches"], [("GET", "/v1/batches?limit=1000", None)]),
    ("batches of a state", ["batches", "--state", "released", "--all"],
     [("GET", "/v1/batches?state=released&all=1&limit=1000", None)]),
    ("batches limit", ["batches", "--limit=5"], [("GET", "/v1/batches?limit=5", None)]),
    ("show", ["show", "b17"], [("GET", "/v1/batches/B17", None)]),
    ("messages of a batch", ["messages", "B17"],
     [("GET", "/v1/deliveries?batch=B17&limit=1000", None)]),
    ("messages of all", ["messages", "b17", "--state", "held", "--environment", "a b&c"],
     [("GET", "/v1/deliveries?batch=B17&environment=a%20b%26c&state=held&limit=1000", None)]),
    ("message", ["message", MESSAGE.lower()], [("GET", f"/v1/messages/{MESSAGE}", None)]),
    ("message of a delivery", ["message", MESSAGE + ".2"],
     [("GET", f"/v1/messages/{MESSAGE}", None)]),
    ("message raw", ["message", MESSAGE, "--raw"], [("GET", f"/v1/messages/{MESSAGE}/raw", None)]),
    ("release", ["release", "b17", "--reason", "ok", "--yes"],
     [("POST", "/v1/release", {"ids": ["B17"], "reason": "ok", "dry_run": True}),
      ("POST", "/v1/release", {"ids": ["B17"], "reason": "ok"})]),
    ("release a part",
     ["release", "B17", "--reason=ok", "--first", "10", "--to", "*@example.com",
      "--subject=/or.er/", "--rate", "100/1m"],
     [("POST", "/v1/release",
       {"ids": ["B17"], "reason": "ok", "first": 10, "to": "*@example.com",
        "subject": "/or.er/", "rate": "100/1m", "dry_run": True}),
      ("POST", "/v1/release",
       {"ids": ["B17"], "reason": "ok", "first": 10, "to": "*@example.com",
        "subject": "/or.er/", "rate": "100/1m"})]),
    ("release a share", ["release", "B17", "--reason", "ok", "--percent", "5%"],
     [("POST", "/v1/release", {"ids": ["B17"], "reason": "ok", "percent": 5, "dry_run": True}),
      ("POST", "/v1/release", {"ids": ["B17"], "reason": "ok", "percent": 5})]),
    ("release half a percent", ["release", "B17", "--reason", "ok", "--percent", "0.5"],
     [("POST", "/v1/release", {"ids": ["B17"], "reason": "ok", "percent": 0.5, "dry_run": True}),
      ("POST", "/v1/release", {"ids": ["B17"], "reason": "ok", "percent": 0.5})]),
    ("release ids", ["release", MESSAGE.lower() + ".2", MESSAGE, "--reason", "ok"],
     [("POST", "/v1/release",
       {"ids": [MESSAGE + ".2", MESSAGE], "reason": "ok", "dry_run": True}),
      ("POST", "/v1/release", {"ids": [MESSAGE + ".2", MESSAGE], "reason": "ok"})]),
    ("discard", ["discard", "B17", "--reason", "a test"],
     [("POST", "/v1/discard", {"ids": ["B17"], "reason": "a test", "dry_run": True}),
      ("POST", "/v1/discard", {"ids": ["B17"], "reason": "a test"})]),
    ("restore", ["restore", "B17"],
     [("POST", "/v1/restore", {"ids": ["B17"], "reason": "no reason given", "dry_run": True}),
      ("POST", "/v1/restore", {"ids": ["B17"], "reason": "no reason given"})]),
    ("restore with a reason", ["restore", "B17", "--reason", "too early"],
     [("POST", "/v1/restore", {"ids": ["B17"], "reason": "too early", "dry_run": True}),
      ("POST", "/v1/restore", {"ids": ["B17"], "reason": "too early"})]),
    ("release in rings",
     ["release", "B17", "--reason=ok", "--rings", "10,100,all", "--wait", "10m", "--stop-on", "2%",
      "--stream", "1h"],
     [("POST", "/v1/release",
       {"ids": ["B17"], "reason": "ok", "rings": [10, 100, "all"], "wait": "10m", "stop_on": 2,
        "stream": "1h", "dry_run": True}),
      ("POST", "/v1/release",
       {"ids": ["B17"], "reason": "ok", "rings": [10, 100, "all"], "wait": "10m", "stop_on": 2,
        "stream": "1h"})]),
    ("release until the first refusal",
     ["release", "B17", "--reason=ok", "--rings", "5", "--stop-on", "0"],
     [("POST", "/v1/release",
       {"ids": ["B17"], "reason": "ok", "rings": [5], "stop_on": 0, "dry_run": True}),
      ("POST", "/v1/release", {"ids": ["B17"], "reason": "ok", "rings": [5], "stop_on": 0})]),
    ("release until half a percent",
     ["release", "B17", "--reason=ok", "--stop-on", "0.5"],
     [("POST", "/v1/release", {"ids": ["B17"], "reason": "ok", "stop_on": 0.5, "dry_run": True}),
      ("POST", "/v1/release", {"ids": ["B17"], "reason": "ok", "stop_on": 0.5})]),
    ("a dry run needs no reason", ["discard", "B17", "--dry-run"],
     [("POST", "/v1/discard",
       {"ids": ["B17"], "reason": "no reason given", "dry_run": True})]),
    ("discard a part",
     ["discard", "B17", "--reason", "x", "--first", "9", "--to", "*@a", "--subject", "b"],
     [("POST", "/v1/discard",
       {"ids": ["B17"], "reason": "x", "first": 9, "to": "*@a", "subject": "b", "dry_run": True}),
      ("POST", "/v1/discard",
       {"ids": ["B17"], "reason": "x", "first": 9, "to": "*@a", "subject": "b"})]),
    ("restore a share", ["restore", "B17", "--percent", "50"],
     [("POST", "/v1/restore",
       {"ids": ["B17"], "reason": "no reason given", "percent": 50, "dry_run": True}),
      ("POST", "/v1/restore", {"ids": ["B17"], "reason": "no reason given", "percent": 50})]),
    ("purge", ["purge", "b17", "--reason", "the law says so", "--first", "10"],
     [("POST", "/v1/purge",
       {"ids": ["B17"], "reason": "the law says so", "first": 10, "dry_run": True}),
      ("POST", "/v1/purge", {"ids": ["B17"], "reason": "the law says so", "first": 10})]),
    ("approve", ["approve", "b17"],
     [("POST", "/v1/approve", {"ids": ["B17"], "reason": "no reason given", "dry_run": True}),
      ("POST", "/v1/approve", {"ids": ["B17"], "reason": "no reason given", "plan": 5})]),
    ("pause", ["pause", "B17", "--reason", "look first"],
     [("POST", "/v1/pause", {"ids": ["B17"], "reason": "look first", "dry_run": True}),
      ("POST", "/v1/pause", {"ids": ["B17"], "reason": "look first"})]),
    ("resume", ["resume", "B17", "--rate", "100/1m", "--reason", "ok"],
     [("POST", "/v1/resume",
       {"ids": ["B17"], "reason": "ok", "rate": "100/1m", "dry_run": True}),
      ("POST", "/v1/resume", {"ids": ["B17"], "reason": "ok", "rate": "100/1m"})]),
    ("hold an environment", ["hold", "--environment", "staging", "--reason", "wrong list"],
     [("GET", "/v1/status", None),
      ("POST", "/v1/hold", {"scope": "environment", "name": "staging", "reason": "wrong list"})]),
    ("hold a source", ["hold", "--source", "shop-7", "--reason", "wrong list"],
     [("POST", "/v1/hold", {"scope": "source", "name": "shop-7", "reason": "wrong list"})]),
    ("hold everything", ["hold", "--everything", "--reason", "wrong list"],
     [("GET", "/v1/status", None),
      ("POST", "/v1/hold", {"scope": "everything", "reason": "wrong list"})]),
    ("unhold", ["unhold", "--environment", "staging", "--reason", "fixed"],
     [("POST", "/v1/unhold", {"scope": "environment", "name": "staging", "reason": "fixed"})]),
    ("unhold without a reason", ["unhold", "--everything"],
     [("POST", "/v1/unhold", {"scope": "everything", "reason": "no reason given"})]),
    ("explain",
     ["explain", "--client", "10.2.0.7", "--user", "shop", "--tls-name", "n", "--listener", "apps",
      "--helo", "h", "--from", "a@example.com", "--to", "b@example.net",
      "--to=c@example.net", "d@example.net"],
     [("POST", "/v1/explain",
       {"client": "10.2.0.7", "user": "shop", "tls_name": "n", "listener": "apps",
        "helo": "h", "from": "a@example.com",
        "to": ["b@example.net", "c@example.net", "d@example.net"]})]),
    ("explain a bounce", ["explain", "--client", "::1", "--from", "<>", "--to", "b@example.net"],
     [("POST", "/v1/explain", {"client": "::1", "from": "", "to": ["b@example.net"]})]),
    ("queue", ["queue"], [("GET", "/v1/queue", None)]),
    ("log", ["log"], [("GET", "/v1/log?last=20&limit=20", None)]),
    ("log last", ["log", "--last", "3"], [("GET", "/v1/log?last=3&limit=3", None)]),
]


@pytest.mark.parametrize("args,wanted", [r[1:] for r in REQUESTS], ids=[r[0] for r in REQUESTS])
@pytest.mark.parametrize("form", ["people", "json"])
def test_requests(fake, args, wanted, form):
    can(fake)
    if form == "json":
        if "--raw" in args:
            pytest.skip("--raw and --json exclude each other")
        args = ["--json", *args]
    done = fake.run(*args)
    assert fake.requests == wanted
    assert done.returncode == 0, done.err
    assert fake.agents == {"mailfuse/0.1.0"}
    if form == "json":
        for line in done.out.splitlines():
            assert isinstance(json.loads(line), dict)
        assert done.out.count("\n") >= 1


# name, arguments, what stderr must say; nothing may be asked of the daemon
USAGE = [
    ("no verb", [], "Usage: mailfuse"),
    ("unknown verb", ["relase", "B17"], "do you mean release?"),
    ("unknown verb, nothing near", ["xyzzy"], 'there is no verb "xyzzy"'),
    ("unknown option", ["status", "--jsn"], "do you mean --json?"),
    ("unknown option of a verb", ["release", "B17", "--frist", "10"], "do you mean --first?"),
    ("unknown option with value", ["release", "B17", "--frist=10"], "do you mean --first?"),
    ("option of a verb before it", ["--reason", "x", "release", "B17"], "stand after it"),
    ("unknown letter", ["status", "-z"], "unknown option -z"),
    ("no abbreviation", ["release", "B17", "--reas", "x"], "do you mean --reason?"),
    ("no reason", ["release", "B17"], '--reason "'),
    ("empty reason", ["release", "B17", "--reason", " "], "--reason is empty"),
    ("reason forgotten", ["release", "B17", "--reason", "--first", "10"],
     "--reason needs a value before --first"),
    ("reason at the end", ["release", "B17", "--reason"], "--reason needs a value"),
    ("no reason to discard", ["discard", "B17"], '--reason "'),
    ("no reason to hold", ["hold", "--everything"], '--reason "'),
    ("no batch", ["release", "--reason", "x"], "which one?"),
    ("two batches to show", ["show", "B1", "B2"], '"B2" is too much'),
    ("words for status", ["status", "now"], '"now" is too much'),
    ("first is zero", ["release", "B17", "--reason", "x", "--first", "0"], "whole number"),
    ("first is negative", ["release", "B17", "--reason", "x", "--first", "-5"], "whole number"),
    ("first is no number", ["release", "B17", "--reason", "x", "--first", "1e3"], "whole number"),
    ("first is huge", ["release", "B17", "--reason", "x", "--first", "99999999999999999999"],
     "whole number"),
    ("percent over 100", ["release", "B17", "--reason", "x", "--percent", "101"], "up to 100"),
    ("percent of nothing", ["release", "B17", "--reason", "x", "--percent", "0"], "up to 100"),
    ("percent is nan", ["release", "B17", "--reason", "x", "--percent", "nan"], "up to 100"),
    ("first and percent",
     ["release", "B17", "--reason", "x", "--percent", "1", "--first", "1"], "exclude"),
    ("first twice", ["release", "B17", "--reason", "x", "--first", "1", "--first", "2"],
     "given twice"),
    ("rate", ["release", "B17", "--reason", "x", "--rate", "fast"], "such as 100/1m"),
    ("flag with a value", ["status", "--json=1"], "--json takes no value"),
    ("hold what", ["hold", "--reason", "x"], "hold what?"),
    ("hold two", ["hold", "--everything", "--source", "s", "--reason", "x"], "hold what?"),
    ("unhold two", ["unhold", "--everything", "--source", "s"], "only one"),
    ("messages of what", ["messages"], "which ones?"),
    ("raw and text", ["message", MESSAGE, "--raw", "--text"], "exclude each other"),
    ("explain from where", ["explain", "--from", "a@b", "--to", "c@d"], "--client IP"),
    ("explain from whom", ["explain", "--client", "::1", "--to", "c@d"], "--from ADDRESS"),
    ("explain to whom", ["explain", "--client", "::1", "--from", "a@b"], "--to ADDRESS"),
    ("url without a token", ["--url", "http://127.0.0.1:8025", "status"], "set MAILFUSE_TOKEN"),
    ("no reason to purge", ["purge", "B17"], '--reason "'),
    *[(f"rings {rings!r}", ["release", "B17", "--reason", "x", f"--rings={rings}"],
       "write sizes such as 10,100,1000,all")
      for rings in ("", "0", "10,", ",10", "10,,20", "all,10", "10,-5", "1e3", "10 20", "10;20",
                    "99999999999", "1000000001", "ALL", "\x1b[2J", ",".join(["1"] * 21))],
    *[(f"wait {wait!r}", ["release", "B17", "--reason", "x", "--rings", "1,all", f"--wait={wait}"],
       "takes a time from 1s to 30d such as 10m")
      for wait in ("", "0", "0s", "10", "m", "-5m", "10 m", "1.5h", "31d", "99999999999999s",
                   "10min")],
    ("wait without rings", ["release", "B17", "--reason", "x", "--wait", "10m"], "add --rings"),
    *[(f"stop-on {percent!r}", ["release", "B17", "--reason", "x", f"--stop-on={percent}"],
       "takes a percentage from 0 to 100")
      for percent in ("", "101", "-1", "nan", "2%%", "%", "two", "1e1", "2 %")],
    ("stream", ["release", "B17", "--reason", "x", "--stream", "soon"], "takes a time from 1s"),
    ("stream of a part", ["release", "B17", "--reason", "x", "--stream", "1h", "--first", "9"],
     "leave --first out"),
    ("discarded stream of a part",
     ["discard", "B17", "--reason", "x", "--stream", "1h", "--to", "*"], "leave --to out"),
    ("rings of two", ["release", "B17", "B18", "--reason", "x", "--rings", "1,all"],
     "--rings is for one batch"),
    ("rings of a message", ["release", MESSAGE, "--reason", "x", "--rings", "1,all"],
     "--rings is for one batch"),
    ("stop-on of two", ["release", "B17", "B18", "--reason", "x", "--stop-on", "1"],
     "--stop-on is for one batch"),
    ("stream of ids", ["discard", MESSAGE, "--reason", "x", "--stream", "1h"],
     "--stream is for one batch"),
    ("follow two", ["release", "B17", "B18", "--reason", "x", "--follow"],
     "--follow is for one batch"),
    ("first and percent to discard",
     ["discard", "B17", "--reason", "x", "--percent", "1", "--first", "1"], "exclude"),
    ("approve two", ["approve", "B17", "B18"], '"B18" is too much'),
    ("pause nothing", ["pause"], "which one?"),
    ("resume at a rate", ["resume", "B17", "--rate", "fast"], "such as 100/1m"),
    ("rate of approve", ["approve", "B17", "--rate", "1/m"], "unknown option --rate"),
    ("top of a batch", ["top", "B17"], "is too much"),
    ("top too often", ["top", "--interval", "0s"], "from 1s to 30d"),
    ("a CA for the socket", ["status", "--ca", "x.pem"], "goes with --url"),
    ("help of nothing", ["help", "xyzzy"], "there is no verb"),
]


@pytest.mark.parametrize("args,wanted", [r[1:] for r in USAGE], ids=[r[0] for r in USAGE])
def test_usage(fake, args, wanted):
    can(fake)
    done = fake.run(*args)
    assert done.returncode == 2
    assert wanted in done.err
    assert done.out == ""
    assert fake.requests == []


# What cannot be an id is refused like one that is not there, and the daemon need not be asked.
NO_ID = [
    ("no id", ["release", "B17", "everything", "--reason", "x"], '"everything" is no batch'),
    ("no id, too long", ["release", MESSAGE + "Z", "--reason", "x"], "is no batch"),
    ("no id, odd letter", ["release", MESSAGE[:-1] + "U", "--reason", "x"], "is no batch"),
    ("no id, no number", ["release", MESSAGE + ".", "--reason", "x"], "is no batch"),
    ("batch without number", ["show", "B"], '"B" is no batch'),
    ("batch with a path", ["show", "B1/../x"], "is no batch"),
    ("message with a path", ["message", "../status"], "is no message id"),
]


@pytest.mark.parametrize("args,wanted", [r[1:] for r in NO_ID], ids=[r[0] for r in NO_ID])
def test_no_id(fake, args, wanted):
    can(fake)
    done = fake.run(*args)
    assert (done.returncode, done.out, fake.requests) == (1, "", [])
    assert wanted in done.err


@pytest.mark.parametrize("verb", ["status", "batches", "show", "messages", "message", "release",
                                  "discard", "restore", "purge", "approve", "pause", "resume",
                                  "hold", "unhold", "explain", "queue", "log", "help"])
def test_help(fake, verb):
    done = fake.run("help", verb)
    assert (done.returncode, done.err) == (0, "")
    assert done.out.startswith(f"Usage: mailfuse {verb}")
    if verb != "help":
        assert fake.run(verb, "--help").out == done.out
        assert fake.run("--help", verb).out == done.out
    assert f"\n  {verb} " in fake.run("help").out


def test_version(fake):
    done = fake.run("--version")
    assert done.returncode == 0 and done.out.startswith("mailfuse 0.1.0 (libcurl/")


# what stands in place of the daemon, exit code, what stderr says
def socket_path_too_long(fake):
    return "/nowhere/" + "x" * 120


def socket_missing(fake):
    return fake.path + ".not"


def socket_dead(fake):
    fake.stop()
    return fake.path


@pytest.mark.parametrize("make,why", [
    (socket_missing, "No such file or directory"),
    (socket_dead, "Connection refused"),
    (socket_path_too_long, "File name too long"),
])
def test_not_reached(fake, make, why):
    path = make(fake)
    done = fake.run("status", "--control", path, MAILFUSE_CONTROL="/nowhere")
    assert done.returncode == 3
    assert done.err == (f"mailfuse: mailfused does not answer on {path}: {why}. Is it running? "
                        "Another socket: --control PATH or MAILFUSE_CONTROL.\n")
    assert done.out == ""


def test_default_socket(fake):
    done = fake.run("status", MAILFUSE_CONTROL="")
    if done.returncode == 3:
        assert " on /run/mailfuse/control.sock: " in done.err


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
BROKEN = [
    ("not json", b"hello", 3, "is not what mailfused says"),
    ("partial json", b'{"items":[{"id":"B1', 3, "is not what mailfused says"),
    ("not an object", b"[1,2]", 3, "not an object"),
    ("not utf-8", b'{"items":["\xff"]}', 3, "is not what mailfused says"),
    ("not http", Raw(b"220 mail.example ESMTP\r\n"), 3, "is not mailfused's control socket"),
    ("no answer", Raw(b""), 3, "closed the connection"),
    ("broken off", Raw(HEAD + b'Content-Length: 100\r\n\r\n{"items"'), 3, "broke off"),
    ("hung", Raw(b"", wait=20), 3, "did not answer within 1 seconds"),
    ("hung in the middle", Raw(HEAD + b"Content-Length: 9\r\n\r\n{", wait=20), 3,
     "did not answer within 1 seconds"),
    ("another server's 404", Raw(b"HTTP/1.1 404 Not Found\r\nContent-Length: 6\r\n\r\n<html>"), 1,
     "HTTP status 404 and no reason"),
    ("a redirect", Raw(b"HTTP/1.1 302 Found\r\nLocation: http://example.com/\r\n"
                       b"Content-Length: 0\r\n\r\n"), 1, "HTTP status 302"),
    ("refused", Problem(409, "B17 is discarded; mailfuse restore B17 first"), 1,
     "B17 is discarded; mailfuse restore B17 first"),
    ("hostile refusal", Problem(400, "\x1b[2J\nok"), 1, "\\x1b[2J\\nok"),
    ("store", Problem(503, "the store cannot answer"), 1, "the store cannot answer"),
]


@pytest.mark.parametrize("answer,code,why", [r[1:] for r in BROKEN], ids=[r[0] for r in BROKEN])
def test_broken_answers(fake, answer, code, why):
    fake.answers[("GET", "/v1/batches")] = answer
    done = fake.run("batches", MAILFUSE_TIMEOUT="1")
    assert done.returncode == code
    assert why in done.err and done.out == ""
    assert done.err.count("\n") == 1
    assert "may have been done" not in done.err


def test_lost_answer_of_a_change(fake):
    """Whoever is told of a failure must know that the change may stand."""
    fake.answers[("POST", "/v1/unhold")] = Raw(b"")
    done = fake.run("unhold", "--everything")
    assert done.returncode == 3 and "It may have been done all the same" in done.err


def test_a_change_is_never_sent_twice(fake):
    """Not even by the HTTP library, which repeats what it sent on a kept connection that closed."""
    answers = iter([DECISION, Raw(b"")])
    fake.answers[("POST", "/v1/release")] = lambda path, body: next(answers)
    done = fake.run(*RELEASE, "--first", "10")
    assert done.returncode == 3 and "It may have been done all the same" in done.err
    assert len(fake.requests) == 2


def test_hung_raw(fake):
    fake.answers[("GET", f"/v1/messages/{MESSAGE}/raw")] = Raw(
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nSubject", wait=20)
    done = fake.run("message", MESSAGE, "--raw", MAILFUSE_TIMEOUT="1")
    assert done.returncode == 3 and "did not answer within 1 seconds" in done.err


def test_empty_objects(fake):
    """A daemon of another version leaves fields out."""
    can(fake)
    for key in fake.answers:
        fake.answers[key] = {}
    for args in [["status"], ["batches"], ["show", "B1"], ["messages", "B1"], ["message", MESSAGE],
                 ["queue"], ["log"], ["explain", "--client", "::1", "--from=", "--to", "b@c"]]:
        fake.answers[("GET", "/v1/batches/B1")] = {}
        done = fake.run(*args)
        assert done.returncode == 0, (args, done.err)


HOSTILE = "\x1b[31mred\x07 \n\r\t\x7f\x9b1m\u202egnp.exe\u2066\u200b\u2028 \u00e9\u4e2d"
HARMLESS = ("\\x1b[31mred\\x07 \\n\\x0d\\x09\\x7f\\u009b1m\\u202egnp.exe\\u2066\\u200b\\u2028 "
            "\u00e9\u4e2d")


def test_hostile_text(fake):
    """Nothing of a mail but what can be seen reaches the screen, in any verb."""
    can(fake)
    hostile = batch(subject=HOSTILE, source=HOSTILE, sender=HOSTILE, rule=HOSTILE, key=HOSTILE,
                    state=HOSTILE, environment=HOSTILE, decided_by=HOSTILE, decided_reason=HOSTILE)
    rows = [delivery(**{k: HOSTILE for k in ("subject", "recipient", "final", "reply", "reason",
                                              "rule", "batch", "environment", "state", "id")})]
    story = {"first_messages": rows, "top_domains": [{"value": HOSTILE, "count": 1}],
             "subjects": [HOSTILE], "next": [HOSTILE],
             "arrivals": [{"at": HOSTILE, "count": 1}], "step_seconds": 1}
    fake.answers |= {
        ("GET", "/v1/batches"): page([hostile]),
        ("GET", "/v1/batches/B17"): hostile | {"story": story},
        ("GET", "/v1/deliveries"): page(rows),
        ("GET", "/v1/queue"): {"environments": [{"environment": HOSTILE, "upstream": HOSTILE}],
                               "deliveries": rows},
        ("GET", "/v1/log"): page([{"id": 1, "at": HOSTILE, "who": HOSTILE, "action": HOSTILE,
                                   "object": HOSTILE, "reason": HOSTILE, "detail": HOSTILE}]),
        ("GET", f"/v1/messages/{MESSAGE}"): {
            "id": HOSTILE, "environment": HOSTILE, "source": HOSTILE, "sender": HOSTILE,
            "subject": HOSTILE, "accepted_at": HOSTILE, "deliveries": rows,
            "header": HOSTILE, "text": HOSTILE},
        ("GET", "/v1/status"): {
            "version": HOSTILE, "hostname": HOSTILE, "config": HOSTILE, "warnings": [HOSTILE],
            "holds": [{"scope": HOSTILE, "name": HOSTILE, "reason": HOSTILE, "who": HOSTILE}],
            "environments": [{"name": HOSTILE, "upstream": HOSTILE, "others": HOSTILE,
                              "bursts": [{"name": HOSTILE, "limit": HOSTILE, "per": [HOSTILE]}],
                              "contents": [{"name": HOSTILE, "above": HOSTILE}]}],
            "upstreams": [{"name": HOSTILE, "address": HOSTILE, "why": HOSTILE}],
            "listeners": [{"name": HOSTILE, "address": HOSTILE}],
            "counts": [{"environment": HOSTILE, "state": "held", "count": 1}],
            "store": {"room": False, "why": HOSTILE}},
        ("POST", "/v1/explain"): {
            "environment": HOSTILE, "match": HOSTILE, "source": HOSTILE, "upstream": HOSTILE,
            "header": HOSTILE,
            "recipients": [{"address": HOSTILE, "final": HOSTILE, "verdict": HOSTILE,
                            "rule": HOSTILE, "reason": HOSTILE, "settle": HOSTILE,
                            "observed": HOSTILE}],
            "campaign": HOSTILE, "audience": HOSTILE, "refused": HOSTILE,
            "rules": [{"rule": HOSTILE, "key": HOSTILE, "limit": HOSTILE, "window": HOSTILE,
                       "note": HOSTILE, "head": HOSTILE, "applies": True, "before": HOSTILE}]},
    }
    for args in [["status"], ["batches"], ["show", "B17"], ["messages", "B17"], ["queue"], ["log"],
                 ["message", MESSAGE], ["message", MESSAGE, "--text"],
                 ["explain", "--client", "::1", "--from", "a@b", "--to", "c@d"]]:
        done = fake.run(*args)
        assert done.returncode == 0
        bad = {c for c in done.out if (c != "\n" and c < " " and c != "\t") or "\x7f" <= c < "\xa0"
               or c in "\u202e\u2066\u200b\u2028"}
        assert not bad, (args, bad)
        if args[0] not in ("message", "explain"):  # these show a header, line by line
            assert "\t" not in done.out
            assert HARMLESS in done.out, args
        assert fake.run(*args, LC_ALL="C").stdout.isascii(), args
    # On a terminal JSON is ASCII: no parser stands between it and the eyes.
    code, seen = fake.terminal("batches", "--json")
    assert code == 0 and seen.rstrip("\n").isascii() and not set(seen) & {"\x1b", "\x7f"}
    assert json.loads(seen)["subject"] == HOSTILE
    assert json.loads(fake.run("batches", "--json").out)["subject"] == HOSTILE


def test_what_a_daemon_says_of_drills_plans_and_stories_is_harmless_too(fake):
    can(fake)
    plan = {"id": 1, "state": "paused", "why": HOSTILE, "rings": [HOSTILE, 2], "ring": 1,
            "total": 3, "refusals": [{"count": 1, "reply": HOSTILE}], "who": HOSTILE,
            "reason": HOSTILE, "approved_by": [HOSTILE], "rate": HOSTILE, "wait": HOSTILE,
            "next_ring_at": HOSTILE}
    answer = {"decision": HOSTILE, "batch": HOSTILE, "state": HOSTILE, "recipients": 1, "left": 1,
              "approvals_missing": 1, "plan": plan}
    fake.answers |= {
        ("GET", "/v1/status"): {
            "holds": [{"scope": HOSTILE, "name": "drill", "since": HOSTILE}],
            "environments": [{"name": HOSTILE, "upstream": HOSTILE, "production": True}]},
        ("GET", "/v1/batches"): page([]),
        ("GET", "/v1/batches/B17"): batch(plan=plan, seen_by=HOSTILE, seen_at=HOSTILE,
                                          ruling={"goes": HOSTILE, "until": HOSTILE}),
        ("GET", "/v1/batches/B17/story"): {
            name: HOSTILE for name in ("batch", "environment", "rule", "key", "source", "sender",
                                       "subject", "state")} | {
            "timeline": [{"at": HOSTILE, "who": HOSTILE, "text": HOSTILE, "reason": HOSTILE}],
            "domains": [{"value": HOSTILE, "count": 1}], "questions": [HOSTILE],
            "samples": [{"at": HOSTILE, "recipient": HOSTILE, "subject": HOSTILE}]},
        ("GET", "/v1/log"): page([{"id": 1, "at_us": 1, "hash": HOSTILE, "who": HOSTILE}]),
        ("POST", "/v1/approve"): answer, ("POST", "/v1/pause"): answer,
        ("POST", "/v1/resume"): answer, ("POST", "/v1/drill"): {"upstream": HOSTILE},
        ("POST", "/v1/drill/end"): {"passed": False},
    }
    for args in (["drill"], ["story", "B17"], ["story", "B17", "--markdown"], ["audit", "verify"],
                 ["show", "B17"], ["show", "B17", "--follow"], ["approve", "B17"],
                 ["pause", "B17", "--reason", "x"], ["resume", "B17", "--reason", "x"]):
        done = fake.run("--yes", *args)
        seen = done.out + done.err
        bad = {c for c in seen if (c != "\n" and c < " ") or "\x7f" <= c < "\xa0"
               or c in "\u202e\u2066\u200b\u2028"}
        assert seen and not bad, (args, bad, seen)


def test_batches_table(fake):
    can(fake)
    fake.answers[("GET", "/v1/batches")] = page([
        batch(), batch(id="B9", subject="\u4e2d\u6587 order", recipients=7, held=0, leaked=0,
                       state="released", source=""),
        batch(id="B8", rule="audience", source="", subject="", key="campaign=spring")])
    done = fake.run("batches", "--all")
    assert done.out == (
        "BATCH  STATE     ENVIRONMENT  RULE          RECIPIENTS   HELD  LEAKED  "
        "OPENED               SOURCE  SUBJECT\n"
        "B17    held      staging      burst volume       5,000  4,990      10  "
        "2026-11-21 12:04:11  shop-7  Your order\n"
        "B9     released  staging      burst volume           7      0       0  "
        "2026-11-21 12:04:11  -       \u4e2d\u6587 order\n"
        "B8     held      staging      audience           5,000  4,990      10  "
        "2026-11-21 12:04:11  -       (campaign=spring)\n")


def test_batches_json(fake):
    can(fake)
    done = fake.run("batches", "--json")
    assert done.out == json.dumps(batch(), separators=(",", ":")) + "\n"
    assert done.err == ""


def test_nothing_held(fake):
    fake.answers[("GET", "/v1/batches")] = page([])
    done = fake.run("batches")
    assert (done.returncode, done.out) == (0, "")
    assert done.err == "Nothing is held. Batches already decided: mailfuse batches --all\n"


def test_show(fake):
    can(fake)
    assert fake.run("show", "B17").out == f"""\
Batch B17  held: 4,990 held of 5,000 recipients

Stopped by   burst volume (more than 50 recipients in 10 min) in environment staging
Counted per  environment=staging
From         shop-7, sender app@example.com
Subject      Your order
Opened       2026-11-21 12:04:11, last mail 2026-11-21 12:05:31; mail that follows joins it
Size         5,000 messages to 4,800 different recipients, 11.8 MB in all
Leaked       10 recipients left before it tripped
So far       released 10, sent 10, failed 0, discarded 0

Arrivals
   \u2588
   \u2588
   \u2588  \u2584
   \u2588  \u2588
  \u2585\u2588\u254c\u254c\u2588 limit
  \u25b2 tripped 2026-11-21 12:04:11
  2026-11-21 12:04:10 to 2026-11-21 12:04:50, 10 s a column

Top domains
  DOMAIN       RECIPIENTS  SHARE
  example.net       4,000    80%
  example.org           9    <1%

Sample subjects
  Your order #1  (3)
  Your order #2  (2)

First messages
  DELIVERY                      ACCEPTED             STATE  RECIPIENT
  {MESSAGE}.1  2026-11-21 12:04:11  held   user1@example.net

What can be done next
  mailfuse release B17 --first 10 --reason TEXT
"""
    plain = fake.run("show", "B17", LC_ALL="C").out
    assert "   #\n   #\n   #  #\n   #  #\n  ##--# limit\n  ^ tripped 2026-11-21 12:04:11\n" in plain


def test_show_audience(fake):
    fake.answers[("GET", "/v1/batches/B17")] = batch(rule="audience", limit=300, window=2592000,
                                                     key="campaign=spring", story=STORY)
    assert ("\nStopped by   audience (more than the 300 recipients that it declared) "
            "in environment staging\nCounted per  campaign=spring\n"
            in fake.run("show", "B17").out)


def test_show_long_blast(fake):
    """A blast of days still fits in 60 columns."""
    can(fake)
    story = STORY | {"arrivals": [
        {"at": f"2026-11-{d:02}T{h:02}:00:00.000Z", "count": h + 1}
        for d in range(1, 11) for h in range(24)], "step_seconds": 3600}
    fake.answers[("GET", "/v1/batches/B17")] = batch(story=story)
    lines = fake.run("show", "B17").out.split("\n")
    chart = lines[lines.index("Arrivals") + 1:][:5]
    assert max(map(len, chart)) == 62 and "4 h a column" in "\n".join(lines)


def test_status(fake):
    can(fake)
    fake.answers[("GET", "/v1/status")] = STATUS | {"holds": [
        {"scope": "environment", "name": "staging", "reason": "wrong list", "who": "uid:0(root)",
         "since": "2026-11-21T09:00:00.000Z"}],
        "warnings": ["the panic button is pressed: environment staging", "no alert is set up"]}
    done = fake.run("status")
    assert done.out == """\
Held         4,990 recipients in 1 batch: mailfuse batches
On hold      environment staging since 2026-11-21 11:00:00 by uid:0(root): wrong list
Alerts       2 not delivered since 2026-11-21 11:00:00
Warning      no alert is set up
Warning      production allows everybody
Last drill   never

Running
mailfused 0.1.0 on gate.example, pid 4711, since 2026-11-21 10:00:00
Configuration: /etc/mailfuse/mailfuse.conf

LISTENER  ADDRESS         TLS       LOGIN
apps      127.0.0.1:2525  starttls  optional

ENVIRONMENT  KIND  UPSTREAM   OTHERS
staging      test  smarthost  rewrite

ENVIRONMENT  RULE           LIMIT                     PER          HEAD, SETTLE
staging      content test   20/10m                    source       -
staging      content empty  first match, alerts only  -            -
staging      burst volume   50/10m                    environment  10/10s, 5 s

UPSTREAM   ADDRESS       TLS       STATE  SINCE                CONNECTIONS  WHY
smarthost  127.0.0.1:25  required  down   2026-11-21 11:00:00            0  connection refused

RECIPIENTS  QUEUED  WAITING   HELD  SENT  FAILED  DROPPED  DISCARDED
staging      1,200       34  4,990     0       0        0          0
production       5        0      0     0       0        0          0
"""
    assert json.loads(fake.run("status", "--json").out)["metrics"] == {"connections": 12345}


def test_simulate_takes_a_recalled_blast_for_one(fake, tmp_path):
    """What waited and passed in the minute of a trip was of the same blast; elsewhere it was not."""
    def row(subject, waited, held):
        return {"minute": "2026-11-21T09:00:00.000Z", "environment": "production",
                "source": "10.1.0.7", "client": "10.1.0.7", "sender": "a@example.com",
                "subject": subject, "campaign": None, "audience": None, "messages": 100,
                "recipients": 100, "bytes": 100, "passed": 100 - waited - held,
                "waited": waited, "held": held, "dropped": 0}

    fake.answers[("GET", "/v1/traffic")] = page(
        [row("sale", 60, 30), row("receipt", 60, 0), row("surplus", 0, 30)])
    config = tmp_path / "new.conf"
    config.write_text('environment "production" { production = true\n'
                      'match { network = {"10.0.0.0/8"} } }\n')
    done = fake.run("simulate", "--config", str(config), "--history", "1d", "--json")
    total = json.loads(done.out.splitlines()[-1])
    assert (total["recipients"], total["blast"]) == (300, 100 + 30)


def test_messages_pages(fake):
    def pages(path, body):
        after = int(path.split("after=")[1]) if "after=" in path else 0
        limit = int(path.split("limit=")[1].split("&")[0])
        rows = [delivery(n + 1) for n in range(after, min(after + limit, 2500))]
        return page(rows, str(after + limit) if after + limit < 2500 else None)

    fake.answers[("GET", "/v1/deliveries")] = pages
    done = fake.run("messages", "B17", "--json")
    assert done.out.count("\n") == 1000
    assert done.err == "The first 1,000 are shown; there are more: --limit 10000 shows them.\n"
    fake.requests.clear()
    done = fake.run("messages", "B17", "--json", "--limit", "10000")
    assert done.out.count("\n") == 2500 and done.err == ""
    assert [r[1] for r in fake.requests] == [
        "/v1/deliveries?batch=B17&limit=1000", "/v1/deliveries?batch=B17&limit=1000&after=1000",
        "/v1/deliveries?batch=B17&limit=1000&after=2000"]
    fake.requests.clear()
    assert fake.run("messages", "B17", "--json", "--limit", "1200").out.count("\n") == 1200
    assert fake.requests[1][1].endswith("limit=200&after=1000")


def test_messages_endless_cursor(fake):
    fake.answers[("GET", "/v1/deliveries")] = page([], "same")
    done = fake.run("messages", "B17")
    assert done.returncode == 0 and len(fake.requests) == 1


def test_messages_page_fails(fake):
    def pages(path, body):
        if "after" in path:
            return Problem(503, "the store cannot answer")
        return page([delivery(n) for n in range(1000)], "x")

    fake.answers[("GET", "/v1/deliveries")] = pages
    done = fake.run("messages", "B17", "--json", "--limit", "2000")
    assert done.returncode == 1 and done.out.count("\n") == 1000
    assert "the store cannot answer" in done.err


def test_message(fake):
    can(fake)
    assert fake.run("message", MESSAGE).out == f"""\
Message {MESSAGE}
Environment  staging
Source       shop-7
Sender       app@example.com
Subject      Your order
Accepted     2026-11-21 12:04:11, 2.4 KB

DELIVERY                      STATE  RECIPIENT          GOES TO           BATCH  RULE    \
CHANGED              WHY OR LAST REPLY
{MESSAGE}.1  held   user1@example.net  qa+1@example.com  B17    volume  \
2026-11-21 12:04:11  over 50/10m

Header as it would leave
Subject: Your order
To: a@example.com

Text
Hello
\tworld
"""
    assert fake.run("message", MESSAGE, "--text").out == "Hello\n\tworld\n"


def test_message_says_what_its_sender_was_told(fake):
    can(fake)
    report = "01JDREPORT0000000000000000"
    told = [("yes", report), ("pending", ""), ("no", ""), ("yes", report), ("no", "not allowed")]
    fake.answers["GET", f"/v1/messages/{MESSAGE}"]["deliveries"] = [
        delivery(n, state="failed", sender_told=how, sender_notice=notice)
        for n, (how, notice) in enumerate(told, 1)]
    lines = fake.run("message", MESSAGE).out.splitlines()
    assert [line for line in lines if line.startswith("Sender told")] == [
        f"Sender told  yes, of 2 deliveries: in {report}",
        "Sender told  pending, of 1 delivery",
        "Sender told  no, of 1 delivery: not allowed"]


def test_message_raw(fake):
    can(fake)
    raw = b"Subject: x\r\n\r\n\x1b[31m\xff\x00body\r\n"
    assert fake.run("message", MESSAGE, "--raw").stdout == raw
    code, seen = fake.terminal("message", MESSAGE, "--raw")
    assert (code, seen) == (0, "Subject: x\n\n\\x1b[31m?\\x00body\n")
    fake.answers[("GET", f"/v1/messages/{MESSAGE}/raw")] = Problem(404, "no such message")
    done = fake.run("message", MESSAGE, "--raw")
    assert (done.returncode, done.out) == (1, "")
    assert done.err == "mailfuse message: no such message\n"
    fake.answers[("GET", f"/v1/messages/{MESSAGE}/raw")] = Raw(
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nSubject")
    done = fake.run("message", MESSAGE, "--raw")
    assert done.returncode == 3 and "broke off" in done.err


RELEASE = ["release", "B17", "--reason", "checked"]


def test_release_output(fake):
    can(fake)
    done = fake.run(*RELEASE, "--first", "10")
    assert done.out == "Released 10 recipients (10 messages) of B17. Still held: 4,980.\n"
    done = fake.run(*RELEASE, "--first", "10", "--rate", "5/1m")
    assert done.out.endswith("Still held: 4,980. At 5/1m the last leaves in about 108 s.\n")
    assert done.err == "Releasing 10 recipients of B17.\n"
    done = fake.run("--json", *RELEASE, "--first", "10")
    assert json.loads(done.out) == decide("", {"first": 10})
    done = fake.run("discard", "B17", "--reason", "x")
    assert done.out == ("Discarded 4,990 recipients (4,990 messages) of B17. Still held: 0. Until "
                        "they are purged, mailfuse restore brings them back.\n")
    done = fake.run("restore", "B17")
    assert done.out == ("Restored 4,990 recipients (4,990 messages) of B17. They are held "
                        "again.\n")


# typed, exit code, requests: what was seen, dry run, environment, the change
@pytest.mark.parametrize("typed,code,requests", [
    (b"y\n", 0, 4), (b"YES\n", 0, 4), (b"n\n", 1, 3), (b"\n", 1, 3), (b"\x04", 1, 3),
    (b"yikes\n", 1, 3), (b"y" * 100 + b"\n", 1, 3)])
def test_release_asks(fake, typed, code, requests):
    can(fake)
    got, seen = fake.terminal(*RELEASE, typed=typed)
    assert "Release 4,990 recipients of B17 to staging's upstream? [y/N] " in seen
    assert got == code and len(fake.requests) == requests
    assert ("Nothing was changed." in seen) == (code == 1)
    assert ("Released 4,990" in seen) == (code == 0)


def test_questions(fake):
    can(fake)
    for args, question in [
            (RELEASE + ["--first", "10", "--rate", "5/1m"],
             "Release 10 recipients of B17 to staging's upstream at 5/1m? [y/N] "),
            (["release", MESSAGE, "B9", "--reason", "x"],
             f"Release 4,990 recipients of {MESSAGE} and B9 to the upstream of its environment?"),
            (["release", "B1", "B2", "B3", "--reason", "x"], "Release 4,990 recipients of 3 ids "),
            (["discard", "B17", "--reason", "x"],
             "Discard 4,990 recipients of B17, so that nothing of it is sent? [y/N] "),
            (["restore", "B17"], "Restore 4,990 recipients of B17, so that they are held again? "),
            (["hold", "--environment", "staging", "--reason", "x"],
             "Stop all mail of environment staging (1,234 recipients on the way now)? [y/N] "),
            (["hold", "--everything", "--reason", "x"],
             "Stop all mail of everything (1,239 recipients on the way now)? [y/N] "),
            (["hold", "--source", "s", "--reason", "x"], "Stop all mail of source s? [y/N] "),
            (["unhold", "--source", "s"], "Let new mail of source s pass again? [y/N] ")]:
        fake.requests.clear()
        code, seen = fake.terminal(*args, typed=b"n\n")
        assert code == 1 and question in seen
        assert not [r for r in fake.requests if r[0] == "POST" and "dry_run" not in r[2]]
        code, seen = fake.terminal(*args, "--yes")
        assert code == 0 and "[y/N]" not in seen


def test_release_nothing(fake):
    can(fake)
    fake.answers[("POST", "/v1/release")] = DECISION | {"recipients": 0, "messages": 0}
    done = fake.run(*RELEASE, "--to", "nobody@example.com")
    assert (done.returncode, done.out, len(fake.requests)) == (1, "", 1)
    assert done.err == ("mailfuse release: nothing of B17 can be released with these options. "
                        "Nothing was changed.\n")


def test_release_refused(fake):
    fake.answers[("POST", "/v1/release")] = Problem(409, "B17 is discarded")
    done = fake.run(*RELEASE)
    assert (done.returncode, done.out) == (1, "")
    assert done.err == "mailfuse release: B17 is discarded\n" and len(fake.requests) == 1


def test_hold(fake):
    can(fake)
    done = fake.run("hold", "--environment", "staging", "--reason", "x")
    assert done.err == ("Stopping all mail of environment staging (1,234 recipients on the way "
                        "now).\n")
    assert done.out == ("On hold: environment staging. Stopped: 1,234 recipients. Lift it with "
                        "mailfuse unhold --environment staging\n")
    fake.answers[("POST", "/v1/hold")] = {"changed": False, "stopped": 0}
    done = fake.run("hold", "--everything", "--reason", "x")
    assert (done.returncode, done.out) == (0, "It was on hold already: everything.\n")


def test_hold_without_status(fake):
    """The panic button works while the store cannot answer the status."""
    can(fake)
    fake.answers[("GET", "/v1/status")] = Problem(503, "the store cannot answer")
    done = fake.run("hold", "--everything", "--reason", "x")
    assert done.returncode == 0 and done.out.startswith("On hold: everything.")
    assert done.err == "Stopping all mail of everything.\n"


def test_unhold_alone(fake):
    can(fake)
    one = {"scope": "environment", "name": "staging"}
    done = fake.run("unhold")
    assert done.returncode == 1 and "nothing is on hold" in done.err
    fake.answers[("GET", "/v1/status")] = STATUS | {"holds": [one]}
    assert fake.run("unhold").returncode == 0
    assert fake.requests[-1][2] == one | {"reason": "no reason given"}
    fake.answers[("GET", "/v1/status")] = STATUS | {"holds": [one, one]}
    done = fake.run("unhold")
    assert done.returncode == 2 and "2 holds are set" in done.err
    assert fake.requests[-1][0] == "GET"


def test_explain(fake, tmp_path):
    can(fake)
    args = ["explain", "--client", "10.2.0.7", "--from", "a@example.com", "--to", "b@example.net"]
    done = fake.run(*args)
    assert done.err == "Nothing was sent, and nothing was counted.\n"
    assert done.out == """\
Environment  staging (not production), by network 10.2.0.0/16
Source       10.2.0.7
Upstream     smarthost

RECIPIENT      VERDICT  GOES TO         RULE    WHY
a@example.net  rewrite  qa@example.com  others  not allowed

RULE          LIMIT  WINDOW  BEFORE  AFTER  TRIPS  HEAD  IN HEAD  COUNTED PER          NOTE
burst volume     50  10 min      49     51  yes       -        -  environment=staging  -

Header as it would leave
Subject: [STAGING] x
"""
    path = tmp_path / "message.eml"
    path.write_bytes("Subject: \u00e9\r\n\r\nhello\r\n".encode())
    fake.run(*args, "--message", str(path))
    assert fake.requests[-1][2]["message"] == "Subject: \u00e9\r\n\r\nhello\r\n"
    fake.run(*args, "--message", "-", data=b"Subject: x\r\n\r\n")
    assert fake.requests[-1][2]["message"] == "Subject: x\r\n\r\n"
    # What JSON has no place for goes as base64.
    for raw in (b"Subject: \xe9\r\n\r\nx\r\n", b"Subject: x\r\n\r\n\0\r\n"):
        fake.run(*args, "--message", "-", data=raw)
        assert "message" not in fake.requests[-1][2]
        assert base64.b64decode(fake.requests[-1][2]["message_base64"], validate=True) == raw
    done = fake.run(*args, "--message", str(tmp_path / "none"))
    assert done.returncode == 1 and "No such file or directory" in done.err
    done = fake.run(*args, "--message", str(tmp_path))
    assert done.returncode == 1 and "Is a directory" in done.err


def test_explain_tells_what_waits_and_what_is_refused(fake):
    can(fake)
    rules = [
        {"rule": "content test marker", "key": "source=shop", "applies": True,
         "note": "Subject matches", "limit": 0, "window": 600, "before": 0, "after": 1,
         "head": 0, "head_window": 0, "head_before": 0, "settle": 0, "holds": False,
         "trips": True},
        {"rule": "audience", "key": None, "applies": False, "note": "no audience is declared",
         "limit": 0, "window": 2592000, "before": 0, "after": 0, "head": 0, "head_window": 0,
         "head_before": 0, "settle": 0, "holds": True, "trips": False},
        {"rule": "burst volume", "key": "source=shop subject=\"x\"", "applies": True, "note": "",
         "limit": 200, "window": 600, "before": 15, "after": 16, "head": 15, "head_window": 10,
         "head_before": 15, "settle": 10, "holds": True, "trips": False}]
    recipient = {"address": "a@example.net", "final": "a@example.net", "verdict": "wait",
                 "rule": "burst volume", "reason": "beyond 15/10s", "settle": 10,
                 "observed": "content test marker"}
    answer = fake.answers[("POST", "/v1/explain")] | {
        "recipients": [recipient], "rules": rules, "campaign": "spring", "audience": 1200}
    fake.answers[("POST", "/v1/explain")] = answer
    args = ["explain", "--client", "10.2.0.7", "--from", "a@example.com", "--to", "b@example.net"]
    assert fake.run(*args).out == """\
Environment  staging (not production), by network 10.2.0.0/16
Source       10.2.0.7
Upstream     smarthost
Campaign     spring, audience 1,200

RECIPIENT      VERDICT  GOES TO        RULE          WHY
a@example.net  wait     a@example.net  burst volume  beyond 15/10s; leaves after 10 s unless the \
rule trips; content test marker would have held it

RULE                 LIMIT  WINDOW  BEFORE  AFTER  TRIPS     HEAD  IN HEAD  COUNTED PER           \
   NOTE
content test marker      0  10 min       0      1  alerts       -        -  source=shop           \
   Subject matches
audience                 0    30 d       -      -  -            -        -  -                     \
   no audience is declared
burst volume           200  10 min      15     16  no      15/10s       15  source=shop subject="x\
"  -

Header as it would leave
Subject: [STAGING] x
"""
    fake.answers[("POST", "/v1/explain")] = answer | {
        "rules": [], "header": "", "audience": None, "refused": "550 5.6.0 no audience",
        "recipients": [recipient | {"verdict": "reject", "settle": None, "observed": None}]}
    said = fake.run(*args).out
    assert "Campaign     spring, audience -\nRefused      550 5.6.0 no audience\n" in said
    assert "Header" not in said and "RULE  " in said


def test_queue(fake):
    can(fake)
    assert fake.run("queue").out == f"""\
ENVIRONMENT  UPSTREAM   STATE  QUEUED  WAITING  OLDEST  NEXT TRY
staging      smarthost  down    1,200       34  -       once it answers

Waiting longest
DELIVERY                      STATE   ENVIRONMENT  ACCEPTED             TRIES  NEXT TRY  \
GOES TO           LAST REPLY
{MESSAGE}.1  queued  staging      2026-11-21 12:04:11      3  -         \
qa+1@example.com  451 4.3.0 later
"""


def test_log(fake):
    can(fake)
    assert fake.run("log").out == (
        '2026-11-21 12:06:00  uid:0(root)     batch.released   B17  "checked"  10\n')


def row(n):
    return {"id": n, "at": "2026-11-21T10:06:00.000Z", "who": "w", "action": f"a{n}",
            "object": "o", "reason": "", "detail": ""}


def wait_until(condition):
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_log_follow(fake):
    """Each second what is new, over a restart of the daemon; it ends quietly by a signal."""
    rows = [row(1), row(2)]

    def log(path, body):
        after = int(path.split("after=")[1]) if "after=" in path else 0
        new = [r for r in rows if r["id"] > after]
        return page(new, rows[-1]["id"])

    fake.answers[("GET", "/v1/log")] = log
    process = subprocess.Popen([MAILFUSE, "log", "--follow", "--json"], stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True, env=fake.environment())
    assert [json.loads(process.stdout.readline())["id"] for _ in range(2)] == [1, 2]
    rows.append(row(3))
    assert json.loads(process.stdout.readline())["id"] == 3
    wait_until(lambda: fake.requests[-1][1] == "/v1/log?after=3")
    fake.answers[("GET", "/v1/log")] = Raw(b"")
    assert "closed the connection" in process.stderr.readline()
    fake.answers[("GET", "/v1/log")] = log
    assert process.stderr.readline() == "mailfused answers again.\n"
    rows.append(row(4))
    assert json.loads(process.stdout.readline())["id"] == 4
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert (out, err, process.returncode) == ("", "", -signal.SIGINT)


def test_log_follow_needs_a_daemon(fake):
    fake.stop()
    assert fake.run("log", "--follow").returncode == 3


def test_closed_pipe_is_quiet(fake):
    fake.answers[("GET", "/v1/deliveries")] = page([delivery(n) for n in range(1000)])
    process = subprocess.Popen([MAILFUSE, "messages", "B17", "--json"], stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, env=fake.environment())
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait(20) == -signal.SIGPIPE
    process.stderr.close()


def test_full_disk(fake):
    can(fake)
    with open("/dev/full", "w") as full:
        done = subprocess.run([MAILFUSE, "status"], stdout=full, stderr=subprocess.PIPE,
                              env=fake.environment(), timeout=20)
    assert done.returncode == 1 and b"No space left" in done.stderr


def test_terminal_is_not_overrun(fake):
    """Only on a terminal, and only there, lines are cut to its width; wide letters count twice."""
    can(fake)
    fake.answers[("GET", "/v1/batches")] = page([
        batch(subject="\u4e2d" * 100, source="s" * 100), batch(subject="e\u0301" * 100)])
    _, seen = fake.terminal("batches", columns=110, NO_COLOR="1")
    for line in seen.rstrip("\n").split("\n"):
        width = sum(2 if c == "\u4e2d" else 0 if c == "\u0301" else 1 for c in line)
        assert width <= 110 and "\x1b" not in line
    assert "\u2026" in seen
    assert "\u4e2d" * 100 in fake.run("batches").out
    _, seen = fake.terminal("batches", columns=110, NO_COLOR="1", LC_ALL="C")
    assert "..." in seen and seen.isascii()


def test_narrow_terminal(fake):
    """80 columns are enough for every list; what is less important is left out."""
    can(fake)
    for args in [["batches"], ["messages", "B17"], ["message", MESSAGE], ["queue"], ["show", "B17"],
                 ["status"]]:
        code, seen = fake.terminal(*args, columns=80, NO_COLOR="1")
        assert code == 0
        for line in seen.split("\n"):
            if not line.startswith(("Stopped by", "Opened")):
                assert len(line) <= 80, (args, line)


def test_colours(fake):
    can(fake)
    assert "\x1b[33mheld\x1b[0m" in fake.terminal("batches", columns=200)[1]
    assert "\x1b" not in fake.terminal("batches", columns=200, NO_COLOR="1")[1]
    assert "\x1b" not in fake.terminal("batches", columns=200, TERM="dumb")[1]
    assert "\x1b" not in fake.run("batches").out


def test_options_stand_anywhere(fake):
    can(fake)
    for args in [["--json", "show", "B17"], ["show", "--json", "B17"], ["show", "B17", "--json"],
                 ["show", "--json", "--", "B17"]]:
        assert json.loads(fake.run(*args).out)["id"] == "B17"
    for args in [["--control", fake.path, "status"], ["status", f"--control={fake.path}"]]:
        assert fake.run(*args, MAILFUSE_CONTROL="/nowhere").returncode == 0


def test_proxy_is_ignored(fake):
    """http_proxy of the shell has nothing to do with a socket."""
    can(fake)
    assert fake.run("status", http_proxy="http://127.0.0.1:9", ALL_PROXY="socks5://127.0.0.1:9",
                    ).returncode == 0
