"""Alerts: one when it matters, durable, and never in the way of mail."""

import json
import time

from rig.client import letter
from rig.gate import PRODUCTION_CLIENT, production, staging
from rig.wait import stays_true, wait_for

TRIPS = 'allow = {"*"} burst "volume" { limit = "5/10m" per = {environment} cooldown = 0 }'


def channel(webhook, events='"*"', keys=""):
    return (f'alert "ops" {{ type = webhook url = "{webhook.url}" events = {{{events}}} '
            f'{keys} }}\n')


def blow(running, count=10):
    for n in range(count):
        running.send(letter("Sale"), [f"a{n}@x.test"])


def test_one_alert_when_a_batch_opens(gate, webhook):
    running = gate(staging(TRIPS), more=channel(webhook))
    blow(running, 30)
    alert = webhook.wait("batch.opened")[0]
    assert set(alert) >= {"event", "id", "at", "environment", "text", "who", "reason", "batch",
                          "gate"}
    assert alert["environment"] == "staging"
    assert alert["gate"] == "gate.example"
    assert alert["batch"]["id"] == running.batch()["id"]
    assert alert["batch"]["rule"] == "burst volume"
    assert alert["text"]
    stays_true("one and no more", lambda: len(webhook.events("batch.opened")) == 1, 0.5)


def test_another_alert_at_tenfold(gate, webhook):
    running = gate(staging(TRIPS), more=channel(webhook))
    running.send(letter(), [f"a{n}@x.test" for n in range(6)])
    webhook.wait("batch.opened")
    assert not webhook.events("batch.grown")
    running.send(letter(), [f"b{n}@x.test" for n in range(100)])
    webhook.wait("batch.grown")
    stays_true("one and no more", lambda: len(webhook.events("batch.grown")) == 1, 0.3)


def test_decisions_are_told_with_who_and_why(gate, sink, webhook):
    running = gate(staging(TRIPS), more=channel(webhook))
    blow(running)
    batch = running.batch()["id"]
    running.one("release", batch, "--first", 2, "--reason", "first ring")
    running.one("discard", batch, "--reason", "it was a test")
    running.one("restore", batch, "--reason", "it was not")
    for event, reason in (("batch.released", "first ring"), ("batch.discarded", "it was a test"),
                          ("batch.restored", "it was not")):
        alert = webhook.wait(event)[0]
        assert alert["reason"] == reason
        assert alert["who"].startswith("uid:")
        assert alert["batch"]["id"] == batch


def test_upstream_down_and_up(gate, sink, webhook):
    sink.stop()
    running = gate(production(), more=channel(webhook))
    running.send(letter(), ["a@x.test"], PRODUCTION_CLIENT)
    webhook.wait("upstream.down")
    sink.start()
    webhook.wait("upstream.up")
    assert len(webhook.events("upstream.down")) == len(webhook.events("upstream.up")) == 1


def test_panic_is_told(gate, webhook):
    running = gate(production(), more=channel(webhook))
    running.do("hold", "--everything", "--reason", "stop")
    assert webhook.wait("hold.set")[0]["reason"] == "stop"
    running.do("unhold", "--everything", "--reason", "go")
    webhook.wait("hold.cleared")


def test_retried_until_the_webhook_came_back(gate, webhook):
    webhook.status = lambda attempt: 500 if attempt <= 2 else 204
    running = gate(staging(TRIPS), more=channel(webhook))
    blow(running)
    webhook.wait("batch.opened")
    opened = [a for a, _ in webhook.attempts if a["event"] == "batch.opened"]
    assert len(opened) >= 2
    assert len({a["id"] for a in opened}) == 1, "the id must be the same on every retry"


def test_alert_of_a_gate_that_was_restarted_meanwhile(gate, webhook):
    webhook.stop()
    running = gate(staging(TRIPS), more=channel(webhook))
    blow(running)
    wait_for("it was tried", lambda: running.status()["alerts"]["pending"] >= 1)
    running.stop()
    running.start()
    webhook.start()
    webhook.wait("batch.opened")
    wait_for("nothing pending", lambda: running.status()["alerts"]["pending"] == 0)


def test_alert_survives_kill(gate, webhook):
    webhook.stop()
    running = gate(staging(TRIPS), more=channel(webhook))
    blow(running)
    running.kill()
    running.start()
    webhook.start()
    webhook.wait("batch.opened")


def test_slow_webhook_does_not_delay_mail(gate, sink, webhook):
    webhook.delay = 20
    running = gate(production() + staging(TRIPS), more=channel(webhook))
    blow(running)
    wait_for("the webhook is busy", lambda: webhook.attempts)
    begin = time.monotonic()
    for n in range(20):
        running.send(letter(), [f"p{n}@x.test"], PRODUCTION_CLIENT)
    sink.wait(25 if sink.recipients() and sink.recipients()[0].startswith("a") else 20)
    assert time.monotonic() - begin < 10
    assert running.cli("status").returncode == 0


def test_channel_gets_only_the_events_it_asked_for(gate, webhook):
    running = gate(staging(TRIPS), more=channel(webhook, '"batch.released"'))
    blow(running)
    running.one("release", running.batch()["id"], "--reason", "ok")
    webhook.wait("batch.released")
    assert {a["event"] for a, _ in webhook.attempts} == {"batch.released"}


def test_slack_gets_text(gate, webhook):
    running = gate(staging(TRIPS), more=f'alert "chat" {{ type = slack url = "{webhook.url}" '
                                        'events = {"batch.opened"} }\n')
    # The recorder sorts by event, which Slack's form has not.
    blow_and_text = None
    webhook.status = 500
    blow(running)
    blow_and_text = wait_for("the message", lambda: webhook.attempts)[0][0]
    webhook.status = 200
    assert set(blow_and_text) == {"text", "mrkdwn", "blocks"}
    assert running.batch()["id"] in blow_and_text["text"]


def test_exec_gets_json_and_no_shell(gate, tmp_path):
    odd = tmp_path / "x; touch broken $(touch broken)"
    running = gate(staging(TRIPS), more=(
        f'alert "pager" {{ type = exec command = {{"/usr/bin/tee", "{odd}"}} '
        'events = {"batch.opened"} }\n'))
    blow(running)
    wait_for("the program ran", lambda: odd.exists() and odd.read_text().strip())
    alert = json.loads(odd.read_text())
    assert alert["event"] == "batch.opened"
    assert not list(tmp_path.glob("**/broken*"))


def test_exec_environment(gate, tmp_path):
    out = tmp_path / "env"
    running = gate(staging(TRIPS), more=(
        f'alert "pager" {{ type = exec command = {{"/bin/sh", "-c", "env > {out}.new; '
        f'mv {out}.new {out}"}} events = {{"batch.opened"}} }}\n'))
    blow(running)
    wait_for("the program ran", out.exists)
    names = dict(line.split("=", 1) for line in out.read_text().splitlines() if "=" in line)
    assert names["MAILFUSE_EVENT"] == "batch.opened"
    assert names["MAILFUSE_BATCH"] == running.batch()["id"]
    assert names["MAILFUSE_ENVIRONMENT"] == "staging"
    assert names["MAILFUSE_TEXT"]


def test_exec_that_fails_is_tried_again(gate, tmp_path):
    runs = tmp_path / "runs"
    running = gate(staging(TRIPS), more=(
        f'alert "pager" {{ type = exec command = {{"/bin/sh", "-c", "echo x >> {runs}; '
        f'test $(wc -l < {runs}) -ge 2"}} events = {{"batch.opened"}} }}\n'))
    blow(running)
    wait_for("it ran twice", lambda: runs.exists() and len(runs.read_text().split()) >= 2)
    wait_for("delivered", lambda: running.status()["alerts"]["pending"] == 0)
    assert len(runs.read_text().split()) == 2


def test_given_up_alert_is_counted_and_told_in_status(gate, webhook):
    webhook.status = 500
    running = gate(staging(TRIPS), more=channel(webhook, '"batch.opened"', 'retry_for = "2s"'))
    blow(running)
    wait_for("it gave up", lambda: running.status()["alerts"]["failed"] == 1)
    assert running.status()["alerts"]["pending"] == 0
