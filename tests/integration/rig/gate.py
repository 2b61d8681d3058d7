"""The gate under test: a mailfused with a configuration of its own, and its command line.

MAILFUSED and MAILFUSE name the binaries (default build/mailfused, build/mailfuse), so that the
same tests run on the plain and the sanitizer builds. A sanitizer's report in the log, or an exit
that was not asked for, fails the test that stops the gate.
"""

import base64
import hashlib
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from urllib.parse import urlencode

from .client import Client
from .wait import DEADLINE, wait_for

TOP = Path(__file__).resolve().parents[3]
MAILFUSED = os.environ.get("MAILFUSED", str(TOP / "build" / "mailfused"))
MAILFUSE = os.environ.get("MAILFUSE", str(TOP / "build" / "mailfuse"))
# Sanitizer builds are several times slower: the tests with thousands of messages take fewer.
SMALL = os.environ.get("MAILFUSE_TEST_SMALL") == "1"

REPORT = re.compile(
    r"ERROR: (Address|Leak)Sanitizer|runtime error:|WARNING: ThreadSanitizer|^panic:", re.M
)

HEAD = """hostname = "gate.example"
store = "{dir}/mailfuse.db"
control = "{run}/control.sock"
min_free_space = "1MB"
"""

# Who is who in most tests: the client's loopback address is the source.
PRODUCTION_CLIENT = "127.0.1.1"
STAGING_CLIENT = "127.0.2.1"
STRANGER = "127.0.3.1"

# Burst rules that never trip: for tests about something else.
QUIET = 'burst "volume" { limit = "1000000/1h" per = {environment} }'


def scaled(count):
    return count // 5 if SMALL else count


def production(keys=QUIET):
    return f"""environment "production" {{
    production = true
    match {{ network = {{"127.0.1.0/24"}} }}
    {keys}
}}
"""


def staging(keys=QUIET):
    return f"""environment "staging" {{
    match {{ network = {{"127.0.2.0/24"}} }}
    {keys}
}}
"""


def listener(keys="", name="apps", host="127.0.0.1"):
    return f'listener "{name}" {{ address = "{host}:0" {keys} }}\n'


def secured(issued, tls="starttls", auth="", client_ca=None, more=""):
    """Keys of a listener with TLS; `issued` is what rig.tls.CA.issue() returned."""
    certificate, key = issued
    keys = f'tls = {tls} certificate = "{certificate}" key = "{key}" '
    keys += f'client_ca = "{client_ca}" ' if client_ca else ""
    keys += f"auth = {auth} " if auth else ""
    return keys + more


def users(directory, **passwords):
    """Writes a users file; returns the setting that names it.

    The cheapest scrypt that the gate takes: what a check costs is not what most tests are about.
    """
    path = Path(directory) / "users"
    path.touch(mode=0o600)
    path.write_text("".join(f"{name}:{hashed(password)}\n"
                            for name, password in passwords.items()))
    return f'users = "{path}"\n'


def hashed(password, ln=10):
    def plain(data):
        return base64.b64encode(data).decode().rstrip("=")

    salt = os.urandom(16)
    key = hashlib.scrypt(password.encode(), salt=salt, n=1 << ln, r=8, p=1, dklen=32,
                         maxmem=64 << 20)
    return f"$scrypt$ln={ln},r=8,p=1${plain(salt)}${plain(key)}"


def upstream(sink, keys="", name="smarthost"):
    """`connections` is small enough that a test can talk of them."""
    if "connections" not in keys:
        keys += " connections = 8"
    return f'upstream "{name}" {{ address = "{sink.address}" {keys} }}\n'


class Failed(Exception):
    """The command line ended with something else than 0."""

    def __init__(self, result):
        super().__init__(f"exit {result.returncode}: {result.stdout}{result.stderr}")
        self.code, self.stdout, self.stderr = result.returncode, result.stdout, result.stderr


class UnixHTTPConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=60)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Gate:
    """One directory, one configuration, any number of starts."""

    watch = None  # called with each answer of the API: what docs/openapi.json says of it

    def __init__(self, directory, config, environment=None, head=HEAD):
        self.dir = Path(directory)
        # A socket's path must fit 107 bytes, which pytest's own directories need not.
        self.run = tempfile.mkdtemp(prefix="mailfuse-")
        self.log = self.dir / "mailfused.log"
        self.config = self.dir / "mailfuse.conf"
        self.head = head
        self.environment = dict(os.environ, MAILFUSE_TEST_RETRY_MS="50", **(environment or {}))
        self.before, self.pass_fds = [], ()  # a program that starts mailfused, and its files
        self.process = None
        self.log_from = 0
        self.write(config)

    @property
    def control(self):
        return f"{self.run}/control.sock"

    @property
    def store(self):
        return self.dir / "mailfuse.db"

    def write(self, config):
        """A configuration: the common head, then what the test says. Whole at every moment."""
        new = self.config.with_suffix(".new")
        new.write_text(self.head.format(dir=self.dir, run=self.run) + config)
        new.rename(self.config)

    def spawn(self, *arguments):
        """Starts the process without waiting for anything."""
        self.log_from = self.log.stat().st_size if self.log.exists() else 0
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [*self.before, MAILFUSED, "-c", str(self.config), *arguments],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env=self.environment, cwd=self.dir, pass_fds=self.pass_fds,
            )
        return self

    def start(self):
        self.spawn()
        wait_for("ready in the log, or an exit", lambda: self.logged(r"- ready\b") or self.exited())
        assert not self.exited(), f"mailfused ended at its start:\n{self.text()}"
        return self

    def exited(self):
        return self.process is None or self.process.poll() is not None

    def text(self):
        """The log of this start."""
        if not self.log.exists():
            return ""
        with open(self.log, "rb") as log:
            log.seek(self.log_from)
            return log.read().decode("utf-8", "replace")

    def logged(self, pattern):
        return re.search(pattern, self.text(), re.M)

    def wait_logged(self, pattern, deadline=30.0):
        return wait_for(f"{pattern!r} in the log:\n{self.text()[-3000:]}",
                        lambda: self.logged(pattern), deadline)

    def address(self, name="apps"):
        """(host, port) of a listener, from the log."""
        found = re.search(rf"- listener\.bound name={name} address=([0-9.]+):(\d+)", self.text())
        assert found, f"listener {name} is not in the log:\n{self.text()}"
        return found[1], int(found[2])

    @property
    def port(self):
        return self.address()[1]

    def client(self, source=STAGING_CLIENT, **keys):
        return Client(self.address(), source, **keys)

    def send(self, data, recipients, source=STAGING_CLIENT, **keys):
        """One message that must be accepted whole; returns its id."""
        with self.client(source) as client:
            results, end = client.mail(recipients, data, **keys)
            assert all(code == 250 for code, _ in results), results
            assert end[0] == 250, end
            return end[1].split()[-1]

    def signal(self, number):
        self.process.send_signal(number)

    def reload(self, config=None):
        """SIGHUP, with another configuration if one is given; returns once it is in force."""
        if config is not None:
            self.write(config)
        before = self.text().count("config.reloaded")
        self.signal(signal.SIGHUP)
        wait_for("the reload", lambda: self.text().count("config.reloaded") > before)

    def stop(self, deadline=30):
        """SIGTERM; it must end by itself with 0, and no sanitizer may have complained."""
        if self.process is None:
            return
        if not self.exited():
            self.signal(signal.SIGTERM)
        try:
            code = self.process.wait(deadline)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"mailfused did not end after SIGTERM:\n{self.text()[-3000:]}")
        finally:
            self.check_log()
        self.process = None
        assert code == 0, f"mailfused ended with {code}:\n{self.text()[-3000:]}"

    def kill(self):
        """SIGKILL: what a power cut looks like to everybody but the disk."""
        self.process.kill()
        self.process.wait()
        self.process = None
        self.check_log()

    def check_log(self):
        text = self.log.read_text("utf-8", "replace") if self.log.exists() else ""
        found = REPORT.search(text)
        assert not found, f"a sanitizer or an assertion reported:\n{text[found.start():][:6000]}"

    def close(self):
        try:
            self.stop()
        finally:
            if self.process and not self.exited():
                self.process.kill()
                self.process.wait()
            shutil.rmtree(self.run, ignore_errors=True)

    # ---- the operator's tool

    def cli(self, *arguments, deadline=60):
        """Runs mailfuse without a terminal; returns the finished process whatever it says."""
        result = subprocess.run(
            [MAILFUSE, "--control", self.control, *map(str, arguments)],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=deadline,
            env=self.environment,
        )
        assert not REPORT.search(result.stderr), result.stderr
        return result

    def do(self, *arguments):
        """Must succeed; returns the objects that --json printed, one a line."""
        result = self.cli("--json", "--yes", *arguments)
        if result.returncode != 0:
            raise Failed(result)
        return [json.loads(line) for line in result.stdout.splitlines()]

    def one(self, *arguments):
        rows = self.do(*arguments)
        assert len(rows) == 1, rows
        return rows[0]

    def api(self, method, path, body=None):
        """One call of the control API: (status, object)."""
        connection = UnixHTTPConnection(self.control)
        text = None if body is None else json.dumps(body)
        connection.request(method, path, text, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        kind = answer.headers.get("Content-Type", "")
        value = json.loads(content) if "json" in kind else content
        if Gate.watch:
            Gate.watch(method, path, answer.status, kind, value)
        return answer.status, value

    def deliveries(self, **filters):
        """Every delivery that fits, page by page."""
        rows, after = [], None
        while True:
            query = dict(filters, limit=1000, **({"after": after} if after else {}))
            status, page = self.api("GET", "/v1/deliveries?" + urlencode(query))
            assert status == 200, page
            rows += page["items"]
            after = page["next"]
            if not after:
                return rows

    def status(self):
        """What `mailfuse status --json` prints; asked for often, and a process costs more."""
        status, answer = self.api("GET", "/v1/status")
        assert status == 200, answer
        return answer

    def batches(self, *arguments):
        return self.do("batches", *arguments)

    def batch(self):
        """The one batch there must be."""
        rows = self.batches("--all")
        assert len(rows) == 1, rows
        return rows[0]

    def audit(self):
        """The audit log, oldest first."""
        return self.do("log", "--last", 1000)

    def counts(self, environment):
        """Deliveries of an environment by state."""
        return {
            row["state"]: row["count"]
            for row in self.status()["counts"]
            if row["environment"] == environment
        }

    def wait_counts(self, environment, wanted):
        """Until the deliveries of an environment are just these, by state.

        The sink's 250 is there before the gate has read and recorded it, so counts follow.
        """
        end = time.monotonic() + DEADLINE
        while (counts := self.counts(environment)) != wanted:
            assert time.monotonic() < end, f"wanted {wanted}, is {counts}"
            time.sleep(0.02)

    def wait_count(self, environment, state, count):
        wait_for(
            lambda: f"{count} {state} deliveries in {environment}: {self.counts(environment)}",
            lambda: self.counts(environment).get(state, 0) == count,
        )

    def memory_peak(self):
        """Highest resident set so far, bytes."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024


def sanitized():
    """True where memory and time say nothing about the plain program."""
    with open(MAILFUSED, "rb") as binary:
        head = binary.read()
    return b"__asan_init" in head or b"__tsan_init" in head
