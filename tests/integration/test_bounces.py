"""What fails after our 250 comes back to its sender: RFC 3461, 3464, under the gate's own policy."""

import signal
import threading
from email import message_from_bytes, policy

import pytest

from rig.client import letter
from rig.gate import (PRODUCTION_CLIENT, STAGING_CLIENT, listener, production, staging,
                      upstream)
from rig.wait import stays_true, wait_for

SENDER = "app@example.com"


def refuse(*words):
    """A rule: RCPT of an address with one of these words in it is refused for good."""

    def rule(stage, argument, _session):
        if stage == "rcpt" and any(word in str(argument) for word in words):
            return "550 5.1.1 <nobody@x.test> no such user here"
        return None

    return rule


def reports(sink):
    return [m for m in sink.messages if m.sender == ""]


def only_report(sink):
    wait_for("a report at the sink", lambda: reports(sink))
    assert len(reports(sink)) == 1
    return reports(sink)[0]


def parse(message):
    parsed = message_from_bytes(message.data, policy=policy.default)
    assert not parsed.defects and parsed.get_content_type() == "multipart/report"
    assert parsed.get_param("report-type") == "delivery-status"
    parts = list(parsed.iter_parts())
    assert len(parts) == 3
    assert [p.get_content_type() for p in parts] == [
        "text/plain", "message/delivery-status", "text/rfc822-headers"]
    assert all(not p.defects for p in parts)
    return parsed, parts[0].get_content(), parts[1].get_payload(), parts[2].get_content()


def test_a_refused_recipient_comes_back(gate, sink):
    sink.rule = refuse("nobody")
    running = gate(production())
    sent = running.send(letter(subject="Your invoice"), ["nobody@x.test", "good@x.test"],
                        PRODUCTION_CLIENT, sender=SENDER)
    report = only_report(sink)
    assert report.recipients == [SENDER]
    parsed, text, blocks, header = parse(report)
    assert parsed["From"].addresses[0].addr_spec == "MAILER-DAEMON@gate.example"
    assert parsed["To"].addresses[0].addr_spec == SENDER
    assert parsed["Auto-Submitted"] == "auto-replied"
    assert parsed["Message-ID"] and parsed["Date"] and parsed["Subject"]
    assert "nobody@x.test" in text and "no such user here" in text and "good@x.test" not in text
    about, failed = blocks
    assert about["Reporting-MTA"] == "dns; gate.example"
    assert about["Arrival-Date"]
    assert failed["Final-Recipient"].replace(" ", "") == "rfc822;nobody@x.test"
    assert failed["Action"] == "failed" and failed["Status"] == "5.1.1"
    assert failed["Diagnostic-Code"].startswith("smtp; 550")
    assert "127.0.0.1" in failed["Remote-MTA"]
    assert "Your invoice" in header and sent in header
    # Nothing of the body goes back.
    assert "text/rfc822-headers" in report.data.decode() and "\r\n\r\nBody" not in header
    # It is mail of its environment, and its delivery can be looked at.
    assert report.field("X-Mailfuse-Environment") == "production"
    failed = running.deliveries(state="failed")
    assert [d["recipient"] for d in failed] == ["nobody@x.test"]
    wait_for("the failure is told", lambda: running.deliveries(state="failed")[0]["sender_told"] == "yes")


def test_several_failures_of_one_message_are_one_report(gate, sink):
    sink.rule = refuse("bad")
    running = gate(production())
    running.send(letter(), [f"bad{n}@x.test" for n in range(5)], PRODUCTION_CLIENT, sender=SENDER)
    _, _, blocks, _ = parse(only_report(sink))
    assert sorted(b["Final-Recipient"].split(";")[1].strip() for b in blocks[1:]) == [
        f"bad{n}@x.test" for n in range(5)]


def test_refused_after_the_final_dot(gate, sink):
    seen = []
    sink.rule = lambda stage, *_: (
        "554 5.7.1 spam" if stage == "end" and not seen and not seen.append(1) else None)
    running = gate(production())
    running.send(letter(), ["a@x.test"], PRODUCTION_CLIENT, sender=SENDER)
    _, _, blocks, _ = parse(only_report(sink))
    assert blocks[1]["Status"] == "5.7.1" and "spam" in blocks[1]["Diagnostic-Code"]


def test_given_up_after_retry_for(gate, sink):
    sink.rule = lambda stage, argument, _: (
        "450 4.2.0 later" if stage == "rcpt" and "slow" in str(argument) else None)
    running = gate(production(), upstream_keys='retry_for = "1s"')
    running.send(letter(), ["slow@x.test"], PRODUCTION_CLIENT, sender=SENDER)
    _, text, blocks, _ = parse(only_report(sink))
    assert blocks[1]["Action"] == "failed" and "slow@x.test" in text


@pytest.mark.parametrize("name, sender, rcpt", [
    ("the null sender", "", ""),
    ("NOTIFY=NEVER", SENDER, "NOTIFY=NEVER"),
    ("NOTIFY=SUCCESS", SENDER, "NOTIFY=SUCCESS"),
])
def test_nobody_is_told(gate, sink, name, sender, rcpt):
    sink.rule = refuse("nobody")
    running = gate(production())
    with running.client(PRODUCTION_CLIENT) as client:
        assert client.command(f"MAIL FROM:<{sender}>")[0] == 250
        assert client.command(f"RCPT TO:<nobody@x.test> {rcpt}".rstrip())[0] == 250
        assert client.command("DATA")[0] == 354
        client.send(letter() + b"\r\n.\r\n")
        assert client.reply()[0] == 250
    running.wait_counts("production", {"failed": 1})
    stays_true(f"nobody is told: {name}", lambda: not reports(sink), 1.0)
    assert running.deliveries(state="failed")[0]["sender_told"] == "no"


def test_a_report_that_fails_makes_no_other(gate, sink):
    sink.rule = refuse("nobody", "app@")
    running = gate(production())
    running.send(letter(), ["nobody@x.test"], PRODUCTION_CLIENT, sender=SENDER)
    running.wait_counts("production", {"failed": 2})
    stays_true("no report about a report",
               lambda: running.counts("production") == {"failed": 2}, 1.0)


def test_a_report_keeps_to_the_policy_of_its_environment(gate, sink):
    """Staging may not reach this sender: a bounce is no way around the gate."""
    sink.rule = refuse("qa-nobody")
    running = gate(staging('allow = {"qa-*@partner.test"} others = drop '
                           'burst "b" { limit = "1000/1h" per = {environment} }'))
    running.send(letter(), ["qa-nobody@partner.test"], STAGING_CLIENT, sender="real@customer.test")
    running.wait_counts("staging", {"failed": 1, "dropped": 1})
    dropped = running.deliveries(state="dropped")
    assert [d["recipient"] for d in dropped] == ["real@customer.test"]
    stays_true("nothing left", lambda: not sink.messages, 0.5)


def test_a_report_is_rewritten_like_any_mail(gate, sink):
    sink.rule = refuse("qa-nobody")
    running = gate(staging('allow = {"qa-*@partner.test"} others = rewrite '
                           'rewrite_to = "qa-box@partner.test" '
                           'burst "b" { limit = "1000/1h" per = {environment} }'))
    running.send(letter(), ["qa-nobody@partner.test"], STAGING_CLIENT, sender="real@customer.test")
    report = only_report(sink)
    assert report.recipients == ["qa-box@partner.test"]
    assert "real@customer.test" not in "".join(report.fields("To"))


def test_a_report_names_whom_the_sender_wrote_to(gate, sink):
    """The sender knows nothing of the address that was put in its place."""
    sink.rule = refuse("qa-box")
    running = gate(staging('allow = {"app@example.com"} others = rewrite '
                           'rewrite_to = "qa-box@partner.test" '
                           'burst "b" { limit = "1000/1h" per = {environment} }'))
    running.send(letter(), ["ann+x@customer.test"], STAGING_CLIENT, sender=SENDER)
    _, text, blocks, _ = parse(only_report(sink))
    assert blocks[1]["Final-Recipient"].replace(" ", "") == "rfc822;qa-box@partner.test"
    assert blocks[1]["Original-Recipient"].replace(" ", "") == "rfc822;ann+x@customer.test"
    assert "ann+x@customer.test" in text


def test_a_report_for_whom_staging_rejects_is_kept(gate, sink):
    sink.rule = refuse("qa-nobody")
    running = gate(staging('allow = {"qa-*@partner.test"} others = reject '
                           'burst "b" { limit = "1000/1h" per = {environment} }'))
    running.send(letter(), ["qa-nobody@partner.test"], STAGING_CLIENT, sender="real@customer.test")
    running.wait_counts("staging", {"failed": 1, "dropped": 1})


def test_a_flood_of_reports_is_held(gate, sink):
    """Ten thousand failures must not become ten thousand reports: they are a blast too."""
    sink.rule = refuse("nobody")
    running = gate(production('burst "mail" { limit = "1000/1h" per = {recipient} } '
                              'burst "reports" { limit = "5/1h" per = {sender, recipient} }'))
    for n in range(12):
        running.send(letter(), [f"nobody{n}@x.test"], PRODUCTION_CLIENT, sender=SENDER)
    # Those that the queue had not handed over by then are held too.
    wait_for("every report is held or sent",
             lambda: running.counts("production").get("held", 0) + len(reports(sink)) == 12)
    assert len(reports(sink)) <= 5


def test_a_full_store_does_not_count_reports_again_and_again(make_gate, sink):
    """They wait until there is room, and are no blast then."""

    def config(limit):
        return (f'quarantine_limit = "{limit}"\n' + listener() + upstream(sink)
                + production('burst "reports" { limit = "20/1h" per = {sender} }'))

    count, go = 12, threading.Event()
    sink.rule = lambda stage, argument, _: (
        go.wait(60) and "550 5.1.1 no" if stage == "rcpt" and "nobody" in str(argument) else None)
    running = make_gate(config("1GB")).start()
    for n in range(count):
        running.send(letter(body="x" * 200000), [f"nobody{n}@x.test"], PRODUCTION_CLIENT,
                     sender=f"app{n}@example.com")
    running.write(config("1MB"))
    running.signal(signal.SIGHUP)
    running.wait_logged("store.room now=no")
    go.set()
    running.wait_counts("production", {"failed": count})
    running.write(config("1GB"))
    running.signal(signal.SIGHUP)
    wait_for("a report for each", lambda: len(reports(sink)) == count, 60)
    assert "held" not in running.counts("production")


def test_success_is_told_where_the_upstream_cannot(gate, sink):
    running = gate(production())
    with running.client(PRODUCTION_CLIENT) as client:
        assert client.command(f"MAIL FROM:<{SENDER}> RET=HDRS ENVID=QQ314159")[0] == 250
        assert client.command("RCPT TO:<a@x.test> NOTIFY=SUCCESS,FAILURE "
                              "ORCPT=rfc822;anna@x.test")[0] == 250
        assert client.command("DATA")[0] == 354
        client.send(letter() + b"\r\n.\r\n")
        assert client.reply()[0] == 250
    _, _, blocks, _ = parse(only_report(sink))
    assert blocks[0]["Original-Envelope-Id"] == "QQ314159"
    assert blocks[1]["Action"] == "relayed" and blocks[1]["Status"].startswith("2.")
    assert blocks[1]["Original-Recipient"].replace(" ", "") == "rfc822;anna@x.test"


def test_success_is_left_to_an_upstream_with_dsn(gate, sink):
    sink.extensions.append("DSN")
    running = gate(production())
    with running.client(PRODUCTION_CLIENT) as client:
        assert client.command(f"MAIL FROM:<{SENDER}> RET=FULL ENVID=QQ1")[0] == 250
        assert client.command("RCPT TO:<a@x.test> NOTIFY=SUCCESS ORCPT=rfc822;anna@x.test")[0] == 250
        assert client.command("DATA")[0] == 354
        client.send(letter() + b"\r\n.\r\n")
        assert client.reply()[0] == 250
    message = sink.only()
    assert "RET=FULL" in message.mail_line and "ENVID=QQ1" in message.mail_line
    assert "NOTIFY=SUCCESS" in message.rcpt_lines[0]
    assert "ORCPT=rfc822;anna@x.test" in message.rcpt_lines[0]
    stays_true("the gate leaves it to the upstream", lambda: not reports(sink), 0.5)


def test_a_crash_neither_loses_nor_repeats_a_report(gate, sink):
    """The report's own upstream is down: it is in the store, once, whatever happens to us."""
    deaf = [True]
    sink.rule = lambda stage, argument, session: (
        "550 5.1.1 no" if stage == "rcpt" and "nobody" in str(argument)
        else "451 4.3.0 later" if stage == "rcpt" and "app@" in str(argument) and deaf
        else None)
    running = gate(production())
    running.send(letter(), ["nobody@x.test"], PRODUCTION_CLIENT, sender=SENDER)
    wait_for("the report is queued",
             lambda: running.counts("production") == {"failed": 1, "queued": 1})
    running.kill()
    running.start()
    assert running.counts("production") == {"failed": 1, "queued": 1}
    deaf.clear()
    only_report(sink)
    running.wait_counts("production", {"failed": 1, "sent": 1})
    assert len(reports(sink)) == 1


def test_failures_make_an_alert(make_gate, sink, webhook):
    sink.rule = refuse("nobody")
    running = make_gate(listener() + upstream(sink) + production() +
                        f'alert "ops" {{ type = webhook url = "{webhook.url}" '
                        'events = {"delivery.failed"} }\n').start()
    running.send(letter(), ["nobody@x.test"], PRODUCTION_CLIENT, sender=SENDER)
    assert "no such user" in webhook.wait("delivery.failed")[0]["text"]
    assert "no such user" in running.cli("messages", "--state", "failed").stdout
