"""mailfuse top: on terminals of all sizes, through all ways out, with hostile mail on it."""

import json
import os
import re
import signal
import subprocess
import time

import pytest

from rig.gate import sanitized
from rig.terminal import GUARD, Terminal
from test_cli_contract import (  # noqa: F401
    MAILFUSE, STATUS, Problem, Raw, batch, fake, plan)

HOSTILE = ("\x1b]0;own\x07\x1b[2J\x9b31mRED\u202eevil\u202c\u2066x\u2069\r\nnext\t\x7f"
           "\u200b\u4e2d\u6587\U0001f600 e\u0301\u0301\u0301\u0301\u0301\u0301")


def now():
    return time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime())


def queue(**more):
    return {"environments": [{"environment": "staging", "upstream": "smarthost", "up": False,
                              "queued": 1200, "waiting": 34,
                              "oldest_at": "2026-11-21T10:00:00.000Z", "next_try_at": None}],
            "deliveries": []} | more


class Traffic:
    """A gate on which mail moves: 50 more each look."""

    def __init__(self, fake, status=STATUS, batches=None):
        self.fake, self.status, self.looks = fake, status, 0
        self.batches = batches
        fake.answers.update({
            ("GET", "/v1/status"): self.answer_status, ("GET", "/v1/batches"): self.answer_batches,
            ("GET", "/v1/queue"): queue(), ("GET", "/v1/environments"): Problem(404, "no")})

    def answer_status(self, path, body):
        self.looks += 1
        count = self.looks * 50
        return self.status | {
            "metrics": {"recipients_accepted": count, "recipients_sent": count // 2},
            "counts": self.status["counts"] +
            [{"environment": "staging", "state": "sent", "count": count}]}

    def answer_batches(self, path, body):
        if "state=" in path:
            return {"items": [], "next": None}
        items = self.batches or [
            batch(id="B19", recipients=1000 + self.looks * 100, last_at=now()),
            batch(id="B18", state="releasing", plan=plan()), batch(id="B17")]
        return {"items": items, "next": None}


@pytest.fixture
def top(fake):
    """top(*args): on a terminal, with a gate on which mail moves."""
    terminals = []

    def start(*args, columns=80, rows=24, traffic=True, **environment):
        if traffic:
            start.traffic = Traffic(fake)
        terminal = Terminal([MAILFUSE, "top", *args], fake.environment(**environment), columns,
                            rows)
        terminals.append(terminal)
        return terminal

    start.fake = fake
    yield start
    for terminal in terminals:
        assert b"Sanitizer" not in terminal.raw and b"runtime error" not in terminal.raw
        terminal.close()


def test_what_moves_is_seen(top):
    t = top()
    text = t.wait("held, filling")
    lines = text.split("\n")
    assert lines[0].startswith("gate.example  ")
    assert lines[1].startswith("Held 4,990 recipients in 1 batch  In ")
    assert "Alerts: 2 not delivered since 2026-11-21 11:00:00" in text
    assert "Warning: no alert is set up" in text
    # Rates come with the second look.
    text = t.wait(lambda text: re.search(r"In [1-9]\d*/s  Out [1-9]\d*/s", text))
    text = t.wait(lambda text: re.search(r"^staging +[1-9]\d* +[1-9]\d* +4,990 +1,200 +34 ", text,
                                         re.M))
    assert re.search(r"^B18 +running 2/4 +\S+ +110 of 4,990 +3 ", text, re.M)
    assert re.search(r"^B19 +held, filling +4,990 +[1-9]", text, re.M)
    assert re.search(r"^B17 +held +4,990 ", text, re.M)
    assert text.index("B19") < text.index("B17")
    assert re.search(r"^smarthost +down ", text, re.M)
    assert lines[-1].startswith("q quit")
    t.type(b"q")
    assert t.end() == 0
    t.check_given_back()
    t.check_harmless()


@pytest.mark.parametrize("columns,rows", [
    (80, 24), (79, 10), (40, 24), (20, 8), (9, 5), (2, 2), (1, 1), (1, 50), (300, 2), (300, 100)])
def test_sizes(top, columns, rows):
    t = top(columns=columns, rows=rows)
    t.wait(lambda text: text.strip() != "")
    looks = top.traffic.looks
    t.wait(lambda text: top.traffic.looks > looks + 1)
    if columns >= 40 and rows >= 10:
        for word in ("B19", "B18", "HELD"):
            assert word in t.text
    t.type(b"q")
    assert t.end() == 0
    t.check_given_back()


def test_resizes(top):
    t = top(columns=120, rows=40)
    t.wait("FAILED")
    for columns, rows in [(40, 10), (200, 60), (1, 1), (80, 24)]:
        t.resize(columns, rows)
        t.wait(lambda text: text.strip() != "")
    text = t.wait("smarthost")
    assert len(text.split("\n")) == 24
    assert text.split("\n")[-1].startswith("q quit")
    t.type(b"q")
    assert t.end() == 0


def test_keys(top):
    Traffic(top.fake, batches=[batch(id=f"B{n}") for n in range(300, 0, -1)])
    t = top(traffic=False)
    t.wait("B300")
    for key, only, gone in [(b"e", "ENVIRONMENT", "UPSTREAM"), (b"u", "UPSTREAM", "BATCH"),
                            (b"r", "No release is running.", "UPSTREAM"),
                            (b"?", "Ctrl-C", "UPSTREAM")]:
        t.type(key)
        t.wait(lambda text: only in text and gone not in text)
        t.type(key)
        t.wait(lambda text: "UPSTREAM" in text and "BATCH" in text)
    t.type(b"b")
    t.wait("B290")
    t.type(b"jj")
    t.wait(lambda text: "B298" in text and "B299" not in text)
    t.type(b"k")
    t.wait("B299")
    t.type(b"\x1b[6~")
    t.wait(lambda text: "B299" not in text)
    t.type(b"\x1b[5~")
    t.wait("B299")
    t.type(b"\x1b[A" * 400)
    t.wait("B300")
    t.type(b"\x1bOB" * 3)
    t.wait(lambda text: "B297" in text and "B298" not in text)
    for _ in range(40):
        t.type(b"\x1b[6~")
    t.wait("B1 ")
    t.type(b"\x1b")
    t.wait("UPSTREAM")
    t.type(b"\x00\xff\x1b[999;999R\x1b[<0;1;1M\t\r")
    t.type(b" ")
    t.wait("stopped: space goes on")
    t.type(b" ")
    t.wait(lambda text: "stopped" not in text)
    t.type(b"q")
    assert t.end() == 0
    t.check_given_back()


def test_stopped_asks_nothing(top):
    t = top()
    t.wait("B19")
    t.type(b" ")
    t.wait("stopped: space goes on")
    looks = top.traffic.looks
    clock = t.text[:40]
    t.wait(lambda text: text[:40] != clock)  # it is drawn all the same
    assert top.traffic.looks <= looks + 1
    t.type(b"q")
    assert t.end() == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_signals(top, number):
    t = top()
    t.wait("B19")
    os.kill(t.process.pid, number)
    assert t.end() == -number
    t.check_given_back()


def test_control_c(top):
    t = top()
    t.wait("B19")
    t.type(b"\x03")
    assert t.end() == -signal.SIGINT
    t.check_given_back()


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT])
def test_a_crash_gives_the_terminal_back(top, number):
    t = top()
    t.wait("B19")
    if number == signal.SIGSEGV and sanitized():
        pytest.skip("the sanitizer takes this signal")
    os.kill(t.process.pid, number)
    assert t.end() == -number
    t.check_given_back()


def test_stopped_and_continued_by_a_shell(fake):
    Traffic(fake)
    t = Terminal(["bash", "--norc", "--noediting", "-i"],
                 fake.environment(PS1="ready$ ", MAILFUSE_BINARY=MAILFUSE))
    t.wait("ready$")
    t.type(b'"$MAILFUSE_BINARY" top\n')
    t.wait("q quit")
    t.type(b"\x1a")
    t.wait("Stopped")
    t.type(b"stty -a | tr ';' '\\n' | grep -o -w -e '-*icanon' -e '-*echo' | tr '\\n' ' '\n")
    t.wait(lambda text: re.search(r"^icanon echo", text, re.M))
    assert t.raw.count(b"\x1b[?1049h") == t.raw.count(b"\x1b[?1049l") == 1
    mark = len(t.raw)
    t.type(b"fg\n")
    t.wait(lambda text: "q quit" in text and b"\x1b[?1049h" in t.raw[mark:])
    t.type(b"q")
    # Where the shell asks for more, top has ended.
    t.wait(lambda text: re.search(rb"\x1b\[\?1049l.*ready\$", t.raw[mark:], re.S))
    mark = len(t.raw)
    t.type(b"stty -a | tr ';' '\\n' | grep -o -w -e '-*icanon' -e '-*echo' | tr '\\n' ' '\n")
    t.wait(lambda text: b"\nicanon echo" in t.raw[mark:])
    t.type(b"exit\n")
    assert t.end() == 0
    t.close()


def test_who_is_told_twice_to_go_on_gives_the_terminal_back(top):
    """Also where the shell's SIGCONT comes after one of somebody else, or without a stop."""
    t = top()
    t.wait("B19")
    for _ in range(2):
        mark = len(t.raw)
        os.kill(t.process.pid, signal.SIGCONT)
        t.wait(lambda text: b"\x1b[?1049h" in t.raw[mark:])
    t.type(b"q")
    assert t.end() == 0
    t.check_given_back()


def test_hostile_mail(top):
    traffic = Traffic(top.fake, status=STATUS | {
        "hostname": HOSTILE, "version": HOSTILE, "warnings": [HOSTILE], "policy_warnings": [],
        "environments": [{"name": HOSTILE, "production": True}],
        "counts": [{"environment": HOSTILE, "state": "held", "count": 5}],
        "holds": [{"scope": HOSTILE, "name": HOSTILE, "reason": HOSTILE, "who": HOSTILE,
                   "since": HOSTILE}],
        "upstreams": [{"name": HOSTILE, "address": HOSTILE, "up": False, "why": HOSTILE,
                       "since": HOSTILE, "connections": -1}],
        "last_drill": {"at": HOSTILE, "passed": False}},
        batches=[batch(id=HOSTILE, subject=HOSTILE, environment=HOSTILE, rule=HOSTILE,
                       state=HOSTILE, last_at=HOSTILE, held=-2**63),
                 batch(id="B2", subject=HOSTILE, plan=plan(why=HOSTILE, state="paused",
                                                           rings=[HOSTILE], total=-1))])
    t = top(traffic=False, columns=100, rows=40)
    t.wait(lambda text: traffic.looks > 2 and "On hold" in text)
    for key in b"ebrub?":
        t.type(bytes([key]))
        looks = traffic.looks
        t.wait(lambda text: traffic.looks > looks)
    t.type(b"q")
    assert t.end() == 0
    t.check_harmless()
    # A character of two columns is never cut in half, and rows stay in line.
    t.check_given_back()


@pytest.mark.parametrize("answer", [
    {}, {"items": 5}, {"items": [None, 1, "x", [], {}]}, {"items": [{"id": 5}], "next": 7}])
def test_nonsense(top, answer):
    top.fake.answers.update({("GET", "/v1/status"): {"counts": answer, "environments": [1],
                                                     "holds": [[]], "held": "x"},
                             ("GET", "/v1/batches"): answer, ("GET", "/v1/queue"): answer,
                             ("GET", "/v1/environments"): answer})
    t = top(traffic=False)
    t.wait("Held 0 recipients")
    t.type(b"ebru?q")
    assert t.end() == 0


def test_ten_thousand(top):
    names = [f"environment-{n:05}" for n in range(10000)]
    traffic = Traffic(top.fake, status=STATUS | {
        "environments": [{"name": name, "production": False} for name in names],
        "warnings": [f"warning {n}" for n in range(10000)],
        "counts": [{"environment": name, "state": state, "count": n % 7} for n, name in
                   enumerate(names) for state in ("held", "sent")],
        "upstreams": [{"name": name, "up": n % 3 == 0} for n, name in enumerate(names)]},
        batches=[batch(id=f"B{n}") for n in range(10000, 0, -1)])
    t = top(traffic=False)
    t.wait(lambda text: "more: key b" in text and traffic.looks > 1)
    assert "more: mailfuse status" in t.text
    t.type(b"e")
    t.wait("9,982 more: key e")  # staging is there too; 19 fit
    t.type(b"q")
    assert t.end() == 0
    t.check_given_back()


@pytest.mark.parametrize("answers,said", [
    ({"newest": None}, None), ({"newest": "B101"}, "Only 103 batches are below")])
def test_what_is_not_looked_at_is_said(fake, answers, said):
    """A release of a batch older than the newest is asked for by its state."""
    def batches(path, body):
        for state, name in (("releasing", "B7"), ("paused", "B6")):
            if f"state={state}" in path:
                return {"items": [batch(id=name, state=state, plan=plan(state="running"))],
                        "next": None}
        return {"items": [batch(id=f"B{n}") for n in range(201, 100, -1)], "next": answers["newest"]}

    Traffic(fake)
    fake.answers[("GET", "/v1/batches")] = batches
    done = fake.run("top")
    assert (done.returncode, done.err) == (0, "")
    assert ("Only " in done.out) == (said is not None)
    if said:
        assert said in done.out
        assert re.search(r"^B7 +running", done.out, re.M)
        assert re.search(r"^B6 +running", done.out, re.M)
    assert json.loads(fake.run("top", "--json").out)["more"] == (said is not None)


def test_the_gates_own_mail_is_no_test_environment(fake):
    """Neither in top nor in status, where OTHERS and KIND would tell people to look into it."""
    Traffic(fake, status=STATUS | {"environments": [
        {"name": "alerts/ops", "production": False, "upstream": "smarthost", "others": "hold"}]})
    assert re.search(r"^alerts/ops .* alerts", fake.run("top").out, re.M)
    assert re.search(r"^alerts/ops +alerts +smarthost +-$", fake.run("status").out, re.M)


def test_the_gate_is_gone_and_comes_back(top):
    t = top()
    t.wait("B19")
    # The connection that is kept ends too.
    top.fake.answers[("GET", "/v1/status")] = Raw(b"")
    top.fake.stop()
    os.unlink(top.fake.path)
    text = t.wait("mailfused does not answer on")
    assert "B19" in text and "No answer since " in text
    Traffic(top.fake)
    top.fake.start()
    t.wait(lambda text: "No answer since" not in text)
    t.type(b"q")
    assert t.end() == 0


def test_it_may_be_started_before_the_gate(fake):
    Traffic(fake)
    fake.stop()
    os.unlink(fake.path)
    t = Terminal([MAILFUSE, "top"], fake.environment())
    t.wait("mailfused does not answer on")
    assert "Asking again until it answers." in t.text
    fake.start()
    t.wait("B19")
    t.type(b"q")
    assert t.end() == 0
    t.close()


def test_a_gate_that_hangs_does_not_take_the_keys(top):
    Traffic(top.fake)
    t = top(traffic=False)
    t.wait("B19")
    top.fake.answers[("GET", "/v1/status")] = Raw(b"HTTP/1.1 200 OK\r\n", wait=GUARD)
    t.type(b"b")
    t.wait(lambda text: "UPSTREAM" not in text)
    clock = t.text[:40]
    t.wait(lambda text: text[:40] != clock)
    t.type(b"q")
    assert t.end() == 0
    t.check_given_back()


def test_refused(top):
    top.fake.answers[("GET", "/v1/status")] = Problem(403, "viewers only\x1b[2J")
    t = top(traffic=False)
    assert t.end() == 1
    assert b"mailfuse top: viewers only\\x1b[2J" in t.raw
    t.check_given_back()


def test_refused_later(top):
    t = top()
    t.wait("B19")
    top.fake.answers[("GET", "/v1/queue")] = Problem(503, "the store cannot answer")
    text = t.wait("the store cannot answer")
    assert "B19" in text
    t.type(b"q")
    assert t.end() == 0


def test_the_terminal_goes_away(top):
    t = top()
    t.wait("B19")
    os.close(t.slave)
    os.close(t.master)
    t.master = t.slave = -1
    t.process.wait(GUARD)
    assert t.process.returncode == -signal.SIGHUP


def test_a_terminal_that_is_slow(top):
    """Nobody reads: what is written stays bounded, keys and signals are heard, the end comes."""
    t = top(columns=200, rows=60)
    t.wait("B19")
    looks = top.traffic.looks
    deadline = time.monotonic() + GUARD
    while top.traffic.looks < looks + 4:
        assert time.monotonic() < deadline
        time.sleep(0.05)
        if top.traffic.looks > looks + 1:
            t.type(b"e" if top.traffic.looks % 2 else b"b")
    # Whoever reads again sees the newest.
    t.type(b"\x1b")
    t.wait("UPSTREAM")
    t.type(b"\x13")  # Ctrl-S: the terminal takes nothing any more
    looks = top.traffic.looks
    while top.traffic.looks < looks + 3:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.kill(t.process.pid, signal.SIGTERM)
    t.process.wait(GUARD)
    assert t.process.returncode == -signal.SIGTERM


def test_colours(top):
    for more, coloured in [({}, True), ({"NO_COLOR": "1"}, False)]:
        t = top(**more)
        t.wait("held, filling")
        t.type(b"q")
        assert t.end() == 0
        assert (re.search(rb"\x1b\[3[0-9]m", t.raw) is not None) == coloured


@pytest.mark.parametrize("name", ["dumb", ""])
def test_a_dumb_terminal_gets_a_snapshot(top, name):
    t = top(TERM=name)
    assert t.end() == 0
    assert b"\x1b" not in t.raw and b"B19" in t.raw


def test_locale(top):
    t = top(LC_ALL="C")
    t.wait("held, filling")
    t.type(b"q")
    assert t.end() == 0
    assert all(byte < 0x80 for byte in t.raw)


@pytest.mark.parametrize("args", [["top"], ["top", "--once"], ["--json", "top"]])
def test_a_pipe_gets_a_snapshot(fake, args):
    Traffic(fake)
    done = fake.run(*args)
    assert (done.returncode, done.err) == (0, "")
    assert "\x1b" not in done.out
    if "--json" in args:
        answer = json.loads(done.out)
        assert set(answer) == {"status", "batches", "queue", "environments", "more"}
        assert [row["id"] for row in answer["batches"]] == ["B19", "B18", "B17"]
        assert answer["environments"] is None
        return
    assert "In -/s  Out -/s" in done.out
    for word in ("B19", "held, filling", "running 2/4", "smarthost", "Warning: no alert"):
        assert word in done.out
    assert "quit" not in done.out


def test_once_on_a_terminal(fake):
    Traffic(fake)
    code, seen = fake.terminal("top", "--once")
    assert code == 0 and "\x1b[?1049h" not in seen
    assert "B19" in seen
    assert all(len(re.sub("\x1b\\[[0-9]*m", "", line)) <= 80 for line in seen.split("\n"))


def test_no_gate_for_a_pipe(fake):
    fake.stop()
    os.unlink(fake.path)
    done = fake.run("top")
    assert (done.returncode, done.out) == (3, "")
    assert done.err.startswith("mailfuse: mailfused does not answer on ")


def test_policies_where_the_gate_tells_them(fake):
    Traffic(fake)
    fake.answers[("GET", "/v1/environments")] = {
        "items": [{"name": "staging", "policy": "observe"}], "next": None}
    done = fake.run("top")
    assert re.search(r"^ENVIRONMENT .* POLICY$", done.out, re.M)
    assert re.search(r"^staging .* observe$", done.out, re.M)


def test_nobody_reads_the_pipe(fake):
    Traffic(fake)
    process = subprocess.Popen([MAILFUSE, "top"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               env=fake.environment())
    process.stdout.close()
    errors = process.stderr.read()
    assert process.wait(GUARD) in (-signal.SIGPIPE, 0, 1) and b"Sanitizer" not in errors


def test_interval(top):
    t = top("--interval", "1h")
    t.wait("B19")
    looks = top.traffic.looks
    clock = t.text[:40]
    t.wait(lambda text: text[:40] != clock)
    assert top.traffic.looks == looks == 1
    t.type(b"  ")  # stop and go on: asks at once
    t.wait(lambda text: top.traffic.looks > looks)
    t.type(b"q")
    assert t.end() == 0
