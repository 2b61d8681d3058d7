"""What a message needs and the smarthost offers: SMTPUTF8 (RFC 6531), 8BITMIME (RFC 6152), DSN
(RFC 3461)."""

import email
import email.policy

import pytest

from rig.client import letter
from rig.gate import PRODUCTION_CLIENT, STAGING_CLIENT, production, staging
from rig.wait import stays_true, wait_for

USUAL = ["PIPELINING", "SIZE 100000000"]
MIME = "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"


def send(running, recipients, data=None, parameters="", sender="", source=PRODUCTION_CLIENT,
         rcpt=None):
    """One message; `rcpt` has more parameters of RCPT, by recipient. Must be taken whole."""
    with running.client(source) as client:
        client.expect(250, f"MAIL FROM:<{sender}>{parameters}")
        for recipient in recipients:
            client.expect(250, f"RCPT TO:<{recipient}>{(rcpt or {}).get(recipient, '')}")
        client.expect(354, "DATA")
        text = client.expect(250, (data or letter()) + b"\r\n.")
        return text.split()[-1]


def results(running, message_id):
    return {d["recipient"]: d for d in running.deliveries(message=message_id)}


# ---- SMTPUTF8

UTF8_SUBJECT = "Subject: Grüße\r\n\r\nHallo.".encode()


@pytest.mark.parametrize("pipelining", [True, False])
def test_smtputf8_is_asked_for_where_it_is_needed(pipelining, gate, sink):
    sink.extensions = (["PIPELINING"] if pipelining else []) + ["8BITMIME", "SMTPUTF8"]
    running = gate(production())
    rows = [
        (["ann@x.test"], UTF8_SUBJECT, " SMTPUTF8", "", True),
        (["jürgen@x.test"], letter(), " SMTPUTF8", "", True),
        (["ann@x.test", "jürgen@x.test"], letter(), " SMTPUTF8", "", True),
        (["ann@x.test"], letter(), " SMTPUTF8", "grüße@x.test", True),
        (["ann@x.test"], letter(), " SMTPUTF8", "", False),  # declared, and then not used
        (["ann@x.test"], letter(), "", "", False),
    ]
    for n, (recipients, data, parameters, sender, wanted) in enumerate(rows):
        before = len(sink.messages)
        send(running, recipients, data, parameters, sender)
        wait_for(f"row {n}", lambda before=before: len(sink.messages) > before)
        message = sink.messages[-1]
        assert message.recipients == recipients and message.sender == sender
        assert ("SMTPUTF8" in message.mail_line.split()) == wanted, message.mail_line


def test_without_smtputf8_what_needs_it_is_bounced(gate, sink):
    sink.extensions = USUAL + ["8BITMIME"]
    running = gate(production())
    message_id = send(running, ["ann@x.test", "bob@x.test"], UTF8_SUBJECT, " SMTPUTF8",
                      sender="app@shop.example")
    report = sink.only()
    assert report.sender == "" and report.recipients == ["app@shop.example"]
    assert b"5.6.7" in report.data
    for row in results(running, message_id).values():
        assert row["state"] == "failed" and row["reply"].startswith("550 5.6.7"), row


def test_without_smtputf8_only_the_recipients_who_need_it_fail(gate, sink):
    sink.extensions = USUAL
    running = gate(production())
    message_id = send(running, ["ann@x.test", "jürgen@x.test", "bob@x.test"], letter(), " SMTPUTF8")
    sink.wait(2)
    running.wait_counts("production", {"sent": 2, "failed": 1})
    assert sink.only().recipients == ["ann@x.test", "bob@x.test"]
    assert "SMTPUTF8" not in sink.messages[0].mail_line
    assert results(running, message_id)["jürgen@x.test"]["reply"].startswith("550 5.6.7")


def test_without_smtputf8_nobody_left_says_nothing(gate, sink):
    sink.extensions = []
    running = gate(production(), upstream_keys="connections = 1")
    send(running, ["jürgen@x.test"], letter(), " SMTPUTF8")
    running.wait_counts("production", {"failed": 1})
    send(running, ["ann@x.test"])
    assert sink.only().recipients == ["ann@x.test"]
    assert sink.connections == 1


# ---- 8BITMIME

EIGHT = "Zwölf Boxkämpfer jagen Viktor über den großen Sylter Deich. ✓"


def test_8bit_content_says_so_where_that_is_offered(gate, sink):
    sink.extensions = USUAL + ["8BITMIME"]
    running = gate(production())
    send(running, ["ann@x.test"], letter(extra=MIME, body="BODY").replace(b"BODY", EIGHT.encode()),
         " BODY=8BITMIME")
    message = sink.only()
    assert "BODY=8BITMIME" in message.mail_line.split()
    assert EIGHT.encode() in message.body
    assert any(word.startswith("SIZE=") for word in message.mail_line.split())


@pytest.mark.parametrize("extensions", [USUAL, ["PIPELINING"], []])
def test_8bit_content_becomes_7bit_where_it_is_not(extensions, gate, sink):
    sink.extensions = extensions
    running = gate(production())
    text = "\r\n".join([EIGHT, ".", "..dots", "", "end"])
    data = letter(extra=MIME + "Content-Transfer-Encoding: 8bit\r\n", body="BODY").replace(
        b"BODY", text.replace("\r\n.", "\r\n..").encode())
    send(running, ["ann@x.test"], data, " BODY=8BITMIME")
    message = sink.only()
    assert message.wire.isascii()
    assert "BODY" not in message.mail_line and "SIZE" not in message.mail_line
    parsed = email.message_from_bytes(message.data, policy=email.policy.default)
    assert parsed["Content-Transfer-Encoding"] == "quoted-printable"
    assert parsed.get_content().splitlines() == text.split("\r\n")


@pytest.mark.parametrize("size", [300_000, 6_000_000])
def test_large_8bit_content_becomes_7bit_as_a_stream(size, gate, sink):
    """From memory and from the store; the text comes out as it went in."""
    sink.extensions = USUAL
    running = gate(production())
    lines = [f"{n:07} {EIGHT}" for n in range(size // 80)]
    data = letter(extra=MIME, body="BODY").replace(b"BODY", "\r\n".join(lines).encode())
    send(running, ["ann@x.test"], data, " BODY=8BITMIME")
    message = sink.only()
    assert message.wire.isascii()
    parsed = email.message_from_bytes(message.data, policy=email.policy.default)
    assert parsed.get_content().splitlines() == lines


def test_after_8bit_content_the_next_message_is_its_own(gate, sink):
    sink.extensions = USUAL
    running = gate(production(), upstream_keys="connections = 1")
    send(running, ["ann@x.test"], letter(extra=MIME, body="BODY").replace(b"BODY", EIGHT.encode()))
    sink.wait(1)
    send(running, ["bob@x.test"], letter(body="plain = plain"))
    sink.wait(2)
    assert sink.messages[1].body == b"plain = plain\r\n"
    assert sink.messages[0].connection == sink.messages[1].connection


# ---- DSN

SUCCESS = " NOTIFY=SUCCESS,FAILURE"


def rcpt_parameters(message):
    return {line.partition("<")[2].partition(">")[0]: sorted(line.partition("> ")[2].split())
            for line in message.rcpt_lines}


def test_dsn_parameters_are_passed_on(gate, sink):
    sink.extensions = USUAL + ["DSN"]
    running = gate(production())
    send(running, ["ann@x.test", "bob@x.test", "cid@x.test", "dan@x.test"], None,
         " RET=HDRS ENVID=QQ314159", "app@shop.example", rcpt={
             "ann@x.test": " NOTIFY=SUCCESS,DELAY ORCPT=rfc822;orig+2Bann@y.test",
             "bob@x.test": " NOTIFY=NEVER", "cid@x.test": " ORCPT=rfc822;c@y.test"})
    message = sink.only()
    assert {"RET=HDRS", "ENVID=QQ314159"} <= set(message.mail_line.split())
    assert rcpt_parameters(message) == {
        "ann@x.test": ["NOTIFY=SUCCESS,DELAY", "ORCPT=rfc822;orig+2Bann@y.test"],
        # RFC 3461 5.2.1: made of whom the client named, where it wants to hear of anything
        "bob@x.test": ["NOTIFY=NEVER", "ORCPT=rfc822;bob@x.test"],
        "cid@x.test": ["ORCPT=rfc822;c@y.test"], "dan@x.test": []}


def test_an_orcpt_that_is_made_is_xtext(gate, sink):
    sink.extensions = USUAL + ["DSN"]
    running = gate(production())
    send(running, ["a+b=c@x.test"], sender="app@shop.example",
         rcpt={"a+b=c@x.test": " NOTIFY=FAILURE"})
    assert rcpt_parameters(sink.only())["a+b=c@x.test"] == [
        "NOTIFY=FAILURE", "ORCPT=rfc822;a+2Bb+3Dc@x.test"]


def test_an_orcpt_in_utf8_is_passed_in_ascii(gate, sink):
    """Which does for an upstream with SMTPUTF8 and for one without (RFC 6533 3)."""
    sink.extensions = USUAL + ["DSN"]
    running = gate(production())
    send(running, ["ann@x.test"], None, " SMTPUTF8", "app@shop.example",
         rcpt={"ann@x.test": " NOTIFY=FAILURE ORCPT=utf-8;jürgen✓@y.test"})
    assert rcpt_parameters(sink.only())["ann@x.test"] == [
        "NOTIFY=FAILURE", "ORCPT=utf-8;j\\x{FC}rgen\\x{2713}@y.test"]


def test_parameters_survive_the_queue(gate, sink):
    sink.extensions = USUAL + ["DSN"]
    sink.stop()
    running = gate(production())
    send(running, ["ann@x.test"], None, " RET=FULL ENVID=x+2By", "app@shop.example",
         rcpt={"ann@x.test": " NOTIFY=DELAY ORCPT=rfc822;a@y.test"})
    running.stop()
    running.start()
    sink.start()
    message = sink.only()
    assert {"RET=FULL", "ENVID=x+2By"} <= set(message.mail_line.split())
    assert rcpt_parameters(message) == {"ann@x.test": ["NOTIFY=DELAY", "ORCPT=rfc822;a@y.test"]}


def test_nobody_hears_of_a_rewritten_recipient_where_it_must_not(gate, sink):
    """The sender may not be reached from there: the smarthost must not bounce to it either."""
    sink.extensions = USUAL + ["DSN"]
    rules = ('allow = {"@qa.test"} others = rewrite rewrite_to = "box+%u@qa.test" '
             'burst "volume" { limit = "1000/1h" per = {environment} }')
    running = gate(staging(rules))
    asked = SUCCESS + " ORCPT=rfc822;customer@live.test"
    send(running, ["customer@live.test", "tester@qa.test"], sender="app@shop.example",
         source=STAGING_CLIENT, rcpt={"customer@live.test": asked, "tester@qa.test": asked})
    assert rcpt_parameters(sink.only()) == {
        "box+customer@qa.test": ["NOTIFY=NEVER"],
        "tester@qa.test": ["NOTIFY=NEVER", "ORCPT=rfc822;customer@live.test"]}
    send(running, ["customer@live.test"], sender="dev@qa.test", source=STAGING_CLIENT,
         rcpt={"customer@live.test": asked})
    sink.wait(3)
    assert rcpt_parameters(sink.messages[1]) == {
        "box+customer@qa.test": ["NOTIFY=SUCCESS,FAILURE"]}
    # From nobody nobody can hear, and nothing needs to be said.
    send(running, ["tester@qa.test"], source=STAGING_CLIENT)
    sink.wait(4)
    assert rcpt_parameters(sink.messages[2]) == {"tester@qa.test": []}


def test_one_copy_for_several_asks_for_all_of_them(gate, sink):
    sink.extensions = USUAL + ["DSN"]
    rules = ('allow = {"@qa.test"} others = rewrite rewrite_to = "box@qa.test" '
             'burst "volume" { limit = "1000/1h" per = {environment} }')
    running = gate(staging(rules))
    rows = [("NEVER", "SUCCESS", "SUCCESS"), ("SUCCESS", "DELAY", "SUCCESS,DELAY"),
            ("NEVER", "NEVER", "NEVER"), ("NEVER", None, "FAILURE"), (None, None, None)]
    for n, (first, second, wanted) in enumerate(rows):
        asked = {who: f" NOTIFY={what}" for who, what in
                 (("a@live.test", first), ("b@live.test", second)) if what}
        send(running, ["a@live.test", "b@live.test"], sender="dev@qa.test", source=STAGING_CLIENT,
             rcpt=asked)
        wait_for(f"row {n}", lambda n=n: len(sink.messages) > n)
        assert rcpt_parameters(sink.messages[n]) == {
            "box@qa.test": [f"NOTIFY={wanted}"] if wanted else []}


def test_an_upstream_without_dsn_gets_none_and_the_sender_hears_from_us(gate, sink):
    sink.extensions = USUAL
    running = gate(production())
    send(running, ["ann@x.test", "bob@x.test"], None, " RET=HDRS ENVID=QQ1", "app@shop.example",
         rcpt={"ann@x.test": SUCCESS, "bob@x.test": " NOTIFY=FAILURE"})
    sink.wait(3)
    first, report = sink.messages
    assert "RET" not in first.mail_line and "ENVID" not in first.mail_line
    assert rcpt_parameters(first) == {"ann@x.test": [], "bob@x.test": []}
    parsed = email.message_from_bytes(report.data, policy=email.policy.default)
    status = [part for part in parsed.walk()
              if part.get_content_type() == "message/delivery-status"][0].get_payload()
    assert [block["Action"] for block in status if block["Action"]] == ["relayed"]
    assert [block["Final-Recipient"] for block in status if block["Final-Recipient"]] == [
        "rfc822; ann@x.test"]
    stays_true("one report and no more", lambda: len(sink.messages) == 2, 0.3)


def test_an_upstream_with_dsn_tells_by_itself(gate, sink):
    sink.extensions = USUAL + ["DSN"]
    running = gate(production())
    send(running, ["ann@x.test"], sender="app@shop.example", rcpt={"ann@x.test": SUCCESS})
    sink.wait(1)
    running.wait_counts("production", {"sent": 1})
    stays_true("no report of ours", lambda: len(sink.messages) == 1, 0.3)
