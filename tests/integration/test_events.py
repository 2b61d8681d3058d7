"""Server-sent events: what changes is told, to all who listen, and nothing is owed to who is slow."""

import http.client
import json
import re
import socket
import threading
import time

import pytest

from rig.batch import Batch, channel, fill, marked
from rig.gate import UnixHTTPConnection, listener, upstream
from rig.people import Token, http_section, port
from rig.wait import stays_true, wait_for


class Listener:
    """One page that listens, on the control socket or (with a token) over TCP."""

    def __init__(self, running, headers=None, over_tcp=False):
        self.connection = (http.client.HTTPConnection("127.0.0.1", port(running), timeout=60)
                           if over_tcp else UnixHTTPConnection(running.control))
        self.connection.request("GET", "/v1/events", headers=headers or {})
        self.answer = self.connection.getresponse()
        self.events, self.comments, self.ended = [], 0, False
        self.text = ""
        if self.answer.status == 200:
            threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        try:
            while line := self.answer.readline():
                self._line(line.decode().rstrip("\n"))
        except (OSError, http.client.HTTPException, ValueError, AttributeError):
            pass
        self.ended = True

    def _line(self, line):
        self.text += line + "\n"
        if line.startswith("event: "):
            self.name = line[7:]
        elif line.startswith("data: "):
            self.events.append((self.name, json.loads(line[6:])))
        elif line.startswith(":"):
            self.comments += 1

    def of(self, name):
        return [data for event, data in list(self.events) if event == name]

    def wait(self, name, wanted=lambda data: True):
        """Until such an event has come; returns it."""
        return wait_for(lambda: f"an event {name}: {self.text}", lambda: next(
            (data for data in self.of(name) if wanted(data)), None))

    def close(self):
        sock = getattr(self.connection, "sock", None)
        if sock is not None:
            sock.shutdown(socket.SHUT_RDWR)
        self.connection.close()


@pytest.fixture
def listen():
    pages = []

    def start(*arguments, **keys):
        pages.append(Listener(*arguments, **keys))
        return pages[-1]

    yield start
    for page in pages:
        try:
            page.close()
        except OSError:
            pass


def test_a_blast_comes_live(gate, webhook, listen):
    running = gate(marked(), more=channel(webhook))
    page = listen(running)
    assert page.answer.headers["Content-Type"] == "text/event-stream"
    assert page.answer.headers["Cache-Control"] == "no-store"
    first = page.wait("status")
    assert first["held"] == {"batches": 0, "recipients": 0} and first["holds"] == []
    assert not page.of("batch")
    names = fill(running, 25)
    batch = page.wait("batch", lambda b: b["held"] == 25)
    assert batch["id"] == "B1" and batch["state"] == "held" and batch["plan"] is None
    row = Batch(running).row()
    assert {k: row[k] for k in batch if k not in ("seen_at", "seen_by")} == {
        k: v for k, v in batch.items() if k not in ("seen_at", "seen_by")}
    assert page.wait("status", lambda s: s["held"] == {"batches": 1, "recipients": 25})
    alert = page.wait("alert", lambda a: a["event"] == "batch.opened")
    assert alert["batch"] == "B1" and alert["environment"] == "production"


def test_a_release_is_watched_to_its_end(holding, listen):
    running, batch, names = holding(30)
    page = listen(running)
    page.wait("status", lambda s: s["held"]["recipients"] == 30)
    batch.release(rings=[5, "all"], wait="1s")
    page.wait("batch", lambda b: b["plan"] and b["plan"]["ring"] == 1)
    page.wait("batch", lambda b: b["plan"]["ring"] == 2)
    done = page.wait("batch", lambda b: b["sent"] == 30 and b["plan"]["state"] == "done")
    assert done["state"] == "released" and done["held"] == 0
    page.wait("status", lambda s: s["held"] == {"batches": 0, "recipients": 0})


def test_what_is_there_already_is_not_told(holding, listen):
    """A page reads its lists when it connects; from there on it is told what changes."""
    running, batch, names = holding(3)
    page = listen(running)
    page.wait("status")
    batch.discard(first=1)
    page.wait("batch", lambda b: b["discarded"] == 1)
    assert all(b["discarded"] == 1 for b in page.of("batch"))
    assert all(a["event"] == "batch.discarded" for a in page.of("alert"))


def test_no_more_than_one_a_second(holding, listen):
    running, batch, names = holding(1)
    page = listen(running)
    page.wait("status")
    begin = time.monotonic()
    fill(running, 300, prefix="more")
    page.wait("batch", lambda b: b["held"] == 301)
    assert len(page.of("batch")) <= time.monotonic() - begin + 1


def test_all_hear_the_same(holding, listen):
    running, batch, names = holding(3)
    pages = [listen(running) for _ in range(5)]
    for page in pages:
        page.wait("status")
    batch.discard()
    told = [page.wait("batch", lambda b: b["state"] == "discarded") for page in pages]
    assert all(one == told[0] for one in told)


def test_the_panic_button(holding, listen):
    running, batch, names = holding(1)
    page = listen(running)
    page.wait("status")
    running.one("hold", "--everything", "--reason", "look <b>here</b>")
    status = page.wait("status", lambda s: s["holds"])
    assert status["holds"][0]["scope"] == "everything"
    assert status["holds"][0]["reason"] == "look <b>here</b>"


def test_more_at_once_than_can_be_told(gate, listen):
    """Where too much changes, a page reads its lists again."""
    rules = "".join(f'content "c{n}" {{ header = Subject match = "sale{n}." }}' for n in range(60))
    running = gate(marked(rules))
    page = listen(running)
    page.wait("status")
    with running.client("127.0.1.1") as client:
        from rig.client import letter
        for n in range(60):
            assert client.mail([f"a{n}@x.test"], letter(f"sale{n}."), sender="")[1][0] == 250

    def all_told():
        known = {b["id"] for b in page.of("batch")}
        return page.of("reload") or len(known) >= len(running.batches("--all"))

    wait_for("all batches or a reload", all_told)


def test_thirty_two_pages(holding, listen):
    running, batch, names = holding(1)
    pages = [listen(running) for _ in range(32)]
    assert all(page.answer.status == 200 for page in pages)
    late = listen(running)
    assert late.answer.status == 503 and late.answer.headers["Retry-After"]
    assert "32 pages listen already" in json.loads(late.answer.read())["detail"]
    pages[7].close()
    again = wait_for("a place", lambda: (
        (page := listen(running)).answer.status == 200) and page)
    again.wait("status")


def test_who_does_not_read_is_cut_off(gate, listen):
    """A slow page holds 64 KB of the gate, and nothing more."""
    running = gate(marked())
    slow = socket.socket(socket.AF_UNIX)
    slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    slow.connect(running.control)
    slow.sendall(b"GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
    page = listen(running)
    page.wait("status")
    subject = "sale " + "x" * 900
    stop = threading.Event()

    def change():
        n = 0
        while not stop.is_set():
            fill(running, 1, prefix=f"n{n}", subject=f"{subject}{n}", source=f"127.0.1.{n % 50 + 1}")
            n += 1

    # Many batches change each second, each with a long subject.
    running.api("POST", "/v1/hold", {"scope": "source", "name": "127.0.1.1", "reason": "x"})
    thread = threading.Thread(target=change)
    thread.start()
    try:
        wait_for("the slow one to go", lambda: running.logged(r"control\.listener-slow"), 120)
    finally:
        stop.set()
        thread.join()
    slow.close()
    assert not page.ended


def test_a_page_that_talks(holding, listen):
    """What it sends while it listens waits in its socket: the gate reads none of it."""
    running, batch, names = holding(2)
    talker = socket.socket(socket.AF_UNIX)
    talker.connect(running.control)
    talker.sendall(b"GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert talker.recv(15) == b"HTTP/1.1 200 OK"
    talker.settimeout(1)
    with pytest.raises(TimeoutError):
        for _ in range(1000):
            talker.sendall(b"GET /v1/status HTTP/1.1\r\nHost: localhost\r\n\r\n" * 1000)
    page = listen(running)
    page.wait("status")
    batch.discard()
    page.wait("batch", lambda b: b["state"] == "discarded")
    talker.close()


def test_a_page_goes_and_another_comes(holding, listen):
    running, batch, names = holding(2)
    for _ in range(3):
        page = listen(running)
        page.wait("status")
        page.close()
    page = listen(running)
    page.wait("status")
    batch.discard()
    page.wait("batch", lambda b: b["state"] == "discarded")
    assert len(page.of("batch")) == 1


def test_a_stop_ends_all(holding, listen):
    running, batch, names = holding(2)
    page = listen(running)
    page.wait("status")
    running.stop()
    wait_for("the end", lambda: page.ended)


def test_only_for_who_may_look(make_gate, sink, tmp_path, listen):
    running = make_gate(listener() + upstream(sink) + marked() +
                        http_section(tmp_path, ann="viewer", bob="viewer")).start()
    assert listen(running, over_tcp=True).answer.status == 401
    ann = listen(running, Token(running, "ann").headers(), over_tcp=True)
    bob = listen(running, Token(running, "bob").headers(), over_tcp=True)
    ann.wait("status"), bob.wait("status")
    # A token that is deleted ends what it listens to.
    tokens = tmp_path / "tokens"
    tokens.write_text("".join(line for line in tokens.read_text().splitlines(True)
                              if not line.startswith("bob:")))
    running.reload()
    wait_for("the end of what bob hears", lambda: bob.ended)
    fill(running, 1)
    ann.wait("batch")
    assert not bob.of("batch") and not ann.ended


def test_it_is_text_of_one_line(gate, listen):
    """Nothing that mail brings ends a line, or begins an event."""
    running = gate(marked())
    page = listen(running)
    page.wait("status")
    fill(running, 1, subject="sale =?utf-8?q?a=0A=0Aevent:_alert=0Adata:_{}=0D=E2=80=A8?= <script>")
    batch = page.wait("batch")
    assert "event: alert" not in re.findall(r"^event: \w+", page.text, re.M)[:2]
    assert not page.of("alert") or page.of("alert")[0].get("event") == "batch.opened"
    assert "<script>" in batch["subject"] or batch["subject"] == ""


@pytest.mark.parametrize("path, method, status", [
    ("/v1/events?x=1", "GET", 400), ("/v1/events", "POST", 405), ("/v1/events", "HEAD", 200)])
def test_what_is_no_listening(holding, path, method, status):
    running, batch, names = holding(1)
    connection = UnixHTTPConnection(running.control)
    connection.request(method, path)
    answer = connection.getresponse()
    assert answer.status == status
    answer.read()
    connection.close()
    assert stays_true("it answers", lambda: running.status()["pid"], 0.1) is None
