"""Alerts by mail: a real smarthost gets them, past rules and holds, to the named people only."""

import email
import email.policy
import json

import pytest
from rig.client import letter
from rig.gate import (PRODUCTION_CLIENT, UnixHTTPConnection, production, sanitized, scaled,
                      staging)
from rig.sink import Sink
from rig.wait import stays_true, wait_for

TRIPS = 'allow = {"*"} burst "volume" { limit = "5/10m" per = {environment} cooldown = 0 }'
OPS = 'to = {"ops@people.test"}'


def mail(keys=OPS, events='"*"', name="mail"):
    return f'alert "{name}" {{ type = email {keys} events = {{{events}}} }}\n'


def hook(webhook, events='"*"', name="hook", keys=""):
    return (f'alert "{name}" {{ type = webhook url = "{webhook.url}" events = {{{events}}} '
            f'{keys} }}\n')


def blow(running, subject="Sale", count=10):
    for n in range(count):
        running.send(letter(subject), [f"a{n}@x.test"])


def alerts(sink):
    """What came for people of the channel, as the email package reads it."""
    return [(m, email.message_from_bytes(m.data, policy=email.policy.default))
            for m in list(sink.messages) if any(r.endswith("@people.test") for r in m.recipients)]


def wait_alert(sink, text, count=1):
    def found():
        hits = [(m, p) for m, p in alerts(sink) if text in str(p["subject"])]
        return hits if len(hits) >= count else None

    return wait_for(lambda: f"{text!r} among {[str(p['subject']) for _, p in alerts(sink)]}", found)


def test_a_batch_is_told_by_mail(gate, sink):
    running = gate(production() + staging(TRIPS), more=mail(
        'to = {"ops@people.test", "boss@people.test"}', '"batch.opened"'))
    blow(running)
    taken, parsed = wait_alert(sink, "staging")[0]
    batch = running.batch()["id"]
    assert sorted(taken.recipients) == ["boss@people.test", "ops@people.test"]
    assert parsed["auto-submitted"] == "auto-generated"
    assert str(parsed["from"]) == "mailfuse <mailfuse@gate.example>"
    assert taken.sender == "mailfuse@gate.example"
    assert parsed.get_content_type() == "multipart/alternative"
    text, html = list(parsed.iter_parts())
    assert (text.get_content_type(), html.get_content_type()) == ("text/plain", "text/html")
    assert f"mailfuse show {batch}" in text.get_content()
    assert batch in html.get_content() and "src=" not in html.get_content()
    assert taken.data.isascii()
    assert running.counts("alerts/mail") == {"sent": 2}


def test_links_lead_into_the_console(gate, sink, tmp_path):
    tokens = tmp_path / "tokens"
    tokens.touch(mode=0o600)
    running = gate(production() + staging(TRIPS), more=mail(events='"batch.*"') + (
        f'http {{ address = "127.0.0.1:0" tokens = "{tokens}" '
        'url = "https://gate.example:8025/" }\n'))
    blow(running)
    _, parsed = wait_alert(sink, "staging")[0]
    link = f"https://gate.example:8025/batches/{running.batch()['id']}"
    text, html = list(parsed.iter_parts())
    assert link in text.get_content() and f'href="{link}"' in html.get_content()


def test_past_rules_and_holds(gate, sink):
    """Everything is on hold and the environment's rule has tripped: people are told all the same."""
    running = gate(production(TRIPS.replace("volume", "prod")) + staging(TRIPS), more=mail())
    running.do("hold", "--everything", "--reason", "stop")
    wait_alert(sink, "everything is on hold")
    for n in range(12):  # more than any limit here
        running.do("unhold", "--everything", "--reason", f"go {n}")
        running.do("hold", "--everything", "--reason", f"stop {n}")
    wait_alert(sink, "stop 11")
    assert all(m.recipients == ["ops@people.test"] for m in sink.messages)
    assert running.batches("--all") == []


def test_what_is_queued_passes_a_hold(gate, sink):
    """The hold comes while alerts wait for the smarthost: it stops mail, not them."""
    sink.stop()
    running = gate(production() + staging(TRIPS), more=mail())
    running.send(letter(), ["p@x.test"], PRODUCTION_CLIENT)
    blow(running)
    wait_for("the alert is queued", lambda: running.counts("alerts/mail").get("queued"))
    queue = running.one("queue")
    row = [e for e in queue["environments"] if e["environment"] == "alerts/mail"]
    assert row and row[0]["upstream"] == "smarthost" and row[0]["queued"] >= 1
    moved = running.one("hold", "--everything", "--reason", "stop")
    assert moved["stopped"] >= 1
    sink.start()
    wait_alert(sink, "everything is on hold")
    assert "p@x.test" not in sink.recipients()


def test_no_hold_names_the_alerts(gate):
    running = gate(production(), more=mail())
    status, problem = running.api("POST", "/v1/hold", {"scope": "environment",
                                                       "name": "alerts/mail", "reason": "x"})
    assert status == 400 and "no hold stops alerts" in problem["detail"]


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_survives_a_restart(gate, sink, how):
    sink.stop()
    running = gate(production() + staging(TRIPS), more=mail(events='"batch.opened"'))
    blow(running)
    wait_for("the alert is queued", lambda: running.counts("alerts/mail").get("queued") == 1)
    getattr(running, how)()
    running.start()
    sink.start()
    wait_alert(sink, "staging")
    assert len(alerts(sink)) == 1


def test_a_refused_alert_is_told_on_the_other_channel_only(gate, sink, webhook):
    """The smarthost refuses each alert for good: no report, no mail about the mail, one event."""
    sink.rule = lambda stage, argument, session: (
        "550 5.1.1 no such user" if stage == "rcpt" and "people.test" in str(argument) else None)
    running = gate(production() + staging(TRIPS), more=mail() + hook(webhook))
    blow(running)
    failed = webhook.wait("alert.failed")[0]
    assert failed["environment"] == "alerts/mail"
    assert "550 5.1.1 no such user" in failed["text"]
    wait_for("nothing is pending", lambda: running.status()["alerts"]["pending"] == 0)
    count = sum(running.counts("alerts/mail").values())
    stays_true("no storm", lambda: sum(running.counts("alerts/mail").values()) == count, 1.5)
    assert len(webhook.events("alert.failed")) == 1
    assert not any(m.sender == "" for m in sink.messages)
    assert alerts(sink) == []


def test_alone_it_makes_no_storm(gate, sink):
    """The only channel: what fails is told to nobody, and above all not by the same channel."""
    sink.rule = lambda stage, argument, session: (
        "550 5.1.1 no such user" if stage == "rcpt" and "people.test" in str(argument) else None)
    running = gate(production() + staging(TRIPS), more=mail())
    blow(running)
    wait_for("it failed", lambda: running.counts("alerts/mail").get("failed"))
    wait_for("nothing is pending", lambda: running.status()["alerts"]["pending"] == 0)
    count = sum(running.counts("alerts/mail").values())
    stays_true("no storm", lambda: sum(running.counts("alerts/mail").values()) == count, 1.5)


def test_a_bounce_that_comes_back_makes_no_storm(gate, sink):
    """A smarthost that took an alert and bounces it through the gate: mail as any other."""
    running = gate(production() + staging(TRIPS), more=mail(events='"batch.opened"'))
    blow(running)
    taken, _ = wait_alert(sink, "staging")[0]
    report = (b"From: MAILER-DAEMON@x.test\r\nTo: <mailfuse@gate.example>\r\n"
              b"Subject: failure notice\r\n\r\n" + taken.data)
    running.send(report, ["mailfuse@gate.example"], PRODUCTION_CLIENT, sender="")
    wait_for("the bounce goes its way", lambda: "mailfuse@gate.example" in sink.recipients())
    stays_true("one alert", lambda: len(alerts(sink)) == 1, 0.7)


def test_an_alert_that_comes_back_is_a_loop(gate, sink):
    """ops@ is routed back into the gate: refused by its own mark, as any mail that loops."""
    running = gate(production() + staging(TRIPS), more=mail(events='"batch.opened"'))
    blow(running)
    taken, _ = wait_alert(sink, "staging")[0]
    with running.client(PRODUCTION_CLIENT) as client:
        _, end = client.mail(["ops@people.test"], taken.data)
    assert end[0] == 554


HOSTILE = [
    "x\r\n Bcc: victim@x.test",
    "=?utf-8?q?x=0D=0ABcc:_victim=40x.test?=",
    "=?utf-8?b?PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg==?=",  # <script>alert(1)</script>
    "=?utf-8?q?=E2=80=AErtl_=1B[31m_=00?=",
    "=?utf-8?q?--=3D=5Fmailfuse=5Falert?=",
]


@pytest.mark.parametrize("subject", HOSTILE)
def test_hostile_subjects(gate, sink, subject):
    rule = ('allow = {"*"} burst "volume" { limit = "5/10m" per = {environment, subject} '
            'cooldown = 0 }')
    running = gate(production() + staging(rule), more=mail(
        OPS + ' subject = "%e %b %t" text = "%t%l%u"', '"batch.opened"'))
    for n in range(10):
        running.send(letter(subject), [f"a{n}@x.test"])
    taken, parsed = wait_alert(sink, "staging")[0]
    assert taken.recipients == ["ops@people.test"]
    assert parsed["bcc"] is None and taken.data.isascii()
    assert len(parsed.keys()) == len(set(k.lower() for k in parsed.keys()))
    text, html = list(parsed.iter_parts())
    assert "<script" not in html.get_content()
    for part in (text, html):
        assert not set(part.get_content()) & {"\x1b", "\x00", "\u202e"}


def test_many_at_once(gate, sink):
    """More than are taken at a time: each comes, once."""
    running = gate(production() + staging(TRIPS), more=mail(events='"hold.*"'))
    for n in range(60):
        running.do("hold", "--source", f"s{n}", "--reason", f"n{n}.")
    wait_for("60 alerts", lambda: len(alerts(sink)) >= 60)
    subjects = [str(p["subject"]) for _, p in alerts(sink)]
    assert len(subjects) == len(set(subjects)) == 60
    assert len({p["message-id"] for _, p in alerts(sink)}) == 60


def test_a_channel_that_is_taken_away(gate, sink, webhook):
    """A reload removes it while its mail is queued: that mail does not leave any more."""
    sink.stop()
    environments = production() + staging(TRIPS)
    running = gate(environments, more=mail() + hook(webhook))
    blow(running)
    wait_for("the alert is queued", lambda: running.counts("alerts/mail").get("queued"))
    config = running.config.read_text().replace('type = email', 'type = exec').replace(
        OPS, 'command = {"/bin/true"}')
    running.config.write_text(config)
    running.reload()
    sink.start()
    running.send(letter(), ["p@x.test"], PRODUCTION_CLIENT)
    wait_for("mail goes", lambda: "p@x.test" in sink.recipients())
    stays_true("nothing for people", lambda: alerts(sink) == [], 0.7)


def test_somebody_is_taken_off_the_list(gate, sink):
    """While an alert for two people is queued a reload leaves one: only that one gets it."""
    sink.stop()
    running = gate(production() + staging(TRIPS), more=mail(
        'to = {"ops@people.test", "left@people.test"}', '"batch.opened"'))
    blow(running)
    wait_for("the alert is queued", lambda: running.counts("alerts/mail").get("queued") == 2)
    running.config.write_text(running.config.read_text().replace(', "left@people.test"', ""))
    running.reload()
    sink.start()
    taken, _ = wait_alert(sink, "staging")[0]
    assert taken.recipients == ["ops@people.test"]
    running.wait_counts("alerts/mail", {"sent": 1, "failed": 1})


def test_two_smarthosts(gate, sink):
    """A channel goes by its own upstream, and a reload may change which."""
    other = Sink()
    try:
        running = gate(
            production('upstream = "smarthost" ') + staging('upstream = "smarthost" ' + TRIPS),
            more=f'upstream "other" {{ address = "{other.address}" }}\n'
                 + mail(OPS + ' upstream = "other"', '"batch.opened"'))
        blow(running)
        wait_alert(other, "staging")
        assert alerts(sink) == []
    finally:
        other.stop()


def test_store_over_its_limit_still_tells(gate, sink):
    """No room for mail: the alert that says so finds its way."""
    running = gate(production() + staging(TRIPS), more=mail(events='"hold.*"')
                   + 'quarantine_limit = "1"\n')
    wait_for("no room", lambda: not running.status()["store"]["room"])
    running.do("hold", "--everything", "--reason", "full")
    wait_alert(sink, "full")


def test_it_is_no_traffic(gate, sink):
    """Neither counted nor in the history that simulate learns from, also after a restart."""
    running = gate(production(TRIPS) + staging(TRIPS), more=mail(events='"hold.*"'))
    for n in range(20):
        running.do("hold", "--source", f"s{n}", "--reason", f"n{n}.")
    wait_for("20 alerts", lambda: len(alerts(sink)) >= 20)
    running.stop()
    running.start()
    status, page = running.api("GET", "/v1/traffic?limit=1000")
    assert status == 200
    assert [row for row in page["items"] if row["environment"].startswith("alerts/")] == []
    assert running.batches("--all") == []


def test_a_storm_is_summed_up(gate, sink, webhook):
    """1,000 batches open: people get 20 mails and a summary, which comes a minute later; a program
    gets each alert. tests/unit/test_alert_storm.c has 10,000, and the summaries of hours."""
    count = scaled(1000)
    rule = 'allow = {"*"} burst "volume" { limit = "1/10m" per = {subject} cooldown = 0 }'
    people = mail(OPS + " per_hour = 20", events='"batch.opened", "hold.*"')
    running = gate(production() + staging(rule), more=people
                   + hook(webhook, events='"batch.opened"'))
    with running.client() as client:
        for n in range(count):
            # Subjects that differ in their numbers only are of one stream.
            word = str(n).translate(str.maketrans("0123456789", "abcdefghij"))
            client.mail([f"a{n}@x.test", f"b{n}@x.test"], letter(f"Sale {word}"))
    running.do("hold", "--source", "rare", "--reason", "among so many")
    wait_for("each is told to the program",
             lambda: len({a["batch"]["id"] for a in webhook.events("batch.opened")}) == count, 600)

    def told():
        """How many alerts the mails are about."""
        subjects = [str(p["subject"]) for _, p in alerts(sink)]
        more = [int(s.split()[1]) for s in subjects if " more alert" in s]
        return len(subjects) - len(more) + sum(more)

    wait_for(lambda: f"{count + 1} told, not {told()}", lambda: told() == count + 1, 600)
    assert 20 < len(alerts(sink)) <= 20 + 14
    summed_up = [p for _, p in alerts(sink) if " more alert" in str(p["subject"])]
    text = "".join(p.get_body(("plain",)).get_content() for p in summed_up)
    assert "among so many" in text and "more of batch.opened" in text
    wait_for("nothing waits", lambda: running.status()["alerts"]["pending"] == 0)


def test_a_storm_of_alerts(gate, sink, webhook):
    """A storm of alerts: mail is neither stopped nor lost, memory stays, and so do other channels."""
    count = scaled(500)
    webhook.delay = 30  # and a channel that hangs
    running = gate(production() + staging(TRIPS),
                   more=mail(OPS + " per_hour = 0", events='"hold.*"')
                   + hook(webhook, keys="timeout = 1s"))
    connection = UnixHTTPConnection(running.control)
    for n in range(count):
        body = json.dumps({"scope": "source", "name": f"s{n}", "reason": "x"})
        connection.request("POST", "/v1/hold", body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 200
        if n == count // 2:
            running.reload()
    connection.close()
    running.send(letter(), ["p@x.test"], PRODUCTION_CLIENT)
    wait_for("mail goes", lambda: "p@x.test" in sink.recipients())
    wait_for("every alert came", lambda: len(alerts(sink)) >= count, 120)
    subjects = {str(p["subject"]) for _, p in alerts(sink)}
    assert len(subjects) == count == len(alerts(sink))
    if not sanitized():
        assert running.memory_peak() < 200 << 20
