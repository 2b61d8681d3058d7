"""mailfuse alert test and list: does a channel work, asked by a person who waits."""

import pytest
from rig.client import letter
from rig.gate import production, staging
from rig.wait import wait_for

TRIPS = 'allow = {"*"} burst "volume" { limit = "5/10m" per = {environment} cooldown = 0 }'


def hook(webhook, name="hook", keys=""):
    return (f'alert "{name}" {{ type = webhook url = "{webhook.url}" timeout = 2s '
            f'events = {{"batch.*"}} {keys} }}\n')


def mail(keys="", name="mail"):
    return (f'alert "{name}" {{ type = email to = {{"ops@people.test"}} timeout = 2s {keys} '
            'events = {"batch.*"} }\n')


def test_webhook(gate, webhook):
    running = gate(production(), more=hook(webhook))
    result = running.cli("alert", "test", "hook")
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("hook: delivered in ") and result.stdout.endswith(" s\n")
    (alert,) = webhook.events("alert.test")
    assert "TEST" in alert["text"] and alert["who"].startswith("uid:")
    assert alert["batch"] is None and alert["id"] == 0
    row = [r for r in running.audit() if r["action"] == "alert.tested"]
    assert len(row) == 1 and row[0]["object"] == "hook"


def test_mail_waits_for_the_smarthost(gate, sink):
    running = gate(production(), more=mail())
    answer = running.one("alert", "test", "mail")
    assert answer["ok"] is True and answer["channel"] == "mail" and answer["why"] == ""
    (message,) = sink.messages
    assert message.recipients == ["ops@people.test"] and b"TEST" in message.data


def test_mail_that_the_smarthost_refuses(gate, sink):
    sink.rule = lambda stage, *_: "550 5.7.1 not from you" if stage == "rcpt" else None
    running = gate(production(), more=mail())
    result = running.cli("alert", "test", "mail")
    assert result.returncode == 1
    assert "550 5.7.1 not from you" in result.stdout


def test_mail_that_stays_in_the_queue(gate, sink):
    sink.stop()
    running = gate(production(), more=mail())
    result = running.cli("alert", "test", "mail")
    assert result.returncode == 1
    assert "it is in the queue, but the upstream has not taken it yet" in result.stdout
    sink.start()
    wait_for("it leaves later", lambda: sink.messages)


def test_exec(gate, tmp_path):
    out = tmp_path / "out"
    running = gate(production(), more=(
        f'alert "run" {{ type = exec command = {{"/usr/bin/tee", "{out}"}} }}\n'
        'alert "not" { type = exec command = {"/bin/false"} }\n'
        'alert "none" { type = exec command = {"/nonexistent"} }\n'))
    assert running.cli("alert", "test", "run").returncode == 0
    assert "TEST" in out.read_text()
    for name, why in (("not", "exit code 1"), ("none", "cannot run /nonexistent")):
        result = running.cli("alert", "test", name)
        assert result.returncode == 1 and why in result.stdout


@pytest.mark.parametrize("status,delay,why", [(500, 0, "HTTP status 500"), (200, 6, "Timeout")])
def test_a_channel_that_does_not_work(gate, webhook, status, delay, why):
    webhook.status, webhook.delay = status, delay
    running = gate(production(), more=hook(webhook))
    result = running.cli("alert", "test", "hook")
    assert result.returncode == 1
    assert result.stdout.startswith("hook: not delivered: ") and why in result.stdout
    # A test is no alert: nothing is left behind, and nobody is told.
    assert running.status()["alerts"] == {"pending": 0, "failed": 0, "oldest_at": None}


def test_a_quiet_channel_is_tried_at_once(gate, webhook):
    """An alert waits for its next try: who has mended the channel need not."""
    webhook.status = 500
    running = gate(staging(TRIPS), more=hook(webhook))
    for n in range(10):
        running.send(letter(), [f"a{n}@x.test"])
    wait_for("it failed", lambda: len(webhook.attempts) >= 2)
    webhook.status = 200
    assert running.cli("alert", "test", "hook").returncode == 0


def test_all(gate, sink, webhook):
    running = gate(production(), more=hook(webhook) + mail()
                   + 'alert "not" { type = exec command = {"/bin/false"} }\n')
    rows = running.cli("--json", "alert", "test", "--all")
    assert rows.returncode == 1
    lines = rows.stdout.splitlines()
    assert len(lines) == 3 and sum('"ok":true' in line.replace(" ", "") for line in lines) == 2


def test_usage(gate, webhook):
    running = gate(production(), more=hook(webhook))
    for words, code in ((("test",), 2), (("test", "hook", "--all"), 2), (("sing",), 2),
                        (("list", "hook"), 2), (("test", "nobody"), 1)):
        result = running.cli("alert", *words)
        assert result.returncode == code, (words, result.stdout, result.stderr)
        assert result.stderr
    assert "there are: hook" in running.cli("alert", "test", "nobody").stderr


def test_no_channels(gate):
    running = gate(production())
    result = running.cli("alert", "test", "--all")
    assert result.returncode == 1 and "nobody is told" in result.stderr
    assert running.cli("alert", "list").returncode == 0


def test_list(gate, sink, webhook):
    running = gate(staging(TRIPS) + production(), more=hook(webhook) + mail())
    assert {(r["name"], r["type"], r["health"]) for r in running.do("alert", "list")} == {
        ("hook", "webhook", "untried"), ("mail", "email", "untried")}
    webhook.status = 500
    for n in range(10):
        running.send(letter(), [f"a{n}@x.test"])
    wait_for("one fails, one works", lambda: {
        (r["name"], r["health"]) for r in running.do("alert", "list")} == {
            ("hook", "failing"), ("mail", "ok")})
    text = running.cli("alert", "list").stdout
    assert "failing" in text and "HTTP status 500" in text


def test_stop_while_a_test_waits(gate, webhook):
    """The call ends with the gate, and says so."""
    import threading
    webhook.delay = 30
    running = gate(production(), more=hook(webhook).replace("2s", "60s"))
    results = []
    asking = threading.Thread(
        target=lambda: results.append(running.cli("alert", "test", "hook")), daemon=True)
    asking.start()
    wait_for("the webhook is busy", lambda: webhook.attempts)
    running.stop()
    asking.join(30)
    assert results and results[0].returncode != 0
