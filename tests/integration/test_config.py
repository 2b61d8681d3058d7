"""Configuration: checked as a whole, reloaded under traffic, refused when wrong."""

import re
import signal
import subprocess

import pytest

from rig.client import Blast, letter
from rig.gate import MAILFUSED, listener, scaled, staging, upstream
from rig.wait import stays_true, wait_for

ALL = 'allow = {"*"} burst "volume" { limit = "1000000/1h" per = {environment} }'
NOBODY = 'others = drop burst "volume" { limit = "1000000/1h" per = {environment} }'


def check(path):
    return subprocess.run([MAILFUSED, "-t", "-c", str(path)], capture_output=True, text=True,
                          timeout=30)


def test_good_file_passes(make_gate, sink):
    running = make_gate(listener() + upstream(sink) + staging(ALL))
    result = check(running.config)
    assert result.returncode == 0, result.stderr


def test_all_errors_are_told_at_once_with_their_lines(tmp_path):
    path = tmp_path / "mailfuse.conf"
    path.write_text("""hostname = "gate.example"
listener "apps" {
    address = "127.0.0.1:0"
    max_message_size = "many"
}
upstream "smarthost" { address = "nowhere" }
environment "staging" {
    match { network = {"10.2.0.0/99"} }
    others = perhaps
    upstream = "missing"
    burst "volume" { limit = "fifty" per = {environment} }
}
alert "ops" { type = webhook url = "ftp://x" events = {"*"} }
""")
    result = check(path)
    assert result.returncode == 1
    text = result.stderr + result.stdout
    lines = {int(n) for n in re.findall(rf"{re.escape(str(path))}:(\d+):", text)}
    assert len(lines) >= 5, text
    assert {4, 6, 8, 9}.issubset(lines), text
    assert not result.stdout or "ready" not in result.stdout


@pytest.mark.parametrize("text", [
    "hostname = ", "listener { }", 'environment "a" {', "nonsense = 1", "\0\0\0", "}}}}",
    'environment "unknown" { }', 'hostname = "${MAILFUSE_NOT_SET_ANYWHERE}"',
    'listener "a" { address = "127.0.0.1:99999" }', 'listener "a" { address = "example.com:25" }',
    'environment "x" { others = rewrite }', 'environment "x" { allow = {"/(/"} }',
    'environment "x" { match { network = {"10.0.0.0/8"} } }\n'
    'environment "y" { match { network = {"10.0.0.0/8"} } }',
])
def test_bad_file_is_refused_and_named(text, tmp_path):
    path = tmp_path / "mailfuse.conf"
    path.write_text(text + "\n")
    result = check(path)
    assert result.returncode == 1, result
    assert str(path) in result.stderr + result.stdout


def test_file_that_is_not_there(tmp_path):
    result = check(tmp_path / "missing.conf")
    assert result.returncode == 1
    assert "missing.conf" in result.stderr


def test_bad_file_does_not_start(make_gate):
    running = make_gate("nonsense = 1\n").spawn()
    wait_for("it ends", running.exited)
    assert running.process.returncode == 1
    assert "mailfuse.conf:" in running.text()
    running.process = None


def test_version_names_the_libraries():
    result = subprocess.run([MAILFUSED, "-V"], capture_output=True, text=True, timeout=30)
    assert result.returncode == 0
    for name in ("mailfuse", "libevent", "SQLite"):
        assert name.lower() in result.stdout.lower()


def test_wrong_flag_is_2():
    result = subprocess.run([MAILFUSED, "--frobnicate"], capture_output=True, text=True, timeout=30)
    assert result.returncode == 2
    assert "usage" in result.stderr.lower()


def test_port_that_is_taken_ends_the_start_with_a_reason(make_gate, sink):
    running = make_gate(f'listener "apps" {{ address = "127.0.0.1:{sink.port}" }}\n').spawn()
    wait_for("it ends", running.exited)
    assert running.process.returncode == 1
    assert str(sink.port) in running.text()
    running.process = None


def test_gate_without_environments_and_upstreams_holds_everything(make_gate):
    running = make_gate(listener()).start()
    for n in range(3):
        running.send(letter(), [f"a{n}@x.test"], "127.0.0.1")
    running.wait_counts("unknown", {"held": 3})
    assert len(running.batches()) >= 1


def test_secret_from_the_environment(make_gate, sink):
    running = make_gate(listener() + 'upstream "smarthost" { address = "${SMARTHOST}" }\n'
                        + staging(ALL), environment={"SMARTHOST": sink.address}).start()
    running.send(letter(), ["a@x.test"])
    sink.wait(1)


def reload(running, event="config.reloaded"):
    before = len(running.audit())
    running.signal(signal.SIGHUP)
    wait_for(f"{event} in the log", lambda: any(
        row["action"] == event for row in running.audit()[before:]))


def test_reload_takes_the_new_policy_and_keeps_connections(gate, make_gate, sink):
    running = gate(staging(ALL))
    with running.client() as client:
        assert client.mail(["a@x.test"], letter())[1][0] == 250
        sink.wait(1)
        running.write(listener() + upstream(sink) + staging(NOBODY))
        reload(running)
        assert client.mail(["b@x.test"], letter())[1][0] == 250
    running.wait_count("staging", "dropped", 1)
    assert sink.recipients() == ["a@x.test"]


@pytest.mark.heavy
def test_reload_under_traffic(gate, sink):
    running = gate(staging(ALL))
    configs = [listener() + upstream(sink) + staging(ALL + extra)
               for extra in ("", ' subject_prefix = "[S] "')]
    count = scaled(3000)
    blast = Blast(running.address(), count).start()
    for n in range(6):
        running.write(configs[n % 2])
        wait_for("a piece of the blast", lambda n=n: len(blast.accepted) > count * n // 8)
        running.signal(signal.SIGHUP)
    blast.join()
    assert len(blast.accepted) == count, blast.refused[:3]
    sink.wait(count, deadline=60)
    assert sorted(sink.recipients()) == sorted(blast.accepted)
    subjects = {m.field("Subject") for m in sink.messages}
    assert subjects == {"Sale today", "[S] Sale today"}


def test_bad_reload_changes_nothing(gate, sink, webhook):
    alert = f'alert "ops" {{ type = webhook url = "{webhook.url}" events = {{"config.*"}} }}\n'
    running = gate(staging(ALL), more=alert)
    good = running.config.read_text()
    running.config.write_text(good + "nonsense = 1\n" + 'environment "x" { others = maybe }\n')
    reload(running, "config.refused")
    assert running.logged(r"mailfuse\.conf:\d+")
    running.send(letter(), ["a@x.test"])
    sink.wait(1)
    assert webhook.wait("config.refused")
    stays_true("it runs", lambda: not running.exited(), 0.2)
    running.config.write_text(good)
    reload(running)


def test_reload_with_what_needs_a_restart_says_so(gate, sink):
    running = gate(staging(ALL))
    text = running.config.read_text()
    running.config.write_text(text.replace("mailfuse.db", "other.db"))
    running.signal(signal.SIGHUP)
    running.wait_logged(r"store")
    running.send(letter(), ["a@x.test"])
    sink.wait(1)
    assert not (running.dir / "other.db").exists()


def test_reload_adds_and_removes_upstreams_and_alerts(gate, sink, webhook):
    from rig.sink import Sink

    other = Sink()
    running = gate(staging(ALL))
    running.send(letter(), ["a@x.test"])
    sink.wait(1)
    running.write(listener() + upstream(other, name="second") + staging(ALL)
                  + f'alert "ops" {{ type = webhook url = "{webhook.url}" events = {{"*"}} }}\n')
    reload(running)
    running.send(letter(), ["b@x.test"])
    other.wait(1)
    assert sink.recipients() == ["a@x.test"]
    webhook.wait("config.reloaded")
    other.stop()


@pytest.mark.parametrize("section, says", [
    ("approval { above = 10000 approvers = 1 }", "no second person"),
    ('http { address = "0.0.0.0:8025" tokens = "/etc/mailfuse/tokens" }', "without TLS"),
    ('environment "drill" { match { network = {"10.0.0.0/8"} } }', "kept for drills")])
def test_what_would_not_protect_is_refused_with_its_line(section, says, tmp_path):
    path = tmp_path / "mailfuse.conf"
    path.write_text(f'listener "apps" {{\n address = "127.0.0.1:0"\n}}\n{section}\n')
    result = check(path)
    assert result.returncode == 1
    assert f"{path}:4:" in result.stderr + result.stdout
    assert says in result.stderr + result.stdout
