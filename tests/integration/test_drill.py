"""mailfuse drill: it passes where the gate works, fails loudly with the reason where it does not, and
nothing of it ever leaves."""

import contextlib
import json
import re
import signal
import socket
import subprocess
import time

import pytest

from rig.client import letter
from rig.gate import (MAILFUSE, PRODUCTION_CLIENT, TOP, listener, production, secured, upstream,
                      users)
from rig.sink import HANG, Sink
from rig.tls import CA
from rig.wait import stays_true, wait_for

VOLUME = 'burst "volume" { limit = "60/10m" per = {source, subject} head = "5/10s" settle = "5s" }'
REPEAT = 'burst "repeat" { limit = "5/1h" per = {recipient, subject} }'
PRODUCTION = production(f"{VOLUME} {REPEAT}")
STAGING = """environment "staging" {
    match { network = {"127.0.2.0/24"} }
    allow = {"@example.com"}
    others = drop
    burst "volume" { limit = "50/10m" per = {environment} }
}
"""
ALL_STEPS = ["release path", "rules", "blast", "held", "alert", "first ring", "discarded",
             "restored", "purged", "nowhere else"]
FROM = "drill@drill.invalid"


@contextlib.contextmanager
def closing(own):
    """A sink of the test's own."""
    try:
        yield own
    finally:
        own.stop()


def channel(url, events=("batch.*", "drill.*"), keys=""):
    names = ", ".join(f'"{event}"' for event in events)
    return f'alert "ops" {{ type = webhook url = "{url}" events = {{{names}}} {keys} }}\n'


@pytest.fixture
def drilled(gate, webhook):
    """drilled(environments): a gate with an alert channel."""

    def start(environments=PRODUCTION, listener_keys="", more=None):
        return gate(environments, listener_keys,
                    more=channel(webhook.url) if more is None else more)

    return start


def drill(gate, *arguments):
    """(exit code, the report of the one drill)."""
    result = gate.cli("--json", "--yes", "drill", *arguments, deadline=120)
    reports = [json.loads(line) for line in result.stdout.splitlines()]
    assert len(reports) == 1, result.stdout + result.stderr
    return result.returncode, reports[0]


def passes(gate, *arguments):
    code, report = drill(gate, *arguments)
    assert (code, report["passed"], failed(report)) == (0, True, {}), report
    return report


def fails(gate, step, reason, *arguments):
    """It fails at just that step, for that reason, and says so on a terminal too."""
    code, report = drill(gate, *arguments)
    assert (code, report["passed"]) == (1, False), report
    assert list(failed(report)) == [step], report
    assert re.search(reason, failed(report)[step]), failed(report)[step]
    return report


def failed(report):
    return {step["step"]: step["text"] for step in report["steps"] if not step["passed"]}


def begin(gate, port, environment="production"):
    """A drill by hand: its secret name."""
    status, answer = gate.api("POST", "/v1/drill", {"environment": environment, "sink_port": port})
    assert status == 200, answer
    return answer["helo"]


def end(gate, environment="production", passed=False):
    return gate.api("POST", "/v1/drill/end",
                    {"environment": environment, "passed": passed,
                     "steps": [{"step": "by hand", "passed": passed, "text": "a test"}]})


def say(gate, helo, recipients, sender=""):
    """One message of a client with that name; the replies to RCPT and to the message."""
    with gate.client(PRODUCTION_CLIENT, greet=False) as client:
        client.expect(250, f"EHLO {helo}")
        return client.mail(recipients, letter("A drill"), sender=sender)


def drill_batch(gate, helo, count=70):
    """A batch of the drill under way."""
    for first in range(0, count, 10):
        results, last = say(gate, helo, [f"r{n}@drill.invalid" for n in range(first, first + 10)])
        assert last[0] == 250, (results, last)
    return wait_for("a batch of the drill", lambda: gate.batches())[0]["id"]


# ---- it passes


def test_a_gate_with_a_head_passes(drilled, sink, webhook):
    running = drilled()
    report = passes(running)
    assert [step["step"] for step in report["steps"]] == ALL_STEPS
    assert report["rule"] == "volume"
    assert report["leaked"] <= report["bound"] and report["released"] == 5
    assert report["held"] + report["leaked"] == report["recipients"] == 85
    # It is told, counted and kept; and what was drilled is gone.
    told = webhook.wait("drill.passed")[0]
    assert told["environment"] == "production" and "first ring" in told["text"]
    assert [row["action"] for row in running.audit()].count("drill.passed") == 1
    status = running.status()
    assert status["last_drill"]["passed"] and not re.search(r"\bdrill\b", str(status["warnings"]))
    assert abs(status["metrics"]["last_drill_passed_at"] - time.time()) < 600
    assert set(running.counts("drill")) <= {"sent"} or running.counts("drill")["held"] == 0
    assert [e["name"] for e in status["environments"]] == ["production", "unknown"]
    assert [u["name"] for u in status["upstreams"]] == ["smarthost"]
    assert sink.messages == []
    # The metric comes back after a start.
    running.stop()
    running.start()
    again = running.status()
    assert again["metrics"]["last_drill_passed_at"] == status["metrics"]["last_drill_passed_at"]
    assert again["last_drill"] == status["last_drill"]
    assert sink.messages == []


def test_one_of_a_test_environment_passes(drilled, sink):
    """Without a head as much as the limit leaks; its allow list does not matter."""
    running = drilled(PRODUCTION + STAGING)
    report = passes(running, "--environment", "staging")
    assert (report["leaked"], report["bound"], report["held"]) == (50, 50, 25)
    assert sink.messages == []


def test_the_shipped_rules_pass(drilled, sink):
    """production.conf's environment, as it is shipped."""
    text = (TOP / "etc" / "production.conf").read_text()
    body = re.search(r'^environment "production" \{.*?^\}', text, re.M | re.S)[0]
    body = re.sub(r"match \{.*", 'match { network = {"127.0.1.0/24"} }', body)
    running = drilled(re.sub(r"upstream *= .*", "", body))
    report = passes(running)
    assert report["leaked"] <= report["bound"]
    assert sink.messages == []


def test_a_large_limit_takes_several_recipients_a_message(drilled, sink):
    rule = VOLUME.replace("60/10m", "3000/10m")
    report = passes(drilled(production(rule)))
    assert report["recipients"] == report["held"] + report["leaked"] == 3025
    assert sink.messages == []


def test_it_needs_no_second_person(drilled, webhook):
    passes(drilled(more="approval { above = 3 }\n" + channel(webhook.url)))


def test_nothing_is_imported_into_it(drilled):
    """Its way out is any port of this machine, and what it releases takes one person."""
    running = drilled(more="approval { above = 3 }\n")
    with socket.socket() as port:
        port.bind(("127.0.0.1", 0))
        begin(running, port.getsockname()[1])
        status, answer = running.api("POST", "/v1/import", {
            "batch": None, "open": {"environment": "drill"}, "reason": "by hand",
            "message": {"environment": "drill", "sender": "", "content_base64": "QTogYg0KDQo="},
            "deliveries": [{"number": 1, "recipient": "ada@customer.example", "state": "held"}]})
        assert status == 409 and "mail of a drill does not come back" in answer["detail"], answer
        end(running)
    assert running.batches("--all") == []


def test_twice_in_a_row_and_each_environment_of_production(drilled, sink):
    other = PRODUCTION.replace('"production"', '"shop"').replace("127.0.1.", "127.0.4.")
    running = drilled(PRODUCTION + other + STAGING)
    for _ in range(2):
        result = running.cli("--json", "--yes", "drill")
        reports = [json.loads(line) for line in result.stdout.splitlines()]
        assert result.returncode == 0, result.stdout
        assert [report["environment"] for report in reports] == ["production", "shop"]
        assert all(report["leaked"] <= report["bound"] for report in reports)
    assert sink.messages == []


@pytest.mark.parametrize("tls", ["required", "implicit"])
def test_through_a_listener_that_wants_tls_and_a_login(tls, make_gate, sink, webhook, tmp_path):
    issued = CA(tmp_path / "ca").issue("gate.example")
    running = make_gate(users(tmp_path, shop="secret") +
                        listener(secured(issued, tls=tls, auth="required")) +
                        upstream(sink) + PRODUCTION + channel(webhook.url)).start()
    passes(running)
    assert sink.messages == []
    # Who has no secret has to log in as ever.
    with running.client(PRODUCTION_CLIENT, tls="starttls" if tls == "required" else tls) as client:
        assert client.command("MAIL FROM:<>")[0] == 530


def test_keep_leaves_the_batch_and_the_next_one_clears_it_away(drilled, sink):
    running = drilled()
    report = passes(running, "--keep")
    assert running.one("show", report["batch"])["held"] == report["held"] - 5
    again = passes(running)
    assert [step["step"] for step in again["steps"]] == ["leftovers"] + ALL_STEPS
    assert running.batches() == []
    assert sink.messages == []


def test_people_read_what_happens(drilled):
    running = drilled()
    result = running.cli("drill")
    assert result.returncode == 0, result.stdout + result.stderr
    for step in ALL_STEPS:
        assert re.search(rf"^  ok +{step} ", result.stdout, re.M), result.stdout
    assert "passed: 10 steps" in result.stdout


# ---- it fails, loudly and with the reason


@pytest.mark.parametrize("rules, reason", [
    (VOLUME[:-1] + " action = alert }", "would hold a blast"),
    (REPEAT, "would hold a blast"),
    ('burst "volume" { limit = "1000000/1h" per = {environment} }', "1000000/1h.*at most 20,000"),
])
def test_without_a_rule_that_holds_it_fails(rules, reason, drilled, sink, webhook):
    running = drilled(production(rules))
    fails(running, "rules", reason)
    told = webhook.wait("drill.failed")[0]
    assert "failed at rules" in told["text"]
    assert any("drill" in warning and "failed" in warning
               for warning in running.status()["warnings"])
    result = running.cli("drill")
    assert result.returncode == 1
    assert re.search(r"^  FAILED +rules .*" + reason, result.stdout, re.M), result.stdout
    assert "The drill of production FAILED" in result.stdout
    assert sink.messages == []


def test_a_dead_alert_channel_fails_it(drilled, sink, webhook):
    webhook.stop()
    running = drilled()
    report = fails(running, "alert", "ops: not delivered yet, .*", "--timeout", "2s")
    # The rest was shown all the same.
    assert [step["step"] for step in report["steps"] if step["passed"]] == \
        [step for step in ALL_STEPS if step != "alert"]
    assert running.batches() == [] and sink.messages == []


def test_a_channel_that_gives_up_fails_it(drilled, webhook):
    webhook.status = 500
    running = drilled(more=channel(webhook.url, keys='retry_for = "1s"'))
    fails(running, "alert", "ops: (given up|not delivered yet), .*500", "--timeout", "5s")


@pytest.mark.parametrize("more", ["", None])
def test_no_channel_that_wants_it_fails_it(more, drilled, webhook):
    if more is None:
        more = channel(webhook.url, events=("upstream.*",))
    running = drilled(more=more)
    fails(running, "alert", "no alert channel wants batch.opened", "--timeout", "10s")


def test_one_of_two_channels_is_enough_and_the_other_is_named(drilled, webhook):
    dead = socket.socket()
    dead.bind(("127.0.0.1", 0))
    more = channel(webhook.url) + channel(f"http://127.0.0.1:{dead.getsockname()[1]}/") \
        .replace('"ops"', '"pager"')
    report = passes(drilled(more=more))
    text = {step["step"]: step["text"] for step in report["steps"]}["alert"]
    assert "delivered to ops" in text and "pager: not delivered yet" in text
    dead.close()


def test_an_upstream_that_is_down_fails_it(drilled, sink):
    """Nothing has been sent yet, so only the drill finds out."""
    running = drilled()
    sink.stop()
    assert running.status()["upstreams"][0]["up"]
    fails(running, "release path", "upstream smarthost .* is down since .*")


def test_an_upstream_that_says_nothing_fails_it(drilled, sink):
    sink.rule = lambda stage, argument, session: HANG if stage == "connect" else None
    fails(drilled(), "release path", "has not answered since the drill began", "--timeout", "2s")


@pytest.mark.parametrize("hold", [["--everything"], ["--environment", "production"]])
def test_a_panic_hold_fails_it(hold, drilled, sink):
    running = drilled()
    running.do("hold", *hold, "--reason", "just in case")
    fails(running, "release path", "the panic button holds .*just in case.*unhold")
    assert [row["action"] for row in running.audit()].count("drill.failed") == 1
    running.do("unhold", *hold, "--reason", "all clear")
    passes(running)


@pytest.mark.parametrize("name, reason", [
    ("nowhere", "there is no environment nowhere to drill; there are: production"),
    ("drill", "there is no environment drill to drill"),
    ("unknown", "there is no environment unknown to drill"),
    ("captured", "nothing leaves from environment captured"),
])
def test_what_cannot_be_drilled(name, reason, drilled):
    captured = STAGING.replace('"staging"', '"captured"').replace("others", "upstream = none others")
    fails(drilled(PRODUCTION + captured), "begun", reason, "--environment", name)


def test_nothing_to_drill_is_a_failure(make_gate):
    running = make_gate(listener()).start()
    result = running.cli("drill", "--yes")
    assert result.returncode == 1 and "nothing to drill" in result.stderr


def test_ctrl_c_ends_it_as_a_failed_one(drilled, webhook, sink):
    webhook.stop()
    running = drilled()
    process = subprocess.Popen(
        [MAILFUSE, "--control", running.control, "drill", "--yes"], stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, text=True, env=running.environment)
    wait_for("the drill to wait for its alert", lambda: running.batches())
    process.send_signal(signal.SIGINT)
    output = process.communicate(timeout=60)[0]
    assert process.returncode == 1 and "interrupted" in output, output
    assert "drill" not in [e["name"] for e in running.status()["environments"]]
    assert [row["action"] for row in running.audit()].count("drill.failed") == 1
    webhook.start()
    passes(running)
    assert sink.messages == []


# ---- nobody tricks the gate with it


def test_a_wrong_secret_is_nobody(drilled, sink):
    running = drilled()
    with closing(Sink()) as own:
        helo = begin(running, own.port)
        digit = "1" if helo[6] == "0" else "0"
        for name in (helo.replace(helo[6], digit, 1), helo.upper(), helo + "x", "drill",
                     "drill.mailfuse.invalid"):
            say(running, name, ["anna@customer.example"], FROM)
        sink.wait(5)
        assert {m.fields("X-Mailfuse-Environment")[0] for m in sink.messages} == {"production"}
        assert own.messages == []
        end(running)


def test_the_secret_is_worth_nothing_after_the_end(drilled, sink):
    running = drilled()
    with closing(Sink()) as own:
        helo = begin(running, own.port)
        assert say(running, helo, ["x@drill.invalid"])[1][0] == 250
        own.wait(1)
        assert helo not in own.messages[0].data.decode()
        assert end(running)[0] == 200
        say(running, helo, ["anna@customer.example"])
        sink.wait(1)
        assert sink.messages[0].fields("X-Mailfuse-Environment") == ["production"]
        assert len(own.messages) == 1
    assert helo not in running.text()


def test_a_drill_reaches_nobody_who_exists(drilled, sink):
    """Not even the holder of the secret may name somebody else."""
    running = drilled()
    with closing(Sink()) as own:
        helo = begin(running, own.port)
        for name in ("anna@customer.example", "x@drill.invalid.example", "x@notdrill.invalid"):
            results, _ = say(running, helo, [name])
            assert results[0][0] == 550, results
        end(running)
    assert sink.messages == [] and running.counts("drill") == {}


def test_drill_mail_that_somebody_releases_goes_to_the_sink_only(drilled, sink):
    running = drilled()
    with closing(Sink()) as own:
        helo = begin(running, own.port)
        batch = drill_batch(running, helo)
        held = running.one("show", batch)["held"]
        before = len(own.recipients())
        running.do("release", batch, "--first", 3, "--reason", "oops")
        wait_for("three more", lambda: len(own.recipients()) == before + 3)
        end(running)
        # Over: not by batch, not by id, not by somebody who insists.
        ids = [row["id"] for row in running.deliveries(batch=batch, state="held")][:2]
        for what in ([batch], ids):
            status, answer = running.api("POST", "/v1/release", {"ids": what, "reason": "oops"})
            assert status == 409 and "drill" in answer["detail"], answer
        assert running.one("show", batch)["held"] == held - 3
        stays_true("nothing more", lambda: len(own.recipients()) == before + 3, 0.3)
    assert sink.messages == []
    passes(running)
    assert sink.messages == []


def test_reports_to_senders_of_a_drill_stay_too(drilled, sink):
    """The holder of the secret gives a real sender, and the sink refuses: the report is no way out."""
    running = drilled()
    with closing(Sink()) as own:
        own.rule = lambda stage, argument, session: "550 5.1.1 no" if stage == "rcpt" else None
        helo = begin(running, own.port)
        say(running, helo, ["x@drill.invalid"], "anna@customer.example")
        wait_for("a failure", lambda: running.counts("drill").get("failed"))
        wait_for("the report", lambda: running.deliveries(environment="drill", state="failed")[0]
                 ["sender_told"] != "pending")
        end(running)
        say(running, "shop.example", ["ben@customer.example"])
        sink.wait(1)
    assert [m.recipients for m in sink.messages] == [["ben@customer.example"]]


def test_a_reload_keeps_the_drill(drilled, sink, webhook):
    running = drilled()
    with closing(Sink()) as own:
        helo = begin(running, own.port)
        running.write(listener() + upstream(sink) + PRODUCTION.replace("60/10m", "40/10m") +
                      channel(webhook.url))
        running.signal(signal.SIGHUP)
        running.wait_logged(r"- config\.(reloaded|refused)")
        assert running.logged(r"- config\.reloaded"), running.text()
        batch = drill_batch(running, helo, 50)
        assert running.one("show", batch)["limit"] == 40
        assert end(running)[0] == 200
    assert [e["name"] for e in running.status()["environments"]] == ["production", "unknown"]
    running.send(letter("Hello"), ["anna@customer.example"], PRODUCTION_CLIENT)
    sink.wait(1)
    assert len(sink.messages) == 1


def test_a_reload_without_the_environment_ends_it(drilled, sink, webhook):
    running = drilled(PRODUCTION + STAGING)
    with closing(Sink()) as own:
        helo = begin(running, own.port, "staging")
        running.write(listener() + upstream(sink) + PRODUCTION + channel(webhook.url))
        running.signal(signal.SIGHUP)
        running.wait_logged(r"- config\.reloaded")
        assert running.logged(r"- drill\.ended environment=staging")
        say(running, helo, ["anna@customer.example"])
        sink.wait(1)
        assert own.messages == [] and end(running, "staging")[0] == 409


def test_killed_in_a_drill_nothing_leaves_then(drilled, sink):
    running = drilled()
    with closing(Sink()) as own:
        # The sink takes nothing, so that there is mail on its way when the gate dies.
        own.rule = lambda stage, argument, session: "451 4.3.0 later" if stage == "mail" else None
        helo = begin(running, own.port)
        batch = drill_batch(running, helo)
        running.do("release", batch, "--first", 5, "--reason", "a ring")
        running.kill()
        own.rule = None
        running.start()
        assert [e["name"] for e in running.status()["environments"]] == ["production", "unknown"]
        say(running, helo, ["anna@customer.example"])
        sink.wait(1)
        stays_true("nothing else leaves", lambda: len(sink.recipients()) == 1, 1)
        assert own.messages == []
        assert end(running)[0] == 409
        status, answer = running.api("POST", "/v1/release", {"ids": [batch], "reason": "oops"})
        assert status == 409, answer
        assert any("drill that was cut short" in w for w in running.status()["warnings"])
    # The next one clears it away.
    passes(running)
    assert sink.recipients() == ["anna@customer.example"]
    assert running.batches() == []


def test_one_at_a_time(drilled):
    running = drilled(PRODUCTION + STAGING)
    with closing(Sink()) as own:
        begin(running, own.port)
        status, answer = running.api("POST", "/v1/drill",
                                     {"environment": "staging", "sink_port": own.port})
        assert status == 409 and "production is under way" in answer["detail"]
        fails(running, "begun", "production is under way already")
        assert end(running, "staging")[0] == 409
        assert end(running)[0] == 200
    passes(running)


@pytest.mark.parametrize("body, status", [
    ({"sink_port": 4025}, 404),
    ({"environment": "production"}, 400),
    ({"environment": "production", "sink_port": 25}, 400),
    ({"environment": "production", "sink_port": 70000}, 400),
    ({"environment": "production", "sink_port": "4025"}, 400),
    ({"environment": "production", "sink_port": 4025, "listener": "no"}, 404),
    ({"environment": "production", "sink_port": 4025, "helo": "mine"}, 400),
])
def test_bad_calls(body, status, drilled):
    running = drilled()
    answer = running.api("POST", "/v1/drill", body)
    assert answer[0] == status, answer
    assert "drill" not in [e["name"] for e in running.status()["environments"]]


def test_the_sink_may_be_no_upstream_and_no_listener(drilled, sink):
    running = drilled()
    body = {"environment": "production", "sink_port": sink.port}
    status, answer = running.api("POST", "/v1/drill", body)
    assert status == 409 and "an upstream" in answer["detail"]


@pytest.mark.parametrize("body", [
    {"environment": "production", "passed": True, "steps": []},
    {"environment": "production", "passed": True,
     "steps": [{"step": "x", "passed": False, "text": ""}]},
    {"environment": "production", "passed": False, "steps": [{"step": "x"}]},
    {"environment": "production", "passed": False, "steps": "x"},
    {"environment": "production", "passed": False,
     "steps": [{"step": "x", "passed": False, "text": "\x1b[31m"}]},
])
def test_bad_reports(body, drilled):
    running = drilled()
    with closing(Sink()) as own:
        begin(running, own.port)
        assert running.api("POST", "/v1/drill/end", body)[0] == 400
        assert end(running)[0] == 200


# ---- it is not forgotten


def test_status_reminds_of_drills(drilled, gate):
    running = drilled()
    assert "no drill has ever passed: mailfuse drill." in running.status()["warnings"]
    passes(running)
    assert "drill" not in str(running.status()["warnings"])


def test_status_says_nothing_where_nobody_wants_it(drilled, webhook):
    running = drilled(more='drill_every = "0"\n' + channel(webhook.url))
    assert "drill" not in str(running.status()["warnings"])


def test_an_old_drill_is_no_drill(drilled, webhook):
    running = drilled(more='drill_every = "1s"\n' + channel(webhook.url))
    passes(running)
    wait_for("the reminder", lambda: any(
        re.fullmatch(r"no drill has passed for \d+ s \(drill_every is 1 s\): mailfuse drill\.", w)
        for w in running.status()["warnings"]))
