"""Real mail clients with TLS and AUTH; certificates of clients as their identity; a new
certificate of the gate without a restart."""

import os
import re
import shutil
import signal
import smtplib
import socket
import ssl
import subprocess

import pytest

from rig.client import Client, b64, letter, plain
from rig.gate import PRODUCTION_CLIENT, QUIET, listener, production, secured, upstream, users
from rig.tls import make_ca
from rig.wait import wait_for
from test_clients import SUBJECT, TEXT, run
from test_clients import letter as plain_letter

USER, PASSWORD = "app", "correct horse"
SENDER, RECIPIENT = "app@shop.example", "anna@customer.example"


@pytest.fixture(scope="module")
def ca(tmp_path_factory):
    return make_ca(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def clients_ca(tmp_path_factory):
    return make_ca(tmp_path_factory.mktemp("clients"), "Clients CA")


# Only who has logged in is production: that is how each test sees that the login counted.
BY_LOGIN = f"""environment "production" {{
    production = true
    match {{ user = {{"{USER}"}} }}
    {QUIET}
}}
"""


@pytest.fixture
def offered(make_gate, sink, ca, tmp_path):
    """A gate that takes mail from logins under TLS only: listeners starttls and implicit."""
    issued = ca.issue("gate.example", ip="127.0.0.1")
    config = users(tmp_path, **{USER: PASSWORD})
    config += listener(secured(issued, "required", "required"), "starttls")
    config += listener(secured(issued, "implicit", "required"), "implicit")
    return make_gate(config + upstream(sink) + BY_LOGIN).start()


class Job:
    """What a client is to do; all of them check the gate's certificate."""

    def __init__(self, gate, ca, directory, transport, mechanism):
        self.gate, self.ca, self.dir = gate, ca.path, directory
        self.port = str(gate.address(transport)[1])
        self.implicit, self.mechanism = transport == "implicit", mechanism


def with_smtplib(job):
    context = ssl.create_default_context(cafile=job.ca)
    keys = {"source_address": (PRODUCTION_CLIENT, 0)}
    if job.implicit:
        smtp = smtplib.SMTP_SSL("127.0.0.1", job.port, context=context, **keys)
    else:
        smtp = smtplib.SMTP("127.0.0.1", job.port, **keys)
    with smtp:
        if not job.implicit:
            smtp.starttls(context=context)
        smtp.user, smtp.password = USER, PASSWORD
        smtp.ehlo()
        smtp.auth(job.mechanism, smtp.auth_plain if job.mechanism == "PLAIN" else smtp.auth_login)
        smtp.sendmail(SENDER, RECIPIENT, plain_letter().replace(b"\n", b"\r\n"))


def with_swaks(job):
    run("swaks", "--server", "127.0.0.1", "--port", job.port,
        "--local-interface", PRODUCTION_CLIENT, "--from", SENDER, "--to", RECIPIENT,
        "--tls-on-connect" if job.implicit else "--tls", "--tls-verify", "--tls-ca-path", job.ca,
        "--auth", job.mechanism, "--auth-user", USER, "--auth-password", PASSWORD,
        "--header", f"Subject: {SUBJECT}", "--body", TEXT)


def with_msmtp(job):
    config = job.dir / "msmtprc"
    config.write_text(f"""account default
host 127.0.0.1
port {job.port}
source_ip {PRODUCTION_CLIENT}
from {SENDER}
tls on
tls_starttls {"off" if job.implicit else "on"}
tls_trust_file {job.ca}
tls_host_override gate.example
auth {job.mechanism.lower()}
user {USER}
password "{PASSWORD}"
""")
    config.chmod(0o600)
    run("msmtp", "-C", str(config), RECIPIENT, stdin=plain_letter())


def with_curl(job):
    path = job.dir / "letter"
    path.write_bytes(plain_letter().replace(b"\n", b"\r\n"))
    run("curl", "--silent", "--show-error", "--interface", PRODUCTION_CLIENT, "--ssl-reqd",
        f"smtp{'s' if job.implicit else ''}://127.0.0.1:{job.port}", "--cacert", job.ca,
        "--user", f"{USER}:{PASSWORD}", "--login-options", f"AUTH={job.mechanism}",
        "--mail-from", SENDER, "--mail-rcpt", RECIPIENT, "--upload-file", str(path))


NODE = """
const nodemailer = require('nodemailer');
const [port, localAddress, secure, authMethod, ca, user, pass, from, to, subject, text] =
  process.argv.slice(1);
nodemailer.createTransport({host: '127.0.0.1', port: +port, localAddress,
  secure: secure === 'implicit', requireTLS: true, authMethod, auth: {user, pass},
  tls: {ca: require('fs').readFileSync(ca), servername: 'gate.example'},
}).sendMail({from, to, subject, text})
  .then(() => process.exit(0), e => { console.error(e); process.exit(1); });
"""


def with_nodemailer(job):
    environment = dict(os.environ, NODE_PATH="/usr/share/nodejs:/usr/lib/nodejs")
    run("node", "-e", NODE, job.port, PRODUCTION_CLIENT,
        "implicit" if job.implicit else "starttls", job.mechanism, str(job.ca), USER, PASSWORD,
        SENDER, RECIPIENT, SUBJECT, TEXT, env=environment)


def with_s_client(job):
    """By hand, as people try out a mail server."""
    login = ([b"AUTH PLAIN " + plain(USER, PASSWORD)] if job.mechanism == "PLAIN"
             else [b"AUTH LOGIN", b64(USER), b64(PASSWORD)])
    text = plain_letter().replace(b"\n.", b"\n..").split(b"\n")[:-1]
    lines = [b"EHLO client.example", *login, b"MAIL FROM:<%s>" % SENDER.encode(),
             b"RCPT TO:<%s>" % RECIPIENT.encode(), b"DATA", *text, b".", b"QUIT", b""]
    s_client(job.port, *([] if job.implicit else ["-starttls", "smtp"]), "-CAfile", job.ca,
             "-verify_return_error", "-verify_hostname", "gate.example",
             stdin=b"\n".join(lines))


def s_client(port, *arguments, stdin=b"QUIT\n"):
    run("openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-bind", f"{PRODUCTION_CLIENT}:0",
        "-quiet", "-crlf", *arguments, stdin=stdin)


CLIENTS = [with_smtplib, with_swaks, with_msmtp, with_curl, with_nodemailer, with_s_client]


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
@pytest.mark.parametrize("transport", ["starttls", "implicit"])
@pytest.mark.parametrize("send", CLIENTS, ids=lambda f: f.__name__[5:])
def test_client_with_tls_and_login(send, transport, mechanism, offered, sink, ca, tmp_path):
    send(Job(offered, ca, tmp_path, transport, mechanism))
    message = sink.only()
    assert (message.sender, message.recipients) == (SENDER, [RECIPIENT])
    assert message.field("Subject") == SUBJECT
    assert message.field("X-Mailfuse-Environment") == "production"
    assert message.field("X-Mailfuse-Source") == USER
    # RFC 3848, and the cipher for whoever looks into an incident.
    received = message.fields("Received")[0]
    assert re.search(r"\(using TLSv1\.[23] .*\)\s+by gate\.example \(mailfuse\)\s+with ESMTPSA id ",
                     received), received
    assert message.body.rstrip() == TEXT.replace("\n", "\r\n").encode().rstrip()
    assert PASSWORD not in offered.text() and b64(PASSWORD).decode() not in offered.text()


@pytest.mark.parametrize("send", CLIENTS, ids=lambda f: f.__name__[5:])
def test_client_that_does_not_trust_the_gate_sends_nothing(send, offered, sink, tmp_path):
    """The checks above are real ones."""
    stranger = make_ca(tmp_path / "stranger")
    with pytest.raises((AssertionError, ssl.SSLError)):
        send(Job(offered, stranger, tmp_path, "starttls", "PLAIN"))
    assert not sink.messages and "session.login " not in offered.text()


@pytest.mark.parametrize("version, wanted", [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")])
def test_tls_versions_that_are_spoken(version, wanted, offered):
    s_client(offered.address("implicit")[1], version)
    assert f"session.tls version={wanted}" in offered.text()


@pytest.mark.parametrize("version", ["-tls1", "-tls1_1"])
def test_tls_versions_that_are_not(version, offered):
    with pytest.raises(AssertionError):
        s_client(offered.address("implicit")[1], version, "-cipher", "ALL:@SECLEVEL=0")
    assert "session.tls version=" not in offered.text()


def test_weak_ciphers_are_not_spoken(offered):
    for cipher in ("aNULL", "eNULL", "3DES", "RC4", "EXPORT"):
        with pytest.raises(AssertionError):
            s_client(offered.address("implicit")[1], "-tls1_2", "-cipher", f"{cipher}:@SECLEVEL=0")
    assert "session.tls version=" not in offered.text()


def test_nobody_renegotiates(offered):
    """CVE-2009-3555, CVE-2011-1473; `R` alone on a line asks s_client for it."""
    result = subprocess.run(
        ["openssl", "s_client", "-connect", f"127.0.0.1:{offered.address('implicit')[1]}",
         "-tls1_2", "-crlf"], input=b"R\n", capture_output=True, timeout=60)
    assert b"RENEGOTIATING" in result.stdout + result.stderr
    assert b"no renegotiation" in result.stderr or result.returncode != 0, result.stderr
    assert offered.text().count("session.tls version=") == 1


def outer_address():
    """One of this machine's addresses that is not loopback; packets to it never leave it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return None
        found = probe.getsockname()[0]
    return None if found.startswith("127.") else found


def test_logins_in_clear_are_for_loopback_only(make_gate, ca, tmp_path):
    host = outer_address()
    if not host:
        pytest.skip("this machine has no address but loopback")
    gate = make_gate(users(tmp_path, app=PASSWORD) + listener(
        secured(ca.issue("gate.example"), "starttls", "optional"), host=host)).start()
    with gate.client(host) as client:
        assert "AUTH" not in client.expect(250, "EHLO client.example")
        for line in (b"AUTH PLAIN " + plain(USER, PASSWORD), b"AUTH LOGIN", b"AUTH PLAIN"):
            code, text = client.command(line)
            assert code in (502, 503, 530, 538) and text.startswith("5."), (code, text)
        client.start_tls()
        assert "AUTH PLAIN LOGIN" in client.expect(250, "EHLO client.example")
        assert client.login(USER, PASSWORD)[0] == 235


# ---- the certificate of a client

BY_NAME = """environment "partner" {
    production = true
    match { tls_name = {"*.partner.example", "robot@shop.example"} }
    %s
}
""" % QUIET


@pytest.fixture
def trusting(make_gate, sink, ca, clients_ca):
    """A gate that knows clients by their certificates; all the others are held."""
    keys = [secured(ca.issue("gate.example"), tls, client_ca=clients_ca.path)
            for tls in ("starttls", "implicit")]
    return make_gate(listener(keys[0], "starttls") + listener(keys[1], "implicit")
                     + upstream(sink) + BY_NAME).start()


def enter(gate, transport, issued=(None, None), **keys):
    return Client(gate.address(transport), PRODUCTION_CLIENT, tls=transport,
                  certificate=issued[0], key=issued[1], **keys)


TRANSPORTS = pytest.mark.parametrize("transport", ["starttls", "implicit"])


@TRANSPORTS
@pytest.mark.parametrize("common, keys, name", [
    ("mx1.partner.example", {}, "mx1.partner.example"),
    ("The robot", {"email": "robot@shop.example"}, "robot@shop.example"),
])
def test_certificate_is_who_the_client_is(common, keys, name, transport, trusting, sink,
                                          clients_ca):
    with enter(trusting, transport, clients_ca.issue(common, **keys)) as client:
        assert client.mail([RECIPIENT], letter())[1][0] == 250
    message = sink.only()
    assert message.field("X-Mailfuse-Environment") == "partner"
    assert message.field("X-Mailfuse-Source") == name
    assert " with ESMTPS id " in message.fields("Received")[0]
    told = trusting.one("explain", "--client", PRODUCTION_CLIENT, "--tls-name", name, "--from", "",
                        "--to", RECIPIENT)
    assert (told["environment"], told["source"]) == ("partner", name)


@TRANSPORTS
def test_other_name_is_another_client(transport, trusting, sink, clients_ca):
    with enter(trusting, transport, clients_ca.issue("mx1.other.example")) as client:
        assert client.mail([RECIPIENT], letter())[1][0] == 250
    trusting.wait_count("unknown", "held", 1)
    assert trusting.deliveries()[0]["source"] == "mx1.other.example"
    assert not sink.messages


@TRANSPORTS
def test_client_without_a_certificate_is_its_address(transport, trusting, sink):
    with enter(trusting, transport) as client:
        assert client.mail([RECIPIENT], letter())[1][0] == 250
    trusting.wait_count("unknown", "held", 1)
    assert trusting.deliveries()[0]["source"] == PRODUCTION_CLIENT
    assert not sink.messages


@TRANSPORTS
@pytest.mark.parametrize("why", ["of another authority", "expired", "of nobody"])
def test_certificate_that_does_not_verify_ends_the_handshake(why, transport, trusting, sink, ca,
                                                             clients_ca, tmp_path):
    """TLS 1.3 tells the client only after its side is done: the first reply is what fails."""
    issued = {
        "of another authority": lambda: ca.issue("mx1.partner.example"),
        "expired": lambda: clients_ca.issue("mx1.partner.example", expired=True),
        "of nobody": lambda: make_ca(tmp_path / "x", "Clients CA").issue("mx1.partner.example"),
    }[why]()
    try:
        with enter(trusting, transport, issued, greet=False) as client:
            assert client.greeting[0] == 0 if transport == "implicit" else \
                client.command("EHLO client.example")[0] == 0
    except OSError:
        pass
    trusting.wait_logged("session.tls-failed")
    assert "session.tls version=" not in trusting.text() and not sink.messages


def test_login_goes_before_the_certificate(make_gate, sink, ca, clients_ca, tmp_path):
    """Identities in order: who logged in, then the certificate, then the address."""
    keys = secured(ca.issue("gate.example"), "implicit", "optional", clients_ca.path)
    gate = make_gate(users(tmp_path, **{USER: PASSWORD}) + listener(keys, "implicit")
                     + upstream(sink) + BY_NAME + BY_LOGIN).start()
    with enter(gate, "implicit", clients_ca.issue("mx1.partner.example")) as client:
        assert client.login(USER, PASSWORD)[0] == 235
        assert client.mail([RECIPIENT], letter())[1][0] == 250
    assert sink.only().field("X-Mailfuse-Environment") == "production"
    assert sink.only().field("X-Mailfuse-Source") == USER


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_resumed_session_is_the_same_client(version, trusting, sink, clients_ca):
    """Where a session is taken up again, its certificate is, too; it is nobody else's ticket."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.minimum_version = context.maximum_version = version
    context.load_cert_chain(*clients_ca.issue("mx1.partner.example"))
    session = None
    for n in range(3):
        raw = socket.create_connection(trusting.address("implicit"), 30,
                                       source_address=(PRODUCTION_CLIENT, 0))
        with context.wrap_socket(raw, session=session) as sock:
            with smtplib.SMTP() as smtp:
                smtp.sock, smtp.file = sock, sock.makefile("rb")
                assert smtp.getreply()[0] == 220
                smtp.sendmail(SENDER, [RECIPIENT], letter(subject=f"Nr. {n}"))
                session = sock.session
    for message in sink.wait(3):
        assert message.field("X-Mailfuse-Environment") == "partner"


def test_real_clients_show_certificates(trusting, sink, ca, clients_ca, tmp_path):
    certificate, key = clients_ca.issue("mx1.partner.example")
    path = tmp_path / "letter"
    path.write_bytes(plain_letter().replace(b"\n", b"\r\n"))
    run("curl", "--silent", "--show-error", "--interface", PRODUCTION_CLIENT, "--ssl-reqd",
        "--connect-to", f"gate.example::127.0.0.1:{trusting.address('starttls')[1]}",
        "smtp://gate.example", "--cacert", str(ca.path), "--cert", str(certificate),
        "--key", str(key), "--mail-from", SENDER, "--mail-rcpt", RECIPIENT,
        "--upload-file", str(path))
    config = tmp_path / "msmtprc"
    config.write_text(f"account default\nhost 127.0.0.1\nport {trusting.address('implicit')[1]}\n"
                      f"source_ip {PRODUCTION_CLIENT}\nfrom {SENDER}\ntls on\ntls_starttls off\n"
                      f"tls_trust_file {ca.path}\ntls_host_override gate.example\n"
                      f"tls_cert_file {certificate}\ntls_key_file {key}\n")
    config.chmod(0o600)
    run("msmtp", "-C", str(config), RECIPIENT, stdin=plain_letter())
    for message in sink.wait(2):
        assert message.field("X-Mailfuse-Source") == "mx1.partner.example"


# ---- a new certificate


class Renewed:
    """A gate whose certificate and key are files that get replaced."""

    def __init__(self, make_gate, sink, ca, directory):
        self.ca, self.certificate, self.key = ca, directory / "gate.pem", directory / "gate.key"
        self.first = self.replace()
        files = (self.certificate, self.key)
        self.gate = make_gate(listener(secured(files, "starttls"), "starttls")
                              + listener(secured(files, "implicit"), "implicit")
                              + upstream(sink) + production()).start()

    def replace(self):
        """Puts a new pair in place; returns the certificate as clients see it."""
        certificate, key = self.ca.issue("gate.example", ip="127.0.0.1")
        shutil.copy(certificate, self.certificate)
        shutil.copy(key, self.key)
        self.key.chmod(0o600)
        return ssl.PEM_cert_to_DER_cert(certificate.read_text())

    def reload(self, wanted):
        before = len(re.findall(wanted, self.gate.text()))
        self.gate.signal(signal.SIGHUP)
        wait_for(f"{wanted} in the log:\n{self.gate.text()[-2000:]}",
                 lambda: len(re.findall(wanted, self.gate.text())) > before)

    def shown(self, transport):
        with Client(self.gate.address(transport), PRODUCTION_CLIENT, tls=transport,
                    ca=self.ca.path) as client:
            return client.sock.getpeercert(binary_form=True)


@pytest.fixture
def renewed(make_gate, sink, ca, tmp_path):
    return Renewed(make_gate, sink, ca, tmp_path)


@TRANSPORTS
def test_new_certificate_after_sighup(transport, renewed, sink):
    """New connections see it; those that are open live on."""
    with enter(renewed.gate, transport, ca=renewed.ca.path) as old:
        begun = enter(renewed.gate, transport, ca=renewed.ca.path)
        begun.expect(250, f"MAIL FROM:<{SENDER}>")
        second = renewed.replace()
        assert renewed.shown(transport) == renewed.first != second
        renewed.reload("config.reloaded")
        wait_for("the new certificate", lambda: renewed.shown(transport) == second)
        begun.expect(250, f"RCPT TO:<{RECIPIENT}>")
        begun.expect(354, "DATA")
        begun.send(letter() + b"\r\n.\r\n")
        assert begun.reply()[0] == 250
        begun.close()
        assert old.mail([RECIPIENT], letter())[1][0] == 250
    sink.wait(2)


def rubbish(files):
    files.certificate.write_text("rubbish\n")


def no_file(files):
    files.certificate.unlink()


def other_key(files):
    files.key.write_bytes(files.ca.issue("gate.example")[1].read_bytes())


def half(files):
    text = files.certificate.read_text()
    files.certificate.write_text(text[:len(text) // 2])


def open_key(files):
    files.key.chmod(0o644)


@pytest.mark.parametrize("spoil", [rubbish, no_file, other_key, half, open_key],
                         ids=lambda f: f.__name__)
def test_bad_certificate_changes_nothing(spoil, renewed):
    spoil(renewed)
    renewed.reload("config.refused")
    for transport in ("starttls", "implicit"):
        assert renewed.shown(transport) == renewed.first
    assert [w for w in renewed.gate.status()["warnings"] if "a reload was refused at" in w]
    second = renewed.replace()
    renewed.reload("config.reloaded")
    assert "refused" not in str(renewed.gate.status()["warnings"])
    wait_for("the new certificate", lambda: renewed.shown("implicit") == second)


def test_a_certificate_that_ends_is_told_of(make_gate, sink, ca):
    """The other has 30 days left."""
    files = {"old": ca.issue("gate.example", expired=True), "good": ca.issue("gate.example")}
    gate = make_gate("".join(listener(secured(files[name]), name) for name in files)
                     + upstream(sink) + production()).start()
    gate.wait_logged(r"certificate\.expired listener=old .*until=2020-02-01")
    assert re.findall(r"certificate of listener (\w+) ended at 2020-02-01\S+ put its successor into",
                      str(gate.status()["warnings"])) == ["old"]
    assert "listener=good certificate" not in gate.text()


def test_reload_in_the_middle_of_a_handshake(renewed):
    """The listener's keys go away under it; the handshake has its own hold on them."""
    clients = []
    for _ in range(10):
        client = Client(renewed.gate.address("starttls"), PRODUCTION_CLIENT)
        client.expect(220, "STARTTLS")
        clients.append(client)
    second = renewed.replace()
    renewed.reload("config.reloaded")
    for client in clients:
        client.handshake()
        client.expect(250, "EHLO client.example")
        assert client.sock.getpeercert(binary_form=True) in (None, renewed.first, second)
        client.close()


def test_listener_that_gets_its_tls_taken_away(make_gate, sink, ca):
    """A reload from required to off: what is announced follows, also on open connections."""
    issued = ca.issue("gate.example")
    environments = upstream(sink) + production()
    gate = make_gate(listener(secured(issued, "required")) + environments).start()
    with gate.client(PRODUCTION_CLIENT) as client:
        assert client.command(f"MAIL FROM:<{SENDER}>")[0] == 530
        gate.write(listener() + environments)
        gate.signal(signal.SIGHUP)
        gate.wait_logged("config.reloaded")
        assert "STARTTLS" not in client.expect(250, "EHLO client.example")
        assert client.command("STARTTLS")[0] in (454, 502)
