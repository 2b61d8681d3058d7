"""The tool on a terminal: the pager, colours, decisions on what was seen, and a gate behind TLS."""

import os
import re
import shutil
import ssl
import stat
import threading
from http.server import HTTPServer

import pytest

from rig.terminal import Terminal
from rig.tls import CA
from test_cli_contract import (  # noqa: F401
    MAILFUSE, STATUS, STORY, Handler, Problem, batch, decide, delivery, fake, plan, step)

REASON = ["--reason", "checked"]


@pytest.fixture
def terminal(fake, tmp_path):
    """terminal(*args): the tool on a terminal of 80 columns and 24 lines."""
    terminals = []

    def start(*args, columns=80, rows=24, **environment):
        t = Terminal([MAILFUSE, *args], fake.environment(**environment), columns, rows)
        terminals.append(t)
        return t

    yield start
    for t in terminals:
        assert b"Sanitizer" not in t.raw and b"runtime error" not in t.raw
        t.close()


def script(path, text, interpreter="#!/bin/sh\n"):
    path.write_text(interpreter + text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


@pytest.fixture
def pager(tmp_path):
    """A pager that says so, and how wide the terminal is that it has."""
    return script(tmp_path / "pager", 'echo "PAGED $*"\ncat\necho "END OF PAGES"\n')


def held(fake, count, more=None):
    fake.answers[("GET", "/v1/batches")] = {
        "items": [batch(id=f"B{n}") for n in range(count, 0, -1)], "next": more}
    fake.answers[("GET", "/v1/batches/B17")] = batch(story=STORY)


# ---- the pager

@pytest.mark.parametrize("count,paged", [(1, False), (22, False), (23, True), (500, True)])
def test_what_does_not_fit_is_paged(fake, terminal, pager, count, paged):
    held(fake, count, more="B1")
    t = terminal("batches", "--limit", str(count), PAGER=pager + " --one two")
    assert t.end() == 0
    text = t.raw.decode()
    assert ("PAGED --one two" in text) == ("END OF PAGES" in text) == paged
    assert len(re.findall(r"^(?:\x1b\[1m)?B\d+", text, re.M)) == count
    # Columns and colours are the terminal's; what there is to say follows the pages.
    assert "\x1b[33mheld" in text
    assert all(len(re.sub("\x1b\\[[0-9]*m", "", line)) <= 80
               for line in text.split("\r\n") if line.startswith("B"))
    if paged:
        assert text.index("END OF PAGES") < text.index("there are more: --limit")


@pytest.mark.parametrize("args", [
    ["show", "B17"], ["status"], ["log", "--last", "100"], ["queue"],
    ["messages", "B17"], ["message", "01JD8Z2E3M0G4S7T2V9W1X5Y6Z", "--text"]])
def test_these_are_paged(fake, terminal, pager, args):
    held(fake, 1)
    fake.answers.update({
        ("GET", "/v1/status"): STATUS,
        ("GET", "/v1/log"): {"items": [{"id": n, "at": "2026-11-21T10:00:00.000Z", "who": "w",
                                        "action": "a", "object": "o", "reason": "r", "detail": ""}
                                       for n in range(100)], "next": None},
        ("GET", "/v1/queue"): {"environments": [], "deliveries": [delivery(n) for n in range(50)]},
        ("GET", "/v1/deliveries"): {"items": [delivery(n) for n in range(99)], "next": None},
        ("GET", "/v1/messages/01JD8Z2E3M0G4S7T2V9W1X5Y6Z"): {"text": "line\n" * 100}})
    t = terminal(*args, PAGER=pager)
    assert t.end() == 0
    assert t.raw.count(b"PAGED") == t.raw.count(b"END OF PAGES") == 1
    t = terminal(*args, "--json" if "--text" not in args else "--raw", PAGER=pager)
    t.end()
    assert b"PAGED" not in t.raw


def test_no_pager_elsewhere(fake, pager):
    held(fake, 500)
    done = fake.run("batches", PAGER=pager)
    assert done.returncode == 0 and "PAGED" not in done.out


@pytest.mark.parametrize("value", ["", " ", "cat", "/nowhere/pager", "no-such-pager -x"])
def test_none_where_there_is_none(fake, terminal, value):
    held(fake, 100)
    t = terminal("batches", PAGER=value)
    assert t.end() == 0
    assert len(re.findall(rb"^(?:\x1b\[1m)?B\d+", t.raw, re.M)) == 100
    assert b"no-such-pager" not in t.raw and b"nowhere" not in t.raw


def test_without_less_there_is_none(fake, terminal, tmp_path):
    held(fake, 100)
    environment = fake.environment(PATH=str(tmp_path))
    del environment["PAGER"]
    t = Terminal([MAILFUSE, "batches"], environment)
    assert t.end() == 0
    assert t.raw.count(b"held") >= 100
    t.close()


def test_less_is_the_default(fake):
    if shutil.which("less") is None:
        pytest.skip("less is not installed")
    held(fake, 100)
    environment = fake.environment()
    del environment["PAGER"]
    t = Terminal([MAILFUSE, "batches"], environment)
    t.wait("B100")
    assert "B50 " not in t.text
    t.type(b"q")
    assert t.end() == 0
    assert "\x1b[33mheld" in t.raw.decode()
    t.close()


@pytest.mark.parametrize("less", [None, "-i", "", "FX"])
def test_less_shows_colours_whatever_is_set(fake, less):
    """What most people have as PAGER, and as LESS."""
    if shutil.which("less") is None:
        pytest.skip("less is not installed")
    held(fake, 100)
    t = Terminal([MAILFUSE, "batches"],
                 fake.environment(PAGER="less", **({} if less is None else {"LESS": less})))
    t.wait("B90")
    assert "ESC" not in t.text
    t.type(b"q")
    assert t.end() == 0
    t.close()


@pytest.mark.parametrize("value,code", [
    ("false", 1), ("sh -c 'cat >/dev/null; exit 3'", 3), ("no-such-pager | no-such-filter", 127)])
def test_a_pager_that_fails_is_told(fake, terminal, value, code):
    held(fake, 100)
    t = terminal("batches", PAGER=value)
    assert t.end() == 0
    assert f"The pager ended with {code}: ".encode() in t.raw and b"PAGER=cat" in t.raw


def test_a_pager_with_a_shell(fake, terminal, pager):
    held(fake, 100)
    t = terminal("batches", PAGER=f"LINES=1 {pager} | sed 's/held/HOLD/'")
    assert t.end() == 0
    assert b"HOLD" in t.raw and b"held" not in t.raw


def test_a_pager_that_is_left_early(fake, terminal, tmp_path):
    held(fake, 1000)
    t = terminal("batches", PAGER=script(tmp_path / "p", "head -n 1\necho LEFT\n"))
    assert t.end() == 0
    assert b"LEFT" in t.raw and b"cannot write" not in t.raw


def test_control_c_is_the_pagers(fake, terminal, tmp_path):
    """less stays on Ctrl-C; so must we, or the shell and less would share the terminal."""
    held(fake, 100)
    t = terminal("batches", PAGER=script(tmp_path / "p", "import os, signal\n"
        "signal.signal(signal.SIGINT, lambda *_: os.write(1, b'TRAPPED'))\n"
        "os.write(1, b'READY')\n"
        "print('GOT', open('/dev/tty').readline())\n", "#!/usr/bin/env python3\n"))
    t.wait("READY")
    t.type(b"\x03")
    t.wait("TRAPPED")
    t.type(b"go on\n")
    assert t.end() == 0
    assert b"GOT go on" in t.raw


def test_sudo_makes_less_safe(fake, terminal, tmp_path):
    held(fake, 100)
    t = terminal("batches", SUDO_UID="1000",
                 PAGER=script(tmp_path / "p", 'cat >/dev/null\necho "SECURE=$LESSSECURE"\n'))
    assert t.end() == 0
    assert b"SECURE=1" in t.raw


# ---- decisions

def asked(fake, **more):
    now = {"held": 312, "plan": None} | more
    fake.answers[("GET", "/v1/batches/B17")] = batch(**now)
    for verb in ("release", "discard", "restore", "purge"):
        fake.answers[("POST", f"/v1/{verb}")] = decide
    for verb in ("approve", "pause", "resume"):
        fake.answers[("POST", f"/v1/{verb}")] = step(verb)


def changes(fake):
    return [r[2] for r in fake.requests if r[0] == "POST" and "dry_run" not in r[2]]


NUMBERS = {"state": "held", "released": 10, "discarded": 0}


@pytest.mark.parametrize("args,seen", [
    (["release", "B17", *REASON], NUMBERS | {"held": 312, "plan": None}),
    (["release", "B17", *REASON, "--first", "5"], NUMBERS | {"held": 312, "plan": None}),
    (["release", "B17", *REASON, "--stream", "1h"], NUMBERS | {"plan": None}),
    (["discard", "B17", *REASON], NUMBERS | {"plan": None}),
    (["restore", "B17"], NUMBERS | {"plan": None}),
    (["purge", "B17", *REASON], NUMBERS | {"plan": None})])
def test_a_yes_is_about_what_was_seen(fake, terminal, args, seen):
    asked(fake)
    t = terminal(*args, columns=120)
    t.wait("[y/N]")
    # What comes in while somebody thinks is not what they were asked about.
    asked(fake, held=5000, released=99)
    t.type(b"y\n")
    assert t.end() == 0
    assert [body["seen"] for body in changes(fake)] == [seen]
    # The question came from the same moment: it was read before the dry run.
    assert fake.requests[0][:2] == ("GET", "/v1/batches/B17")


@pytest.mark.parametrize("verb,seen", [
    ("approve", {"plan": 5}), ("pause", {"plan": 5}), ("resume", {"plan": 5, "ring": 2})])
def test_a_yes_to_a_plan(fake, terminal, verb, seen):
    asked(fake, plan=plan())
    t = terminal(verb, "B17", *REASON, columns=300)
    t.wait("[y/N]")
    t.type(b"y\n")
    assert t.end() == 0
    assert changes(fake)[0]["seen"] == seen


@pytest.mark.parametrize("args", [
    ["release", "B17", *REASON, "--yes"], ["pause", "B17", *REASON, "--yes"],
    ["discard", "B17", "B18", *REASON]])
def test_nothing_was_seen(fake, terminal, args):
    """Nobody is asked, or it is not about one batch."""
    asked(fake)
    t = terminal(*args, columns=120)
    if "--yes" not in args:
        t.wait("[y/N]")
        t.type(b"y\n")
    assert t.end() == 0
    assert changes(fake) and all("seen" not in body for body in changes(fake))


def test_a_refusal_says_what_changed(fake, terminal):
    asked(fake)
    words = "held was 312, is 5,000 now; the batch is still filling: look again"
    fake.answers[("POST", "/v1/release")] = lambda path, body: (
        decide(path, body) if "dry_run" in body else Problem(409, words))
    t = terminal("release", "B17", *REASON, columns=120)
    t.wait("[y/N]")
    t.type(b"y\n")
    assert t.end() == 1
    assert words in " ".join(t.raw.decode().split())


def test_yes_after_yes_on_a_real_gate(holding):
    """What the tool has seen is what the store compares with, also after a release has ended."""
    running, _, _ = holding(20)
    environment = dict(os.environ, MAILFUSE_CONTROL=str(running.control), TERM="xterm", PAGER="")
    for args in (["release", "--first", "5"], ["discard", "--first", "5"], ["restore"],
                 ["release", "--rings", "2,3", "--wait", "1h"], ["pause"], ["resume"],
                 ["pause"], ["discard"]):
        t = Terminal([MAILFUSE, args[0], "B1", *args[1:], *REASON], environment, 160)
        t.wait("[y/N]")
        t.type(b"y\n")
        if args[:2] == ["release", "--rings"]:
            t.wait("ring 2 begins")
            t.type(b"\x03")
        assert t.end() == 0, (args, t.text)
        t.close()


# ---- the chart

def test_the_chart_fits(fake, terminal):
    held(fake, 1)
    for columns in (200, 80, 30, 12, 1):
        t = terminal("show", "B17", columns=columns)
        assert t.end() == 0
        text = re.sub("\x1b\\[[0-9]*m", "", t.raw.decode())
        chart = text[text.index("Arrivals") + 10:text.index(" to 2026")].split("\r\n")[:-1]
        assert "limit" in text and "tripped 2026-11-21 12:04:11" in text
        assert all(len(line) <= max(columns, 32) for line in chart), (columns, chart)


# ---- TLS

@pytest.fixture
def https(fake, tmp_path):
    """The fake gate again, on a port with TLS; returns (URL, the CA's file)."""
    servers = []

    def start(name="localhost", **keys):
        ca = CA(tmp_path / "ca")
        certificate, key = ca.issue(name, **keys)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        server = HTTPServer(("127.0.0.1", 0), Handler)
        server.fake = fake
        server.handle_error = lambda request, address: None
        server.socket = context.wrap_socket(server.socket, server_side=True,
                                            do_handshake_on_connect=False)
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        servers.append(server)
        return f"https://localhost:{server.server_port}", str(ca.path)

    fake.answers[("GET", "/v1/status")] = STATUS
    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


TOKEN = {"MAILFUSE_TOKEN": "mf_0123456789abcdef"}


def test_a_certificate_is_checked(fake, https, tmp_path):
    url, ca = https()
    done = fake.run("--url", url, "--ca", ca, "status", **TOKEN)
    assert (done.returncode, done.err) == (0, "")
    done = fake.run("--url", url, "status", MAILFUSE_CA=ca, **TOKEN)
    assert (done.returncode, done.err) == (0, "")
    fake.requests.clear()
    done = fake.run("--url", url, "status", **TOKEN)
    assert done.returncode == 3
    assert f"{url} shows a certificate that is not trusted" in done.err
    assert "--ca FILE or MAILFUSE_CA" in done.err
    # A change that never left is in no doubt, and nobody saw the token.
    done = fake.run("--url", url, "hold", "--everything", *REASON, "--yes", **TOKEN)
    assert done.returncode == 3 and "may have been done" not in done.err
    assert not fake.requests


def test_http_where_https_is_spoken(fake, https):
    url, _ = https()
    done = fake.run("--url", url.replace("https://localhost", "http://127.0.0.1"), "status", **TOKEN)
    assert done.returncode == 3 and "write https" in done.err, done.err


def test_a_certificate_of_another_name(fake, https):
    url, ca = https("gate.example")
    done = fake.run("--url", url, "--ca", ca, "status", **TOKEN)
    assert done.returncode == 3 and "not trusted" in done.err and not fake.requests


def test_a_certificate_that_has_expired(fake, https):
    url, ca = https(expired=True)
    done = fake.run("--url", url, "--ca", ca, "status", **TOKEN)
    assert done.returncode == 3 and "expired" in done.err and not fake.requests


def test_a_ca_that_is_none(fake, https, tmp_path):
    url, ca = https()
    done = fake.run("--url", url, "--ca", str(tmp_path / "none.pem"), "status", **TOKEN)
    assert done.returncode == 2 and "none.pem: cannot read it" in done.err
    (tmp_path / "text.pem").write_text("no certificate\n")
    done = fake.run("--url", url, "--ca", str(tmp_path / "text.pem"), "status", **TOKEN)
    assert done.returncode == 3 and "there are no certificates in it" in done.err


def test_top_over_tls(fake, https):
    url, ca = https()
    fake.answers[("GET", "/v1/batches")] = {"items": [batch()], "next": None}
    fake.answers[("GET", "/v1/queue")] = {"environments": [], "deliveries": []}
    t = Terminal([MAILFUSE, "--url", url, "--ca", ca, "top"], fake.environment(**TOKEN))
    t.wait("B17")
    t.type(b"q")
    assert t.end() == 0
    t.check_given_back()
    t.close()
