"""mailfuse simulate: what the command takes, prints and refuses. What the engine says is tested in
tests/unit/test_simulate.c, against a model in test_model.py, and on accidents in test_incidents.py."""

import json
import os
import subprocess

import pytest
from rig.client import letter
from rig.gate import MAILFUSE, PRODUCTION_CLIENT, production, staging
from rig.wait import DEADLINE

CONFIG = """upstream "smarthost" { address = "127.0.0.1:25" password = "file:/nowhere" user = "u" }
environment "production" {
    production = true
    match { network = {"10.1.0.0/16"} }
    burst "volume" { limit = "200/10m" per = {source, subject} head = "15/10s" settle = "10s" }
    burst "repeat" { limit = "5/1h" per = {recipient, subject} }
}
"""
NAMES = "time,client,sender,subject,recipients,over,label\n"
# 25 a second: the 201st comes after 8 s, when only the head has left.
BLAST = NAMES + ("0,10.1.0.7,app@example.com,Your receipt,40,400,ok\n"
                 "100,10.1.0.7,app@example.com,Sale,1000,40,blast\n")


@pytest.fixture
def simulate(tmp_path):
    """simulate(trace, *arguments): run on CONFIG, with no daemon anywhere; the trace is stdin."""

    def run(trace=None, *arguments, config=CONFIG, code=0):
        path = tmp_path / "new.conf"
        path.write_text(config)
        if trace is not None:
            arguments = ("--trace", "-", *arguments)
        done = subprocess.run(
            [MAILFUSE, "simulate", "--config", str(path), *arguments],
            input=trace or "", capture_output=True, text=True, timeout=DEADLINE,
            env={**os.environ, "MAILFUSE_CONTROL": str(tmp_path / "nobody.sock")})
        assert "Sanitizer" not in done.stderr and "runtime error" not in done.stderr, done.stderr
        assert done.returncode == code, done.stderr
        return done

    return run


def objects(done):
    return [json.loads(line) for line in done.stdout.splitlines()]


def kind(done, wanted):
    return [o for o in objects(done) if o["kind"] == wanted]


def test_for_people(simulate):
    done = simulate(BLAST)
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["ENVIRONMENT", "RULE", "HELD", "FALSE", "OBSERVED", "BATCHES",
                                "LEAKED", "MOST", "FIRST", "TRIP"]
    assert lines[1].split() == ["production", "burst", "volume", "985", "0", "0", "1", "15", "15",
                                "108", "s"]
    assert "Recipients   1,040 in 1,040 messages over" in done.stdout
    assert "Held         985 in 1 batch; false holds: 0" in done.stdout
    assert "Blast        1,000 recipients: 15 reached, 985 held; alert 8 s after" in done.stdout


def test_json(simulate):
    done = simulate(BLAST, "--json")
    rules = {rule["rule"]: rule for rule in kind(done, "rule")}
    assert rules["burst volume"] == {
        "kind": "rule", "environment": "production", "rule": "burst volume", "held": 985,
        "false_held": 0, "observed": 0, "batches": 1, "leaked": 15, "leaked_most": 15,
        "first_trip": 108.0}
    assert rules["burst repeat"]["first_trip"] is None
    assert kind(done, "total") == [{
        "kind": "total", "messages": 1040, "recipients": 1040, "passed": 55, "delayed": 0,
        "held": 985, "dropped": 0, "rejected": 0, "blast": 1000, "blast_reached": 15,
        "blast_held": 985, "most_copies": 1, "delay_p50": 0.0, "delay_p99": 0.0,
        "delay_p999": 0.0, "delay_most": 0.0, "blast_first": 100.0, "blast_alerted": 108.0,
        "time_to_alert": 8.0, "span": 390.0}]
    assert objects(done)[-1]["kind"] == "total"


def test_verdicts_come_in_order(simulate):
    trace = NAMES + ("0,10.1.0.7,,Sale,a@x.example b@x.example,2,\n"
                     "0.5,10.1.0.7,,Other,c@x.example,,\n"
                     "2,192.0.2.1,,Sale,d@x.example,,\n")
    done = simulate(trace, "--verdicts", "--json")
    assert kind(done, "verdict") == [
        {"kind": "verdict", "row": row, "recipient": f"{name}@x.example", "verdict": verdict,
         "rule": rule}
        for row, name, verdict, rule in [(1, "a", "pass", None), (2, "c", "pass", None),
                                         (1, "b", "pass", None), (3, "d", "hold", "unknown")]]
    assert "1 recipient is in no environment of" in done.stderr
    assert "3  hold     d@x.example  unknown" in simulate(trace, "--verdicts").stdout


def test_suggestions(simulate):
    done = simulate(BLAST, "--suggest", "--json")
    volume, repeat = kind(done, "suggestion")
    # 40 receipts of one key in one window: 3 times 40 is 120. The blast is no example.
    assert {k: volume[k] for k in ("rule", "limit", "window", "busiest", "percentile",
                                   "suggested")} == {
        "rule": "burst volume", "limit": 200, "window": 600.0, "busiest": 40, "percentile": 40,
        "suggested": 200}
    assert volume["why"] == ("in 10 min the busiest of its keys (1) saw 40, and 99.9 % of all "
                             "windows at most 40; 3 times the latter, rounded up, is 200")
    assert (repeat["busiest"], repeat["suggested"]) == (1, 5)
    assert "200/10m" in simulate(BLAST, "--suggest").stdout


def test_nothing_matches(simulate):
    done = simulate(NAMES + "0,192.0.2.1,,Sale,3,,\n")
    assert "No environment of" in done.stderr and "match sections" in done.stderr
    assert "production   burst volume" in done.stdout


def test_content_rules_look_at_the_trace(simulate):
    config = CONFIG.replace('burst "volume"', """
    content "test" { header = "Subject" match = "/\\\\btest\\\\b/i" }
    content "placeholder" { part = text match = "/\\\\{\\\\{/" }
    burst "volume\"""")
    trace = ("time,client,sender,subject,recipients,body\n"
             "0,10.1.0.7,,Täglicher Test,1,\n"
             '1,10.1.0.8,,"Two, lines",2,"Dear\n{{name}},\nhello"\n'
             "2,10.1.0.9,,Tested,3,Dear Ann\n")
    held = {r["rule"]: r["held"] for r in kind(simulate(trace, "--json", config=config), "rule")}
    assert held == {"content test": 1, "content placeholder": 2, "audience": 0,
                    "burst volume": 0, "burst repeat": 0}


WRONG = NAMES + ("0,10.1.0.7,,Sale,3,,\n"
                 "1,10.1.0.7,,Sa\"le,3,,\n"
                 "2,shop,,Sale,3,,\n"
                 "3,10.1.0.7,app,Sale,3,,\n"
                 "4,10.1.0.7,,Sale,a@b.example c,,\n"
                 "1,10.1.0.7,,Sale,3,,\n"
                 "5,10.1.0.7,,Sale,3,,maybe\n")


def test_every_mistake_of_a_trace_is_told(simulate):
    done = simulate(WRONG, code=1)
    assert done.stdout == ""
    assert [line.split(": ")[:3] for line in done.stderr.splitlines()[:-1]] == [
        ["-", "line 3", "subject"], ["-", "line 4", "client"], ["-", "line 5", "sender"],
        ["-", "line 6", "recipients"], ["-", "line 7", "time"], ["-", "line 8", "label"]]
    assert "the trace - is wrong" in done.stderr


def test_a_wrong_file_is_not_read_to_its_end(simulate):
    done = simulate(NAMES + "x\n" * 100000, code=1)
    assert len(done.stderr.splitlines()) == 51
    assert "50 lines are wrong; the rest was not looked at" in done.stderr


def test_every_mistake_of_a_configuration_is_told(simulate):
    done = simulate(BLAST, config='nonsense = 1\nenvironment "p" { allow = 7 }\n' + CONFIG, code=1)
    assert "new.conf:1: " in done.stderr and done.stdout == ""
    done = simulate(BLAST, config=CONFIG.replace("production = true",
                                                 'production = true allow = {"/(/", "/)/"}'),
                    code=1)
    assert done.stderr.count("allow") == 2 and done.stdout == ""


def test_what_is_not_there(simulate, tmp_path):
    done = simulate(None, "--trace", str(tmp_path / "none.csv"), code=1)
    assert "none.csv: No such file or directory" in done.stderr
    assert "the trace is empty" in simulate("", code=1).stderr


USAGE = [
    ("both", ["--history", "1d"], "--trace or --history, not both"),
    ("a word", ["more"], '"more" is too much'),
]


@pytest.mark.parametrize("arguments,wanted", [r[1:] for r in USAGE], ids=[r[0] for r in USAGE])
def test_usage(simulate, arguments, wanted):
    assert wanted in simulate(BLAST, *arguments, code=2).stderr


def test_a_trace_without_mail(simulate):
    done = simulate(NAMES)
    assert done.stderr == "The trace has no mail: nothing was judged.\n"
    assert "false holds: 0" in done.stdout


def test_history_without_a_daemon(simulate):
    assert "--history takes a time such as 30d" in simulate(None, "--history", "long",
                                                             code=2).stderr
    done = simulate(None, code=3)
    assert done.stdout == "" and "Is it running?" in done.stderr
    assert 'not judged: burst "repeat" of production' in done.stderr


def test_a_pipe_that_closes(simulate, tmp_path):
    """`| head -1` ends it quietly."""
    (tmp_path / "new.conf").write_text(CONFIG)
    (tmp_path / "big.csv").write_text(NAMES + "0,10.1.0.7,,Sale,1000000,60,\n")
    process = subprocess.Popen(
        [MAILFUSE, "simulate", "--config", tmp_path / "new.conf", "--trace",
         tmp_path / "big.csv", "--verdicts"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout.readline().split() == [b"1", b"pass", b"p1-1@somebody.invalid", b"-"]
    process.stdout.close()
    assert process.stderr.read() == b""
    process.wait(DEADLINE)
    process.stderr.close()


def test_history(gate, tmp_path):
    """What the daemon recorded, judged by another configuration; what was held is the blast."""
    running = gate(production('burst "volume" { limit = "20/1h" per = {source, subject} }')
                   + staging())
    people = [f"p{i}@customer.example" for i in range(12)]
    running.send(letter("Receipt"), people, source=PRODUCTION_CLIENT)
    running.send(letter("Sale 17"), people * 2, source=PRODUCTION_CLIENT)
    # A drill is nobody's mail; without a channel for alerts it ends there, when its mail is held.
    drill = running.cli("drill", "--environment", "production")
    assert "FAILED at alert" in drill.stdout
    # The minute is written when it has passed, or at a stop.
    running.stop()
    running.start()
    new = tmp_path / "new.conf"
    new.write_text(CONFIG.replace("10.1.0.0/16", "127.0.1.0/24").replace("200/10m", "15/10m")
                   .replace('head = "15/10s" settle = "10s"', ""))
    done = running.cli("simulate", "--config", new, "--history", "1d", "--json", "--suggest")
    assert done.returncode == 0, done.stderr
    assert "The history knows no recipients" in done.stderr
    assert 'not judged: burst "repeat" of production' in done.stderr
    total, = kind(done, "total")
    rules = {rule["rule"]: rule for rule in kind(done, "rule")}
    # One by one over a minute: 15 of the sale leave.
    assert (total["recipients"], total["passed"], total["blast"]) == (36, 27, 24)
    assert set(rules) == {"audience", "burst volume"}
    assert (rules["burst volume"]["held"], rules["burst volume"]["false_held"]) == (9, 0)
    assert kind(done, "suggestion")[0]["busiest"] == 12
    done = running.cli("simulate", "--config", new)
    assert "Blast        24 recipients: 15 reached, 9 held" in done.stdout
