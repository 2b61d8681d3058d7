"""What the gate does to the header, checked on the bytes that arrived."""

import re
from email import message_from_bytes, policy

import pytest

from rig.client import letter
from rig.gate import PRODUCTION_CLIENT, STAGING_CLIENT, production, staging

REWRITE = 'allow = {"@example.com"} others = rewrite rewrite_to = "qa+%u=%d@example.com"'


def send(running, header, recipients, source=STAGING_CLIENT, body="body"):
    data = header.replace("\n", "\r\n").encode() + b"\r\n" + body.encode()
    return running.send(data, recipients, source)


def test_production_mail_keeps_every_byte_of_its_own(gate, sink):
    running = gate(production())
    header = ("Date: Mon, 1 Jan 2024 00:00:00 +0000\nMessage-ID: <1@shop.example>\n"
              "From:   =?utf-8?q?J=C3=B6rg?=  <app@shop.example>\n"
              "To: a@customer.test,\n\tb@customer.test\nSubject:  odd   spacing \n"
              "X-Own: \ttabs\n")
    message_id = send(running, header, ["a@customer.test"], PRODUCTION_CLIENT)
    message = sink.only()
    for line in header.replace("\n", "\r\n").encode().splitlines(keepends=True):
        assert line in message.header
    assert message.field("X-Mailfuse-Environment") == "production"
    assert message.field("X-Mailfuse-Source") == PRODUCTION_CLIENT
    assert message.field("X-Mailfuse-Id") == message_id
    assert message.body == b"body\r\n"


def test_received_field_is_on_top_and_tells_the_way(gate, sink):
    running = gate(production())
    message_id = send(running, "Received: from x by y; Mon, 1 Jan 2024 00:00:00 +0000\n"
                      "Subject: x\n", ["a@customer.test"], PRODUCTION_CLIENT)
    message = sink.only()
    assert message.header.startswith(b"Received: ")
    first = message.fields("Received")[0]
    first = re.sub(r"\s+", " ", first)
    assert re.fullmatch(
        rf"from client\.example \(.*\[127\.0\.1\.1\]\) by gate\.example \(mailfuse\) with ESMTP"
        rf" id {message_id}; \w+, \d+ \w+ \d{{4}} [\d:]{{8}} \+0000", first), first
    assert len(message.fields("Received")) == 2


def test_missing_date_and_message_id_are_added(gate, sink):
    running = gate(production())
    send(running, "Subject: x\n", ["a@customer.test"], PRODUCTION_CLIENT)
    message = sink.only()
    assert re.match(r"\w+, \d+ \w+ \d{4} ", message.field("Date"))
    assert re.fullmatch(r"<[^@<>]+@gate\.example>", message.field("Message-ID"))


def test_forged_mailfuse_fields_do_not_survive(gate, sink):
    running = gate(production())
    send(running, "X-Mailfuse-Environment: other\nx-mailfuse-id: 1\nX-MAILFUSE-Original-To: x\n"
         "X-Mailfuse-Anything: y\nSubject: x\n", ["a@customer.test"], PRODUCTION_CLIENT)
    message = sink.only()
    assert message.field("X-Mailfuse-Environment") == "production"
    assert not message.fields("X-Mailfuse-Anything")
    assert not message.fields("X-Mailfuse-Original-To")


@pytest.mark.parametrize("environment, source", [
    (production(), PRODUCTION_CLIENT), (staging('allow = {"*"}'), STAGING_CLIENT)])
def test_bcc_is_removed_everywhere(environment, source, gate, sink):
    running = gate(environment)
    send(running, "To: a@example.com\nBcc: hidden@example.com,\n also@example.com\n"
         "Resent-Bcc: h2@example.com\nSubject: x\n", ["a@example.com", "hidden@example.com"],
         source)
    sink.wait(2)
    for message in sink.messages:
        assert b"hidden" not in message.data and b"also@" not in message.data
        assert b"h2@" not in message.data


def test_envelope_only_recipient_is_shown_to_operators_only(gate, sink):
    running = gate(staging(REWRITE))
    message_id = send(running, "To: a@example.com\nSubject: x\n", ["secret@customer.test"])
    message = sink.only()
    assert b"secret@customer.test" not in message.data
    assert running.deliveries(message=message_id)[0]["recipient"] == "secret@customer.test"


ADDRESS_FIELDS = ["To", "Cc", "Reply-To", "Resent-To", "Resent-Cc", "Resent-Reply-To"]


@pytest.mark.parametrize("field", ADDRESS_FIELDS)
@pytest.mark.parametrize("value, kept, gone", [
    ("anna@customer.test", [], ["anna@customer.test"]),
    ("Anna Smith <anna@customer.test>", ["Anna Smith"], ["anna@customer.test"]),
    ("ok@example.com, anna@customer.test", ["ok@example.com"], ["anna@customer.test"]),
    ('"x@example.com" <anna@customer.test>', [], ["anna@customer.test"]),
    ("Team: ok@example.com, anna@customer.test;", ["ok@example.com"], ["anna@customer.test"]),
    ("a@customer.test,\n b@customer.test,\n\tok@example.com", ["ok@example.com"],
     ["a@customer.test", "b@customer.test"]),
    ("=?utf-8?q?J=C3=B6rg?= <j@customer.test>", [], ["j@customer.test"]),
    ("anna@customer.test (Anna)", [], ["anna@customer.test"]),
    ("<anna@customer.test", [], ["anna@customer.test"]),
])
def test_addresses_that_are_not_allowed_leave_the_header(field, value, kept, gone, gate, sink):
    running = gate(staging(REWRITE))
    # The recipient is rewritten, which is what makes the header harmless.
    send(running, f"From: app@shop.example\n{field}: {value}\nSubject: x\n", ["anna@customer.test"])
    message = sink.only()
    assert message.recipients == ["qa+anna=customer.test@example.com"]
    header = "\n".join(message.fields(field))
    for text in kept:
        assert text in header, message.header
    for text in gone:
        assert f"<{text}" not in header and not re.search(rf"(^|[\s,:]){text}", header), header
    original = "".join(message.fields(f"X-Mailfuse-Original-{field}"))
    for text in gone:
        assert text in original, message.header


def test_dropped_recipient_makes_the_header_harmless_for_the_others(gate, sink):
    running = gate(staging('allow = {"@example.com"} others = drop'))
    send(running, "To: ok@example.com, anna@customer.test\nCc: bob@customer.test\nSubject: x\n",
         ["ok@example.com", "anna@customer.test", "bob@customer.test"])
    message = sink.only()
    assert message.recipients == ["ok@example.com"]
    reachable = " ".join(message.fields("To") + message.fields("Cc"))
    assert "ok@example.com" in reachable
    parsed = message_from_bytes(message.data, policy=policy.default)
    for field in ("To", "Cc"):
        for address in (parsed[field].addresses if parsed[field] else []):
            assert address.domain != "customer.test", message.header


def test_header_stays_as_it_was_when_every_recipient_is_allowed(gate, sink):
    running = gate(staging(REWRITE))
    send(running, "To:  ok@example.com,\n  other@example.com\nCc: anna@customer.test\n"
         "Subject: x\n", ["ok@example.com"])
    message = sink.only()
    assert b"To:  ok@example.com,\r\n  other@example.com\r\n" in message.header
    assert b"Cc: anna@customer.test\r\n" in message.header


def test_from_is_never_touched(gate, sink):
    running = gate(staging(REWRITE))
    send(running, "From: Boss <boss@customer.test>\nSender: x@customer.test\n"
         "To: anna@customer.test\nSubject: x\n", ["anna@customer.test"])
    message = sink.only()
    assert message.field("From") == "Boss <boss@customer.test>"
    assert message.sender == "app@shop.example"


PREFIX = 'allow = {"*"} subject_prefix = "[STAGING] "'
SUBJECTS = [
    # the field as sent ("" = no Subject), what a mail program shows
    ("Subject: Hello\n", "[STAGING] Hello"),
    ("Subject: [STAGING] Hello\n", "[STAGING] Hello"),
    ("Subject: Re: [STAGING] Hello\n", None),
    ("Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\n", "[STAGING] Grüße"),
    ("Subject: =?utf-8?b?R3LDvMOfZQ==?=\n", "[STAGING] Grüße"),
    ("Subject: =?iso-8859-1?q?Gr=FC=DFe?= and more\n", "[STAGING] Grüße and more"),
    ("Subject: folded\n over lines\n", "[STAGING] folded over lines"),
    ("Subject:\n", "[STAGING]"),
    ("", "[STAGING]"),
]


@pytest.mark.parametrize("field, shown", SUBJECTS, ids=[repr(s[0]) for s in SUBJECTS])
def test_subject_prefix(field, shown, gate, sink):
    running = gate(staging(PREFIX))
    send(running, f"From: app@shop.example\n{field}", ["a@example.com"])
    message = sink.only()
    subject = message_from_bytes(message.data, policy=policy.default)["Subject"]
    if shown is None:
        assert subject.count("[STAGING]") == 1 and subject.endswith("Hello")
    else:
        assert str(subject).strip() == shown
    assert message.header.isascii()


def test_subject_prefix_beyond_ascii_is_encoded(gate, sink):
    running = gate(staging('allow = {"*"} subject_prefix = "[prüfen] "'))
    send(running, "Subject: Hello\n", ["a@example.com"])
    message = sink.only()
    assert message.header.isascii()
    parsed = message_from_bytes(message.data, policy=policy.default)
    assert str(parsed["Subject"]) == "[prüfen] Hello"


def test_8bitmime_goes_through(gate, sink):
    running = gate(production())
    data = "Subject: x\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nGrüße".encode()
    running.send(data, ["a@customer.test"], PRODUCTION_CLIENT, parameters=" BODY=8BITMIME")
    message = sink.only()
    assert "BODY=8BITMIME" in message.mail_line.upper()
    assert message.body == "Grüße\r\n".encode()


def test_null_sender_stays_null(gate, sink):
    running = gate(production())
    running.send(letter(), ["a@customer.test"], PRODUCTION_CLIENT, sender="")
    assert sink.only().sender == ""
