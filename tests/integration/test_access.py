"""Who may do what: roles of users over the socket, of tokens over the TCP port, and its door."""

import os
import re
import socket
import stat
import subprocess

import pytest

from rig.batch import Batch
from rig.gate import MAILFUSE, MAILFUSED
from rig.people import Token, User, ask, http_section, port, url
from rig.wait import wait_for

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="becomes other users: needs root")

# Who is who below. All of them are on every Debian.
ACCESS = """access {
    viewers = {"bin"}
    operators = {"root", "@daemon"}
    approvers = {"nobody"}
}
"""

CHANGES = [
    ("POST", "/v1/release"), ("POST", "/v1/discard"), ("POST", "/v1/restore"),
    ("POST", "/v1/purge"), ("POST", "/v1/pause"), ("POST", "/v1/resume"), ("POST", "/v1/hold"),
    ("POST", "/v1/unhold"), ("POST", "/v1/backup"), ("POST", "/v1/import"), ("POST", "/v1/drill"),
    ("POST", "/v1/drill/end"),
]
LOOKS = ["/v1/status", "/v1/batches", "/v1/batches/B1", "/v1/deliveries", "/v1/queue", "/v1/log",
         "/v1/traffic"]


# ---- the socket


@needs_root
def test_a_viewer_sees_everything_and_decides_nothing(holding):
    running, _, names = holding(2, more=ACCESS)
    viewer = User(running, "bin")
    for path in LOOKS:
        status, answer = viewer.api("GET", path)
        assert status == 200, (path, answer)
    row = viewer.api("GET", "/v1/deliveries?batch=B1")[1]["items"][0]
    assert row["recipient"] == names[0]
    assert viewer.api("GET", f"/v1/messages/{row['message']}")[0] == 200
    for method, path in CHANGES:
        status, answer = viewer.api(method, path, {})
        assert status == 403, (path, answer)
        assert "takes the role operator, which root, @daemon have" in answer["detail"]
        assert f"{viewer.who} has the role viewer" in answer["detail"]
    status, answer = viewer.api("POST", "/v1/approve", {})
    assert status == 403 and "role approver, which nobody have" in answer["detail"]
    assert Batch(running).by_state() == {"held": set(names)}


@needs_root
def test_an_operator_by_group_decides_and_an_approver_does_not(holding, sink):
    running, _, names = holding(3, more=ACCESS)
    operator, approver = User(running, "daemon"), User(running, "nobody")
    assert approver.api("GET", "/v1/batches")[0] == 200
    Batch(approver).refused("release", "role operator", status=403)
    Batch(operator).refused("approve", "role approver", status=403)
    Batch(operator).release(first=1)
    sink.wait(1)
    assert sink.recipients() == names[:1]
    assert [row["who"] for row in running.audit() if row["action"] == "batch.released"] == [
        operator.who]


@needs_root
def test_who_is_not_named_may_not_even_look_nor_may_root(holding):
    running, _, _ = holding(1, more='access { operators = {"daemon"} approvers = {"daemon"} }')
    stranger = User(running, "games")
    for person in (stranger, running):
        status, answer = person.api("GET", "/v1/status")
        assert status == 403
        assert "has no role" in answer["detail"]
    assert User(running, "daemon").api("GET", "/v1/status")[0] == 200


@needs_root
def test_a_reload_gives_and_takes_roles(holding):
    running, _, _ = holding(1)
    person = User(running, "games")
    before = running.config.read_text()
    assert person.api("GET", "/v1/status")[0] == 200, "without the section all may"
    rest = before[len(running.head.format(dir=running.dir, run=running.run)):]
    running.reload(rest + 'access { operators = {"root"} }')
    assert person.api("GET", "/v1/status")[0] == 403
    running.reload(rest + 'access { operators = {"root"} viewers = {"games"} }')
    assert person.api("GET", "/v1/status")[0] == 200


def test_a_name_that_nobody_has_is_told(holding, tmp_path):
    running, _, _ = holding(1, more='access { operators = {"root", "nosuch"} '
                                    'viewers = {"@nosuch", "*"} }')
    assert running.logged(r"config\.stranger access: operators: there is no user nosuch")
    assert running.logged(r"config\.stranger access: viewers: there is no group nosuch")
    assert any("there is no user nosuch" in text for text in running.status()["warnings"])
    done = subprocess.run([MAILFUSED, "-t", "-c", running.config], capture_output=True, text=True)
    assert done.returncode == 0
    assert "there is no user nosuch on this machine" in done.stderr


# ---- the TCP port


@pytest.fixture
def served(holding, tmp_path):
    """A gate with a batch of three, and its port for viewer, operator, approver."""
    running, _, names = holding(3, more=http_section(
        tmp_path, viewer="viewer", operator="operator", approver="approver"))
    return running, names


def test_without_a_token_nothing_is_said(served):
    running, _ = served
    for path in [*LOOKS, "/v1/nothing", "/metrics"]:
        status, answer, headers = ask(running, "GET", path)
        assert status == 401, path
        assert headers["WWW-Authenticate"] == 'Bearer realm="mailfuse"'
        assert "mailfuse token" in answer["detail"] and "B1" not in answer["detail"]
    for method, path in CHANGES:
        assert ask(running, method, path, {})[0] == 401
    status, _, headers = ask(running, "GET", "/v1/status", headers={
        "Authorization": "Bearer mf_" + "A" * 43})
    assert status == 401 and 'error="invalid_token"' in headers["WWW-Authenticate"]


def test_roles_of_tokens(served, sink):
    running, names = served
    viewer, operator, approver = (Token(running, n) for n in ("viewer", "operator", "approver"))
    for path in LOOKS:
        for person in (viewer, operator, approver):
            assert person.api("GET", path)[0] == 200
    for method, path in CHANGES:
        for person in (viewer, approver):
            status, answer = person.api(method, path, {})
            assert status == 403, (path, answer)
            assert "token:operator" in answer["detail"] and person.who in answer["detail"]
    for person in (viewer, operator):
        assert person.api("POST", "/v1/approve", {})[0] == 403
    Batch(operator).release(first=1)
    sink.wait(1)
    assert sink.recipients() == names[:1]
    assert [row["who"] for row in running.audit() if row["action"] == "batch.released"] == [
        "token:operator"]


@pytest.mark.parametrize("headers, wanted", [
    ({"Host": "evil.example"}, 421),
    ({"Host": "evil.example:8025"}, 421),
    ({"Host": "127.0.0.1.evil.example"}, 421),
    ({"Host": "localhost"}, 200),
    ({"Host": "localhost:12345"}, 200),
    ({"Origin": "https://evil.example"}, 403),
    ({"Origin": "http://localhost:3000"}, 403),
    ({"Origin": "null"}, 403),
    ({}, 200),
], ids=lambda value: str(value))
def test_a_page_in_a_browser_is_not_let_in_even_with_a_token(served, headers, wanted):
    running, _ = served
    person = Token(running, "operator")
    assert ask(running, "GET", "/v1/status", headers={**person.headers(), **headers})[0] == wanted


def test_guesses_are_slowed_down_told_once_and_lock_nobody_out(holding, tmp_path, webhook):
    running, _, _ = holding(1, more=http_section(tmp_path, ops="operator")
                            + f'alert "ops" {{ type = webhook url = "{webhook.url}" '
                              'events = {"login.*"} }\n')
    wrong = {"Authorization": "Bearer mf_guess"}
    answers = [ask(running, "GET", "/v1/status", headers=wrong) for _ in range(25)]
    assert [answer[0] for answer in answers] == [401] * 10 + [429] * 15
    assert 0 < int(answers[-1][2]["Retry-After"]) <= 60
    [told] = webhook.wait("login.failures")
    assert "wrong tokens" in told["text"] and "127.0.0.1" in told["text"]
    assert Token(running, "ops").api("GET", "/v1/status")[0] == 200
    rows = [row for row in running.audit() if row["action"] == "login.failures"]
    assert len(rows) == 1 and "mf_guess" not in str(rows) + running.text()


def test_idle_connections_are_bounded_and_the_socket_still_answers(served):
    running, _ = served
    idle = [socket.create_connection(("127.0.0.1", port(running))) for _ in range(200)]
    try:
        wait_for("what is too much is closed", lambda: running.logged(r"http\.full connections=64"))
        assert running.status()["held"]["recipients"] == 3
    finally:
        for connection in idle:
            connection.close()

    def answered():
        try:
            return Token(running, "viewer").api("GET", "/v1/status")[0] == 200
        except OSError:
            return False

    wait_for("a free place", answered)


def test_the_port_is_fixed_and_the_tokens_are_reloaded(served, tmp_path):
    running, _ = served
    config = running.config.read_text()
    rest = config[len(running.head.format(dir=running.dir, run=running.run)):]
    http_section(tmp_path, viewer="viewer")
    running.reload(rest)
    assert Token(running, "viewer").api("GET", "/v1/status")[0] == 200
    assert Token(running, "operator").api("GET", "/v1/status")[0] == 401
    (tmp_path / "tokens").write_text("viewer:viewer:none\n")
    running.write(rest)
    running.signal(1)
    running.wait_logged(r"config\.refused why=.*tokens:1: ")
    assert Token(running, "viewer").api("GET", "/v1/status")[0] == 200, "the old ones stay"
    http_section(tmp_path, viewer="viewer")
    running.write(re.sub(r"http \{.*\}\n", "", rest))
    running.signal(1)
    running.wait_logged(r"config\.refused why=.*http address changed: that needs a restart")


def test_a_tokens_file_that_others_can_write_is_refused(served, tmp_path):
    running, _ = served
    os.chmod(tmp_path / "tokens", 0o602)
    done = subprocess.run([MAILFUSED, "-t", "-c", running.config], capture_output=True, text=True)
    assert done.returncode == 1
    assert re.search(r"mailfuse\.conf:\d+: tokens: every user can write ", done.stderr)


# ---- the command


def token(path, *arguments):
    done = subprocess.run([MAILFUSE, "token", *arguments, "--tokens", str(path)],
                          capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)
    assert "Sanitizer" not in done.stderr
    return done


def test_a_token_from_the_command_to_the_call_and_its_end(holding, tmp_path):
    path = tmp_path / "tokens"
    made = token(path, "ci", "--role", "viewer")
    assert made.returncode == 0, made.stderr
    assert re.fullmatch(r"mf_[A-Za-z0-9_-]{43}\n", made.stdout)
    assert "shown only now" in made.stderr and made.stdout.strip() not in made.stderr
    assert made.stdout.strip() not in path.read_text(), "hashed at rest"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    running, _, _ = holding(1, more=f'http {{ address = "127.0.0.1:0" tokens = "{path}" }}\n')
    person = Token(running, "ci", made.stdout.strip())
    assert person.api("GET", "/v1/status")[0] == 200

    again = token(path, "ci", "--role", "viewer,operator")
    assert again.returncode == 0 and again.stdout != made.stdout
    config = running.config.read_text()
    rest = config[len(running.head.format(dir=running.dir, run=running.run)):]
    running.reload(rest)
    assert person.api("GET", "/v1/status")[0] == 401, "the old one has ended"
    person = Token(running, "ci", again.stdout.strip())
    assert person.api("POST", "/v1/release", {})[0] == 400

    gone = token(path, "ci", "--delete", "--yes")
    assert gone.returncode == 0 and "Deleted token ci" in gone.stdout
    running.reload(rest)
    assert person.api("GET", "/v1/status")[0] == 401
    assert path.read_text() == ""


@pytest.mark.parametrize("arguments, code, why", [
    (["a b", "--role", "viewer"], 2, "cannot be the name of a token"),
    (["ci"], 2, "--role viewer, operator, approver"),
    (["ci", "--role", "root"], 2, "--role root is none"),
    (["ci", "--role", "viewer", "--delete"], 2, "exclude each other"),
    (["ci", "--delete", "--yes"], 1, "there is no token ci"),
])
def test_what_the_token_verb_refuses(arguments, code, why, tmp_path):
    done = token(tmp_path / "tokens", *arguments)
    assert (done.returncode, done.stdout) == (code, "")
    assert why in done.stderr
    assert not (tmp_path / "tokens").exists()


def test_the_command_over_http(served, tmp_path, sink):
    running, names = served
    viewer, operator = Token(running, "viewer"), Token(running, "operator")
    assert "B1" in viewer.cli("batches").stdout
    done = viewer.cli("--yes", "release", "B1", "--reason", "x")
    assert done.returncode == 1 and "takes the role operator" in done.stderr
    done = operator.cli("--yes", "release", "B1", "--reason", "looked at it")
    assert done.returncode == 0, done.stderr
    sink.wait(3)
    assert sorted(sink.recipients()) == sorted(names)
    kept = tmp_path / "kept"
    kept.write_text(viewer.token + "\n")

    def cli(*arguments, **environment):
        return subprocess.run([MAILFUSE, *arguments], capture_output=True, text=True, timeout=60,
                              env={**running.environment, **environment})

    kept.chmod(0o644)
    done = cli("--url", url(running), "--token-file", str(kept), "batches")
    assert done.returncode == 2 and "chmod" in done.stderr
    kept.chmod(0o600)
    done = cli("--url", url(running) + "/", "--token-file", str(kept), "batches", "--all")
    assert done.returncode == 0 and "B1" in done.stdout, done.stderr
    done = cli("--url", url(running), "batches", MAILFUSE_TOKEN="mf_wrong")
    assert done.returncode == 1 and "no such token" in done.stderr


@pytest.mark.parametrize("arguments, why", [
    (["--url", "http://gate.example:8025"], "http would show the token"),
    (["--url", "http://127.0.0.1.example"], "http would show the token"),
    (["--url", "https://user:secret@gate.example"], "seen by everybody"),
    (["--url", "ftp://127.0.0.1"], "must begin with https"),
    (["--url", "127.0.0.1:8025"], "--url 127.0.0.1:8025: it"),
    (["--url", "http://127.0.0.1:8025/?x=1"], "leave out"),
    (["--url", "http://127.0.0.1:8025", "--control", "/run/x"], "exclude each other"),
    (["--token-file", "/nonexistent"], "goes with --url"),
    (["--url", "http://127.0.0.1:1", "--token-file", "/nonexistent"], "cannot read it"),
])
def test_urls_that_the_command_refuses(arguments, why):
    done = subprocess.run([MAILFUSE, *arguments, "status"], capture_output=True, text=True,
                          env=dict(os.environ, MAILFUSE_TOKEN="mf_x"))
    assert done.returncode == 2, done.stderr
    assert why in done.stderr


def test_url_without_a_token_says_where_it_goes():
    environment = {k: v for k, v in os.environ.items() if k != "MAILFUSE_TOKEN"}
    done = subprocess.run([MAILFUSE, "--url", "http://127.0.0.1:1", "status"],
                          capture_output=True, text=True, env=environment)
    assert done.returncode == 2 and "MAILFUSE_TOKEN" in done.stderr
    environment["MAILFUSE_TOKEN"] = "mf_x"
    done = subprocess.run([MAILFUSE, "--url", "http://127.0.0.1:1", "status"],
                          capture_output=True, text=True, env=environment)
    assert done.returncode == 3 and "does not answer on http://127.0.0.1:1" in done.stderr
