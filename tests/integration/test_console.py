"""The console in a real browser: what an operator sees and does at 3 a.m., and what mail may not do to it.

The steps in the browser are cases in tests/browser/cases; here is the gate before which they stand.
"""

import re
import shutil
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from rig import browser, hostile_mail
from rig.batch import MARKED, Batch, fill
from rig.client import letter
from rig.gate import PRODUCTION_CLIENT, QUIET, STAGING_CLIENT, listener, production, staging, upstream
from rig.maildir import free_ports
from rig.people import http_section, secret, url
from rig.sink import Valve

pytestmark = [
    pytest.mark.skipif(not browser.console_built(), reason="the console was not built in: web/build"),
    pytest.mark.skipif(shutil.which("node") is None, reason="no node"),
]

BURST = 'burst "volume" { limit = "20/10m" per = {source, subject} }'
TEAM = 'allow = {"@example.com"} others = rewrite rewrite_to = "qa+%u=%d@example.com"'
PEOPLE = {"ann": "viewer,operator,approver", "ben": "viewer,operator,approver", "eve": "viewer"}


@pytest.fixture(scope="module", autouse=True)
def packages():
    browser.install()


@pytest.fixture
def console(make_gate, sink, tmp_path):
    """console(case, rule, ...): a gate with people, and the case run before it."""

    def start(rule=MARKED, more=""):
        config = (listener() + upstream(sink, "connections = 4") + production(rule) +
                  staging(f"{QUIET} {TEAM}") + http_section(tmp_path, **PEOPLE) + more)
        return make_gate(config).start()

    def run(running, case, **functions):
        tokens = {name: secret(name) for name in PEOPLE}
        batch = Batch(running)
        browser.run_case(running, case, tokens, **{
            "blast": lambda count, subject="Sale today": len(fill(running, count, subject=subject)),
            "row": lambda: batch.row(),
            "arrived": lambda: len(sink.recipients()),
            "post": lambda call, body: batch.must(call, **body)["decision"],
            **functions})

    start.run = run
    return start


def staging_mail(running, count=3):
    for n in range(count):
        running.send(letter(f"Invoice {n}", to=f"c{n}@customers.example"),
                     [f"c{n}@customers.example"], STAGING_CLIENT)
    running.send(letter("Your password", to="kim@example.com"), ["kim@example.com"], STAGING_CLIENT)


def keep_port(running):
    """A restart finds the HTTP port where it was, as the page does."""
    running.stop()
    port = free_ports(["http"])["http"]
    config = running.config.read_text()
    running.config.write_text(config.replace('"127.0.0.1:0" tokens', f'"127.0.0.1:{port}" tokens'))
    return running.start()


# ---- what an operator does


@pytest.mark.everywhere
def test_a_blast_is_seen_as_it_comes_and_ten_are_released(console, sink):
    running = keep_port(console(BURST))

    def restart():
        """At a stop the gate writes down what went through; else a minute later."""
        running.stop()
        running.start()

    console.run(running, "blast", restart=restart)
    assert len(sink.recipients()) == 20 + 10, "what left before the trip, and the ten"
    row = [row for row in running.audit() if row["action"] == "batch.released"][-1]
    assert (row["who"], row["reason"]) == ("token:ann", "looked at ten of them")


def test_a_release_in_rings_is_watched(console, sink):
    running = console()
    valve = sink.rule = Valve(free=2)

    def open_valve():
        valve.open()

    console.run(running, "rings", open=open_valve)
    assert len(sink.recipients()) == 40


def test_pause_and_resume(console, sink):
    running = console()
    valve = sink.rule = Valve(free=2)
    console.run(running, "pause", open=valve.open)
    assert len(sink.recipients()) == 20


def test_discard_and_restore(console, sink):
    running = console()
    console.run(running, "discard")
    assert sink.recipients() == []
    assert Batch(running).row()["purged"] == 30


def test_a_stale_page_is_refused_with_what_changed(console, sink):
    running = console()
    console.run(running, "stale")
    assert sink.recipients() == []


def test_two_people_by_two_sessions(console, sink):
    running = console(more='approval { above = 5 approvers = 2 expires = "1h" }\n')
    console.run(running, "approval")
    assert len(sink.recipients()) == 30
    who = {row["action"]: row["who"] for row in running.audit()}
    assert (who["batch.asked"], who["batch.approved"]) == ("token:ann", "token:ben")


def test_who_may_only_look_has_no_buttons(console):
    running = console()
    fill(running, 12)
    console.run(running, "viewer")


def test_a_message_to_very_many_is_read_in_pages(console):
    running = console()
    message = running.send(letter(), [f"c{n}@customers.example" for n in range(500)])
    console.run(running, "very_many", message=lambda: message)


def test_a_session_that_ends_under_the_page(console, sink, tmp_path):
    running = console()
    tokens = tmp_path / "tokens"
    people = tokens.read_text()

    def write(text):
        tokens.write_text(text)
        running.reload()

    console.run(running, "session_over", revoke=lambda: write(people.replace("ann:", "nan:")),
                give_back=lambda: write(people))
    assert len(sink.recipients()) == 10


def test_a_gate_that_restarts_under_the_page(console):
    running = keep_port(console())
    console.run(running, "restart", stop=running.stop, start=lambda: running.start() and None)


@pytest.mark.everywhere
def test_search_in_the_inbox_of_staging(console):
    running = console()
    staging_mail(running)
    console.run(running, "inbox", mail=lambda: staging_mail(running, 1))


# ---- for whom, on what


def test_by_keyboard_only(console, sink):
    running = console()
    fill(running, 30)
    console.run(running, "keyboard")
    assert len(sink.recipients()) == 10


def test_narrow_dark_and_light(console):
    running = console(BURST)
    fill(running, 60)
    staging_mail(running)
    ids = message_ids(running)
    console.run(running, "looks", ids=lambda: ids)


def test_every_page_by_axe(console):
    running = console(BURST)
    fill(running, 60)
    staging_mail(running)
    ids = message_ids(running)
    console.run(running, "accessible", ids=lambda: ids)


@pytest.mark.skipif(not browser.SCREENS, reason="MAILFUSE_SCREENS names no folder for pictures")
def test_the_pictures_of_the_readme(console, sink):
    """They are docs/screens where MAILFUSE_SCREENS names that folder; HACKING.md says how."""
    running = console('burst "volume" { limit = "100/10m" per = {source, subject} '
                      'head = "10/10s" settle = "30s" }',
                      'alert "ops" { type = exec command = {"/bin/true"} }\n')
    staging_mail(running, 20)
    left = len(sink.recipients()) + 10
    valve = sink.rule = Valve(free=left - len(sink.recipients()) + 58)

    def wave(count):
        with running.client(PRODUCTION_CLIENT) as client:
            for n in range(count):
                to = f"person{n}@{('example.com', 'example.org', 'mail.example.net')[n % 5 % 3]}"
                client.mail([to], letter("Summer sale: 20 % off everything", to=to),
                            sender="shop@example.com")

    console.run(running, "readme", wave=wave, open=valve.open)


def message_ids(running):
    rows = running.deliveries(environment="staging")
    return [row["message"] for row in rows[:1]]


# ---- hostile mail


class Canary:
    """An HTTP server that nobody may ask anything."""

    def __init__(self):
        asked = self.asked = []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                asked.append(f"{self.command} {self.path}")
                self.send_response(200)
                self.send_header("Access-Control-Allow-Origin", "*")
                self.end_headers()

            do_POST = do_HEAD = do_OPTIONS = do_PUT = do_GET

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


# What Chromium asks of its maker by itself; its resolver finds no such name here.
OWN = re.compile(r"https?://([a-z0-9.-]+\.)?(google|googleapis|gvt1|gstatic)\.com/")


@pytest.fixture
def canary():
    server = Canary()
    yield server
    server.stop()


@pytest.mark.parametrize("pressing", [False, True], ids=["looked at", "pressed"])
def test_hostile_mail_loads_nothing_and_runs_nothing(pressing, console, canary, tmp_path):
    """Looked at, nothing connects to anywhere. A link that is pressed may, but asks for nothing."""
    running = console()
    names = {}
    for name, mail in hostile_mail.corpus(f"http://{canary.address}"):
        names[running.send(mail, ["you@customers.example"], STAGING_CLIENT)] = name
    net_log = tmp_path / "net.json"
    tokens = {"ann": secret("ann")}
    browser.run_case(running, "hostile", tokens, net_log, ids=lambda: names,
                     canary=lambda: f"http://{canary.address}", pressing=lambda: pressing)
    assert canary.asked == [], "somebody asked the canary"
    asked, connected = browser.net_log_urls(net_log)
    ours = url(running)
    assert any(text.startswith(f"{ours}/v1/messages/") for text in asked), "the log is of this browser"
    assert [text for text in asked if not text.startswith(f"{ours}/") and not OWN.match(text)] == []
    if pressing:
        return
    assert [place for _, place in connected if place != ours.removeprefix("http://")] == []


def test_hostile_names_of_a_batch(console, canary):
    """The same texts in the subject of a batch, on the overview, the batch page and in a dialog."""
    running = console('content "marker" { header = Subject match = "*" }')
    filled = {name: hostile_mail.fill(value, f"http://{canary.address}")
              for name, value in hostile_mail.TEXTS.items()}
    for value in filled.values():
        running.send(hostile_mail.letter(value, hostile_mail.text("x\r\n")),
                     ['"<img/src/onerror=alert(1)>"@customers.example'], PRODUCTION_CLIENT)
    console.run(running, "hostile_names", batches=lambda: [row["id"] for row in running.batches("--all")])
    assert canary.asked == []
