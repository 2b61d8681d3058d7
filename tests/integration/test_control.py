"""The control API and the views of the operator's tool."""

import json
import subprocess

import pytest

from rig.client import letter
from rig.gate import PRODUCTION_CLIENT, STAGING_CLIENT, listener, production, staging, upstream

TRIPS = 'allow = {"*"} burst "volume" { limit = "5/10m" per = {environment} cooldown = 0 }'


def test_status_tells_what_runs_and_what_is_held(gate, sink):
    running = gate(production() + staging(TRIPS))
    running.send(letter(), [f"a{n}@x.test" for n in range(9)])
    status = running.one("status")
    assert status.keys() == running.status().keys()
    assert status["hostname"] == "gate.example"
    assert status["pid"] == running.process.pid
    assert status["held"] == {"batches": 1, "recipients": 9}
    assert status["listeners"][0]["address"] == f"127.0.0.1:{running.port}"
    names = [e["name"] for e in status["environments"]]
    assert names[:2] == ["production", "staging"] and "unknown" in names
    assert (status["listeners"][0]["tls"], status["listeners"][0]["auth"]) == ("off", "off")
    assert status["upstreams"][0]["name"] == "smarthost"
    assert status["upstreams"][0]["tls"] == "opportunistic"
    assert status["metrics"]["messages_accepted"] == 1
    text = running.cli("status").stdout
    for word in ("staging", "smarthost", "9"):
        assert word in text


def test_curl_over_the_socket(gate):
    running = gate(staging(TRIPS))
    result = subprocess.run(["curl", "--silent", "--fail", "--unix-socket", running.control,
                             "http://localhost/v1/status"], capture_output=True, timeout=30)
    assert result.returncode == 0
    assert json.loads(result.stdout)["hostname"] == "gate.example"


CALLS = [
    # method, path, body, status
    ("GET", "/v1/status", None, 200),
    ("GET", "/v1/batches", None, 200),
    ("GET", "/v1/batches/B999", None, 404),
    ("GET", "/v1/batches/rubbish", None, 404),
    ("GET", "/v1/messages/rubbish", None, 404),
    ("GET", "/v1/nothing", None, 404),
    ("GET", "/", None, 404),
    ("POST", "/v1/status", {}, 405),
    ("GET", "/v1/release", None, 405),
    ("GET", "/v1/deliveries?limit=0", None, 400),
    ("GET", "/v1/deliveries?limit=1001", None, 400),
    ("GET", "/v1/deliveries?state=flying", None, 400),
    ("POST", "/v1/release", {}, 400),
    ("POST", "/v1/release", {"ids": ["B1"]}, 400),
    ("POST", "/v1/release", {"ids": [], "reason": "x"}, 400),
    ("POST", "/v1/release", {"ids": ["B999"], "reason": "x"}, 404),
    ("POST", "/v1/release", {"ids": ["B1"], "reason": "x", "first": -1}, 400),
    ("POST", "/v1/release", {"ids": ["B1"], "reason": "x", "percent": 200}, 400),
    ("POST", "/v1/release", {"ids": ["B1"], "reason": "x", "rate": "fast"}, 400),
    ("POST", "/v1/release", {"ids": ["B1"], "reason": "x", "to": "/(/"}, 400),
    ("POST", "/v1/release", {"ids": "B1", "reason": "x"}, 400),
    ("POST", "/v1/release", [], 400),
    ("POST", "/v1/hold", {"scope": "universe", "reason": "x"}, 400),
    ("POST", "/v1/hold", {"scope": "everything"}, 400),
    ("POST", "/v1/explain", {}, 400),
]


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    from rig.gate import Gate

    running = Gate(tmp_path_factory.mktemp("control"), listener() + staging(TRIPS)).start()
    yield running
    running.close()


@pytest.mark.parametrize("method, path, body, status", CALLS,
                         ids=[f"{c[0]} {c[1]} {json.dumps(c[2])}" for c in CALLS])
def test_api_calls(method, path, body, status, shared):
    got, answer = shared.api(method, path, body)
    assert got == status, answer
    if status >= 400:
        assert answer["status"] == status and answer["title"] and answer["detail"]


def test_body_that_is_no_json(shared):
    from rig.gate import UnixHTTPConnection

    for text in ("{", "\0", "[" * 100000, '{"ids": NaN}'):
        connection = UnixHTTPConnection(shared.control)
        connection.request("POST", "/v1/release", text, {"Content-Type": "application/json"})
        assert connection.getresponse().status == 400
        connection.close()
    assert shared.api("GET", "/v1/status")[0] == 200


def test_explain_gives_the_verdicts_and_sends_nothing(gate, sink):
    running = gate(production() + staging(
        'allow = {"@example.com"} others = rewrite rewrite_to = "qa@example.com" '
        'subject_prefix = "[S] " burst "volume" { limit = "5/10m" per = {environment} }'))
    status, answer = running.api("POST", "/v1/explain", {
        "client": STAGING_CLIENT, "from": "app@shop.example",
        "to": ["ok@example.com", "anna@customer.test"], "message": "Subject: Hello\r\n\r\nx"})
    assert status == 200, answer
    assert answer["environment"] == "staging" and answer["production"] is False
    assert "127.0.2.0/24" in answer["match"]
    rows = {r["address"]: (r["final"], r["verdict"]) for r in answer["recipients"]}
    assert rows == {"ok@example.com": ("ok@example.com", "pass"),
                    "anna@customer.test": ("qa@example.com", "rewrite")}
    assert "[S] Hello" in answer["header"]
    burst = next(r for r in answer["rules"] if r["rule"] == "burst volume")
    assert burst["applies"] and burst["before"] == 0 and burst["after"] == 2
    # Asked a hundred times, nothing was counted, stored or sent.
    for _ in range(20):
        running.api("POST", "/v1/explain", {"client": STAGING_CLIENT, "from": "a@b.example",
                                            "to": [f"a{n}@example.com" for n in range(5)]})
    assert running.counts("staging") == {}
    running.send(letter(), ["ok@example.com"])
    assert sink.only().recipients == ["ok@example.com"]


def test_explain_by_the_tool(gate, tmp_path):
    running = gate(staging('allow = {"@example.com"} others = reject'))
    message = tmp_path / "message"
    message.write_text("Subject: Hello\n\nx\n")
    result = running.cli("explain", "--client", STAGING_CLIENT, "--from", "a@b.example",
                         "--to", "ok@example.com", "--to", "anna@customer.test",
                         "--message", message)
    assert result.returncode == 0, result.stderr
    assert "staging" in result.stdout
    assert "anna@customer.test" in result.stdout and "reject" in result.stdout


def test_messages_by_batch_environment_and_state(gate, sink):
    running = gate(production() + staging(TRIPS))
    running.send(letter(), [f"a{n}@x.test" for n in range(9)])
    running.send(letter(), ["p@x.test"], PRODUCTION_CLIENT)
    running.wait_count("production", "sent", 1)
    batch = running.batch()["id"]
    assert len(running.do("messages", batch)) == 9
    assert len(running.do("messages", "--environment", "production")) == 1
    assert len(running.do("messages", "--state", "held")) == 9
    assert len(running.do("messages", "--state", "sent")) == 1


def test_lists_come_in_pages(gate):
    running = gate(staging(TRIPS))
    running.send(letter(), [f"a{n}@x.test" for n in range(250)])
    batch = running.batch()["id"]
    seen, after = [], None
    while True:
        status, page = running.api(
            "GET", f"/v1/deliveries?batch={batch}&limit=100" + (f"&after={after}" if after else ""))
        assert status == 200 and len(page["items"]) <= 100
        seen += [d["recipient"] for d in page["items"]]
        after = page["next"]
        if not after:
            break
    assert sorted(seen) == sorted(f"a{n}@x.test" for n in range(250))
    assert len(running.do("messages", batch, "--limit", 1000)) == 250


def test_one_message_as_text_and_raw(gate):
    running = gate(staging(TRIPS))
    data = ("From: =?utf-8?q?J=C3=B6rg?= <app@shop.example>\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?="
            "\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: "
            "quoted-printable\r\n\r\nH=C3=A4llo=1B[31m")
    message_id = running.send(data.encode(), [f"a{n}@x.test" for n in range(6)])
    message = running.api("GET", f"/v1/messages/{message_id}")[1]
    assert message["subject"] == "Grüße"
    assert "Hällo" in message["text"] and "\x1b" not in message["text"]
    assert len(message["deliveries"]) == 6
    raw = running.cli("message", message_id, "--raw").stdout
    assert "X-Mailfuse-Environment: staging" in raw and "H=C3=A4llo=1B" in raw
    assert "Hällo" in running.cli("message", message_id, "--text").stdout


def test_terminal_is_safe_from_what_strangers_wrote(gate):
    running = gate(staging(TRIPS))
    running.send(b"Subject: \x1b]0;owned\x07\x1b[31mred\x9b1m\r\n\r\nx",
                 [f"a{n}@x.test" for n in range(6)])
    batch = running.batch()["id"]
    for arguments in (["batches"], ["show", batch], ["messages", batch], ["log"], ["queue"]):
        out = running.cli(*arguments).stdout
        assert "\x1b" not in out and "\x07" not in out, arguments
    assert "\x1b" not in running.text()


def test_queue_shows_what_waits(gate, sink):
    sink.stop()
    running = gate(production())
    running.send(letter(), ["a@x.test", "b@x.test"], PRODUCTION_CLIENT)
    status, queue = running.api("GET", "/v1/queue")
    assert status == 200
    row = [e for e in queue["environments"] if e["environment"] == "production"][0]
    assert row["queued"] == 2 and row["upstream"] == "smarthost"
    assert {d["recipient"] for d in queue["deliveries"]} == {"a@x.test", "b@x.test"}
    assert "smarthost" in running.cli("queue").stdout


def test_options_stand_before_or_after_the_verb(shared):
    for arguments in (["--json", "batches"], ["batches", "--json"]):
        assert shared.cli(*arguments).returncode == 0


def test_control_by_environment_variable(gate):
    import os

    from rig.gate import MAILFUSE

    running = gate(staging(TRIPS))
    result = subprocess.run([MAILFUSE, "status"], capture_output=True, timeout=30,
                            env=dict(os.environ, MAILFUSE_CONTROL=running.control))
    assert result.returncode == 0


def test_socket_is_for_owner_and_group_only(gate):
    import os
    import stat

    running = gate(staging(TRIPS))
    assert stat.S_IMODE(os.stat(running.control).st_mode) == 0o660


def test_upstreams_connections_are_told(make_gate, sink):
    running = make_gate(listener() + upstream(sink) + production()).start()
    running.send(letter(), ["a@x.test"], PRODUCTION_CLIENT)
    sink.wait(1)
    row = running.status()["upstreams"][0]
    assert row["up"] is True and row["connections"] >= 0
    assert row["address"] == sink.address
