"""The story of a batch: complete, blameless, and inert wherever it is pasted."""

import re

import pytest

from rig.batch import channel
from rig.client import letter
from rig.gate import PRODUCTION_CLIENT, listener, production, staging, upstream
from rig.people import User
from rig.wait import wait_for

TRIPS = 'allow = {"*"} burst "volume" { limit = "5/10m" per = {environment} cooldown = 0 }'
WHY = ("--reason", "checked by hand")


@pytest.fixture
def tripped(make_gate, sink, webhook):
    """A staging gate with a tripped batch of eight recipients, two of them after the trip."""
    gate = make_gate(listener() + upstream(sink) + staging(TRIPS) + channel(webhook)).start()
    gate.send(letter("Order 4711 for Jane, jane.doe@example.com"),
              [f"jane.doe{n}@d{n % 3}.example" for n in range(6)])
    for n in range(2):
        gate.send(letter(f"Order {n} for Jane, jane.doe@example.com"), [f"joe{n}@x.test"])
    wait_for("the alert", lambda: webhook.alerts)
    return gate


def story(gate, *words):
    status, answer = gate.api("GET", "/v1/batches/B1/story" + "".join(words))
    assert status == 200, answer
    return answer


def told(gate):
    """Until the store knows that the alert was delivered."""
    return wait_for("a delivered alert", lambda: (
        (s := story(gate))["times"]["alerted_at"] is not None) and s)


def test_the_story_has_all_there_is(tripped):
    told(tripped)
    assert tripped.api("GET", "/v1/batches/B1")[0] == 200  # somebody looks
    tripped.one("release", "B1", "--first", 2, *WHY)
    tripped.wait_count("staging", "sent", 2)
    tripped.one("discard", "B1", *WHY)
    answer = wait_for("that it was seen", lambda: (
        (s := story(tripped))["times"]["seen_at"] is not None) and s)
    counts = answer["counts"]
    assert (counts["messages"], counts["recipients"], counts["leaked"]) == (3, 8, 0)
    assert (counts["held"], counts["released"], counts["sent"], counts["discarded"]) == (0, 2, 2, 6)
    assert counts["distinct_recipients"] == 8
    times = answer["times"]
    assert times["first_message_at"] <= times["tripped_at"] <= times["alerted_at"]
    assert times["seen_at"] and times["decided_at"] <= times["last_decided_at"]
    for name in ("to_trip", "to_alert", "to_look", "to_decision"):
        assert times[name] >= 0
    assert 1 <= answer["rates"]["peak_second"] <= answer["rates"]["peak_minute"] <= 8
    assert (answer["rates"]["limit"], answer["rates"]["window"]) == (5, 600)
    events = [m["event"] for m in answer["timeline"]]
    for event in ("first", "batch.opened", "alert.delivered", "seen", "batch.released",
                  "batch.discarded", "last"):
        assert event in events, events
    assert [m["at"] for m in answer["timeline"]] == sorted(m["at"] for m in answer["timeline"])
    assert {d["value"]: d["count"] for d in answer["domains"]} == {
        "d0.example": 2, "d1.example": 2, "d2.example": 2, "x.test": 2}


def test_what_is_personal_is_masked(tripped):
    text = tripped.cli("story", "B1").stdout + tripped.cli("story", "B1", "--markdown").stdout
    text += tripped.cli("--json", "story", "B1").stdout
    for word in ("jane", "joe0", "4711", "app@"):
        assert word not in text.lower(), text
    answer = story(tripped)
    assert answer["samples"][0]["recipient"] == "j***@d0.example"
    assert answer["samples"][0]["subject"] == "order # for ***, j***@example.com"
    assert answer["sender"] in ("", "a***@shop.example")
    # Subjects that differ by what is masked are one.
    assert answer["subjects"] == [{"value": "order # for ***, j***@example.com", "count": 8}]
    assert "body" not in answer and "text" not in answer


def test_people_are_told_apart_and_not_named(tripped):
    tripped.one("release", "B1", "--first", 2, *WHY)
    tripped.one("discard", "B1", *WHY)
    whos = {m["who"] for m in story(tripped)["timeline"]}
    assert whos == {"mailfuse", "an operator"}
    text = tripped.cli("story", "B1").stdout
    assert "uid:" not in text and "root" not in text, text
    named = tripped.cli("story", "B1", "--names").stdout
    assert "uid:" in named, named
    assert any(m["who"].startswith("uid:") for m in story(tripped, "?names=1")["timeline"])


def test_who_asked_is_not_named_and_a_pause_makes_no_first_look(make_gate, sink, webhook):
    gate = make_gate(listener() + upstream(sink) + staging(TRIPS) + channel(webhook) +
                     "approval { above = 5 }").start()
    gate.send(letter("Order"), [f"joe{n}@x.test" for n in range(8)])
    gate.one("show", "B1")
    gate.one("release", "B1", "--rings", "1,all", "--wait", "1h", *WHY)
    status, answer = User(gate, "daemon").api("POST", "/v1/approve", {"ids": ["B1"]})
    assert status == 200, answer
    gate.one("pause", "B1", *WHY)
    gate.one("show", "B1")
    answer = wait_for("the look", lambda: (s := story(gate))["times"]["seen_at"] and s)
    texts = "\n".join(m["text"] for m in answer["timeline"])
    assert "approved the release (recipients=8" in texts and "asked_by" not in texts, texts
    assert "uid:" not in texts and "plan=" not in texts and "=8->8" not in texts, texts
    assert "looked at the batch" in texts and "for the first time" not in texts, texts
    assert answer["times"]["to_look"] is None and answer["times"]["to_decision"] is not None
    assert "a look        not known; " in gate.cli("story", "B1").stdout
    assert "without mailfuse show" not in questions(gate)


def questions(gate):
    return "\n".join(story(gate)["questions"])


def test_questions_fit_what_happened(tripped):
    told(tripped)
    text = questions(tripped)
    assert "which is not production, hold the addresses of 8 recipients in 4 domains" in text
    assert "still held" in text and "Nobody has looked" in text
    assert "No alert" not in text and "discarded" not in text
    assert "who would have noticed" in text
    tripped.one("discard", "B1", *WHY)
    text = questions(tripped)
    assert "were discarded" in text and "still held" not in text
    tripped.one("restore", "B1", *WHY)
    assert "A discard was taken back" in questions(tripped)


def test_questions_about_a_leak_and_about_nobody_told(make_gate, sink):
    gate = make_gate(listener() + upstream(sink)
                     + production('burst "volume" { limit = "5/10m" per = {source} }')).start()
    for n in range(8):
        gate.send(letter(), ["a@x.test"], PRODUCTION_CLIENT)
        sink.wait(min(n + 1, 5))
    text = questions(gate)
    assert "5 recipients had left before burst volume tripped at more than 5/10m" in text, text
    assert "No channel wanted an alert" in text
    assert "3 messages for 1 recipient" in text
    assert "which is not production" not in text


def test_an_alert_that_was_given_up(make_gate, sink, webhook):
    webhook.status = 500
    gate = make_gate(listener() + upstream(sink) + staging(TRIPS)
                     + channel(webhook, 'retry_for = "1s"')).start()
    gate.send(letter(), [f"a{n}@x.test" for n in range(6)])
    wait_for("a given up alert", lambda: "alert.failed" in [
        m["event"] for m in story(gate)["timeline"]], 60)
    answer = story(gate)
    assert "No alert of this batch was delivered" in "\n".join(answer["questions"])


HOSTILE = [
    "<script>alert(1)</script>", "<img src=x onerror=y>", "[click](http://evil.example)",
    "![x](http://evil.example/x.png)", "`code` ``more``", "| a | b |", "# heading", "--- rule",
    "**bold** _it_ ~~no~~", "<http://evil.example>", "http://evil.example/ www.evil.example",
    "&lt;b&gt; &#60;", "\\[x\\](y)", "1. list", "- [ ] task", "$x$ @team #12", "a\tb", "```",
    "[ref]: http://evil.example", "<!-- x", "]]>", "\u202eevil\u202c \u200b",
]
# What CommonMark and GitHub's dialect take for markup, where no backslash is before it.
MARKUP = re.compile(r"(?<!\\)(?:\\\\)*[`\[\]<>|~]")


@pytest.fixture
def hostile(make_gate, sink):
    gate = make_gate(listener() + upstream(sink) + staging(TRIPS)).start()
    gate.send(letter("opener"), [f"a{n}@x.test" for n in range(6)])
    for subject in HOSTILE:
        gate.send(letter(subject), ["x@x.test"],
                  parameters="" if subject.isascii() else " SMTPUTF8")
    return gate


def test_markdown_is_inert(hostile):
    hostile.one("discard", "B1", "--reason", " ".join(HOSTILE[:8])[:400])
    text = hostile.cli("story", "B1", "--markdown").stdout
    for line in text.splitlines():
        if line in ("", "# Batch B1") or line.startswith("## "):
            continue
        # Our own markup, and nothing else: a point, a box, a bold name or time.
        rest = re.sub(r"^- (\[ \] )?(\*\*[A-Z0-9a-z :-]+\*\* )?", "", line)
        assert not MARKUP.search(rest), line
        assert not re.search(r"(?<!\\)://", rest) and not re.search(r"\bwww\.", rest, re.I), line
        assert "\u202e" not in rest and "\x1b" not in rest, line
    assert "script" in text  # it is there, and harmless
    # The reasons that people gave stand within a line.
    ours = re.sub(r"^#{1,2} [A-Z].*$", "", text, flags=re.M)
    assert not re.search(r"^(#|-{3}|\||```)", ours, re.M)


def test_what_is_no_batch(tripped):
    assert tripped.api("GET", "/v1/batches/B9/story")[0] == 404
    assert tripped.api("GET", "/v1/batches/x/story")[0] == 404
    assert tripped.api("GET", "/v1/batches/B1/story?name=1")[0] == 400
    for word in ("B9", "x"):
        result = tripped.cli("story", word)
        assert result.returncode == 1 and result.stderr.strip()
