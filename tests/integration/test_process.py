"""The process: which rights it keeps, whom it becomes, what it takes from the service manager."""

import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from rig import launch
from rig.client import Client, letter
from rig.gate import MAILFUSED, TOP, Gate, listener, production, sanitized, secured, upstream
from rig.tls import CA
from rig.wait import wait_for

LAUNCH = [sys.executable, "-B", str(Path(launch.__file__))]
UNIT = TOP / "etc" / "mailfuse.service"
NOBODY = pwd.getpwnam("nobody")
OPEN = 'allow = {"/^[a-z]+@x[.]test$/"} burst "volume" { limit = "1000/1h" per = {environment} }'

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
needs_setpriv = pytest.mark.skipif(not shutil.which("setpriv"), reason="setpriv is not installed")


def as_nobody(*more):
    """The beginning of a command line that root gives up everything with; nothing for others."""
    if os.geteuid() != 0:
        return []
    for path in (MAILFUSED, launch.__file__):
        for folder in Path(path).resolve().parents:
            if not folder.stat().st_mode & 0o001:
                pytest.skip(f"other users cannot enter {folder}, where the programs are")
    return ["setpriv", f"--reuid={NOBODY.pw_uid}", f"--regid={NOBODY.pw_gid}", "--clear-groups",
            *more]


@pytest.fixture
def open_gate():
    """make(config): a gate in a directory that other users than ours can enter; nobody owns it."""
    gates, directories = [], []

    def make(config, owner=NOBODY):
        directory = Path(tempfile.mkdtemp(prefix="mailfuse-process-"))
        directories.append(directory)
        directory.chmod(0o755)
        gate = Gate(directory, config)
        gates.append(gate)
        if owner and os.geteuid() == 0:
            for path in (directory, gate.run):
                os.chown(path, owner.pw_uid, owner.pw_gid)
        return gate

    yield make
    try:
        for gate in gates:
            gate.close()
    finally:
        for directory in directories:
            shutil.rmtree(directory)


def status(pid):
    """/proc/PID/status, name -> words."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.split() for name, _, value in (line.partition(":") for line in lines)}


def has_no_rights(pid):
    """No capability in any set that can be used, in any thread."""
    sets = ("CapInh", "CapPrm", "CapEff", "CapAmb")
    for task in os.listdir(f"/proc/{pid}/task"):
        found = status(f"{pid}/task/{task}")
        assert {found[name][0].strip("0") for name in sets} == {""}, found
        assert found["NoNewPrivs"] == ["1"]


def own_host(number=1):
    """A loopback address that no other test binds to."""
    return f"127.{76 + number}.{os.getpid() >> 8 & 255}.{os.getpid() & 255}"


# ---- always


def test_no_core_no_new_privileges_and_a_narrow_umask(make_gate, sink):
    gate = make_gate(listener() + upstream(sink) + production()).start()
    found = status(gate.process.pid)
    assert found["NoNewPrivs"] == ["1"]
    assert found["Umask"] == ["0077"]
    limits = Path(f"/proc/{gate.process.pid}/limits").read_text()
    assert re.search(r"^Max core file size +0 +0 ", limits, re.M), limits
    assert gate.store.stat().st_mode & 0o777 == 0o600
    assert Path(gate.control).stat().st_mode & 0o777 == 0o660


@needs_root
def test_root_without_a_user_is_warned_of_once(make_gate, sink):
    gate = make_gate(listener() + upstream(sink)).start()
    assert len(re.findall(r"warn - privileges\.root .*set user = ", gate.text())) == 1


# ---- becoming somebody


@needs_root
def test_root_binds_a_low_port_and_becomes_its_user_for_good(open_gate, sink):
    host = own_host()
    gate = open_gate(f'user = nobody listener "apps" {{ address = "{host}:25" }}\n'
                     + upstream(sink) + production()).start()
    pid = gate.process.pid
    for task in os.listdir(f"/proc/{pid}/task"):
        found = status(f"{pid}/task/{task}")
        assert found["Uid"] == [str(NOBODY.pw_uid)] * 4
        assert found["Gid"] == [str(NOBODY.pw_gid)] * 4
        assert {int(group) for group in found["Groups"]} == set(
            os.getgrouplist(NOBODY.pw_name, NOBODY.pw_gid))
    has_no_rights(pid)
    # A process that may not be dumped shows its files to root only.
    assert os.stat(f"/proc/{pid}/environ").st_uid == 0
    assert gate.logged(r"info - privileges\.dropped user=nobody")
    assert not gate.logged(r"privileges\.(root|unreadable)")
    assert gate.store.stat().st_uid == NOBODY.pw_uid
    gate.send(letter(), ["anna@x.test"], source="127.0.1.1")
    sink.wait(1)
    assert gate.status()["version"]


@needs_root
@pytest.mark.parametrize("arguments", [[], ["-t"]], ids=["start", "check"])
@pytest.mark.parametrize("name, wanted", [
    ("no-such-user", "there is no such user; make it with `useradd --system no-such-user`"),
    ("\"a b\"", "there is no such user"),
])
def test_a_user_that_does_not_exist_is_refused(open_gate, name, wanted, arguments):
    gate = open_gate(f"user = {name}\n" + listener()).spawn(*arguments)
    assert gate.process.wait(30) == 1
    assert wanted in gate.text()
    gate.process = None


@needs_setpriv
def test_who_is_not_root_cannot_become_somebody(open_gate):
    gate = open_gate("user = root\n" + listener())
    gate.before = as_nobody()
    gate.spawn()
    assert gate.process.wait(30) == 1
    assert "cannot become another; start it as root or as root, or remove user" in gate.text()
    gate.process = None


@needs_root
@needs_setpriv
def test_who_is_the_user_already_need_not_become_it(open_gate):
    gate = open_gate("user = nobody\n" + listener())
    gate.before = as_nobody()
    gate.start()
    assert not gate.logged(r"privileges\.")


@needs_root
@pytest.mark.parametrize("which", ["folder", "file"])
def test_a_store_that_the_user_cannot_write_is_refused(open_gate, which):
    gate = open_gate("user = nobody\n" + listener(), owner=None if which == "folder" else NOBODY)
    if which == "file":
        gate.store.touch(mode=0o600)
    gate.spawn()
    assert gate.process.wait(30) == 1
    path = gate.dir if which == "folder" else gate.store
    cure = f"run chown nobody {path}" + ("*" if which == "file" else "\n")
    assert f"user nobody cannot write {path}; {cure}" in gate.text()
    gate.process = None


@needs_root
def test_what_a_reload_could_not_read_is_said_at_the_start(open_gate, tmp_path):
    authority = CA(tmp_path)
    issued = authority.issue("gate.example")
    gate = open_gate("user = nobody\n" + listener(secured(issued))).start()
    certificate, key = issued
    for path in (certificate, key):
        assert gate.logged(rf"warn - privileges\.unreadable user=nobody path={re.escape(str(path))}"
                           r" a reload will be refused: run chgrp \S+ and chmod 640 on it")
    assert not gate.logged(r"unreadable .*mailfuse\.conf")
    with gate.client(tls="starttls", ca=authority.path) as client:
        assert client.command("NOOP")[0] == 250
    gate.signal(signal.SIGHUP)
    gate.wait_logged(r"config\.refused")
    with gate.client(tls="starttls", ca=authority.path) as client:
        assert client.command("NOOP")[0] == 250


@needs_root
def test_a_configuration_that_the_user_cannot_read_is_said_at_the_start(open_gate):
    gate = open_gate("user = nobody\n" + listener())
    gate.config.chmod(0o600)
    gate.start()
    assert gate.logged(r"warn - privileges\.unreadable user=nobody why=.*mailfuse\.conf: cannot be "
                       r"read: Permission denied")


@needs_root
@needs_setpriv
def test_the_capability_for_a_low_port_is_given_up(open_gate):
    """As etc/mailfuse.service starts it: somebody else than root, with one capability."""
    one = "-all,+net_bind_service"
    gate = open_gate(f'listener "apps" {{ address = "{own_host()}:26" }}\n')
    gate.before = as_nobody(f"--inh-caps={one}", f"--ambient-caps={one}", f"--bounding-set={one}")
    gate.start()
    has_no_rights(gate.process.pid)
    assert not gate.logged(r"warn - privileges")


# ---- secrets that others can read

LOOSE = [
    ("url", 'alert "ops" {{ type = slack url = "file:{path}" }}', 0o644),
    ("password", 'upstream "u" {{ address = "127.0.0.1:25" user = x password = "file:{path}" }}',
     0o604),
    ("certificate", 'listener "l" {{ address = "127.0.0.1:0" tls = starttls '
     'certificate = "{path}" }}', 0o644),
    ("key", 'listener "l" {{ address = "127.0.0.1:0" tls = required certificate = "/dev/null" '
     'key = "{path}" }}', 0o620),
    ("users", 'users = "{path}"\nlistener "l" {{ address = "127.0.0.1:0" auth = optional }}',
     0o644),
]


@pytest.mark.parametrize("what, text, mode", LOOSE, ids=[row[0] for row in LOOSE])
def test_a_file_with_a_secret_that_others_can_read_is_refused(tmp_path, what, text, mode):
    secret, path = tmp_path / "secret", tmp_path / "mailfuse.conf"
    secret.write_text("https://hooks.example/T0K3N\n")
    secret.chmod(mode)
    path.write_text(text.format(path=secret) + "\n")
    result = subprocess.run([MAILFUSED, "-t", "-c", str(path)], capture_output=True, text=True,
                            timeout=30)
    assert result.returncode == 1
    assert str(secret) in result.stderr and "chmod 640" in result.stderr, result.stderr
    assert "T0K3N" not in result.stderr + result.stdout


def test_a_configuration_with_a_password_is_a_secret_too(tmp_path):
    path = tmp_path / "mailfuse.conf"
    path.write_text('upstream "u" {\n address = "127.0.0.1:25" user = x\n password = T0K3N\n}\n')

    def check(mode):
        path.chmod(mode)
        return subprocess.run([MAILFUSED, "-t", "-c", str(path)], capture_output=True, text=True,
                              timeout=30)

    assert check(0o640).returncode == 0
    result = check(0o644)
    assert result.returncode == 1
    assert f"{path}:3: password: every user can read {path}; run chmod 640" in result.stderr
    assert "T0K3N" not in result.stderr


# ---- the service manager


def listening(host="127.0.0.1", port=0, family=socket.AF_INET):
    sock = socket.socket(family)
    sock.bind((host, port))
    sock.listen()
    return sock


def passing(gate, *sockets):
    """The gate will get these (socket, name) as systemd would pass them."""
    gate.pass_fds = tuple(sock.fileno() for sock, _ in sockets)
    for sock, name in sockets:
        gate.before += ["--socket", f"{sock.fileno()}={name}"]
    gate.before = LAUNCH + gate.before
    return gate


@pytest.mark.parametrize("by", ["name", "address"])
def test_a_socket_that_was_passed_is_served(make_gate, by):
    with listening(own_host()) as sock:
        address = sock.getsockname()
        name = "apps" if by == "name" else "mailfuse.socket"
        bound = "127.0.0.1:0" if by == "name" else "%s:%d" % address
        gate = make_gate(f'listener "apps" {{ address = "{bound}" }}\n' + listener(name="other"))
        # Who connects before the start waits in the backlog.
        early = socket.create_connection(address, 30)
        passing(gate, (sock, name)).start()
        assert gate.address("apps") == address
        assert gate.address("other") != address
        assert gate.logged(rf"listener\.passed name=apps address={address[0]}:{address[1]}$")
        with early:
            early.settimeout(30)
            assert early.recv(100).startswith(b"220 gate.example")
        with Client(address) as client:
            assert client.command("NOOP")[0] == 250
        flags = int(re.search(r"flags:\s+0(\d+)",
                              Path(f"/proc/{gate.process.pid}/fdinfo/3").read_text())[1], 8)
        assert flags & os.O_NONBLOCK and flags & os.O_CLOEXEC


def test_sockets_go_to_the_listeners_of_their_names(make_gate):
    with listening() as one, listening("::1", family=socket.AF_INET6) as two, listening() as three:
        gate = make_gate(listener(name="a") + listener(name="b") +
                         'listener "c" { address = "127.0.0.1:%d" }\n' % three.getsockname()[1])
        passing(gate, (one, "b"), (two, "a"), (three, "")).start()
        assert gate.address("b") == one.getsockname()
        assert gate.address("c") == three.getsockname()
        assert gate.logged(rf"listener\.bound name=a address=\[::1\]:{two.getsockname()[1]}$")


def refused(gate, *wanted):
    gate.spawn()
    assert gate.process.wait(30) == 1
    for text in wanted:
        assert text in gate.text(), gate.text()
    gate.process = None


def test_a_socket_that_fits_no_listener_is_an_error(make_gate):
    with listening() as sock:
        gate = passing(make_gate(listener(name="a") + listener(name="b")), (sock, "c"))
        refused(gate, f"socket 3 that was passed (c, 127.0.0.1:{sock.getsockname()[1]}) belongs to "
                "no listener; write FileDescriptorName= in its socket unit with one of a, b")


def test_two_sockets_for_one_listener_are_an_error(make_gate):
    with listening() as one, listening() as two:
        gate = passing(make_gate(listener()), (one, "apps"), (two, "apps"))
        refused(gate, "sockets 3 and 4 that were passed both belong to listener apps")


def test_what_does_not_listen_is_an_error(make_gate, tmp_path):
    with socket.socket() as silent, socket.socket(type=socket.SOCK_DGRAM) as datagram, \
            open(tmp_path / "file", "w") as file:
        silent.bind(("127.0.0.1", 0))
        datagram.bind(("127.0.0.1", 0))
        gate = passing(make_gate(listener()), (silent, "apps"), (datagram, "apps"), (file, "apps"))
        refused(gate, "socket 3 that was passed (apps, ", "socket 4 that was passed (apps, ",
                "descriptor 5 that was passed (apps) is no TCP socket")


def test_sockets_for_another_process_are_not_ours(make_gate):
    gate = make_gate(listener())
    gate.environment.update(LISTEN_PID="1", LISTEN_FDS="1", LISTEN_FDNAMES="apps")
    gate.start()
    assert not gate.logged(r"listener\.passed")


def test_a_number_of_sockets_that_is_none_is_an_error(make_gate):
    gate = make_gate(listener())
    gate.before = ["sh", "-c", 'LISTEN_PID=$$ LISTEN_FDS=-1 exec "$@"', "sh"]
    refused(gate, "LISTEN_FDS=-1 is no number of sockets")


def test_the_manager_is_told_when_it_is_ready_and_when_it_stops(make_gate, tmp_path):
    directory = tempfile.mkdtemp(prefix="mailfuse-")
    path = f"{directory}/notify"
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(path)
            manager.settimeout(30)
            gate = make_gate(listener())
            gate.environment["NOTIFY_SOCKET"] = path
            gate.spawn()
            assert manager.recv(100) == b"READY=1"
            with gate.client() as client:
                assert client.command("NOOP")[0] == 250
            gate.stop()
            assert manager.recv(100) == b"STOPPING=1"
    finally:
        shutil.rmtree(directory)


# ---- the sandbox of etc/mailfuse.service


def test_the_unit_scores_no_more_than_2():
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not installed")
    result = subprocess.run(["systemd-analyze", "security", "--offline=true", str(UNIT)],
                            capture_output=True, text=True, timeout=60)
    found = re.search(r"Overall exposure level for mailfuse\.service: ([0-9.]+)", result.stdout)
    assert found, result.stdout + result.stderr
    assert float(found[1]) <= 2.0, result.stdout


def test_it_runs_behind_the_filter_of_the_unit(open_gate, sink, tmp_path):
    """A system call that the unit forbids would end the process, and so the test."""
    why = launch.why_no_filter()
    if why:
        pytest.skip(why)
    if sanitized():
        pytest.skip("a sanitizer makes calls of its own")
    authority = CA(tmp_path)
    certificate, key = authority.issue("gate.example")
    gate = open_gate("")
    told = gate.dir / "told"
    for name, path in (("tls.pem", certificate), ("tls.key", key)):
        shutil.copy(path, gate.dir / name)
        if os.geteuid() == 0:
            os.chown(gate.dir / name, NOBODY.pw_uid, NOBODY.pw_gid)
    config = (listener(secured((gate.dir / "tls.pem", gate.dir / "tls.key")))
              + upstream(sink).replace("127.0.0.1:", "localhost:")
              + production(OPEN.replace("1000/1h", "2/1h"))
              + f'alert "ops" {{ type = exec command = {{"/bin/sh", "-c", "cat >> {told}"}} }}\n')
    gate.write(config)
    gate.before = as_nobody() + [*LAUNCH, "--unit", str(UNIT)]
    gate.start()
    with gate.client("127.0.1.1", tls="starttls", ca=authority.path) as client:
        for to in ("a@x.test", "b@x.test", "c@x.test", "d@y.test"):
            assert client.mail([to], letter(to=to))[1][0] == 250
    sink.wait(2)
    wait_for("the alert", lambda: told.exists() and "batch.opened" in told.read_text())
    gate.signal(signal.SIGHUP)
    gate.wait_logged(r"config\.reloaded")
    gate.do("release", gate.batches()[0]["id"], "--reason", "it was meant")
    sink.wait(3)
    assert not gate.exited()
    gate.stop()


def test_the_filter_of_the_unit_bites():
    """Else the test above would prove nothing."""
    why = launch.why_no_filter()
    if why:
        pytest.skip(why)

    def run(text):
        return subprocess.run([*LAUNCH, "--unit", str(UNIT), sys.executable, "-c",
                               "import mmap, os, socket; " + text],
                              capture_output=True, text=True, timeout=60)

    assert run("print(os.getpid())").returncode == 0
    assert run("os.setuid(1)").returncode == -signal.SIGSYS
    assert "Operation not permitted" in run("mmap.mmap(-1, 4096, prot=7)").stderr
    assert "Address family not supported" in run("socket.socket(17, 3)").stderr
