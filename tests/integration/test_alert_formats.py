"""What channels get, as their receivers check it: signatures, Slack's blocks, the Teams card."""

import itertools
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from rig.client import letter
from rig.gate import production, staging
from rig.wait import stays_true, wait_for

TRIPS = ('allow = {"*"} burst "volume" { limit = "5/10m" per = {environment, subject} '
         'cooldown = 0 }')
SECRET = "correct horse battery staple"
API = Path(__file__).parents[2] / "docs" / "api.md"


class Receiver:
    """An HTTP server that keeps each POST as it came: (headers, body)."""

    def __init__(self):
        self.posts = []
        self.status = 200
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.posts.append((dict(self.headers), body))
                self.send_response(receiver.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server.server_address[1]}/hook"

    def wait(self, count=1):
        return wait_for(f"{count} posts", lambda: len(self.posts) >= count and list(self.posts))

    def one(self):
        return json.loads(self.wait()[0][1])

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def receiver():
    server = Receiver()
    yield server
    server.stop()


def blow(running, subject="Sale", count=10):
    for n in range(count):
        running.send(letter(subject), [f"a{n}@x.test"])


def channel(receiver, kind, keys="", events='"batch.opened"'):
    return (f'alert "chat" {{ type = {kind} url = "{receiver.url}" events = {{{events}}} '
            f'{keys} }}\n')


# ---- signatures


def example():
    """`verify` as docs/api.md has it: the indented lines from its import on."""
    lines = API.read_text().splitlines()
    start = lines.index("    import hashlib, hmac")
    code = itertools.takewhile(lambda line: not line or line.startswith("    "), lines[start:])
    names = {}
    exec("\n".join(line[4:] for line in code), names)  # pylint: disable=exec-used
    return names["verify"]


verify = example()


@pytest.fixture
def secret(tmp_path):
    path = tmp_path / "hook-secret"
    path.touch(mode=0o600)
    path.write_text(SECRET + "\n")
    return f'secret = "file:{path}"'


def test_signature(gate, receiver, secret):
    running = gate(staging(TRIPS), more=channel(receiver, "webhook", secret))
    blow(running, "Größe \u202e <b>")
    headers, body = receiver.wait()[0]
    assert verify(SECRET, headers, body, time.time())
    assert not verify(SECRET + "x", headers, body, time.time())
    assert not verify(SECRET, headers, body + b" ", time.time())
    assert not verify(SECRET, headers, body, time.time() + 1000)
    assert not verify(SECRET, headers, body, time.time() - 1000)
    for name in ("X-Mailfuse-Timestamp", "X-Mailfuse-Signature"):
        for value in ("", "0", "v1=", "v1=\u00fc", headers[name] + "0"):
            assert not verify(SECRET, headers | {name: value}, body, time.time())
        assert not verify(SECRET, {k: v for k, v in headers.items() if k != name}, body,
                          time.time())
    assert SECRET not in running.text() and SECRET.encode() not in body


def test_each_try_has_a_time_of_its_own(gate, receiver, secret):
    receiver.status = 500
    running = gate(staging(TRIPS), more=channel(receiver, "webhook", secret))
    blow(running)
    posts = receiver.wait(2)
    assert all(verify(SECRET, headers, body, time.time()) for headers, body in posts)
    ids = {json.loads(body)["id"] for _, body in posts}
    assert len(ids) == 1


def test_secret_of_the_environment(make_gate, sink, receiver):
    from rig.gate import listener, upstream
    running = make_gate(listener() + upstream(sink) + staging(TRIPS)
                        + channel(receiver, "webhook", 'secret = "${HOOK_SECRET}"'),
                        environment={"HOOK_SECRET": SECRET}).start()
    blow(running)
    headers, body = receiver.wait()[0]
    assert verify(SECRET, headers, body, time.time())


def test_without_a_secret_nothing_is_signed(gate, receiver):
    running = gate(staging(TRIPS), more=channel(receiver, "webhook"))
    blow(running)
    headers, _ = receiver.wait()[0]
    assert not [name for name in headers if name.lower().startswith("x-mailfuse")]


# ---- Slack: https://api.slack.com/reference/block-kit/blocks


def slack_texts(value):
    """Every text object in a structure of blocks."""
    if isinstance(value, list):
        for item in value:
            yield from slack_texts(item)
    elif isinstance(value, dict):
        if value.get("type") in ("mrkdwn", "plain_text"):
            yield value
        for item in value.values():
            yield from slack_texts(item)


def check_slack(message):
    assert set(message) == {"text", "mrkdwn", "blocks"} and message["mrkdwn"] is False
    assert 0 < len(message["text"]) <= 4000
    assert 0 < len(message["blocks"]) <= 50
    for block in message["blocks"]:
        if block["type"] == "header":
            assert block["text"]["type"] == "plain_text" and 0 < len(block["text"]["text"]) <= 150
        elif block["type"] == "section":
            assert "text" in block or 0 < len(block["fields"]) <= 10
            assert len(block.get("text", {}).get("text", "")) <= 3000
            assert all(len(field["text"]) <= 2000 for field in block.get("fields", []))
        elif block["type"] == "actions":
            assert 0 < len(block["elements"]) <= 25
            for button in block["elements"]:
                assert button["type"] == "button" and len(button["text"]["text"]) <= 75
                assert len(button["url"]) <= 3000 and len(button["action_id"]) <= 255
        else:
            assert block["type"] == "context" and 0 < len(block["elements"]) <= 10
    for text in slack_texts(message["blocks"]):
        assert text["text"] and not set(text["text"]) & set("<>\x1b\u202e")
        assert text["type"] == "plain_text" and text["emoji"] is False
    assert not set(message["text"]) & set("<>")


HOSTILE = "=?utf-8?q?=3C!channel=3E_=3Chttp://x|y=3E_[a](http://b)_=E2=80=AE=1B_*x*_=22?="


@pytest.mark.parametrize("subject", ["Sale", HOSTILE, "x" * 900])
def test_slack(gate, receiver, subject):
    running = gate(staging(TRIPS), more=channel(receiver, "slack", 'subject = "%e: %t"'))
    blow(running, subject)
    message = receiver.one()
    check_slack(message)
    assert running.batch()["id"] in message["text"]
    assert not [b for b in message["blocks"] if b["type"] == "actions"]


def http(tmp_path, url="https://gate.example:8025"):
    tokens = tmp_path / "tokens"
    tokens.touch(mode=0o600)
    return f'http {{ address = "127.0.0.1:0" tokens = "{tokens}" url = "{url}" }}\n'


def test_slack_links(gate, receiver, tmp_path):
    running = gate(staging(TRIPS), more=channel(receiver, "slack") + http(tmp_path))
    blow(running)
    message = receiver.one()
    check_slack(message)
    link = f"https://gate.example:8025/batches/{running.batch()['id']}"
    buttons = [b for b in message["blocks"] if b["type"] == "actions"]
    assert buttons[0]["elements"][0]["url"] == link and link in message["text"]


# ---- Teams: an Adaptive Card as a workflow's webhook takes it, 28 KB at most


def check_teams(message, size):
    assert size <= 28 * 1024
    assert message["type"] == "message"
    (attachment,) = message["attachments"]
    assert attachment["contentType"] == "application/vnd.microsoft.card.adaptive"
    assert attachment["contentUrl"] is None
    card = attachment["content"]
    assert card["type"] == "AdaptiveCard" and card["version"] == "1.4"
    assert card["$schema"] == "http://adaptivecards.io/schemas/adaptive-card.json"
    # A TextBlock would read Markdown in it: links that strangers wrote.
    for element in card["body"]:
        assert element["type"] == "RichTextBlock" and element["inlines"]
        for run in element["inlines"]:
            assert run["type"] == "TextRun" and run["text"]
            assert not set(run["text"]) & set("\x1b\u202e\r\n")
    return card


@pytest.mark.parametrize("subject", ["Sale", HOSTILE, "x" * 900])
def test_teams(gate, receiver, tmp_path, subject):
    running = gate(staging(TRIPS), more=channel(
        receiver, "teams", 'subject = "%e %b" text = "%t%l%lLook: %u"') + http(tmp_path))
    blow(running, subject)
    body = receiver.wait()[0][1]
    card = check_teams(json.loads(body), len(body))
    batch = running.batch()["id"]
    words = ["".join(run["text"] for run in e["inlines"]) for e in card["body"]]
    assert words[0] == f"staging {batch}"
    assert f"Look: https://gate.example:8025/batches/{batch}" in words
    (action,) = card["actions"]
    assert action["type"] == "Action.OpenUrl"
    assert action["url"] == f"https://gate.example:8025/batches/{batch}"


# ---- channels that fail


def both(receiver, webhook, keys="", events='"*"'):
    return (f'alert "bad" {{ type = webhook url = "{receiver.url}" events = {{{events}}} {keys} }}\n'
            f'alert "good" {{ type = webhook url = "{webhook.url}" events = {{"*"}} }}\n')


def test_a_channel_that_gives_up_is_told_on_the_others_once(gate, receiver, webhook):
    receiver.status = 500
    running = gate(staging(TRIPS) + production(), more=both(receiver, webhook,
                                                            'retry_for = "2s"'))
    for n in range(5):
        running.do("hold", "--source", f"s{n}", "--reason", "x")
    failed = webhook.wait("alert.failed")[0]
    assert failed["environment"] == "alerts/bad" and "HTTP status 500" in failed["text"]
    # The waits between tries grow with each failure.
    wait_for("all given up", lambda: running.status()["alerts"]["pending"] == 0, 200)
    assert len(webhook.events("alert.failed")) == 1
    assert not [b for _, b in receiver.posts if b"alert.failed" in b]
    receiver.status = 200
    running.reload()  # it is not left alone any longer
    running.do("hold", "--source", "again", "--reason", "x")
    assert webhook.wait("alert.recovered")[0]["environment"] == "alerts/bad"
    running.do("hold", "--source", "more", "--reason", "x")
    webhook.wait("hold.set", 7)
    assert len(webhook.events("alert.failed")) == len(webhook.events("alert.recovered")) == 1
    assert not [b for _, b in receiver.posts if b"alert.recovered" in b]


def test_what_was_told_outlives_a_restart(gate, receiver, webhook):
    receiver.status = 500
    running = gate(staging(TRIPS), more=both(receiver, webhook, 'retry_for = "2s"'))
    running.do("hold", "--source", "a", "--reason", "x")
    webhook.wait("alert.failed")
    running.stop()
    running.start()
    running.do("hold", "--source", "b", "--reason", "x")
    wait_for("given up too", lambda: running.status()["alerts"]["failed"] >= 2)
    assert len(webhook.events("alert.failed")) == 1
    receiver.status = 200
    running.do("hold", "--source", "c", "--reason", "x")
    webhook.wait("alert.recovered")


def test_a_name_that_is_gone_from_the_dns(gate, webhook):
    running = gate(staging(TRIPS), more=(
        'alert "bad" { type = webhook url = "http://gone.invalid/x" retry_for = "2s" }\n'
        f'alert "good" {{ type = webhook url = "{webhook.url}" events = {{"*"}} }}\n'))
    running.do("hold", "--source", "a", "--reason", "x")
    assert "gone.invalid" not in webhook.wait("alert.failed")[0]["text"]
    webhook.wait("hold.set")


def test_reload_takes_a_failing_channel_away(gate, receiver, webhook):
    receiver.status = 500
    running = gate(staging(TRIPS), more=both(receiver, webhook))
    for n in range(100):
        running.do("hold", "--source", f"s{n}", "--reason", "x")
    receiver.wait()
    text = running.config.read_text()
    running.config.write_text("\n".join(line for line in text.splitlines()
                                        if not line.startswith('alert "bad"')) + "\n")
    running.reload()
    wait_for("nothing waits for it", lambda: running.status()["alerts"]["pending"] == 0)
    assert running.status()["alerts"]["failed"] >= 100
    stays_true("it was taken away, which is no failure",
               lambda: not webhook.events("alert.failed"), 0.5)
    webhook.wait("hold.set", 100)
