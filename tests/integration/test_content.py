"""Content rules: what they look at, as a reader would see it, and what they do then."""

import base64
import quopri
from email.header import Header

import pytest

from rig.client import letter
from rig.gate import PRODUCTION_CLIENT, QUIET, production
from rig.wait import wait_for

CRLF = "\r\n"


def rule(keys, name="marker"):
    return f'{QUIET} content "{name}" {{ {keys} }}'


def send(running, data, names=("a@x.test",)):
    return running.send(data, list(names), PRODUCTION_CLIENT)


def b64(text):
    return base64.encodebytes(text.encode()).decode().replace("\n", CRLF)


def qp(text):
    return quopri.encodestring(text.encode()).decode().replace("\n", CRLF)


def part(kind, body, encoding="7bit", charset="utf-8"):
    return (f"Content-Type: {kind}; charset={charset}\r\n"
            f"Content-Transfer-Encoding: {encoding}\r\n\r\n{body}")


def mail(*parts, subject="Hello"):
    """A message of these parts."""
    head = f"From: app@shop.example\r\nTo: a@x.test\r\nSubject: {subject}\r\nMIME-Version: 1.0\r\n"
    if len(parts) == 1:
        return (head + parts[0]).encode()
    body = "".join(f"--cut\r\n{p}\r\n" for p in parts) + "--cut--\r\n"
    return (head + f"Content-Type: multipart/alternative; boundary=cut\r\n\r\n{body}").encode()


def encoded(text, charset="utf-8"):
    return Header(text, charset, maxlinelen=40).encode(linesep=CRLF)


MARKER = r"header = Subject match = '/\btest\b/i'"
SUBJECTS = [
    ("Integration Test Email #1", True),
    (encoded("Pr\u00fcfung: test, bitte l\u00f6schen"), True),
    (encoded("\u30c6\u30b9\u30c8 TEST \u30e1\u30fc\u30eb"), True),
    ("=?iso-8859-1?Q?te?= =?iso-8859-1?Q?st?=", True),
    ("=?utf-8?B?dGVzdA==?=", True),
    ("Quarterly\r\n test\r\n report", True),
    ("Latest contest results", False),
    (encoded("Gr\u00fc\u00dfe aus M\u00fcnchen"), False),
    ("=?utf-8?B?YnJva2Vu", False),
]


@pytest.mark.parametrize("subject, matches", SUBJECTS)
def test_marker_in_the_subject(subject, matches, gate, sink):
    running = gate(production(rule(MARKER)))
    send(running, letter(subject))
    if not matches:
        sink.wait(1)
        assert running.batches("--all") == []
        return
    running.wait_counts("production", {"held": 1})
    batch = running.batch()
    assert (batch["rule"], batch["leaked"]) == ("content marker", 0)
    row = running.deliveries(environment="production")[0]
    assert "Subject" in row["reason"]


def test_every_field_of_that_name_counts(gate, sink):
    running = gate(production(rule("header = X-Stage match = staging")))
    send(running, letter(extra="X-Stage: live\r\nX-Stage: staging-2\r\n"))
    running.wait_counts("production", {"held": 1})
    send(running, letter(extra="X-Stage: live\r\n"))
    sink.wait(1)


PLACEHOLDER = r"match = '/\{\{\s*\w+\s*\}\}/'"
HTML = "<html><body><p>Dear {{ name }},</p></body></html>"
GOOD = "<html><body><p>Dear Anna,</p></body></html>"
# Of a body: what looks at it, the parts, whether it matches.
BODIES = {
    "html": ("html", [part("text/html", HTML)], True),
    "html in base64": ("html", [part("text/html", b64(HTML), "base64")], True),
    "html in quoted-printable": ("html", [part("text/html", qp(HTML), "quoted-printable")], True),
    "broken over lines": (
        "html", [part("text/html", "<p>Dear {{na=\r\nme}}</p>", "quoted-printable")], True),
    "second part": (
        "html", [part("text/plain", "Dear Anna"), part("text/html", b64(HTML), "base64")], True),
    "rendered": ("html", [part("text/html", b64(GOOD), "base64")], False),
    "text is not html": ("html", [part("text/plain", "Dear {{name}}")], False),
    "html is not text": ("text", [part("text/html", HTML)], False),
    "text": ("text", [part("text/plain", b64("Dear {{name}}"), "base64")], True),
    "text of an alternative": (
        "text", [part("text/plain", "Dear {{name}}"), part("text/html", GOOD)], True),
    "what a reader sees": ("body", [part("text/html", b64(HTML), "base64")], True),
    "not what a tag has": (
        "body", [part("text/html", '<p class="{{ name }}">Dear Anna</p>')], False),
    "plain mail": ("body", ["\r\nDear {{name}}"], True),
    "base64 as it stands": ("text", [part("text/plain", b64("e3tuYW1lfX0="), "base64")], False),
}


@pytest.mark.parametrize("where, parts, matches", BODIES.values(), ids=BODIES.keys())
def test_placeholder_in_the_body(where, parts, matches, gate, sink):
    running = gate(production(rule(f"part = {where} {PLACEHOLDER}")))
    send(running, mail(*parts))
    if matches:
        running.wait_counts("production", {"held": 1})
        assert not sink.messages
    else:
        sink.wait(1)


@pytest.mark.parametrize("charset", ["iso-8859-15", "windows-1252", "koi8-r"])
def test_charsets(charset, gate, sink):
    word = "\u0442\u0435\u0441\u0442" if charset == "koi8-r" else "Pr\u00fcfung"
    running = gate(production(rule(f'part = text match = "{word}"')))
    body = base64.b64encode(word.encode(charset)).decode()
    send(running, mail(part("text/plain", body, "base64", charset)))
    running.wait_counts("production", {"held": 1})


def test_beginning_of_a_large_body(gate, sink):
    """Most of it is in the store already when the rule looks."""
    running = gate(production(rule(f"part = html {PLACEHOLDER}")))
    filler = "<p>0123456789</p>\r\n" * 100_000
    for body, name in ((HTML + filler, "bad@x.test"), (GOOD + filler, "good@x.test")):
        send(running, mail(part("text/html", b64(body), "base64")), [name])
    running.wait_counts("production", {"sent": 1, "held": 1})
    assert sink.recipients() == ["good@x.test"]
    assert b64(GOOD + filler).encode() in sink.only().body
    running.one("release", running.batch()["id"], "--reason", "checked")
    sink.wait(2)
    assert b64(HTML + filler).encode() in sink.messages[1].body


def test_above_a_number_of_recipients(gate, sink):
    running = gate(production(rule(MARKER + ' above = "5/10m"')))
    for n in range(5):
        send(running, letter("a test"), [f"a{n}@x.test"])
    running.wait_counts("production", {"sent": 5})
    send(running, letter("another test"), ["b@x.test"])
    running.wait_counts("production", {"sent": 5, "held": 1})
    assert running.batch()["leaked"] == len(sink.recipients()) == 5
    # What does not match is no business of it, whoever sent it.
    send(running, letter("Sale"), ["c@x.test"])
    sink.wait(6)


def test_what_is_counted_apart(gate, sink):
    running = gate(production(rule(MARKER + ' above = "2/10m" per = {recipient}')))
    for n in range(3):
        send(running, letter("a test"), ["one@x.test", f"other{n}@x.test"])
    running.wait_counts("production", {"sent": 5, "held": 1})
    assert sink.recipients().count("one@x.test") == 2


def test_alert_action_holds_nothing(gate, sink, webhook):
    running = gate(production(rule(MARKER + " action = alert")), more=(
        f'alert "ops" {{ type = webhook url = "{webhook.url}" events = {{"batch.*"}} }}\n'))
    send(running, letter("a test"))
    sink.wait(1)
    assert webhook.wait("batch.observed")[0]["environment"] == "production"
    running.wait_counts("production", {"sent": 1})


def test_pattern_that_gives_up_counts_as_a_match(gate, sink):
    running = gate(production(rule(r"header = Subject match = '/(a+)+$/'")))
    send(running, letter("a" * 60 + "b"))
    running.wait_counts("production", {"held": 1})
    assert "gave up" in running.deliveries(environment="production")[0]["reason"]


SHIPPED = {  # as in the manual: what they must and must not hold
    "test marker": (r"header = Subject match = '/\b(test|testing)\b/i'", "Test mail", "Your order"),
    "lorem ipsum": ("part = body match = '/lorem ipsum/i'", "Lorem ipsum dolor", "Dear Anna"),
    "staging link": (r"part = body match = '/https?:\/\/(localhost|127\.0\.0\.1|staging)/i'",
                     "Click https://staging.shop.example/x", "Click https://shop.example/x"),
    "empty": (r"part = body match = '/^\s*$/'", "", "Dear Anna"),
}


@pytest.mark.parametrize("keys, bad, good", SHIPPED.values(), ids=SHIPPED.keys())
def test_ordinary_rules(keys, bad, good, gate, sink):
    running = gate(production(rule(keys)))
    in_subject = "Subject" in keys
    for text, name in ((bad, "bad@x.test"), (good, "good@x.test")):
        send(running, letter(text) if in_subject else letter(body=text), [name])
    running.wait_counts("production", {"sent": 1, "held": 1})
    assert sink.recipients() == ["good@x.test"]


def test_released_mail_is_not_held_again(gate, sink):
    running = gate(production(rule(MARKER)))
    for n in range(3):
        send(running, letter("a test"), [f"a{n}@x.test"])
    running.wait_counts("production", {"held": 3})
    running.one("release", running.batch()["id"], "--reason", "it is meant so")
    sink.wait(3)
    running.wait_counts("production", {"sent": 3})
    # The rule itself stands.
    send(running, letter("a test"), ["b@x.test"])
    wait_for("held again", lambda: running.counts("production").get("held") == 1)


@pytest.mark.parametrize("how", ["kill", "stop"])
def test_restart_remembers_what_matched(how, gate, sink):
    running = gate(production(rule(MARKER + ' above = "5/1d"')))
    send(running, letter("a test"), [f"a{n}@x.test" for n in range(4)])
    send(running, letter("Sale"), [f"b{n}@x.test" for n in range(10)])
    running.wait_counts("production", {"sent": 14})
    getattr(running, how)()
    running.start()
    send(running, letter("a test"), ["c@x.test"])
    running.wait_counts("production", {"sent": 15})
    send(running, letter("a test"), ["d@x.test"])
    running.wait_counts("production", {"sent": 15, "held": 1})
    assert running.batch()["leaked"] == 5
