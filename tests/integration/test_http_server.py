"""The HTTP port as it stands on the network: TLS and its certificates, sessions of browsers, names,
odd and slow requests, and who gets a seat."""

import http.client
import json
import re
import shutil
import socket
import ssl
import subprocess
import threading
import time

import pytest

from rig.gate import MAILFUSED, sanitized
from rig.people import Token, ask, drain, http_section, port, secret
from rig.tls import make_ca
from rig.wait import wait_for

ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
# Nothing that is sent in time takes so long, on any machine; what is slow has 20 seconds.
PATIENCE = 120


@pytest.fixture(scope="module")
def ca(tmp_path_factory):
    return make_ca(tmp_path_factory.mktemp("ca"))


def section(directory, keys="", address="127.0.0.1:0", **roles):
    text = http_section(directory, **roles)
    return text.replace("127.0.0.1:0", address).replace(" }\n", f" {keys} }}\n")


def with_tls(issued):
    certificate, key = issued
    return f'certificate = "{certificate}" key = "{key}"'


def rest_of(gate):
    config = gate.config.read_text()
    return config[len(gate.head.format(dir=gate.dir, run=gate.run)):]


@pytest.fixture
def plain(holding, tmp_path):
    running, _, _ = holding(2, more=section(tmp_path, viewer="viewer", operator="operator"))
    return running


@pytest.fixture
def secure(holding, tmp_path, ca):
    """The same behind TLS; its certificate is for gate.example and 127.0.0.1."""
    keys = with_tls(ca.issue("gate.example", ip="127.0.0.1")) + ' hosts = {"gate.example"}'
    running, _, _ = holding(2, more=section(tmp_path, keys, viewer="viewer", operator="operator"))
    return running


def connect(gate, source="127.0.0.1"):
    return socket.create_connection(("127.0.0.1", port(gate)), PATIENCE, (source, 0))


def say(gate, data, source="127.0.0.1"):
    """Bytes as they are; all that comes back until the end."""
    with connect(gate, source) as peer:
        peer.sendall(data)
        return drain(peer)


def context(ca):
    return ssl.create_default_context(cafile=str(ca.path))


def https(gate, ca):
    return http.client.HTTPSConnection("127.0.0.1", port(gate), timeout=PATIENCE,
                                       context=context(ca))


def call(connection, method, path, headers=None, body=None):
    connection.request(method, path, body, headers or {})
    answer = connection.getresponse()
    content = answer.read()
    return answer.status, content, answer.headers


class Browser:
    """What a page of ours and the browser around it send."""

    def __init__(self, gate, token, connection=None, origin=None):
        self.gate, self.csrf, self.cookie = gate, None, None
        self.connection = connection or http.client.HTTPConnection("127.0.0.1", port(gate),
                                                                   timeout=PATIENCE)
        scheme = "https" if isinstance(self.connection, http.client.HTTPSConnection) else "http"
        self.origin = origin or f"{scheme}://127.0.0.1:{port(gate)}"
        status, answer = self.api("POST", "/v1/session", {"token": token})
        assert status == 200, answer
        self.answer, self.csrf = answer, answer["csrf"]

    def api(self, method, path, body=None, **headers):
        sent = {"Sec-Fetch-Site": "same-origin"}
        if method != "GET":
            sent |= {"Origin": self.origin, "Content-Type": "application/json"}
        if self.csrf:
            sent["X-Mailfuse-Csrf"] = self.csrf
        if self.cookie:
            sent["Cookie"] = f"theme=dark; mailfuse={self.cookie}"
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        text = None if body is None else json.dumps(body)
        status, content, answered = call(self.connection, method, path, sent, text)
        if answered["Set-Cookie"]:
            self.set_cookie = answered["Set-Cookie"]
            self.cookie = re.match(r"mailfuse=([^;]*)", self.set_cookie)[1]
        return status, json.loads(content)


# ---- TLS


def test_tls_with_pythons_client(secure, ca):
    connection = https(secure, ca)
    headers = Token(secure, "viewer").headers()
    for _ in range(50):  # one connection
        status, content, answered = call(connection, "GET", "/v1/batches", headers)
        assert status == 200 and json.loads(content)["items"][0]["id"] == "B1"
        assert ALWAYS.items() <= dict(answered).items()
    assert connection.sock.version() == "TLSv1.3"
    assert call(connection, "GET", "/v1/batches")[0] == 401
    assert call(connection, "GET", "/v1/nothing", headers)[0] == 404


def test_tls_with_curl(secure, ca):
    def curl(*arguments):
        done = subprocess.run(["curl", "-sS", "--max-time", str(PATIENCE), "--cacert", ca.path,
                               *arguments], capture_output=True, text=True)
        return done.returncode, done.stdout, done.stderr

    base = f"https://127.0.0.1:{port(secure)}"
    assert curl(f"{base}/livez") == (0, '{"status":"ok"}', "")
    code, answer, _ = curl("--resolve", f"gate.example:{port(secure)}:127.0.0.1",
                           f"https://gate.example:{port(secure)}/readyz")
    assert (code, answer) == (0, '{"status":"ok"}'), "a name of `hosts`"
    code, answer, _ = curl("-i", "-H", f"Authorization: Bearer {secret('operator')}", "-d", "{}",
                           f"{base}/v1/release")
    assert code == 0 and "HTTP/1.1 400" in answer and "application/problem+json" in answer
    code, _, why = curl("--tls-max", "1.1", f"{base}/livez")
    assert code == 35, why
    # http on the port of https: nothing is told, and the next is served.
    code, answer, _ = curl(f"http://127.0.0.1:{port(secure)}/v1/batches")
    assert code != 0 and answer == ""
    assert curl(f"{base}/livez")[0] == 0


def test_what_speaks_no_tls_is_told_nothing(secure, ca):
    for said in (b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", b"\x16\x03\x01\xff\xff" + b"x" * 500,
                 b"\x00" * 1000, b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00"):
        with connect(secure) as peer:
            peer.sendall(said)
            peer.shutdown(socket.SHUT_WR)
            assert not drain(peer).startswith(b"HTTP")
    assert call(https(secure, ca), "GET", "/livez")[0] == 200


def test_large_answers_and_requests_over_tls(secure, ca):
    body = b"".join(b"%06d " % i + b"x" * 60 + b"\r\n" for i in range(100_000))
    message = secure.send(b"Subject: large\r\nFrom: a@b.example\r\n\r\n" + body,
                          ["someone@customer.example"])
    status, content, _ = call(https(secure, ca), "GET", f"/v1/messages/{message}/raw",
                              Token(secure, "viewer").headers())
    assert status == 200 and content.rstrip().endswith(body.rstrip())
    request = {"client": "127.0.2.1", "from": "a@b.example", "to": ["c@customer.example"],
               "message": "Subject: x\n\n" + "y" * 1_900_000}
    status, content, _ = call(https(secure, ca), "POST", "/v1/explain",
                              Token(secure, "viewer").headers(), json.dumps(request))
    assert status == 200, content
    request["message"] *= 2
    try:
        status = call(https(secure, ca), "POST", "/v1/explain", Token(secure, "viewer").headers(),
                      json.dumps(request))[0]
    except OSError:
        status = 413  # it was not read to its end, and the client saw that first
    assert status == 413


def test_who_asks_before_it_sends_a_body_is_told_to_go_on(plain):
    """curl waits for 100 Continue where a body is large; the answer proper has all its headers."""
    text = json.dumps({"client": "127.0.2.1", "from": "a@b.example", "to": ["c@d.example"],
                       "message": "Subject: x\n\n" + "y" * 1_500_000})
    done = subprocess.run(
        ["curl", "-sSi", "--max-time", str(PATIENCE), "--expect100-timeout", str(PATIENCE),
         "-H", "Expect: 100-continue", "-H", f"Authorization: Bearer {secret('viewer')}",
         "--data-binary", "@-", f"http://127.0.0.1:{port(plain)}/v1/explain"],
        input=text, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    first, rest = done.stdout.split("\n\n", 1)
    assert first.strip() == "HTTP/1.1 100 Continue"
    assert rest.startswith("HTTP/1.1 200 OK") and "nosniff" in rest


def test_several_requests_at_once(secure, ca):
    """Sent without waiting for answers, over TLS: each is answered, in order."""
    bearer = f"Authorization: Bearer {secret('viewer')}"
    paths = ["/livez", "/v1/batches", "/v1/nothing", "/readyz", "/v1/queue"] * 4
    with context(ca).wrap_socket(connect(secure), server_hostname="gate.example") as peer:
        peer.sendall("".join(
            f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{bearer}\r\n"
            + ("Connection: close\r\n" if at == len(paths) - 1 else "") + "\r\n"
            for at, path in enumerate(paths)).encode())
        answers = re.findall(rb"HTTP/1\.1 (\d+)", drain(peer))
    assert answers == [b"404" if path == "/v1/nothing" else b"200" for path in paths]


def listen(gate, ca, headers):
    """A stream of events over TLS, its first one read."""
    peer = context(ca).wrap_socket(connect(gate), server_hostname="gate.example")
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    peer.sendall(f"GET /v1/events HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n".encode())
    text = b""
    while b"event: status" not in text:
        part = peer.recv(65536)
        assert part, text
        text += part
    assert b"text/event-stream" in text and b"nosniff" in text
    return peer


@pytest.mark.parametrize("end", ["session", "token"])
def test_a_stream_over_tls_ends_with_who_listens(secure, ca, tmp_path, end):
    page = Browser(secure, secret("operator"), https(secure, ca))
    headers = {"Cookie": f"mailfuse={page.cookie}", "Sec-Fetch-Site": "same-origin"}
    if end == "token":
        headers = Token(secure, "operator").headers()
    stream, other = listen(secure, ca, headers), listen(secure, ca, Token(secure, "viewer").headers())
    if end == "session":
        assert page.api("DELETE", "/v1/session")[0] == 200
    else:
        http_section(tmp_path, viewer="viewer")
        secure.reload()
    drain(stream)  # to its end
    other.setblocking(False)
    try:
        while other.recv(65536):
            pass
        raise AssertionError("another's stream ended too")
    except ssl.SSLWantReadError:
        pass
    other.close()


def certificate_of(gate, ca):
    with context(ca).wrap_socket(connect(gate), server_hostname="gate.example") as peer:
        return peer.getpeercert(binary_form=True)


def test_certificates_are_reloaded(secure, ca, tmp_path):
    own = tmp_path / "live.pem", tmp_path / "live.key"

    def put(issued):
        for source, target in zip(issued, own):
            shutil.copy(source, target.with_suffix(".new"))
            target.with_suffix(".new").chmod(0o600)
            target.with_suffix(".new").rename(target)

    put(ca.issue("gate.example", ip="127.0.0.1"))
    rest = re.sub(r'certificate = "[^"]*" key = "[^"]*"', with_tls(own), rest_of(secure))
    secure.reload(rest)
    before = certificate_of(secure, ca)
    kept = https(secure, ca)
    headers = Token(secure, "viewer").headers()
    assert call(kept, "GET", "/v1/status", headers)[0] == 200

    put(ca.issue("gate.example", ip="127.0.0.1"))
    assert certificate_of(secure, ca) == before, "not before the reload"
    secure.reload()
    after = certificate_of(secure, ca)
    assert after != before
    assert call(kept, "GET", "/v1/status", headers)[0] == 200, "a connection goes on"

    own[1].write_text("no key")
    own[1].chmod(0o600)
    secure.signal(1)
    secure.wait_logged(r"config\.refused why=.*mailfuse\.conf:\d+: http: there is no private key")
    assert certificate_of(secure, ca) == after, "the old one stays"

    put(ca.issue("gate.example", ip="127.0.0.1", expired=True))
    secure.reload()
    assert secure.logged(r"certificate\.expired listener=http certificate=\S*live\.pem")
    assert any(text.startswith("the certificate of http ended at 2020-")
               for text in secure.status()["warnings"])


def test_tls_is_not_switched_by_a_reload(secure, plain, ca):
    for gate, change in ((secure, lambda text: re.sub(r'certificate = "[^"]*" key = "[^"]*"', "", text)),
                         (plain, lambda text: text.replace(
                             "http { ", "http { " + with_tls(ca.issue("gate.example")) + " "))):
        gate.write(change(rest_of(gate)))
        gate.signal(1)
        gate.wait_logged(r"config\.refused why=.*http certificate \(TLS on or off\) changed: "
                         "that needs a restart")
    assert call(https(secure, ca), "GET", "/livez")[0] == 200
    assert ask(plain, "GET", "/livez")[0] == 200


@pytest.mark.parametrize("keys, why", [
    ("", r"address 0\.0\.0\.0 can be reached from other machines, and without TLS"),
    ('certificate = "/nonexistent.pem"', "/nonexistent.pem"),
    ('key = "/nonexistent.pem"', "key has no meaning without certificate"),
])
def test_beyond_this_machine_only_with_tls(make_gate, tmp_path, keys, why):
    gate = make_gate(section(tmp_path, keys, address="0.0.0.0:0", viewer="viewer"))
    done = subprocess.run([MAILFUSED, "-t", "-c", gate.config], capture_output=True, text=True)
    assert done.returncode == 1
    assert re.search(r"mailfuse\.conf:\d+: .*" + why, done.stderr), done.stderr


def test_a_key_that_others_can_read_is_refused(make_gate, tmp_path, ca):
    certificate, key = ca.issue("gate.example")
    shutil.copy(key, tmp_path / "open.key")
    (tmp_path / "open.key").chmod(0o644)
    gate = make_gate(section(tmp_path, with_tls((certificate, tmp_path / "open.key")), a="viewer"))
    done = subprocess.run([MAILFUSED, "-t", "-c", gate.config], capture_output=True, text=True)
    assert done.returncode == 1 and "open.key" in done.stderr and "chmod" in done.stderr


def test_all_addresses_of_the_machine(holding, tmp_path, ca):
    """Whoever reached it by an address may say that address, and no other."""
    keys = with_tls(ca.issue("gate.example", ip="127.0.0.2"))
    running, _, _ = holding(1, more=section(tmp_path, keys, "0.0.0.0:0", viewer="viewer"))
    number = int(running.wait_logged(r"http\.listening address=0\.0\.0\.0:(\d+)")[1])
    connection = http.client.HTTPSConnection("127.0.0.2", number, timeout=PATIENCE,
                                             context=context(ca))
    assert call(connection, "GET", "/livez")[0] == 200
    for host, wanted in ((f"127.0.0.2:{number}", 200), ("127.0.0.3", 421), ("0.0.0.0", 200),
                         ("gate.example", 421), ("localhost", 200)):
        assert call(connection, "GET", "/livez", {"Host": host})[0] == wanted, host


def test_ipv6(holding, tmp_path, ca):
    keys = with_tls(ca.issue("gate.example", ip="::1"))
    running, _, _ = holding(1, more=section(tmp_path, keys, "[::1]:0", viewer="viewer"))
    number = int(running.wait_logged(r"http\.listening address=\[::1\]:(\d+)")[1])
    connection = http.client.HTTPSConnection("::1", number, timeout=PATIENCE, context=context(ca))
    for host, wanted in ((f"[::1]:{number}", 200), ("[::1]", 200), ("::1", 421), ("[::2]", 421),
                         ("localhost", 200)):
        assert call(connection, "GET", "/livez", {"Host": host})[0] == wanted, host


# ---- sessions


def test_a_session_from_its_beginning_to_its_end(plain):
    page = Browser(plain, secret("operator"))
    assert page.answer["name"] == "operator" and page.answer["roles"] == ["operator"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+Z", page.answer["expires_at"])
    assert page.set_cookie == f"mailfuse={page.cookie}; Path=/; HttpOnly; SameSite=Strict"
    assert secret("operator") not in str(page.answer) + page.set_cookie
    status, answer = page.api("GET", "/v1/session")
    assert status == 200 and answer["csrf"] == page.csrf and answer["name"] == "operator"
    assert answer["expires_at"] >= page.answer["expires_at"], "it is used"
    status, answer = page.api("POST", "/v1/discard", {"ids": ["B1"], "reason": "no"})
    assert status == 200, answer
    [row] = [row for row in plain.audit() if row["action"] == "batch.discarded"]
    assert row["who"] == "token:operator"
    status, answer = page.api("POST", "/v1/approve", {"ids": ["B1"]})
    assert status == 403 and "role approver" in answer["detail"]
    assert page.api("DELETE", "/v1/session") == (200, {"ended": True})
    assert page.cookie == "" and "Max-Age=0" in page.set_cookie
    assert page.api("GET", "/v1/batches")[0] == 401
    log = plain.text()
    assert "http.session-opened who=token:operator" in log
    assert secret("operator") not in log and page.csrf not in log


def test_a_session_over_tls_is_secure(secure, ca):
    page = Browser(secure, secret("viewer"), https(secure, ca))
    assert page.set_cookie.endswith("; SameSite=Strict; Secure")
    assert page.api("GET", "/v1/batches")[0] == 200
    status, answer = page.api("POST", "/v1/hold", {}, Origin=page.origin.replace("https", "http"))
    assert status == 403 and "may not ask here" in answer["detail"]


@pytest.mark.parametrize("change, detail", [
    ({"X_Mailfuse_Csrf": ""}, "csrf"),
    ({"X_Mailfuse_Csrf": "A" * 43}, "not this session's"),
    ({"Origin": "https://evil.example"}, "evil.example may not ask here"),
    ({"Origin": "null"}, "null may not ask here"),
    ({"Sec_Fetch_Site": "cross-site"}, "another site"),
    ({"Content_Type": "text/plain"}, "application/json"),
], ids=lambda value: str(value))
def test_what_another_page_makes_a_browser_send(plain, change, detail):
    page = Browser(plain, secret("operator"))
    status, answer = page.api("POST", "/v1/discard", {"ids": ["B1"], "reason": "no"}, **change)
    assert status == 403 and detail in answer["detail"]
    assert plain.batch()["state"] == "held"


def test_a_session_ends_with_its_token(plain, tmp_path):
    pages = {name: Browser(plain, secret(name)) for name in ("viewer", "operator")}

    def statuses():
        return {name: page.api("GET", "/v1/batches")[0] for name, page in pages.items()}

    plain.reload()
    assert statuses() == {"viewer": 200, "operator": 200}, "the tokens are the same"
    http_section(tmp_path, operator="operator")
    plain.reload()
    assert statuses() == {"viewer": 401, "operator": 200}, "deleted"
    http_section(tmp_path, operator="viewer", viewer="viewer")
    plain.reload()
    assert statuses() == {"viewer": 401, "operator": 401}, "other roles; and over is over"


def test_a_restart_ends_all_sessions(plain):
    page = Browser(plain, secret("viewer"))
    plain.stop()
    plain.start()
    page.connection = http.client.HTTPConnection("127.0.0.1", port(plain), timeout=PATIENCE)
    status, answer = page.api("GET", "/v1/batches")
    assert status == 401 and "the session is over" in answer["detail"]


def test_300_sessions(plain):
    connection = http.client.HTTPConnection("127.0.0.1", port(plain), timeout=PATIENCE)
    pages = []
    for _ in range(300):
        pages.append(Browser(plain, secret("viewer"), connection))
        assert pages[0].api("GET", "/v1/session")[0] == 200, "who is at work stays"
    there = [page.api("GET", "/v1/session")[0] == 200 for page in pages]
    assert there == [True] + [False] * 44 + [True] * 255
    assert len({page.cookie for page in pages}) == 300


def test_wrong_tokens_of_the_login_page_are_slowed_down(plain):
    sent = {"Content-Type": "application/json", "Sec-Fetch-Site": "same-origin"}
    answers = [ask(plain, "POST", "/v1/session", {"token": "mf_guess"}, sent) for _ in range(12)]
    assert [answer[0] for answer in answers] == [401] * 10 + [429] * 2
    assert Browser(plain, secret("viewer")).api("GET", "/v1/batches")[0] == 200


# ---- requests


@pytest.mark.parametrize("path", [
    "/../../../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/..%2f..%2fetc/passwd", "/./index.html",
    "//etc/passwd", "/\\..\\etc\\passwd", "/index.html%00.js", "/batches/../../etc/passwd/",
    "/v1/../etc/passwd", "/etc/passwd", "/web/dist/index.html", "/.git/config", "/" + "a/" * 4000,
])
def test_no_path_leads_out_of_the_table_of_files(plain, path):
    answer = say(plain, f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    status = int(answer.split(b" ", 2)[1])
    page = path.startswith("/batches/")
    assert status in ((200,) if page else (400, 401, 404, 414, 421)), answer
    assert b"root:" not in answer and b"nosniff" in answer


@pytest.mark.parametrize("request_line", [
    b"GET /livez\0 HTTP/1.1", b"GET\0 /livez HTTP/1.1", b"GET /livez HTTP/9.9", b"GET /livez",
    b"\0" * 200, b"GET  /livez  HTTP/1.1", b"get /livez HTTP/1.1", b"G" * 40000, b"", b"\r\n" * 50,
    b"PRI * HTTP/2.0", b"CONNECT gate.example:443 HTTP/1.1", b"OPTIONS * HTTP/1.1",
], ids=lambda value: repr(value[:30]))
def test_odd_request_lines(plain, request_line):
    with connect(plain) as peer:
        peer.sendall(request_line + b"\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        peer.shutdown(socket.SHUT_WR)
        answer = drain(peer)
    if answer.startswith(b"HTTP/1.") and not re.match(rb"HTTP/1\.[01] 200", answer):
        assert b"X-Content-Type-Options: nosniff\r\n" in answer
    assert ask(plain, "GET", "/livez")[0] == 200


def test_methods(plain):
    headers = Token(plain, "operator").headers()
    for method in ("OPTIONS", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND"):
        status, _, answered = ask(plain, method, "/v1/batches", headers=headers)
        assert (status, answered["Allow"]) == (405, "GET, HEAD"), method
        assert ALWAYS.items() <= dict(answered).items()
    connection = http.client.HTTPConnection("127.0.0.1", port(plain), timeout=PATIENCE)
    _, content, _ = call(connection, "GET", "/v1/batches/B1/story", headers)
    for _ in range(3):  # on one connection: what follows begins where it should
        status, nothing, answered = call(connection, "HEAD", "/v1/batches/B1/story", headers)
        assert (status, nothing) == (200, b"")
        assert int(answered["Content-Length"]) == len(content)


def test_health_without_a_token(plain, tmp_path):
    for path in ("/livez", "/readyz"):
        status, answer, answered = ask(plain, "GET", path)
        assert (status, answer) == (200, {"status": "ok"})
        assert ALWAYS.items() <= dict(answered).items()
        assert plain.api("GET", path) == (200, {"status": "ok"})
    assert ask(plain, "GET", "/metrics")[0] == 401
    rest = rest_of(plain)
    plain.head = plain.head.replace("1MB", "1000000GB")
    plain.reload(rest)
    wait_for("not ready", lambda: ask(plain, "GET", "/readyz")[0] == 503)
    answer = ask(plain, "GET", "/readyz")[1]
    assert answer["detail"] == "the store has no room; mailfuse status says more"
    assert ask(plain, "GET", "/livez")[0] == 200


def test_the_page_or_where_it_is(plain):
    status, answer, answered = ask(plain, "GET", "/")
    assert status == 200
    if answered["Content-Type"].startswith("text/plain"):
        assert answer == b"the console was not built in; build it with web/build\n"
    else:
        assert "script-src 'self'" in answered["Content-Security-Policy"]
        assert answer == ask(plain, "GET", "/batches/B1")[1]
    plain.reload(rest_of(plain).replace("http { ", "http { console = off "))
    assert ask(plain, "GET", "/")[0] == 404


# ---- slow clients, and many


def test_slow_clients_are_ended_and_hold_nobody_up(plain, secure, ca):
    """A header, a body, a TLS handshake, byte by byte: none lives for long, all others are served."""
    ended, stop = [], threading.Event()

    def dribble(gate, first):
        with connect(gate) as peer:
            try:
                peer.sendall(first)
                peer.setblocking(False)
                while not stop.is_set():
                    peer.send(b"x")
                    try:
                        if peer.recv(1) == b"":
                            break
                    except BlockingIOError:
                        pass
                    stop.wait(0.5)
            except OSError:
                pass
        ended.append(first)

    firsts = [(plain, b"GET /livez HTTP/1.1\r\nX: "), (plain, b"GET /" ),
              (plain, b"POST /v1/hold HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n"),
              (plain, b"POST /v1/hold HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1000\r\n"),
              (secure, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")]
    threads = [threading.Thread(target=dribble, args=pair) for pair in firsts * 4]
    for thread in threads:
        thread.start()
    try:
        end = time.monotonic() + PATIENCE
        while len(ended) < len(threads) and time.monotonic() < end:
            assert ask(plain, "GET", "/livez")[0] == 200
            assert call(https(secure, ca), "GET", "/livez")[0] == 200
            time.sleep(0.2)
        assert len(ended) == len(threads), "some are still there"
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert plain.logged(r"http\.slow client=127\.0\.0\.1 bytes=\d+ what=request")
    assert secure.logged(r"http\.slow client=127\.0\.0\.1 bytes=\d+ what=request")


@pytest.mark.parametrize("kind", ["plain", "secure"])
def test_one_address_cannot_take_all_seats(kind, ca, request):
    gate = request.getfixturevalue(kind)
    idle = [connect(gate, "127.0.0.9") for _ in range(100)]

    def served():
        peer = connect(gate, "127.0.0.8")
        if kind == "secure":
            peer = context(ca).wrap_socket(peer, server_hostname="gate.example")
        with peer:
            peer.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            return drain(peer).startswith(b"HTTP/1.1 200")

    try:
        gate.wait_logged(r"http\.full connections=64 refused=")
        for _ in range(20):
            assert served()
    finally:
        for peer in idle:
            peer.close()


def test_bodies_of_strangers_do_not_fill_the_memory(plain):
    """60 of 1.9 MB that nobody has asked for, none in whole: the gate keeps 32 MB of them."""
    peers = [connect(plain) for _ in range(60)]
    head = b"POST /v1/explain HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2000000\r\n\r\n"
    before = plain.memory_peak()
    for peer in peers:
        try:
            peer.sendall(head + b"x" * 1_900_000)
        except OSError:
            pass  # it was its turn to go
    plain.wait_logged(r"http\.full unread=\d+ refused=1")
    assert ask(plain, "GET", "/livez")[0] == 200
    assert sanitized() or plain.memory_peak() - before < 100 << 20
    for peer in peers:
        peer.close()
