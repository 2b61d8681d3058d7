"""Real smarthosts behind the gate, with TLS and logins: Debian's Postfix and OpenSMTPD.

What the sink pretends elsewhere is here done by programs that others wrote: handshakes, AUTH, their
extensions, their limits and their restarts. What they kept is compared with what was sent.
"""

import base64
import quopri
import signal
from email import message_from_bytes, policy

import pytest

from rig import opensmtpd, postfix
from rig.client import Blast, letter
from rig.gate import PRODUCTION_CLIENT, listener, production, upstream
from rig.postfix import LOGIN
from rig.tls import make_ca
from rig.wait import wait_for

USER, PASSWORD = "apikey", "correct horse \N{SNOWMAN}"

# Everything that a transport may trip over, in 8 bits.
BODY = b"\r\n".join([
    b".", b"..", b".one dot", b"", b"", b"From here on", b"trailing blanks \t ", b"\ttab",
    "gr\u00fc\u00dfe \u2603 \u0430\u043d\u043d\u0430".encode(), bytes(range(0xa0, 0x100)),
    b"x" * 998, b"=3D = =", b"--", b"end",
])

LARGE = b"\r\n".join(b"%d .%s" % (n, bytes(range(0xa0, 0x100)) * (n % 10)) for n in range(10000))


def stuffed(data):
    return (b"\r\n" + data).replace(b"\r\n.", b"\r\n..")[2:]


def eightbit_letter(body=BODY):
    return letter(extra="MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
                  "Content-Transfer-Encoding: 8bit\r\n", body="") + stuffed(body)


def body_of(message):
    return message.partition(b"\n\n")[2]


def reports_to(server, address):
    """Delivery status notifications that came for an address, parsed."""
    parsed = [message_from_bytes(m, policy=policy.default) for m in server.to(address)]
    return [p for p in parsed if p.get_content_type() == "multipart/report"]


def fields_of(report):
    """The two blocks of a report about one recipient: of the message, and of the recipient.

    Where an address is in UTF-8 (RFC 6533), Python takes the part for a message as it stands.
    """
    part = list(report.iter_parts())[1]
    if part.get_content_type() == "message/delivery-status":
        return part.get_payload()
    assert part.get_content_type() == "message/global-delivery-status"
    text = part.get_payload(0).as_bytes()
    if part["Content-Transfer-Encoding"] == "quoted-printable":
        text = quopri.decodestring(text)
    return [message_from_bytes(block, policy=policy.default) for block in text.strip().split(b"\n\n")]


@pytest.fixture(scope="module")
def ca(tmp_path_factory):
    return make_ca(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def other_ca(tmp_path_factory):
    return make_ca(tmp_path_factory.mktemp("other-ca"), "Somebody else")


@pytest.fixture(scope="module")
def mta(ca, other_ca):
    """One Postfix with a service for each way in which a smarthost can be set up."""
    reason = postfix.why_no_logins()
    if reason:
        pytest.skip(reason)
    good = ca.issue("localhost", ip="127.0.0.1")
    named_otherwise = ca.issue("smarthost.example")
    expired = ca.issue("localhost", ip="127.0.0.1", expired=True)
    foreign = other_ca.issue("localhost", ip="127.0.0.1")

    def old(issued):
        return {"smtpd_tls_protocols": "!TLSv1.2, !TLSv1.3",
                "smtpd_tls_mandatory_protocols": "!TLSv1.2, !TLSv1.3", **issued}

    def lacking(*keywords):
        return {"smtpd_discard_ehlo_keywords": ", ".join(keywords)}

    starttls, implicit = postfix.secured, postfix.implicit
    services = {
        "plain": {},
        "starttls": starttls(good, **LOGIN),
        "implicit": implicit(good, **LOGIN),
        "only-login": starttls(good, smtpd_sasl_path="login", **LOGIN),
        "no-mechanism": starttls(good, smtpd_sasl_path="cram", **LOGIN),
        "optional": starttls(good, "may"),
        # These would take mail from anybody, so what left in clear would arrive.
        "named-otherwise": starttls(named_otherwise, "may"),
        "expired": starttls(expired, "may"),
        "foreign": starttls(foreign, "may"),
        "old": old(starttls(good, "may")),
        "named-otherwise-implicit": implicit(named_otherwise),
        "expired-implicit": implicit(expired),
        "foreign-implicit": implicit(foreign),
        "old-implicit": old(implicit(good)),
        "no-8bitmime": lacking("8bitmime"),
        "no-smtputf8": lacking("smtputf8"),
        "no-dsn": lacking("dsn"),
        "bare": lacking("pipelining", "size", "8bitmime", "dsn", "smtputf8", "chunking",
                        "enhancedstatuscodes", "vrfy", "etrn"),
        "picky": {"smtpd_recipient_restrictions":
                  "check_recipient_access inline:{nobody@d.example=REJECT}, permit"},
    }
    server = postfix.Postfix(services, login=(USER, PASSWORD))
    yield server
    server.stop()


@pytest.fixture(scope="module")
def smtpd(ca):
    """One OpenSMTPD; a session takes few messages, so that connections are used up."""
    reason = opensmtpd.why_not()
    if reason:
        pytest.skip(reason)
    server = opensmtpd.OpenSMTPD(ca.issue("localhost", ip="127.0.0.1"), (USER, PASSWORD), mails=7)
    yield server
    server.stop()


@pytest.fixture
def password(tmp_path):
    """The file with the password; right until a test changes it."""
    path = tmp_path / "password"
    path.touch(mode=0o600)
    path.write_text(PASSWORD + "\n")
    return path


@pytest.fixture
def start(make_gate, webhook):
    """start(service address, keys): a gate with that one upstream and the webhook for alerts."""

    def start_gate(service, keys="", more=""):
        alert = f'alert "ops" {{ type = webhook url = "{webhook.url}" events = {{"*"}} }}\n'
        running = make_gate(listener() + upstream(service, keys) + production() + alert + more)
        return running.start()

    return start_gate


def secure_keys(ca, tls="required", password=None):
    keys = f'tls = {tls} ca = "{ca.path}" '
    return keys + (f'user = "{USER}" password = "file:{password}" ' if password else "")


def why_down(running):
    """Waits until the gate says that its upstream is down; returns the reason."""
    wait_for(lambda: f"the upstream is down:\n{running.text()[-2000:]}",
             lambda: running.status()["upstreams"][0]["up"] is False)
    return running.status()["upstreams"][0]["why"]


def tries(server, service):
    """How often somebody came to a service and went."""
    return server.log_of(service).count(": disconnect from")


WAYS = [("starttls", "required"), ("implicit", "implicit")]


# ---- Postfix: TLS and logins


@pytest.mark.parametrize("service, tls", WAYS + [("only-login", "required")])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_postfix_takes_mail_after_tls_and_a_login(service, tls, host, mta, ca, password, start):
    running = start(mta.at(service, host), secure_keys(ca, tls, password))
    to = f"{service}-{host}@d.example"
    running.send(eightbit_letter(), [to], PRODUCTION_CLIENT, parameters=" BODY=8BITMIME")
    message = mta.only(to)
    assert body_of(message) == BODY.replace(b"\r\n", b"\n") + b"\n"
    assert b"Subject: Hello\n" in message and b"X-Mailfuse-Environment: production\n" in message
    assert b"with ESMTPSA" in message and b"TLSv1.3" in message
    mechanism = "LOGIN" if service == "only-login" else "PLAIN"
    assert f"sasl_method={mechanism}, sasl_username={USER}" in mta.log_of(service)
    running.wait_counts("production", {"sent": 1})
    assert running.status()["upstreams"][0]["up"] is True
    assert "correct horse" not in running.text()


@pytest.mark.parametrize("service, tls", WAYS + [("only-login", "required")])
def test_postfix_refuses_the_password(service, tls, mta, ca, password, start, webhook):
    """Mail waits, people are told why, and SIGHUP brings the right one in."""
    password.write_text("no such horse\n")
    running = start(mta.at(service), secure_keys(ca, tls, password))
    to = f"late-{service}@d.example"
    running.send(letter(), [to], PRODUCTION_CLIENT)
    why = why_down(running)
    assert "AUTH refused" in why and "535" in why, why
    assert why in running.cli("status").stdout
    assert "535" in str(webhook.wait("upstream.down"))
    assert running.counts("production") == {"queued": 1} and not mta.to(to)
    password.write_text(PASSWORD + "\n")
    running.signal(signal.SIGHUP)
    mta.only(to)
    running.wait_counts("production", {"sent": 1})
    webhook.wait("upstream.up")
    assert "horse" not in running.text()


def test_postfix_without_a_mechanism_of_ours(mta, ca, password, start):
    running = start(mta.at("no-mechanism"), secure_keys(ca, "required", password))
    running.send(letter(), ["mechanism@d.example"], PRODUCTION_CLIENT)
    assert "AUTH" in why_down(running)
    assert running.counts("production") == {"queued": 1}


@pytest.mark.parametrize("service, tls, ca_name, words", [
    ("foreign", "required", "ca", "certificate"),
    ("starttls", "required", "other_ca", "certificate"),
    ("named-otherwise", "required", "ca", "certificate"),
    ("expired", "required", "ca", "expired"),
    ("plain", "required", "ca", "STARTTLS"),
    ("old", "required", "ca", "TLS"),
    ("foreign-implicit", "implicit", "ca", "certificate"),
    ("named-otherwise-implicit", "implicit", "ca", "certificate"),
    ("expired-implicit", "implicit", "ca", "expired"),
    ("old-implicit", "implicit", "ca", "TLS"),
    ("plain", "implicit", "ca", "TLS"),
])
def test_nothing_leaves_in_clear(service, tls, ca_name, words, mta, start, request, webhook):
    """`required` and `implicit` mean it: mail waits until the certificate is the right one."""
    before, went = mta.log_of(service), tries(mta, service)
    running = start(mta.at(service), secure_keys(request.getfixturevalue(ca_name), tls))
    to = f"{service}-{tls}-{ca_name}@d.example"
    running.send(letter(), [to], PRODUCTION_CLIENT)
    why = why_down(running)
    assert words in why, why
    assert words in str(webhook.wait("upstream.down"))
    # It comes again and again, and says nothing about mail.
    wait_for("more tries", lambda: tries(mta, service) >= went + 4)
    said = mta.log_of(service)[len(before):]
    assert ": client=" not in said and " mail=" not in said and not mta.to(to), said
    assert running.counts("production") == {"queued": 1}


def test_the_right_authority_brings_the_mail_out(mta, ca, other_ca, start, webhook):
    running = start(mta.at("foreign"), secure_keys(ca))
    running.send(letter(), ["right-ca@d.example"], PRODUCTION_CLIENT)
    webhook.wait("upstream.down")
    running.config.write_text(
        running.config.read_text().replace(str(ca.path), str(other_ca.path)))
    running.signal(signal.SIGHUP)
    assert b"with ESMTPS " in mta.only("right-ca@d.example")
    webhook.wait("upstream.up")


@pytest.mark.parametrize("service, secure", [
    ("optional", True), ("foreign", True), ("named-otherwise", True), ("expired", True),
    ("plain", False), ("old", False),
])
def test_opportunistic_takes_what_there_is(service, secure, mta, start):
    running = start(mta.at(service), "tls = opportunistic")
    to = f"opportunistic-{service}@d.example"
    running.send(letter(), [to], PRODUCTION_CLIENT)
    message = mta.only(to)
    assert (b"with ESMTPS " in message) == secure, message
    if service == "old":
        assert running.logged("upstream.tls-failed")


# ---- Postfix: extensions


def test_postfix_reports_success_as_it_was_asked_to(mta, start):
    """RFC 3461: NOTIFY, ORCPT, RET and ENVID reach a server that has DSN; the report is its own."""
    running = start(mta.at("optional"))
    with running.client(PRODUCTION_CLIENT) as client:
        client.expect(250, "MAIL FROM:<dsn@shop.example> RET=HDRS ENVID=order+2B77")
        client.expect(250, "RCPT TO:<told@d.example> NOTIFY=SUCCESS "
                           "ORCPT=rfc822;first+2Bchoice@d.example")
        client.expect(354, "DATA")
        client.send(letter(body="Secret.") + b"\r\n.\r\n")
        assert client.reply()[0] == 250
    mta.only("told@d.example")
    wait_for("Postfix's report", lambda: reports_to(mta, "dsn@shop.example"))
    report, = reports_to(mta, "dsn@shop.example")
    message, recipient = fields_of(report)
    assert message["Reporting-MTA"] == "dns; smarthost.example"
    assert message["Original-Envelope-Id"] == "order+77"
    assert recipient["Original-Recipient"].replace(" ", "") == "rfc822;first+choice@d.example"
    assert recipient["Final-Recipient"].replace(" ", "") == "rfc822;told@d.example"
    assert recipient["Action"] == "delivered"
    assert "Secret." not in report.as_string()


@pytest.mark.parametrize("service", ["no-dsn", "bare"])
def test_relayed_is_reported_where_postfix_cannot(service, mta, start):
    running = start(mta.at(service))
    sender, to = f"{service}@shop.example", f"relayed-{service}@d.example"
    with running.client(PRODUCTION_CLIENT) as client:
        client.expect(250, f"MAIL FROM:<{sender}> ENVID=order77")
        client.expect(250, f"RCPT TO:<{to}> NOTIFY=SUCCESS")
        client.expect(354, "DATA")
        client.send(letter() + b"\r\n.\r\n")
        assert client.reply()[0] == 250
    mta.only(to)
    wait_for(lambda: f"the gate's report:\n{running.text()[-2000:]}", lambda: reports_to(mta, sender))
    message, recipient = fields_of(reports_to(mta, sender)[0])
    assert message["Reporting-MTA"] == "dns; gate.example"
    assert message["Original-Envelope-Id"] == "order77"
    assert recipient["Action"] == "relayed" and recipient["Status"].startswith("2.")


def test_a_recipient_that_postfix_refuses_comes_back(mta, start):
    running = start(mta.at("picky"))
    running.send(letter(), ["nobody@d.example", "somebody@d.example"], PRODUCTION_CLIENT,
                 sender="bounce@shop.example")
    mta.only("somebody@d.example")
    wait_for("the report", lambda: reports_to(mta, "bounce@shop.example"))
    message, recipient = fields_of(reports_to(mta, "bounce@shop.example")[0])
    assert message["Reporting-MTA"] == "dns; gate.example"
    assert recipient["Final-Recipient"].replace(" ", "") == "rfc822;nobody@d.example"
    assert recipient["Action"] == "failed" and recipient["Status"] == "5.7.1"
    assert "554 5.7.1" in recipient["Diagnostic-Code"]
    assert "127.0.0.1" in recipient["Remote-MTA"]
    assert not mta.to("nobody@d.example")
    running.wait_counts("production", {"sent": 2, "failed": 1})


SENDER_UTF8, TO_UTF8 = "j\u00f6rg@m\u00fcller.example", "\u0430\u043d\u043d\u0430@\u043f\u0440\u0438\u043c\u0435\u0440.example"


def test_postfix_takes_addresses_in_utf8(mta, start):
    running = start(mta.at("optional"))
    data = f"From: {SENDER_UTF8}\r\nTo: {TO_UTF8}\r\nSubject: Gr\u00fc\u00dfe\r\n\r\nHi \u2603\r\n"
    running.send(data.encode(), [TO_UTF8], PRODUCTION_CLIENT, sender=SENDER_UTF8,
                 parameters=" BODY=8BITMIME SMTPUTF8")
    message = mta.only(TO_UTF8)
    assert b"Return-Path: <" + SENDER_UTF8.encode() + b">\n" in message
    assert b"Subject: " + "Gr\u00fc\u00dfe".encode() + b"\n" in message
    assert b"with UTF8SMTPS " in message
    assert body_of(message).strip() == "Hi \u2603".encode()


@pytest.mark.parametrize("service", ["no-smtputf8", "bare"])
def test_addresses_in_utf8_are_not_sent_where_nobody_reads_them(service, mta, start):
    running = start(mta.at(service))
    sender, to = f"{service}-utf8@shop.example", f"{service}-\u0430\u043d\u043d\u0430@d.example"
    running.send(letter(), [to], PRODUCTION_CLIENT, sender=sender, parameters=" SMTPUTF8")
    wait_for("the report", lambda: reports_to(mta, sender))
    _, recipient = fields_of(reports_to(mta, sender)[0])
    assert recipient["Action"] == "failed" and recipient["Status"] == "5.6.7"
    assert not mta.to(to)


TEXT = "Gr\u00fc\u00dfe an \u0430\u043d\u043d\u0430.\r\n.\r\nEin Punkt, = und =3D.\r\n" + "\u00e4" * 400
LATIN = "Caf\u00e9 \u00e0 la carte\r\n."
BINARY = bytes(range(256)) * 3
MIXED = b"\r\n".join([
    b"From: app@shop.example", b"To: someone@example.com", b"Subject: Mixed",
    b"MIME-Version: 1.0", b'Content-Type: multipart/mixed; boundary="b 1"',
    b"Content-Transfer-Encoding: 8bit", b"", b"Pr\xc3\xa9ambule", b"--b 1",
    b"Content-Type: text/plain; charset=utf-8", b"Content-Transfer-Encoding: 8bit", b"",
    TEXT.encode(), b"--b 1",
    b"Content-Type: text/plain; charset=iso-8859-1", b"Content-Transfer-Encoding: 8bit", b"",
    LATIN.encode("latin-1"), b"--b 1",
    b"Content-Type: application/octet-stream", b"Content-Transfer-Encoding: base64",
    b'Content-Disposition: attachment; filename="all.bin"', b"",
]) + b"\r\n"


@pytest.fixture(scope="module")
def mixed():
    return MIXED + base64.encodebytes(BINARY).replace(b"\n", b"\r\n") + b"--b 1--"


@pytest.mark.parametrize("service", ["no-8bitmime", "bare"])
def test_eight_bits_go_as_seven_where_they_must(service, mixed, mta, start):
    """RFC 6152 3: all that arrives is ASCII, and it decodes to what was sent."""
    running = start(mta.at(service))
    to = f"seven-{service}@d.example"
    running.send(stuffed(mixed), [to], PRODUCTION_CLIENT, parameters=" BODY=8BITMIME")
    message = mta.only(to)
    assert not [byte for byte in message if byte >= 0x80]
    assert max(map(len, message.split(b"\n"))) <= 998
    text, latin, binary = message_from_bytes(message, policy=policy.default).iter_parts()
    assert text.get_content() == TEXT.replace("\r\n", "\n")
    assert latin.get_content() == LATIN.replace("\r\n", "\n")
    assert binary.get_content() == BINARY and binary.get_filename() == "all.bin"


def test_eight_bits_stay_where_postfix_takes_them(mixed, mta, start):
    running = start(mta.at("optional"))
    running.send(stuffed(mixed), ["eight@d.example"], PRODUCTION_CLIENT,
                 parameters=" BODY=8BITMIME")
    message = mta.only("eight@d.example")
    assert body_of(message) == mixed.partition(b"\r\n\r\n")[2].replace(b"\r\n", b"\n") + b"\n"


@pytest.mark.parametrize("service", ["optional", "no-8bitmime"])
def test_postfix_gets_a_large_message(service, mta, start):
    """Over TLS as it is, and as quoted-printable, which is three times as much."""
    running = start(mta.at(service))
    to = f"large-{service}@d.example"
    running.send(eightbit_letter(LARGE), [to], PRODUCTION_CLIENT, parameters=" BODY=8BITMIME")
    body = body_of(mta.only(to))
    if service == "no-8bitmime":
        body = quopri.decodestring(body)
    assert body == LARGE.replace(b"\r\n", b"\n") + b"\n"


# ---- many messages, over both


def cover(blast, server, running, service):
    """Everything of a blast came, to nobody twice where nothing was cut."""
    assert not blast.refused and len(blast.accepted) == blast.count
    running.wait_count("production", "sent", blast.count)
    wanted = [blast.recipient(n) for n in range(blast.count)]
    mine = [r for r in server.recipients() if r.endswith("@" + blast.domain)]
    assert sorted(mine) == sorted(wanted)


@pytest.mark.parametrize("service, tls", WAYS)
def test_postfix_gets_many_over_few_connections(service, tls, mta, ca, password, start):
    before = mta.log_of(service)
    running = start(mta.at(service), secure_keys(ca, tls, password) + " connections = 5")
    blast = Blast(running.address(), 50, PRODUCTION_CLIENT, connections=10,
                  domain=f"{service}.many.example").run()
    wait_for("all of them", lambda: len([r for r in mta.recipients()
                                         if r.endswith(blast.domain)]) >= blast.count)
    cover(blast, mta, running, service)
    said = mta.log_of(service)[len(before):]
    # Nobody was asked for a password more often than connections were opened.
    assert said.count("TLS connection established") == said.count(": connect from") < 20, said


@pytest.mark.parametrize("service, tls", WAYS)
def test_postfix_restarts_in_the_middle(service, tls, mta, ca, password, start):
    running = start(mta.at(service), secure_keys(ca, tls, password))
    domain = f"{service}.restart.example"

    def came():
        return {r for r in mta.recipients() if r.endswith("@" + domain)}

    blast = Blast(running.address(), 200, PRODUCTION_CLIENT, domain=domain).start()
    wait_for("the first", lambda: len(came()) >= 20)
    mta.restart()
    blast.join()
    wait_for(lambda: f"all of them:\n{running.text()[-2000:]}", lambda: len(came()) == blast.count)
    running.wait_counts("production", {"sent": blast.count})


# ---- OpenSMTPD


@pytest.mark.parametrize("service, tls", WAYS)
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_opensmtpd_takes_mail_after_tls_and_a_login(service, tls, host, smtpd, ca, password, start):
    running = start(smtpd.at(service, host), secure_keys(ca, tls, password))
    to = f"{service}-{host}@d.example"
    running.send(eightbit_letter(), [to], PRODUCTION_CLIENT, parameters=" BODY=8BITMIME")
    message = smtpd.only(to)
    assert body_of(message) == BODY.replace(b"\r\n", b"\n") + b"\n"
    assert b"with ESMTPSA" in message and b"(TLSv1.3:" in message
    running.wait_counts("production", {"sent": 1})
    assert "correct horse" not in running.text()


def test_opensmtpd_gets_a_large_message(smtpd, ca, password, start):
    running = start(smtpd.at("implicit"), secure_keys(ca, "implicit", password))
    running.send(eightbit_letter(LARGE), ["large@d.example"], PRODUCTION_CLIENT,
                 parameters=" BODY=8BITMIME")
    assert body_of(smtpd.only("large@d.example")) == LARGE.replace(b"\r\n", b"\n") + b"\n"


@pytest.mark.parametrize("service, tls", WAYS)
def test_opensmtpd_refuses_the_password(service, tls, smtpd, ca, password, start, webhook):
    password.write_text("no such horse\n")
    running = start(smtpd.at(service), secure_keys(ca, tls, password))
    to = f"late-{service}@d.example"
    running.send(letter(), [to], PRODUCTION_CLIENT)
    why = why_down(running)
    assert "AUTH refused" in why and "535" in why, why
    assert "535" in str(webhook.wait("upstream.down"))
    assert running.counts("production") == {"queued": 1} and not smtpd.to(to)
    password.write_text(PASSWORD + "\n")
    running.signal(signal.SIGHUP)
    smtpd.only(to)
    running.wait_counts("production", {"sent": 1})
    webhook.wait("upstream.up")


@pytest.mark.parametrize("service, tls", WAYS)
def test_opensmtpd_with_a_certificate_of_somebody(service, tls, smtpd, other_ca, password, start):
    running = start(smtpd.at(service), secure_keys(other_ca, tls, password))
    running.send(letter(), [f"nobody-{service}@d.example"], PRODUCTION_CLIENT)
    assert "certificate" in why_down(running)
    assert running.counts("production") == {"queued": 1}
    assert not smtpd.to(f"nobody-{service}@d.example")


@pytest.mark.parametrize("service, tls", WAYS)
def test_opensmtpd_gets_many_over_sessions_that_end(service, tls, smtpd, ca, password, start):
    """It offers no PIPELINING, and refuses MAIL once a session has had seven messages."""
    running = start(smtpd.at(service), secure_keys(ca, tls, password) + " connections = 5")
    blast = Blast(running.address(), 50, PRODUCTION_CLIENT, connections=10,
                  domain=f"{service}.many.example").run()
    wait_for(lambda: f"all of them:\n{running.text()[-2000:]}",
             lambda: len([r for r in smtpd.recipients() if r.endswith(blast.domain)]) >= blast.count)
    cover(blast, smtpd, running, service)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["restarted", "killed"])
def test_opensmtpd_goes_in_the_middle(number, smtpd, ca, password, start):
    running = start(smtpd.at("starttls"), secure_keys(ca, "required", password))
    domain = f"{number}.restart.example"

    def came():
        return {r for r in smtpd.recipients() if r.endswith("@" + domain)}

    blast = Blast(running.address(), 200, PRODUCTION_CLIENT, domain=domain).start()
    wait_for("the first", lambda: len(came()) >= 20)
    smtpd.restart(number)
    blast.join()
    wait_for(lambda: f"all of them:\n{running.text()[-2000:]}", lambda: len(came()) == blast.count)
    running.wait_counts("production", {"sent": blast.count})


def test_opensmtpd_reports_success_as_it_was_asked_to(smtpd, ca, password, start):
    running = start(smtpd.at("starttls"), secure_keys(ca, "required", password))
    with running.client(PRODUCTION_CLIENT) as client:
        client.expect(250, "MAIL FROM:<dsn@shop.example> RET=HDRS ENVID=order77")
        client.expect(250, "RCPT TO:<told@d.example> NOTIFY=SUCCESS")
        client.expect(354, "DATA")
        client.send(letter() + b"\r\n.\r\n")
        assert client.reply()[0] == 250
    smtpd.only("told@d.example")
    report = smtpd.only("dsn@shop.example")
    assert b"Action: delivered\n" in report and b"Final-Recipient: rfc822; told@d.example\n" in report


def test_opensmtpd_gets_no_addresses_in_utf8(smtpd, ca, password, start):
    """It has no SMTPUTF8."""
    running = start(smtpd.at("starttls"), secure_keys(ca, "required", password))
    running.send(letter(), ["\u0430\u043d\u043d\u0430@d.example"], PRODUCTION_CLIENT,
                 sender="utf8@shop.example", parameters=" SMTPUTF8")
    wait_for("the report", lambda: reports_to(smtpd, "utf8@shop.example"))
    _, recipient = fields_of(reports_to(smtpd, "utf8@shop.example")[0])
    assert recipient["Action"] == "failed" and recipient["Status"] == "5.6.7"
