"""What pages of the API are made of: environments, rules, alerts, settings, search, HTML."""

import base64
import json
from urllib.parse import quote, urlencode

import pytest

from rig.batch import channel, fill, marked
from rig.client import letter
from rig.gate import PRODUCTION_CLIENT, listener, production, staging, upstream
from rig.people import Token, ask, http_section
from rig.wait import wait_for

INBOX = 'upstream = none allow = {"*"}'


def get(running, path, **query):
    status, answer = running.api("GET", path + ("?" + urlencode(query) if query else ""))
    assert status == 200, answer
    return answer


def pages(running, path, limit, **query):
    """Every item, and each page's length; no page is longer than asked for."""
    rows, after, sizes = [], None, []
    while True:
        page = get(running, path, limit=limit, **query, **({"after": after} if after else {}))
        assert len(page["items"]) <= limit
        rows += page["items"]
        sizes.append(len(page["items"]))
        after = page["next"]
        if after is None:
            return rows, sizes


def refused(running, path, *words, status=400):
    got, answer = running.api("GET", path)
    assert got == status, (got, answer)
    for word in words:
        assert word in answer["detail"], answer


# ---- environments

def test_environments(gate):
    running = gate(production() + staging(INBOX))
    fill(running, 3)
    running.send(letter(), ["a@x.test", "b@x.test"])
    rows = {row["name"]: row for row in get(running, "/v1/environments")["items"]}
    assert list(rows) == ["production", "staging", "unknown"]
    assert rows["production"]["production"] is True
    assert rows["production"]["upstream"] == "smarthost" and not rows["production"]["captures"]
    assert rows["staging"]["upstream"] == "none" and rows["staging"]["captures"]
    assert rows["staging"]["counts"]["dropped"] == 2
    assert set(rows["staging"]["counts"]) == {
        "queued", "waiting", "held", "dropped", "sent", "failed", "discarded"}
    running.wait_count("production", "sent", 3)
    assert get(running, "/v1/environments/production")["counts"]["sent"] == 3
    one = get(running, "/v1/environments/staging")
    assert one["matches"][0]["networks"] == ["127.0.2.0/24"] and one["allow"] == ["*"]
    assert one["step_seconds"] == 600 and one["bursts"]
    refused(running, "/v1/environments/nowhere", "there is no environment nowhere", status=404)


def test_environments_that_only_observe(gate):
    watch = 'burst "w" { limit = "5/1m" per = {source} action = alert }'
    both = watch + ' burst "v" { limit = "9/1m" per = {source} }'
    running = gate(production(watch) + staging(both))
    rows = {row["name"]: row for row in get(running, "/v1/environments")["items"]}
    assert rows["production"]["policy"] == "observe"
    assert rows["staging"]["policy"] == rows["unknown"]["policy"] == "enforce"


def test_an_environment_that_is_configured_no_more(gate, sink):
    running = gate(production() + staging(INBOX))
    running.send(letter(), ["a@x.test"])
    running.reload(listener() + upstream(sink) + production())
    row = get(running, "/v1/environments/staging")
    assert row["configured"] is False and row["upstream"] is None and row["policy"] is None
    assert row["counts"]["dropped"] == 1


def test_what_goes_through(gate):
    """The history has a minute when it has passed; at a stop it is written at once."""
    running = gate(production() + staging(INBOX))
    fill(running, 7)
    running.send(letter(), ["a@x.test", "b@x.test"])
    running.wait_count("production", "sent", 7)
    running.stop()
    running.start()
    row = wait_for("all of the last day", lambda: (
        (r := get(running, "/v1/environments/production"))["rates_complete"]) and r)
    assert row["rates"]["day"] == {"messages": 7, "recipients": 7, "passed": 7, "waited": 0,
                                   "held": 0, "dropped": 0}
    assert sum(step["recipients"] for step in row["traffic"]) == 7
    assert get(running, "/v1/environments/staging")["rates"]["day"]["dropped"] == 2


def test_many_environments_are_paged(gate):
    names = [f"e{n:03}" for n in range(250)]
    more = "".join(f'environment "{n}" {{ match {{ network = {{"10.0.{k}.0/24"}} }} upstream = none }}\n'
                   for k, n in enumerate(names))
    running = gate(production(), more=more)
    rows, sizes = pages(running, "/v1/environments", 100)
    assert [row["name"] for row in rows] == sorted(names + ["production", "unknown"])
    assert sizes == [100, 100, 52]


# ---- rules

def test_rules(holding):
    running, batch, names = holding(4, keys='burst "a" { limit = "900/1m" per = {source} '
                                            'head = "3/1s" settle = 2s }')
    rows = get(running, "/v1/rules", environment="production")["items"]
    kinds = {(row["kind"], row["name"]): row for row in rows}
    marker = kinds["content", "marker"]
    assert (marker["tripped"], marker["last_batch"]) == (1, "B1")
    assert marker["match"] == "sale" and marker["header"] == "Subject" and marker["head"] is None
    burst = kinds["burst", "a"]
    assert (burst["tripped"], burst["last_batch"]) == (0, None)
    assert burst["limit"] == "900/1m" and burst["head"] == "3/1s" and burst["match"] is None
    assert {tuple(sorted(row)) for row in rows} == {tuple(sorted(marker))}  # the same fields
    everything, sizes = pages(running, "/v1/rules", 1)
    assert [row for row in everything if row["environment"] == "production"] == rows


# ---- alerts

def test_alerts(gate, webhook):
    dead = 'alert "dead" { type = webhook url = "http://127.0.0.1:1/" events = {"batch.*"} }\n'
    running = gate(marked(), more=channel(webhook) + dead)
    fill(running, 3)

    def both():
        answer = get(running, "/v1/alerts")
        found = {c["name"]: c for c in answer["channels"]}
        return found["ops"]["health"] == "ok" and found["dead"]["health"] == "failing" and answer

    answer = wait_for("a channel that works and one that fails", both)
    channels = {c["name"]: c for c in answer["channels"]}
    assert channels["ops"]["type"] == "webhook" and channels["ops"]["events"] == ["*"]
    assert channels["dead"]["pending"] >= 1 and channels["dead"]["last_error"]
    assert channels["ops"]["last_at"] and channels["ops"]["last_error"] is None
    opened = [a for a in answer["items"] if a["event"] == "batch.opened"]
    assert {a["channel"] for a in opened} == {"ops", "dead"}
    assert {a["batch"] for a in opened} == {"B1"} and opened[0]["environment"] == "production"
    rows, sizes = pages(running, "/v1/alerts", 1)
    assert set(sizes) == {1}
    ids = [row["id"] for row in rows]
    assert ids == sorted(ids, reverse=True)
    assert len({(row["id"], row["channel"]) for row in rows}) == len(rows)
    for after in ("x", "1", "1.", "-1.0", "0.0", "1.2.3", "99999999999999999999.0"):
        refused(running, f"/v1/alerts?after={after}", "write what `next` was")


# ---- the audit log

def test_the_log_backwards(holding):
    running, batch, names = holding(2)
    for _ in range(5):
        batch.discard()
        batch.must("restore")
    forward = get(running, "/v1/audit", limit=1000)["items"]
    assert forward == get(running, "/v1/log", limit=1000)["items"]
    rows, before = [], None
    while True:
        query = {"before": before} if before else {}
        page = get(running, "/v1/audit", last=3, limit=3, **query)["items"]
        if not page:
            break
        rows = page + rows
        before = page[0]["id"]
    assert rows == forward
    only = get(running, "/v1/audit", object="B1", before=forward[-1]["id"], last=2)["items"]
    assert [r["object"] for r in only] == ["B1", "B1"] and only[-1]["id"] < forward[-1]["id"]
    refused(running, "/v1/audit?before=2&after=1", "exclude each other")
    refused(running, "/v1/audit?before=x", "write the id of a row")


# ---- settings

def test_settings(make_gate, sink, tmp_path):
    secret = "rosebud-and-more"
    running = make_gate(
        listener() + upstream(sink) + staging(INBOX) +
        f'alert "x" {{ type = slack url = "https://hooks.example/{secret}" '
        f'events = {{"batch.*", "hold.*"}} }}\n'
        f'approval {{ above = 7 expires = 90m }}\n' +
        http_section(tmp_path, ann="viewer")).start()
    rows, sizes = pages(running, "/v1/settings", 10)
    assert max(sizes) == 10
    found = {(r["section"], r["title"], r["within"], r["name"]): r for r in rows}
    assert len(found) == len(rows)
    assert found["alert", "x", "", "url"]["value"] == "(set)"
    assert found["alert", "x", "", "events"]["value"] == "batch.*, hold.*"
    assert found["approval", "", "", "above"]["value"] == "7"
    assert found["approval", "", "", "expires"]["value"] == "90m"
    assert found["environment", "staging", "", "upstream"]["value"] == "none"
    assert found["match", "", "staging", "network"]["value"] == "127.0.2.0/24"
    assert found["listener", "apps", "", "max_message_size"]["value"] == "25MB"
    assert found["listener", "apps", "", "address"]["restart"] is True
    assert found["", "", "", "keep_dropped"]["value"] == "7d"
    assert secret not in json.dumps(rows)
    status, answer, _ = ask(running, "GET", "/v1/settings", headers=Token(running, "ann").headers())
    assert status == 200 and secret not in json.dumps(answer)


# ---- search

def test_the_staging_inbox(gate):
    running = gate(production() + staging(INBOX))
    fill(running, 30, subject="Order 1")
    for n in range(25):
        running.send(letter(f"Invoice {n} für Dich".encode().decode("utf-8") if n % 5 else
                            f"Receipt {n}"), [f"Dev{n}@team.example"])
    rows, _ = pages(running, "/v1/deliveries", 7, environment="staging", q="RECEIPT")
    assert [row["subject"] for row in rows] == [f"Receipt {n}" for n in (0, 5, 10, 15, 20)]
    newest, _ = pages(running, "/v1/deliveries", 7, environment="staging", q="receipt",
                      order="newest")
    assert newest == rows[::-1]
    everybody, _ = pages(running, "/v1/deliveries", 4, environment="staging", order="newest")
    assert [row["recipient"] for row in everybody] == [f"Dev{n}@team.example"
                                                       for n in range(24, -1, -1)]
    assert pages(running, "/v1/deliveries", 4, environment="staging")[0] == everybody[::-1]
    found, _ = pages(running, "/v1/deliveries", 4, environment="staging", q="dev7@")
    assert [row["recipient"] for row in found] == ["Dev7@team.example"]
    assert pages(running, "/v1/deliveries", 4, environment="production", q="receipt")[0] == []
    assert pages(running, "/v1/deliveries", 4, environment="nowhere", q="x")[0] == []
    refused(running, "/v1/deliveries?q=x", "add environment=NAME or batch=B17")
    refused(running, "/v1/deliveries?order=random", "write oldest or newest")
    refused(running, f"/v1/deliveries?environment=staging&q={'x' * 300}", "at most 200")


def test_a_message_to_very_many(gate):
    """Its page is bounded, and says where the others are."""
    running = gate(staging(INBOX), listener_keys="max_recipients = 2000")
    everybody = [f"c{n}@customers.example" for n in range(1001)]
    message = running.send(letter(), everybody)
    status, answer = running.api("GET", f"/v1/messages/{message}")
    assert status == 200 and answer["deliveries_cut"] is True
    assert [row["recipient"] for row in answer["deliveries"]] == everybody[:1000]
    rows, _ = pages(running, "/v1/deliveries", 500, message=message)
    assert [row["recipient"] for row in rows] == everybody
    assert f"GET /v1/deliveries?message={message} lists all" in running.cli("message", message).stdout
    few = running.send(letter(), everybody[:1000])
    status, answer = running.api("GET", f"/v1/messages/{few}")
    assert answer["deliveries_cut"] is False and len(answer["deliveries"]) == 1000


def test_search_in_a_batch(holding):
    running, batch, names = holding(60)
    batch.discard(first=10)
    batch.release(ids=[batch.deliveries()[20]["id"]])
    rows, _ = pages(running, "/v1/deliveries", 3, batch="B1", q="C1")
    wanted = [n for n in names if "c1" in n]
    assert [row["recipient"] for row in rows] == wanted
    rows, _ = pages(running, "/v1/deliveries", 3, batch="B1", order="newest")
    assert [row["recipient"] for row in rows] == names[::-1]
    rows, _ = pages(running, "/v1/deliveries", 3, batch="B1", state="discarded", order="newest")
    assert [row["recipient"] for row in rows] == names[9::-1]


def test_an_environment_in_all_states(gate, sink):
    """The list is a merge of the lists of each state: nothing twice, nothing missed, in order."""
    keys = ('allow = {"*@good.example"} others = drop content "m" { header = Subject match = sale }'
            ' burst "v" { limit = "100000/1m" per = {environment} }')
    running = gate(production() + staging(keys))
    names = []
    for n in range(40):
        domain = ("good.example", "bad.example")[n % 2]
        names.append(f"r{n}@{domain}")
        running.send(letter("sale" if n % 3 == 0 else "news"), [names[-1]])
    held = [d["id"] for d in running.deliveries(environment="staging", state="held")]
    running.api("POST", "/v1/discard", {"ids": held[:3], "reason": "x"})
    wait_for("all that may leave is sent",
             lambda: not running.deliveries(environment="staging", state="queued"))
    states = {row["state"] for row in running.deliveries(environment="staging")}
    assert states == {"sent", "held", "dropped", "discarded"}
    for limit in (1, 7, 1000):
        for order, wanted in (("oldest", names), ("newest", names[::-1])):
            rows, _ = pages(running, "/v1/deliveries", limit, environment="staging", order=order)
            assert [row["recipient"] for row in rows] == wanted


# ---- HTML

POLICY = ("sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
          "frame-ancestors 'self'")


def message_of(running, data, recipient="dev@team.example"):
    running.send(data, [recipient])
    return running.deliveries(environment="staging")[-1]["message"]


def html_of(running, data, **keys):
    return get(running, f"/v1/messages/{message_of(running, data, **keys)}/html").decode().rstrip("\n")


def mail(body, kind="text/html; charset=utf-8", extra=""):
    return letter(extra=f"MIME-Version: 1.0\r\nContent-Type: {kind}\r\n{extra}", body=body)


def test_html(gate):
    running = gate(production() + staging(INBOX))
    assert html_of(running, mail("<p>Grüße</p>")) == "<p>Grüße</p>"
    latin = base64.encodebytes("<p>Grüße</p>".encode("latin-1")).decode().replace("\n", "\r\n")
    assert html_of(running, mail(
        latin, "text/html; charset=iso-8859-1",
        "Content-Transfer-Encoding: base64\r\n")) == "<p>Grüße</p>"
    both = ("--b\r\nContent-Type: text/plain\r\n\r\nplain\r\n"
            "--b\r\nContent-Type: text/html\r\n\r\n<b>html</b>\r\n--b--\r\n")
    assert html_of(running, mail(both, "multipart/alternative; boundary=b")) == "<b>html</b>"
    attached = both.replace("text/html\r\n",
                            "text/html\r\nContent-Disposition: attachment; filename=a.html\r\n")
    for none in (mail("plain", "text/plain"),
                 mail(attached, "multipart/mixed; boundary=b"), letter()):
        refused(running, f"/v1/messages/{message_of(running, none)}/html", "has no HTML",
                status=404)
    refused(running, "/v1/messages/nonsense/html", "no id", status=404)


def test_html_has_a_policy_of_its_own(make_gate, sink, tmp_path):
    running = make_gate(listener() + upstream(sink) + staging(INBOX) +
                        http_section(tmp_path, ann="viewer")).start()
    ident = message_of(running, mail("<script>alert(1)</script>"))
    status, body, headers = ask(running, "GET", f"/v1/messages/{ident}/html",
                                headers=Token(running, "ann").headers())
    assert status == 200 and body == b"<script>alert(1)</script>\n"
    assert headers.get_all("Content-Security-Policy") == [POLICY]
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-DNS-Prefetch-Control"] == "off"
    assert headers["Cache-Control"] == "no-store"
    status, body, headers = ask(running, "GET", f"/v1/messages/{ident}/html")
    assert status == 401


def test_html_does_not_reach_out_before_its_frame(gate):
    """What works beside a frame's policy is no element any more."""
    running = gate(production() + staging(INBOX))
    shown = html_of(running, mail(
        "<LINK rel=preconnect href=//x.test><meta http-equiv=refresh content='0;url=//x.test'>"
        "<base href='//x.test'><p>a < b <link</p>"))
    for name in ("<link", "<meta", "<base"):
        assert name not in shown.lower(), shown
    assert "<p>a < b" in shown


@pytest.mark.parametrize("name", ["nested", "nested messages", "many", "long", "charset", "cut"])
def test_hostile_html(gate, name):
    """Each is answered, within bounds, and the gate goes on."""
    def nested(depth, kind):
        head = "".join(f"--b{n}\r\nContent-Type: {kind.format(n + 1)}\r\n\r\n"
                       for n in range(depth))
        return head + "<p>deep</p>"

    running = gate(production() + staging(INBOX))
    bodies = {
        "nested": mail(nested(10000, "multipart/mixed; boundary=b{}"),
                       "multipart/mixed; boundary=b0"),
        "nested messages": mail(
            "Content-Type: message/rfc822\r\n\r\n" * 10000 +
            "Content-Type: text/html\r\n\r\n<p>deep</p>", "message/rfc822"),
        "many": mail("--b\r\nContent-Type: text/x\r\n\r\nx\r\n" * 10000 +
                     "--b\r\nContent-Type: text/html\r\n\r\n<p>last</p>\r\n--b--",
                     "multipart/mixed; boundary=b"),
        "long": mail("<p>é</p>\r\n" * 400000),
        "charset": mail("<p>\xff\xfe\x80</p>", "text/html; charset=\"x-no-such\xff\""),
        "cut": mail("<p>\r\n--", "multipart/mixed"),
    }
    ident = message_of(running, bodies[name])
    status, body = running.api("GET", f"/v1/messages/{ident}/html")
    assert status in (200, 404)
    if status == 200:
        assert len(body) <= 2 << 20
        body.decode("utf-8")
    if name == "long":
        assert status == 200 and len(body) > (2 << 20) - 8
    assert get(running, "/v1/status")["pid"] == running.process.pid


def test_names_in_paths(gate):
    running = gate(production())
    for path in ("/v1/environments/" + quote("a/b", safe=""), "/v1/environments/%00",
                 "/v1/environments/" + "x" * 500, "/v1/messages/../html",
                 "/v1/environments/" + quote("<script>")):
        status, answer = running.api("GET", path)
        assert status in (400, 404), (path, answer)
