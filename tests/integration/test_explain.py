"""`explain` says beforehand what the relay then does, with the same rules and counters."""

import json
import random
import re

import pytest

from rig.client import letter
from rig.gate import PRODUCTION_CLIENT, QUIET, production, scaled

# Every kind of rule, with limits so small that a few dozen messages meet all of them. What waits
# waits for longer than the test takes.
RULES = """
    burst "repeat" { limit = "3/1h" per = {recipient, subject} }
    burst "volume" { limit = "12/10m" per = {source, subject} head = "4/1m" settle = "60m"
                     declared = "30/1d" }
    burst "watch" { limit = "9/10m" per = {sender} action = alert }
    content "test marker" { header = "Subject" match = '/\\btest\\b/i' above = "3/10m" }
    content "placeholder" { part = body match = "{{" }
    content "tag" { part = html match = '/<blink>/' action = alert }
"""

STATES = {"pass": {"queued", "sent"}, "wait": {"waiting"}, "hold": {"held"}}


def ask(running, recipients, data, **more):
    status, answer = running.api("POST", "/v1/explain", {
        "client": PRODUCTION_CLIENT, "from": "app@shop.example", "to": recipients,
        "message": data.decode()} | more)
    assert status == 200, answer
    return answer


def fields(header):
    """Without what is different each time it leaves."""
    names = ("received:", "x-mailfuse-id:", "message-id:", "date:")
    unfolded = re.sub(r"\r\n[ \t]+", " ", header)
    return [line for line in unfolded.split("\r\n") if not line.lower().startswith(names)]


def messages(seed, count):
    """(recipients, data): subjects and people meet again, so that every limit is reached."""
    pick = random.Random(seed)
    people = [f"p{n}@x.test" for n in range(12)]
    bodies = ["Hello", "Dear {{name}}", "Fine"]
    for _ in range(count):
        subject = pick.choice(["Your order 17", "News", "A test", "=?utf-8?q?T=65st?=", "Invoice"])
        extra = ""
        if pick.random() < 0.3:
            audience = pick.choice(["3", "25", "100", "many"])
            extra = (f"X-Mailfuse-Campaign: {pick.choice('ab')}\r\n"
                     f"X-Mailfuse-Audience: {audience}\r\n")
        if pick.random() < 0.2:
            extra += "Content-Type: text/html\r\n"
            body = "<p><blink>New</blink>"
        else:
            body = pick.choices(bodies, [6, 1, 6])[0]
        recipients = pick.sample(people, pick.choice([1, 1, 1, 2, 5]))
        yield recipients, letter(subject, body=body, extra=extra)


@pytest.mark.parametrize("seed", range(3))
def test_explain_says_what_the_relay_does(seed, gate, sink):
    running = gate(production(RULES))
    seen = set()
    for recipients, data in messages(seed, scaled(200)):
        answer = ask(running, recipients, data)
        with running.client(PRODUCTION_CLIENT) as client:
            results, end = client.mail(recipients, data)
        assert all(code == 250 for code, _ in results)
        if answer["refused"]:
            assert f"{end[0]} " + " ".join(end[1].split()) == answer["refused"]
            assert {r["verdict"] for r in answer["recipients"]} == {"reject"}
            seen.add("refused")
            continue
        assert end[0] == 250, end
        stored = running.api("GET", f"/v1/messages/{end[1].split()[-1]}")[1]
        became = {d["recipient"]: d for d in stored["deliveries"]}
        for row in answer["recipients"]:
            now = became[row["address"]]
            assert now["state"] in STATES[row["verdict"]], (row, now)
            if row["verdict"] == "hold":
                assert (now["rule"], now["reason"]) == (row["rule"], row["reason"])
            assert (row["settle"] == 3600) == (row["verdict"] == "wait")
            seen |= {row["verdict"], row["rule"], row["observed"]}
        assert fields(answer["header"]) == fields(stored["header"])
    wanted = {"refused", "pass", "wait", "hold", "audience", "burst volume", "burst repeat",
              "burst watch", "content test marker", "content placeholder", "content tag"}
    assert seen >= wanted or scaled(200) < 200, wanted - seen


def test_rules_show_their_counters_before_and_after(gate, sink):
    running = gate(production(RULES))
    data = letter("News")
    for n in range(6):
        running.send(data, [f"a{n}@x.test"], PRODUCTION_CLIENT)
    answer = ask(running, ["b0@x.test", "a0@x.test"], data)
    rows = {(r["rule"], r["key"]): r for r in answer["rules"]}
    assert [r["rule"] for r in answer["rules"]] == [
        "content test marker", "content placeholder", "content tag", "audience",
        "burst repeat", "burst repeat", "burst volume", "burst watch"]
    volume = rows[("burst volume", f'source={PRODUCTION_CLIENT} subject="news"')]
    assert (volume["before"], volume["after"], volume["limit"]) == (6, 8, 12)
    # Of the head it knows no more than that it is used up.
    assert (volume["head"], volume["head_window"], volume["head_before"]) == (4, 60, 5)
    assert (volume["settle"], volume["window"]) == (3600, 600)
    assert volume["applies"] and volume["holds"] and not volume["trips"]
    repeats = {key: r for (rule, key), r in rows.items() if rule == "burst repeat"}
    assert {(key.split()[0], r["before"], r["after"]) for key, r in repeats.items()} == {
        ("recipient=a0@x.test", 1, 2), ("recipient=b0@x.test", 0, 1)}
    watch = next(r for r in answer["rules"] if r["rule"] == "burst watch")
    assert not watch["holds"] and not watch["trips"]
    for rule, note in (("content test marker", "it does not match"),
                       ("audience", "no audience is declared")):
        row = next(r for r in answer["rules"] if r["rule"] == rule)
        assert not row["applies"] and row["note"] == note and row["after"] == 0


def test_declared_campaigns_are_counted_apart(gate, sink):
    running = gate(production(RULES))
    data = letter("News", extra="X-Mailfuse-Campaign: may\r\nX-Mailfuse-Audience: 20\r\n")
    answer = ask(running, [f"a{n}@x.test" for n in range(10)], data)
    assert (answer["campaign"], answer["audience"], answer["refused"]) == ("may", 20, None)
    assert {r["verdict"] for r in answer["recipients"]} == {"pass"}
    rows = {r["rule"]: r for r in answer["rules"]}
    assert (rows["burst volume"]["limit"], rows["burst volume"]["head"]) == (30, 0)
    assert (rows["audience"]["limit"], rows["audience"]["after"]) == (20, 10)
    assert "X-Mailfuse-Campaign" not in answer["header"]


def test_the_tool_reads_a_whole_message(gate, sink, tmp_path):
    running = gate(production(RULES))
    path = tmp_path / "message.eml"

    def explain(data, *more):
        path.write_bytes(data)
        result = running.cli("explain", "--client", PRODUCTION_CLIENT, "--from",
                             "app@shop.example", "--to", "a@x.test", "--message", path, *more)
        assert result.returncode == 0, result.stderr
        return result.stdout

    # Bytes that are no UTF-8 reach the pattern as they are.
    said = explain(b"Subject: Hi\r\nContent-Type: text/plain; charset=iso-8859-1\r\n\r\n"
                   b"Gr\xfc\xdfe, {{name}}\r\n")
    assert re.search(r"a@x\.test +hold +a@x\.test +content placeholder ", said)
    answer = json.loads(explain(b"Subject: Hi\r\n\r\nHello\r\n", "--json"))
    assert answer["recipients"][0]["verdict"] == "pass"
    said = explain(b"Subject: Hi\r\nX-Mailfuse-Audience: 5\r\n\r\nHello\r\n")
    assert "Refused      550 5.6.0 X-Mailfuse-Audience needs X-Mailfuse-Campaign" in said
    assert "Header as it would leave" not in said
    running.send(letter("News"), [f"a{n}@x.test" for n in range(4)], PRODUCTION_CLIENT)
    said = explain(b"Subject: News\r\n\r\nHello\r\n")
    assert "beyond the head of 4 in 60 s; leaves after 60 min unless the rule trips" in said


def test_the_history_of_traffic_over_the_socket(gate, sink):
    """A stop writes the minute that is not over yet."""
    running = gate(production(QUIET))
    for subject in "News 1", "News 2", "Other":
        running.send(letter(subject), ["a@x.test", "b@x.test"], PRODUCTION_CLIENT)
    running.stop()
    running.start()
    status, page = running.api("GET", "/v1/traffic?since=1d")
    assert status == 200 and page["next"] is None, page
    total = {}
    for row in page["items"]:
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:00\.000Z", row["minute"])
        assert (row["environment"], row["source"]) == ("production", PRODUCTION_CLIENT)
        assert (row["passed"], row["held"]) == (row["recipients"], 0) and row["bytes"] > 0
        key = row["subject"]
        total[key] = total.get(key, 0) + row["recipients"]
    assert total == {"news #": 4, "other": 2}
    assert running.api("GET", "/v1/traffic?since=1d&environment=staging")[1]["items"] == []
