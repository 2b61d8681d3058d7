"""TLS and AUTH towards the smarthost (RFC 3207, 4954, 7435, 8314): what must be under TLS waits."""

import shutil
import signal
import socket
import ssl
import subprocess
import threading
import warnings

import pytest

from rig.client import b64, letter, plain
from rig.gate import PRODUCTION_CLIENT, listener, production, upstream
from rig.sink import CUT, HANG, Sink, tls_context
from rig.tls import make_ca
from rig.wait import stays_true, wait_for

USER, PASSWORD = "apikey", "open sesame/ü+=1"
PASSWORD_KEYS = f'user = "{USER}" password = "${{SMARTHOST_PASSWORD}}" '


@pytest.fixture(scope="module")
def ca(tmp_path_factory):
    return make_ca(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def issued(ca, tmp_path_factory):
    """Certificates by what is to be said of them."""
    other = make_ca(tmp_path_factory.mktemp("other"), "Another CA")
    return {
        "good": ca.issue("localhost", ip="127.0.0.1"),
        "wrong name": ca.issue("other.example", ip="127.0.0.99"),
        "expired": ca.issue("localhost", ip="127.0.0.1", expired=True),
        "unknown CA": other.issue("localhost", ip="127.0.0.1"),
    }


@pytest.fixture
def smarthost(issued):
    """smarthost(certificate, ...): a sink with TLS."""
    sinks = []

    def make(certificate="good", **keys):
        sinks.append(Sink(context=tls_context(issued[certificate]), **keys))
        return sinks[-1]

    yield make
    for sink in sinks:
        sink.stop()


@pytest.fixture
def start(make_gate, webhook, ca):
    """start(sink, tls, ...): a gate whose only upstream it is, and that tells the webhook all."""

    def run(sink, tls, keys="", host="127.0.0.1", trust=None):
        trusted = f'ca = "{trust or ca.path}"' if tls in ("required", "implicit") else ""
        config = upstream(sink, f'tls = {tls} {trusted} {keys}')
        config = config.replace("127.0.0.1", host)
        alerts = (f'alert "ops" {{ type = webhook url = "{webhook.url}" '
                  'events = {"upstream.*"} }\n')
        return make_gate(listener() + config + production() + alerts,
                         environment={"SMARTHOST_PASSWORD": PASSWORD}).start()

    return run


def send(running, *names):
    return running.send(letter(), list(names or ["ann@x.test"]), PRODUCTION_CLIENT, sender="")


def said(sink, verb, secured=None):
    """The lines with that verb, on any connection."""
    return [line for _, under, line in list(sink.heard)
            if line.upper().startswith(verb) and secured in (None, under)]


def patience(trouble):
    """Only where silence is waited out: a slow machine is not to be taken for it."""
    return 'timeout = "1s"' if "silence" in trouble else ""


# ---- TLS that works

@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
@pytest.mark.parametrize("tls", ["opportunistic", "required", "implicit"])
def test_mail_goes_under_tls(tls, host, smarthost, start):
    sink = smarthost(implicit=tls == "implicit")
    names = []
    sink.context.sni_callback = lambda _sock, name, _context: names.append(name)
    running = start(sink, tls, host=host)
    send(running)
    assert sink.only().secured
    running.wait_count("production", "sent", 1)
    # RFC 6066 3: no address may stand there.
    assert names == [None if host == "127.0.0.1" else host]
    assert not said(sink, "MAIL", secured=False)
    assert len(said(sink, "EHLO", secured=True)) == 1
    assert len(said(sink, "EHLO", secured=False)) == (tls != "implicit")
    assert running.logged(r"client\.open .*tls=TLSv1\.[23] cipher=\w+")


def test_off_does_not_even_ask(smarthost, start):
    sink = smarthost()
    send(start(sink, "off"))
    assert not sink.only().secured
    assert not said(sink, "STARTTLS")


def test_what_was_offered_in_clear_is_forgotten(smarthost, start):
    """Anybody could have put it there (RFC 3207 4.2): here a size limit, and no AUTH."""
    sink = smarthost(extensions=["PIPELINING"], login=(USER, PASSWORD))
    sink.rule = lambda now, _, session: (
        "250-sink\r\n250-SIZE 10\r\n250-SMTPUTF8\r\n250-DSN\r\n250 STARTTLS"
        if now == "ehlo" and not session.secured else None)
    running = start(sink, "required", PASSWORD_KEYS)
    send(running)
    message = sink.only()
    assert message.secured and message.user == USER
    assert "SIZE" not in message.mail_line
    assert not said(sink, "AUTH", secured=False)


def test_large_messages_and_many_go_under_tls(smarthost, start):
    sink = smarthost()
    running = start(sink, "required")
    body = "\r\n".join("x" * 900 for _ in range(5000))
    running.send(letter(body=body), ["big@x.test"], PRODUCTION_CLIENT, sender="")
    with running.client(PRODUCTION_CLIENT) as client:
        for n in range(50):
            assert client.mail([f"r{n}@x.test"], letter())[1][0] == 250
    sink.wait(51)
    running.wait_count("production", "sent", 51)
    assert all(m.secured for m in sink.messages)
    big = next(m for m in sink.messages if m.recipients == ["big@x.test"])
    assert big.body == body.encode() + b"\r\n"


# ---- TLS that does not: nothing leaves in clear

def garbage(sock):
    sock.sendall(b"\x00\x01 this is no TLS at all, sorry\r\n" * 10)


def no_handshake(answer):
    """STARTTLS is taken; what follows is not a handshake."""
    def rule(now, _, session):
        if now != "starttls":
            return None
        if answer is garbage:
            session.sock.sendall(b"220 go\r\n")
            session.sock.recv(65536)
            garbage(session.sock)
            return HANG
        session.sock.sendall(b"220 go\r\n")
        return answer

    return rule


def answers(stage, answer):
    return lambda now, *_: answer if now == stage else None


TROUBLES = {
    "454": (answers("starttls", "454 4.7.0 not now"), "454 4.7.0 not now"),
    "502": (answers("starttls", "502 5.5.1 what"), "502 5.5.1 what"),
    "421": (answers("starttls", "421 4.3.2 bye"), "421 4.3.2 bye"),
    "cut": (answers("starttls", CUT), "closed"),
    "silence": (answers("starttls", HANG), "no answer in time"),
    "no reply": (answers("starttls", "hello there"), "no SMTP reply"),
    "cut in the handshake": (no_handshake(CUT), "TLS: "),
    "silence in the handshake": (no_handshake(HANG), "TLS: the handshake took too long"),
    "no TLS after the 220": (no_handshake(garbage), "TLS: the peer does not speak TLS"),
    "clear text behind the 220": (answers("starttls", b"220 go\r\n250 injected\r\n"),
                                  "TLS: the peer sent clear text"),
}
CERTIFICATES = {"wrong name": "127.0.0.1", "expired": "expired", "unknown CA": "verify failed"}


def expect_down_and_nothing_sent(running, sink, webhook, why):
    alert = webhook.wait("upstream.down")[0]
    assert why in alert["text"], alert["text"]
    assert "smarthost" in alert["text"]
    status = running.status()["upstreams"][0]
    assert not status["up"] and status["why"]
    assert running.counts("production") == {"queued": 1}
    assert not said(sink, "MAIL")
    assert not sink.messages


def expect_sent_under_tls(running, sink, webhook):
    webhook.wait("upstream.up")
    assert sink.only().secured
    running.wait_counts("production", {"sent": 1})
    assert not said(sink, "MAIL", secured=False)


@pytest.mark.parametrize("trouble", TROUBLES)
def test_required_waits_where_starttls_fails(trouble, smarthost, start, webhook):
    sink = smarthost()
    sink.rule, why = TROUBLES[trouble]
    running = start(sink, "required", patience(trouble))
    send(running)
    expect_down_and_nothing_sent(running, sink, webhook, why)
    sink.rule = None
    expect_sent_under_tls(running, sink, webhook)


def test_required_waits_where_starttls_is_dropped(smarthost, start, webhook):
    """Somebody between strips the keyword, or the smarthost has lost its certificate."""
    sink = smarthost()
    context, sink.context = sink.context, None
    running = start(sink, "required")
    send(running)
    expect_down_and_nothing_sent(running, sink, webhook, "offers no STARTTLS")
    tried = sink.connections
    wait_for("it is tried again", lambda: sink.connections > tried + 1)
    sink.context = context
    expect_sent_under_tls(running, sink, webhook)


def test_required_waits_where_only_helo_is_known(smarthost, start, webhook):
    sink = smarthost()
    sink.rule = answers("ehlo", "502 5.5.1 what")
    running = start(sink, "required")
    send(running)
    expect_down_and_nothing_sent(running, sink, webhook, "offers no STARTTLS")
    sink.rule = None
    expect_sent_under_tls(running, sink, webhook)


def test_required_waits_where_starttls_goes_away_between_messages(smarthost, start, webhook):
    sink = smarthost()
    running = start(sink, "required")
    send(running, "first@x.test")
    sink.wait(1)
    running.wait_counts("production", {"sent": 1})
    context, sink.context = sink.context, None
    sink.cut()
    send(running, "second@x.test")
    webhook.wait("upstream.down")
    stays_true("nothing in clear", lambda: len(sink.messages) == 1, 0.2)
    sink.context = context
    sink.wait(2)
    assert all(m.secured for m in sink.messages)


@pytest.mark.parametrize("tls", ["required", "implicit"])
@pytest.mark.parametrize("certificate", CERTIFICATES)
def test_a_bad_certificate_gets_no_mail(certificate, tls, smarthost, start, webhook, issued):
    sink = smarthost(certificate, implicit=tls == "implicit")
    running = start(sink, tls)
    send(running)
    expect_down_and_nothing_sent(running, sink, webhook, CERTIFICATES[certificate])
    sink.context = tls_context(issued["good"])
    expect_sent_under_tls(running, sink, webhook)


def test_the_name_is_checked_too(smarthost, start, webhook, issued):
    sink = smarthost("wrong name")
    running = start(sink, "required", host="localhost")
    send(running)
    expect_down_and_nothing_sent(running, sink, webhook, "another name than localhost")


def test_required_trusts_the_system_where_no_ca_is_set(smarthost, start, webhook, tmp_path):
    """And the system does not know our test authority."""
    sink = smarthost()
    running = start(sink, "required", trust="/etc/ssl/certs/ca-certificates.crt")
    send(running)
    expect_down_and_nothing_sent(running, sink, webhook, "verify failed")


def test_implicit_with_a_server_in_clear_waits(sink, start, webhook):
    running = start(sink, "implicit")
    send(running)
    expect_down_and_nothing_sent(running, sink, webhook, "TLS: ")


@pytest.mark.parametrize("tls", ["required", "implicit", "opportunistic"])
def test_tls_below_1_2_is_not_spoken(tls, smarthost, start, webhook):
    sink = smarthost(implicit=tls == "implicit")
    with warnings.catch_warnings(action="ignore"):  # it warns of what it is to be warned of
        sink.context.minimum_version = ssl.TLSVersion.TLSv1
        sink.context.maximum_version = ssl.TLSVersion.TLSv1_1
    sink.context.set_ciphers("ALL:@SECLEVEL=0")
    running = start(sink, tls)
    send(running)
    if tls == "opportunistic":
        assert not sink.only().secured
    else:
        expect_down_and_nothing_sent(running, sink, webhook, "TLS: ")


# ---- opportunistic: TLS where it can be had, mail in any case

@pytest.mark.parametrize("certificate", ["good", *CERTIFICATES])
def test_opportunistic_takes_any_certificate(certificate, smarthost, start):
    sink = smarthost(certificate)
    send(start(sink, "opportunistic"))
    assert sink.only().secured


@pytest.mark.parametrize("trouble", TROUBLES)
def test_opportunistic_goes_on_in_clear_and_remembers(trouble, smarthost, start, webhook):
    sink = smarthost()
    sink.rule, _ = TROUBLES[trouble]
    running = start(sink, "opportunistic", "connections = 1 " + patience(trouble))
    send(running, "first@x.test")
    sink.wait(1)
    assert sink.connections == 2 and not sink.messages[0].secured
    assert running.logged(r"upstream\.tls-failed name=smarthost")
    sink.cut()
    send(running, "second@x.test")
    sink.wait(2)
    assert len(said(sink, "STARTTLS")) == 1
    running.wait_counts("production", {"sent": 2})
    assert not webhook.alerts


def test_opportunistic_without_an_offer_is_in_clear_at_once(sink, start):
    send(start(sink, "opportunistic"))
    assert not sink.only().secured
    assert sink.connections == 1


def test_opportunistic_in_clear_that_fails_too_is_down(smarthost, start, webhook):
    sink = smarthost()
    broken = [True]
    sink.rule = lambda now, _, session: (
        CUT if now == "starttls" else "554 5.7.1 nor in clear"
        if now == "connect" and broken[0] and session.number % 2 == 0 else None)
    running = start(sink, "opportunistic", "connections = 1")
    send(running)
    wait_for("the first connection ended in STARTTLS", lambda: said(sink, "STARTTLS"))
    wait_for("and the second was refused", lambda: sink.connections >= 2)
    broken[0] = False
    sink.wait(1)
    running.wait_counts("production", {"sent": 1})


# ---- AUTH

@pytest.mark.parametrize("tls", ["off", "required", "implicit"])
@pytest.mark.parametrize("mechanisms, used", [
    (["PLAIN", "LOGIN"], "PLAIN"), (["LOGIN"], "LOGIN"), (["login", "CRAM-MD5"], "LOGIN"),
    (["CRAM-MD5", "GSSAPI", "plain"], "PLAIN")])
def test_login(mechanisms, used, tls, smarthost, start):
    sink = smarthost(implicit=tls == "implicit", login=(USER, PASSWORD))
    sink.mechanisms = mechanisms
    if tls == "off":
        sink.context = None
    running = start(sink, tls, PASSWORD_KEYS)
    send(running)
    assert sink.only().user == USER
    assert said(sink, "AUTH")[0].split()[1] == used
    assert not said(sink, "AUTH", secured=False) or tls == "off"
    assert_no_secret(running)


def assert_no_secret(running, *more):
    places = [running.text(), str(running.status()), str(running.audit()), *more]
    for secret in (PASSWORD, b64(PASSWORD).decode(), plain(USER, PASSWORD).decode()):
        assert not [place for place in places if secret in place]


def test_login_the_way_it_was_offered_before_rfc_2554(smarthost, start):
    sink = smarthost(login=(USER, PASSWORD))
    sink.rule = lambda now, _, session: (
        "250-sink\r\n250 AUTH=LOGIN PLAIN" if now == "ehlo" and session.secured else None)
    send(start(sink, "required", PASSWORD_KEYS))
    assert sink.only().user == USER


def test_a_password_too_long_for_the_command_waits_for_the_334(smarthost, make_gate, ca):
    long = "p" * 900
    sink = smarthost(login=(USER, long))
    make = make_gate(listener() + upstream(sink, f'tls = required ca = "{ca.path}" {PASSWORD_KEYS}')
                     + production(), environment={"SMARTHOST_PASSWORD": long})
    send(make.start())
    assert sink.only().user == USER
    assert said(sink, "AUTH") == ["AUTH PLAIN"]


REFUSALS = {
    "535": (answers("auth", "535 5.7.8 no such user"), "AUTH refused: 535 5.7.8 no such user"),
    "454": (answers("auth", "454 4.7.0 later"), "AUTH refused: 454 4.7.0 later"),
    "421": (answers("auth", "421 4.3.2 bye"), "421 4.3.2 bye"),
    "250": (answers("auth", "250 2.0.0 whatever"), "AUTH refused: 250"),
    "asks for more": (answers("auth", "334 VXNlcm5hbWU6"), "AUTH refused: it asks for more"),
    "garbage": (answers("auth", "hello there"), "no SMTP reply"),
    "cut": (answers("auth", CUT), "closed"),
    "silence": (answers("auth", HANG), "no answer in time"),
    "tells the password": (answers("auth", f"535 5.7.8 not {PASSWORD.replace('ü', 'u')}"),
                           "AUTH refused: 535"),
    "tells the response": (answers("auth", f"535 {plain(USER, PASSWORD).decode()}"),
                           "AUTH refused: 535, in words that hold the password"),
}


@pytest.mark.parametrize("refusal", REFUSALS)
def test_a_refused_login_is_told_and_mail_waits(refusal, smarthost, start, webhook):
    sink = smarthost(login=(USER, PASSWORD))
    sink.rule, why = REFUSALS[refusal]
    running = start(sink, "required", PASSWORD_KEYS + patience(refusal))
    send(running)
    expect_down_and_nothing_sent(running, sink, webhook, why)
    assert_no_secret(running, str(webhook.alerts))
    sink.rule = None
    expect_sent_under_tls(running, sink, webhook)


@pytest.mark.parametrize("mechanisms, why", [
    (["CRAM-MD5"], "it offers neither PLAIN nor LOGIN"), ([], "it offers neither PLAIN nor LOGIN"),
    (None, "it offers no AUTH")])
def test_no_login_to_be_had_is_told_and_mail_waits(mechanisms, why, smarthost, start, webhook):
    sink = smarthost(login=(USER, PASSWORD))
    sink.mechanisms = mechanisms
    if mechanisms is None:
        sink.login = None
    running = start(sink, "required", PASSWORD_KEYS)
    send(running)
    expect_down_and_nothing_sent(running, sink, webhook, f"AUTH refused: {why}")


def test_a_wrong_password_is_told_and_a_reload_mends_it(smarthost, start, webhook):
    sink = smarthost(login=(USER, "another"))
    running = start(sink, "required", PASSWORD_KEYS)
    send(running)
    expect_down_and_nothing_sent(running, sink, webhook, "AUTH refused: 535 5.7.8")
    sink.login = (USER, PASSWORD)
    running.signal(signal.SIGHUP)
    expect_sent_under_tls(running, sink, webhook)


def own_address():
    """An address of this machine that is not loopback; None if it has none."""
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        try:
            sock.connect(("198.51.100.1", 9))  # sends nothing
        except OSError:
            return None
        return sock.getsockname()[0]


def may_mount():
    return (shutil.which("unshare") is not None
            and not subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode)


@pytest.mark.parametrize("tls", ["off", "opportunistic"])
def test_no_password_where_localhost_is_somebody_else(tls, smarthost, make_gate, tmp_path):
    address = own_address()
    if address is None or not may_mount():
        pytest.skip("needs an address beside loopback, and root, for a hosts file of its own")
    sink = smarthost(login=(USER, PASSWORD), host=address)
    hosts = tmp_path / "hosts"
    hosts.write_text(f"{address} localhost\n")
    config = upstream(sink, f"tls = {tls} {PASSWORD_KEYS}").replace(address, "localhost")
    running = make_gate(listener() + config + production(),
                        environment={"SMARTHOST_PASSWORD": PASSWORD})
    running.before = ["unshare", "--mount", "sh", "-c",
                      f'mount --bind "{hosts}" /etc/hosts && exec "$@"', "sh"]
    running.start()
    send(running)
    running.wait_logged(rf"client\.end .*peer={address}:.* a password leaves under verified TLS")
    assert not said(sink, "AUTH")


# ---- reload

def test_a_reload_takes_mail_from_clear_to_tls(smarthost, start, ca):
    sink = smarthost()
    running = start(sink, "off")
    send(running, "first@x.test")
    sink.wait(1)
    running.wait_counts("production", {"sent": 1})
    text = running.config.read_text().replace("tls = off", f'tls = required ca = "{ca.path}"')
    running.config.write_text(text)
    running.signal(signal.SIGHUP)
    running.wait_logged(r"config\.reloaded")
    send(running, "second@x.test")
    sink.wait(2)
    assert [m.secured for m in sink.messages] == [False, True]


def test_a_reload_to_tls_counts_from_the_next_transaction(smarthost, start, ca):
    """A message with hundreds of recipients takes several, and they may take long."""
    sink = smarthost()
    first, go_on = threading.Event(), threading.Event()

    def rule(now, *_):
        if now == "end" and not first.is_set():
            first.set()
            go_on.wait(30)

    sink.rule = rule
    running = start(sink, "off", "connections = 1")
    send(running, *(f"r{n}@x.test" for n in range(250)))
    assert first.wait(30)
    text = running.config.read_text().replace("tls = off", f'tls = required ca = "{ca.path}"')
    running.config.write_text(text)
    running.signal(signal.SIGHUP)
    running.wait_logged(r"config\.reloaded")
    go_on.set()
    sink.wait(250)
    assert [m.secured for m in sink.messages] == [False, True, True]
    running.wait_counts("production", {"sent": 250})


SEVERAL = 16  # at least one on each loop, which clients are dealt to in turn


def test_tls_that_failed_at_the_old_address_says_nothing_of_the_new_one(smarthost, start):
    old, new = smarthost(), smarthost()
    go_on = threading.Event()

    def rule(now, _, session):
        if now == "starttls":
            session.sock.sendall(b"220 go\r\n")
            go_on.wait(30)
            return CUT

    old.rule = rule
    running = start(old, "opportunistic")
    send(running, "first@x.test")
    wait_for("the old one was asked", lambda: said(old, "STARTTLS"))
    running.config.write_text(running.config.read_text().replace(old.address, new.address))
    running.signal(signal.SIGHUP)
    running.wait_logged(r"config\.reloaded")
    for n in range(SEVERAL):
        send(running, f"second{n}@x.test")
    new.wait(SEVERAL)
    go_on.set()
    running.wait_logged(r"client\.end .*state=handshake")
    running.wait_counts("production", {"sent": 1 + SEVERAL})
    new.cut()
    for n in range(SEVERAL):
        send(running, f"third{n}@x.test")
    new.wait(1 + 2 * SEVERAL)
    assert all(m.secured for m in new.messages)
    assert not old.messages
