"""Real mail clients in front of the gate, a real mail server behind it."""

import os
import shutil
import smtplib
import subprocess
from email.message import EmailMessage

import pytest

from rig import postfix
from rig.gate import PRODUCTION_CLIENT, listener, production

SUBJECT = "Invoice 42"
TEXT = "Dear customer,\n.a line that starts with a dot\n..and one with two\nBye\n"


def with_smtplib(gate, _dir):
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = (
        "app@shop.example", "anna@customer.example", SUBJECT)
    message.set_content(TEXT)
    host, port = gate.address()
    with smtplib.SMTP(host, port, source_address=(PRODUCTION_CLIENT, 0)) as smtp:
        smtp.send_message(message)


def with_swaks(gate, _dir):
    run("swaks", "--server", f"127.0.0.1:{gate.port}", "--local-interface", PRODUCTION_CLIENT,
        "--pipeline", "--from", "app@shop.example", "--to", "anna@customer.example",
        "--header", f"Subject: {SUBJECT}", "--body", TEXT)


def with_msmtp(gate, directory):
    config = directory / "msmtprc"
    config.write_text(f"account default\nhost 127.0.0.1\nport {gate.port}\n"
                      f"source_ip {PRODUCTION_CLIENT}\nfrom app@shop.example\n")
    config.chmod(0o600)
    run("msmtp", "-C", str(config), "anna@customer.example", stdin=letter())


def with_curl(gate, directory):
    path = directory / "letter"
    path.write_bytes(letter().replace(b"\n", b"\r\n"))
    run("curl", "--silent", "--show-error", "--interface", PRODUCTION_CLIENT,
        f"smtp://127.0.0.1:{gate.port}", "--mail-from", "app@shop.example",
        "--mail-rcpt", "anna@customer.example", "--upload-file", str(path))


NODE = """
const nodemailer = require('nodemailer');
const [port, from, subject, text] = process.argv.slice(1);
nodemailer.createTransport({host: '127.0.0.1', port: +port, localAddress: from,
  ignoreTLS: true}).sendMail({from: 'app@shop.example', to: 'anna@customer.example',
  subject, text}).then(() => process.exit(0), e => { console.error(e); process.exit(1); });
"""


def with_nodemailer(gate, _dir):
    # Where node is not Debian's, it does not know where Debian keeps its modules.
    environment = dict(os.environ, NODE_PATH="/usr/share/nodejs:/usr/lib/nodejs")
    run("node", "-e", NODE, str(gate.port), PRODUCTION_CLIENT, SUBJECT, TEXT, env=environment)


def letter():
    return (f"From: app@shop.example\nTo: anna@customer.example\nSubject: {SUBJECT}\n\n"
            f"{TEXT}").encode()


def run(program, *arguments, stdin=b"", **keys):
    assert shutil.which(program), f"{program} is not installed; ./check installs it"
    result = subprocess.run([program, *arguments], input=stdin, capture_output=True, timeout=60,
                            **keys)
    assert result.returncode == 0, result.stdout.decode() + result.stderr.decode()


CLIENTS = [with_smtplib, with_swaks, with_msmtp, with_curl, with_nodemailer]


@pytest.mark.parametrize("send", CLIENTS, ids=lambda f: f.__name__[5:])
def test_client_reaches_the_smarthost(send, gate, sink, tmp_path):
    send(gate(production()), tmp_path)
    message = sink.only()
    assert message.sender == "app@shop.example"
    assert message.recipients == ["anna@customer.example"]
    assert message.field("Subject") == SUBJECT
    assert message.field("X-Mailfuse-Environment") == "production"
    assert message.body.rstrip() == TEXT.replace("\n", "\r\n").encode().rstrip()


@pytest.mark.parametrize("send", CLIENTS, ids=lambda f: f.__name__[5:])
def test_client_reaches_postfix(send, make_gate, postfix_server, tmp_path):
    gate = make_gate(listener() + upstream_to(postfix_server) + production()).start()
    before = postfix_server.delivered()
    send(gate, tmp_path)
    arrived = postfix_server.wait(1, before)
    assert len(arrived) == 1
    header, _, body = arrived[0].partition(b"\n\n")
    assert b"\nX-Mailfuse-Environment: production\n" in header
    assert body.rstrip() == TEXT.encode().rstrip()


def test_many_recipients_reach_postfix(make_gate, postfix_server):
    gate = make_gate(listener() + upstream_to(postfix_server) + production()).start()
    before = postfix_server.delivered()
    names = [f"user{n}@customer.example" for n in range(100)]
    gate.send(letter().replace(b"\n", b"\r\n"), names, PRODUCTION_CLIENT)
    gate.wait_count("production", "sent", 100)
    arrived = postfix_server.wait(100, before)
    found = [line[14:].decode() for message in arrived for line in message.split(b"\n")
             if line.startswith(b"Delivered-To: ")]
    assert sorted(found) == sorted(names)


def upstream_to(server):
    return f'upstream "smarthost" {{ address = "{server.address}" }}\n'


@pytest.fixture(scope="module")
def postfix_server():
    reason = postfix.why_not()
    if reason:
        pytest.skip(reason)
    server = postfix.Postfix()
    yield server
    server.stop()
