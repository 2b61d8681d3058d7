"""What reads GET /metrics: etc/prometheus-rules.yml and etc/grafana-dashboard.json, with Debian's Prometheus."""

import json
import re

import pytest
import yaml

from rig.client import letter
from rig.gate import PRODUCTION_CLIENT, STAGING_CLIENT, TOP, listener, production, staging, upstream
from rig.metrics import promtool, scrape
from rig.people import http_section
from rig.prometheus import Prometheus
from rig.wait import wait_for

RULES = TOP / "etc" / "prometheus-rules.yml"
TESTS = sorted((TOP / "tests" / "prometheus").glob("*-test.yml"))
BOARD = json.loads((TOP / "etc" / "grafana-dashboard.json").read_text())


def rules():
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"]
            for rule in group["rules"]]


def panels():
    return [panel for panel in BOARD["panels"] if panel["type"] != "row"]


# ---- the rules


def test_promtool_takes_the_rules_and_their_tests():
    done = promtool("check", "rules", RULES)
    assert done.returncode == 0, done.stdout + done.stderr
    done = promtool("test", "rules", *TESTS)
    assert done.returncode == 0 and "FAILED" not in done.stdout + done.stderr, (
        done.stdout + done.stderr)


def test_each_rule_fires_in_a_test_and_has_series_that_do_not_make_it_fire():
    fires, quiet = set(), []
    for test in (test for path in TESTS for test in yaml.safe_load(path.read_text())["tests"]):
        fired = set()
        for expression in test.get("promql_expr_test", []):
            for sample in expression["exp_samples"]:
                fired |= set(re.findall(r'alertname="(\w+)"', sample["labels"]))
                # Where the expression has the name, its samples may not.
                fired |= set(re.findall(r'alertname="(\w+)"', expression["expr"]))
        fires |= fired
        if not fired:
            quiet.append(" ".join(series["series"] for series in test["input_series"]))
    assert {rule["alert"] for rule in rules()} == fires
    assert len(quiet) >= 2
    for rule in rules():
        for name in names_in(rule["expr"]) - {"mailfuse_build_info"}:
            assert any(name in series for series in quiet), (rule["alert"], name)


def test_each_rule_says_what_to_do():
    page = (TOP / "man" / "mailfuse-operations.7").read_text()
    sections = set(re.findall(r"^\.Ss (.*)", page, re.M))
    verbs = set(re.findall(r'^\s+\{"([a-z-]+)",', (TOP / "cli" / "main.c").read_text(), re.M))
    assert len(rules()) >= 12 and "show" in verbs
    for rule in rules():
        notes = rule["annotations"]
        page, section = notes["runbook"].split(", ", 1)
        assert page == "mailfuse-operations(7)" and section in sections, rule["alert"]
        assert notes["summary"] and rule["labels"]["severity"] in ("page", "ticket"), rule["alert"]
        said = set(re.findall(r"\bmailfuse ([a-z-]+)", notes["description"]))
        assert said and said <= verbs, (rule["alert"], said)


def names_in(expression):
    return set(re.findall(r"\b(?:mailfuse|process)_[a-z0-9_]+\b", expression))


# ---- the dashboard


def test_the_dashboard_is_what_grafana_10_reads():
    assert BOARD["schemaVersion"] == 38 and BOARD["id"] is None and BOARD["uid"] and BOARD["title"]
    ids = [p["id"] for p in BOARD["panels"]]
    assert len(ids) == len(set(ids))
    taken = set()
    variables = {v["name"] for v in BOARD["templating"]["list"]} | {"__rate_interval"}
    for panel in BOARD["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {(x, y) for x in range(place["x"], place["x"] + place["w"])
                 for y in range(place["y"], place["y"] + place["h"])}
        assert not cells & taken, panel["title"]
        taken |= cells
        assert panel["type"] in ("row", "stat", "timeseries", "table"), panel["type"]
        assert panel["type"] == "row" or panel["datasource"] == {
            "type": "prometheus", "uid": "${datasource}"}
        for target in panel.get("targets", []):
            assert set(re.findall(r"\$\{?(\w+)", target["expr"])) <= variables
    labels = set(re.findall(r"(?:by \(|on \()([a-z, ]+)\)", json.dumps(BOARD)))
    known = {"environment", "rule", "verdict", "result", "state", "le", "channel", "upstream",
             "instance"}
    assert set(", ".join(labels).split(", ")) <= known


def expressions(instance):
    """Those of the dashboard with its variables filled in as Grafana does: All, or one gate."""
    values = {"instance": instance, "environment": ".*", "job": ".*", "__rate_interval": "1m"}
    for panel in panels():
        assert panel["targets"], panel["title"]
        for target in panel["targets"]:
            assert names_in(target["expr"]), panel["title"]
            yield panel["title"], re.sub(r"\$(\w+)", lambda m: values[m[1]], target["expr"])


# ---- a running gate


@pytest.fixture
def watched(make_gate, sink, webhook, tmp_path):
    """A gate to which some of everything happens while Prometheus looks."""
    running = make_gate(
        'quarantine_limit = "1GB"\n' + listener() + upstream(sink)
        + http_section(tmp_path, prometheus="viewer")
        + f'alert "ops" {{ type = webhook url = "{webhook.url}" events = {{"*"}} }}\n'
        + production('burst "volume" { limit = "5/10m" per = {environment} }')
        + staging('others = drop')).start()
    server = Prometheus(tmp_path, running, "prometheus", RULES)
    try:
        yield running, server.start()
    finally:
        server.stop()


def test_prometheus_sees_a_blast_fires_and_draws_each_panel(watched):
    running, server = watched
    # An increase needs what was before it.
    wait_for("a second look", lambda: (server.value(
        'count_over_time(mailfuse_build_info[1m])') or 0) >= 2)
    for n in range(8):
        running.send(letter(), [f"c{n}@ok.example"], PRODUCTION_CLIENT)
    running.send(letter(), ["a@ok.example", "b@ok.example"], STAGING_CLIENT)
    running.do("hold", "--source", "127.0.9.9", "--reason", "looking")
    assert running.cli("--yes", "drill", "--environment", "production").returncode == 0
    running.wait_counts("production", {"sent": 5, "held": 3})
    wait_for(lambda: f"the alert: {server.alerts()}", lambda: server.alerts().get(
        ("MailfuseBatchHeld", "production")) == "firing")
    # What is told to be wrong is what is wrong.
    assert {name for (name, _), state in server.alerts().items() if state == "firing"} == {
        "MailfuseBatchHeld"}
    for rule in (rule for group in server.get("rules")["groups"] for rule in group["rules"]):
        assert rule["health"] == "ok" and not rule.get("lastError"), rule
    empty = []

    def all_drawn():
        empty[:] = [row for row in expressions(".*") if not server.query(row[1])]
        return not empty

    wait_for(lambda: f"panels with something in them: {empty}", all_drawn)
    instance = server.query("mailfuse_build_info")[0][0]["instance"]
    for title, expression in expressions(re.escape(instance).replace("\\", "\\\\")):
        assert server.query(expression), (title, expression)
    # What it has kept is what the gate says, and what happened.
    wait_for("the leak is told", lambda: server.value(
        'mailfuse_leaked_recipients_total{environment="production",rule="burst volume"}') == 5)
    for name, wanted in (
            ('mailfuse_recipients_total{environment="production",verdict="accepted"}', 8),
            ('mailfuse_recipients_total{environment="production",rule="burst volume",verdict="held"}',
             3),
            ('mailfuse_deliveries_total{environment="production",result="delivered"}', 5),
            ('mailfuse_recipients_total{environment="staging",verdict="dropped"}', 2),
            ('mailfuse_quarantine_recipients{environment="production"}', 3),
            ('mailfuse_panic_hold{scope="source",name="127.0.9.9"}', 1)):
        assert server.value(name) == wanted, name


def test_each_metric_of_the_rules_is_there(gate, sink):
    running = gate(production() + staging())
    there = {name for family in scrape(running).families.values()
             for name in {family.name, *(key[0] for key in family.samples)}}
    used = set().union(*(names_in(rule["expr"]) for rule in rules()))
    assert len(used) > 15 and used <= there, used - there
