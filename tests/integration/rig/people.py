"""People who ask a gate: users of this machine over its socket, tokens over its TCP port.

Each has api() as the gate has, so that Batch(person) decides as that person.
"""

import hashlib
import http.client
import json
import os
import pwd
import re
import subprocess
import sys
from pathlib import Path

from .gate import MAILFUSE, Gate

# Run as another user: it needs nothing that only this one can read.
CALL = """
import http.client, json, socket, sys
path, method, call, body = sys.argv[1:]
peer = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
peer.settimeout(60)
peer.connect(path)
connection = http.client.HTTPConnection("localhost")
connection.sock = peer
connection.request(method, call, body or None, {"Content-Type": "application/json"})
answer = connection.getresponse()
print(json.dumps([answer.status, answer.headers.get("Content-Type", ""), answer.read().decode()]))
"""


class User:
    """A user that this machine has anyway; the socket is opened to everybody for it."""

    def __init__(self, gate, name):
        entry = pwd.getpwnam(name)
        self.gate, self.uid, self.gid = gate, entry.pw_uid, entry.pw_gid
        self.who = f"uid:{self.uid}({name})"
        os.chmod(gate.run, 0o755)
        os.chmod(gate.control, 0o666)

    def api(self, method, path, body=None):
        text = "" if body is None else json.dumps(body)
        done = subprocess.run(
            [sys.executable, "-I", "-c", CALL, self.gate.control, method, path, text],
            user=self.uid, group=self.gid, extra_groups=[], cwd="/", capture_output=True,
            text=True, timeout=60, check=True)
        status, kind, content = json.loads(done.stdout)
        return status, watched(method, path, status, kind, json.loads(content))


class Token:
    """A name of the tokens file, with the token that hashes to what stands there."""

    def __init__(self, gate, name, token=None):
        self.gate, self.who = gate, f"token:{name}"
        self.token = token or secret(name)

    def headers(self):
        return {"Authorization": f"Bearer {self.token}"}

    def api(self, method, path, body=None):
        return ask(self.gate, method, path, body, self.headers())[:2]

    def cli(self, *arguments):
        environment = dict(self.gate.environment, MAILFUSE_TOKEN=self.token)
        return subprocess.run([MAILFUSE, "--url", url(self.gate), *arguments],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=60, env=environment)


def secret(name):
    return "mf_" + hashlib.sha256(name.encode()).hexdigest()[:43]


def http_section(directory, **roles):
    """Writes a tokens file, name="operator,approver"; returns the section that names it."""
    path = Path(directory) / "tokens"
    path.touch(mode=0o600)
    path.write_text("".join(
        f"{name}:{role}:{hashlib.sha256(secret(name).encode()).hexdigest()}\n"
        for name, role in roles.items()))
    return f'http {{ address = "127.0.0.1:0" tokens = "{path}" }}\n'


def port(gate):
    found = re.search(r"- http\.listening address=127\.0\.0\.1:(\d+)", gate.text())
    assert found, f"no HTTP port in the log:\n{gate.text()}"
    return int(found[1])


def url(gate):
    return f"http://127.0.0.1:{port(gate)}"


def watched(method, path, status, kind, value):
    """The answer, held against docs/openapi.json as those of the gate's own api() are."""
    if Gate.watch:
        Gate.watch(method, path, status, kind, value)
    return value


def ask(gate, method, path, body=None, headers=None):
    """One call over TCP: (status, object, headers)."""
    connection = http.client.HTTPConnection("127.0.0.1", port(gate), timeout=60)
    text = None if body is None else json.dumps(body)
    connection.request(method, path, text, headers or {})
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    kind = answer.headers.get("Content-Type", "")
    value = json.loads(content) if "json" in kind else content
    return answer.status, watched(method, path, answer.status, kind, value), answer.headers


def drain(peer):
    """All that comes from a socket until its end."""
    parts = []
    try:
        while part := peer.recv(65536):
            parts.append(part)
    except ConnectionResetError:
        pass
    return b"".join(parts)
