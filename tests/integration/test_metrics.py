"""GET /metrics: each number is what happened, and the text holds."""

import signal
import threading

import pytest

from rig.client import Blast, letter
from rig.gate import (PRODUCTION_CLIENT, QUIET, STAGING_CLIENT, STRANGER, TOP, listener, production,
                      staging, upstream)
from rig.metrics import TYPE, Metrics, lint, parse, scrape, scrape_text
from rig.people import ask, http_section
from rig.sink import Refuse
from rig.wait import wait_for
from rig.webhook import Webhook

QA, LOCKED, BOX = "127.0.4.1", "127.0.5.1", "127.0.6.1"


def environment(name, network, keys):
    return (f'environment "{name}" {{ match {{ network = {{"{network}/32"}} }} {keys} }}\n')


# One of each kind of what a gate can do to a recipient.
ALL = (production(f'{QUIET} content "marker" {{ header = Subject match = sale }}')
       + staging(f'allow = {{"@ok.example"}} others = drop {QUIET}')
       + environment("qa", QA, f'others = rewrite rewrite_to = "qa+%u=%d@corp.example" {QUIET}')
       + environment("locked", LOCKED, f'others = reject allow = {{"@ok.example"}} {QUIET}')
       + environment("box", BOX, f'upstream = none allow = {{"*"}} {QUIET}'))


def recipients(metrics, name, rule, verdict):
    return metrics.value("mailfuse_recipients_total", environment=name, rule=rule, verdict=verdict)


def deliveries(metrics, name, result):
    return metrics.value("mailfuse_deliveries_total", environment=name, result=result)


def leaked(metrics, name, rule):
    return metrics.value("mailfuse_leaked_recipients_total", environment=name, rule=rule)


def names(prefix, count, domain="ok.example"):
    return [f"{prefix}{n}@{domain}" for n in range(count)]


def wait_value(running, wanted, name, /, **labels):
    """Until a series has that value; returns the answer."""
    seen = []

    def look():
        seen[:] = [scrape(running)]
        return seen[0].value(name, **labels) == wanted

    wait_for(lambda: f"{name}{labels} = {wanted}: {seen[0].value(name, **labels)}", look)
    return seen[0]


# ---- the numbers


def test_each_verdict_is_counted_where_it_belongs(gate, sink):
    running = gate(ALL)
    before = scrape(running)
    # What can happen is there from the start: a counter that begins at 5,000 has no increase.
    assert recipients(before, "production", "content marker", "held") == 0
    assert recipients(before, "staging", "recipients", "dropped") == 0
    assert recipients(before, "qa", "recipients", "rewritten") == 0
    assert recipients(before, "locked", "recipients", "rejected") == 0
    assert recipients(before, "box", "capture", "dropped") == 0
    assert recipients(before, "unknown", "unknown", "held") == 0
    assert recipients(before, "production", "panic", "held") == 0
    assert leaked(before, "production", "burst volume") == 0

    running.send(letter("Hello"), names("p", 7), PRODUCTION_CLIENT)
    running.send(letter("Big sale"), names("s", 5), PRODUCTION_CLIENT)
    running.send(letter(), names("a", 3) + names("b", 4, "else.example"), STAGING_CLIENT)
    running.send(letter(), names("q", 6, "customers.example"), QA)
    with running.client(LOCKED) as client:
        codes, end = client.mail(names("l", 2) + names("m", 3, "else.example"), letter())
        assert [code for code, _ in codes] == [250, 250, 550, 550, 550] and end[0] == 250
    running.send(letter(), names("x", 8, "customers.example"), BOX)
    running.send(letter(), names("u", 2), STRANGER)
    for name, states in (("production", {"sent": 7, "held": 5}), ("staging", {"sent": 3, "dropped": 4}),
                         ("qa", {"sent": 6}), ("locked", {"sent": 2}), ("box", {"dropped": 8}),
                         ("unknown", {"held": 2})):
        running.wait_counts(name, states)
    now = scrape(running)
    # (environment, rule, verdict): all of them, and no other above 0
    assert {key: value for key, value in {
        tuple(v for _, v in labels): value
        for labels, value in now.series("mailfuse_recipients_total").items()}.items() if value} == {
        ("production", "", "accepted"): 12, ("production", "content marker", "held"): 5,
        ("staging", "", "accepted"): 7, ("staging", "recipients", "dropped"): 4,
        ("qa", "", "accepted"): 6, ("qa", "recipients", "rewritten"): 6,
        ("locked", "", "accepted"): 2, ("locked", "recipients", "rejected"): 3,
        ("box", "", "accepted"): 8, ("box", "capture", "dropped"): 8,
        ("unknown", "", "accepted"): 2, ("unknown", "unknown", "held"): 2,
    }
    assert {name: deliveries(now, name, "delivered") for name in ("production", "staging", "qa",
                                                                  "locked", "box", "unknown")} == {
        "production": 7, "staging": 3, "qa": 6, "locked": 2, "box": 0, "unknown": 0}
    assert now.total("mailfuse_leaked_recipients_total") == 0
    assert now.value("mailfuse_messages_total", result="accepted") == 7
    assert now.value("mailfuse_messages_total", result="refused") == 0
    assert now.value("mailfuse_accept_duration_seconds_count") == 7
    assert now.value("mailfuse_delivery_duration_seconds_count") == 18
    assert now.value("mailfuse_quarantine_recipients", environment="production") == 5
    assert now.value("mailfuse_quarantine_recipients", environment="unknown") == 2
    assert now.value("mailfuse_quarantine_batches") == 2
    assert now.value("mailfuse_connections_total") == 7
    assert now.value("mailfuse_upstream_up", upstream="smarthost") == 1
    assert now.value("mailfuse_upstream_connections", upstream="smarthost") >= 1


def test_what_an_upstream_says(gate, sink):
    gone, later = Refuse("550 5.1.1 no such user", names={"gone@ok.example"}), Refuse(
        "451 4.2.0 not now", names={"later@ok.example"}, times=2)
    sink.rule = lambda *said: gone(*said) or later(*said)
    running = gate(production())
    # No sender: nobody gets a report, which would be mail too.
    running.send(letter(), ["gone@ok.example", "later@ok.example", "fine@ok.example"],
                 PRODUCTION_CLIENT, sender="")
    running.wait_counts("production", {"sent": 2, "failed": 1})
    now = scrape(running)
    assert deliveries(now, "production", "delivered") == 2
    assert deliveries(now, "production", "failed") == 1
    assert deliveries(now, "production", "deferred") == 2
    # What was tried again did not pass at once.
    assert now.value("mailfuse_delivery_duration_seconds_count") == 1
    assert recipients(now, "production", "", "accepted") == 3


def test_a_report_to_the_sender_is_mail_too(gate, sink):
    sink.rule = Refuse("550 5.1.1 no such user", names={"gone@ok.example"})
    running = gate(production())
    running.send(letter(), ["gone@ok.example"], PRODUCTION_CLIENT, sender="app@shop.example")
    running.wait_counts("production", {"sent": 1, "failed": 1})
    now = wait_value(running, 2, "mailfuse_recipients_total", environment="production", rule="",
                     verdict="accepted")
    assert deliveries(now, "production", "delivered") == 1
    assert now.value("mailfuse_messages_total", result="accepted") == 1  # of clients
    assert now.value("mailfuse_accept_duration_seconds_count") == 1


def test_given_up_after_retry_for(gate, sink):
    sink.rule = lambda stage, *_: "451 4.3.0 later" if stage == "rcpt" else None
    running = gate(production(), upstream_keys="retry_for = 1s")
    running.send(letter(), names("x", 3), PRODUCTION_CLIENT, sender="")
    running.wait_counts("production", {"failed": 3})
    now = wait_value(running, 3, "mailfuse_deliveries_total", environment="production",
                     result="failed")
    assert deliveries(now, "production", "delivered") == 0
    assert deliveries(now, "production", "deferred") >= 3


@pytest.mark.heavy
@pytest.mark.parametrize("keys, source, name", [
    (production(""), PRODUCTION_CLIENT, "production"),  # with a head: what waits is called back
    (staging('allow = {"*"}'), STAGING_CLIENT, "staging"),
], ids=["head", "limit"])
def test_a_blast_what_it_leaked_and_what_is_held_as_the_batches_say(keys, source, name, gate, sink):
    running = gate(keys)
    answers, done = [], threading.Event()

    def watch():
        while not done.is_set():
            answers.append(scrape_text(running))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    count = 1000
    blast = Blast(running.address(), count, source).run()
    assert len(blast.accepted) == count
    wait_for("nothing on its way", lambda: not (running.counts(name).get("queued", 0)
                                                + running.counts(name).get("waiting", 0)))
    batches = running.batches("--all")
    wanted = {b["rule"]: 0 for b in batches}
    for b in batches:
        wanted[b["rule"]] += b["leaked"]
    for rule, leak in wanted.items():
        now = wait_value(running, leak, "mailfuse_leaked_recipients_total", environment=name,
                         rule=rule)
        assert recipients(now, name, rule, "held") == sum(
            b["recipients"] for b in batches if b["rule"] == rule)
    done.set()
    watcher.join()
    assert sum(wanted.values()) > 0
    counts = running.counts(name)
    assert deliveries(now, name, "delivered") == counts["sent"]
    assert recipients(now, name, "", "accepted") == count
    assert counts["sent"] + counts["held"] == count
    waited = now.total("mailfuse_recipients_total", environment=name, verdict="waited")
    assert (waited > 0) == (name == "production")
    assert now.value("mailfuse_quarantine_recipients", environment=name) == counts["held"]
    assert now.value("mailfuse_quarantine_bytes") > 100000
    assert now.value("mailfuse_counters_keys") > 0
    never_down([Metrics(text) for text in answers] + [scrape(running)])


def never_down(answers):
    """Counters only grow, and histograms agree with themselves, in each of these answers."""
    assert len(answers) > 3
    last = {}
    for answer in answers:
        for family in answer.families.values():
            if family.kind == "gauge":
                continue
            for key, value in family.samples.items():
                assert value >= last.get(key, 0), (key, value, last[key])
                last[key] = value
            if family.kind == "histogram":
                check_histogram(family)


def check_histogram(family):
    buckets = [(dict(labels)["le"], value) for (name, labels), value in family.samples.items()
               if name == family.name + "_bucket"]
    ends = [float(end) for end, _ in buckets]  # "+Inf" is one
    assert ends == sorted(ends) and buckets[-1][0] == "+Inf"
    values = [value for _, value in buckets]
    assert values == sorted(values)
    assert family.samples[(family.name + "_count", ())] == values[-1]
    assert family.samples[(family.name + "_sum", ())] >= 0


def test_a_decision_changes_what_is_held_and_no_verdict(holding, sink):
    running, batch, _ = holding(20)
    batch.release(first=5)
    sink.wait(5)
    running.wait_counts("production", {"sent": 5, "held": 15})
    batch.discard()
    now = scrape(running)
    assert recipients(now, "production", "content marker", "held") == 20
    assert deliveries(now, "production", "delivered") == 5
    assert now.value("mailfuse_quarantine_recipients", environment="production") == 0
    assert now.value("mailfuse_quarantine_oldest_seconds", environment="production") == 0
    batch.must("restore")
    now = scrape(running)
    assert recipients(now, "production", "content marker", "held") == 20
    assert now.value("mailfuse_quarantine_recipients", environment="production") == 15
    assert now.value("mailfuse_quarantine_oldest_seconds", environment="production") > 0


def test_a_drill_is_an_environment_of_its_own(gate, sink, webhook):
    running = gate(production('burst "volume" { limit = "20/10m" per = {environment} }'),
                   more=f'alert "ops" {{ type = webhook url = "{webhook.url}" events = {{"*"}} }}\n')
    assert scrape(running).value("mailfuse_last_drill_passed_timestamp_seconds") == 0
    assert scrape(running).value("mailfuse_drill_interval_seconds") == 30 * 86400
    done = running.cli("--yes", "drill", "--environment", "production")
    assert done.returncode == 0, done.stdout + done.stderr
    now = scrape(running)
    assert now.value("mailfuse_last_drill_passed_timestamp_seconds") > 1.6e9
    assert recipients(now, "production", "", "accepted") == 0
    assert now.total("mailfuse_recipients_total", environment="drill", verdict="held") > 0


def alerts(metrics, channel, result):
    return metrics.value("mailfuse_alerts_total", channel=channel, result=result)


def test_alerts_by_channel(gate, webhook):
    other = Webhook()
    other.stop()  # nobody listens there
    running = gate(ALL, more=f'''
alert "ops" {{ type = webhook url = "{webhook.url}" events = {{"batch.opened"}} }}
alert "gone" {{ type = webhook url = "{other.url}" events = {{"batch.*"}} }}
alert "idle" {{ type = webhook url = "{webhook.url}" events = {{"upstream.down"}} }}
''')
    now = scrape(running)
    for channel in ("ops", "gone", "idle"):
        assert [alerts(now, channel, r) for r in ("delivered", "deferred", "failed")] == [0, 0, 0]
    running.send(letter("Big sale"), names("s", 5), PRODUCTION_CLIENT)
    webhook.wait("batch.opened")
    now = wait_value(running, 1, "mailfuse_alerts_total", channel="ops", result="delivered")
    wait_for("a try that failed",
             lambda: alerts(scrape(running), "gone", "deferred") > 0)
    now = scrape(running)
    assert alerts(now, "gone", "delivered") == 0 and alerts(now, "gone", "failed") == 0
    assert alerts(now, "ops", "deferred") == 0 and alerts(now, "idle", "delivered") == 0
    assert now.value("mailfuse_alerts_pending") == 1
    wait_for("it gets old", lambda: scrape(running).value("mailfuse_alerts_oldest_seconds") > 0)


# ---- reloads, restarts


def test_a_reload_that_removes_an_environment_keeps_what_it_has_counted(make_gate, sink):
    head = listener() + upstream(sink)
    running = make_gate(head + production() + staging(f'allow = {{"*"}} {QUIET}')).start()
    running.send(letter(), names("a", 4), STAGING_CLIENT)
    running.wait_counts("staging", {"sent": 4})
    running.reload(head + production() + environment("new", QA, f'allow = {{"*"}} {QUIET}'))
    now = scrape(running)
    assert recipients(now, "staging", "", "accepted") == 4
    assert deliveries(now, "staging", "delivered") == 4
    assert recipients(now, "new", "", "accepted") == 0
    assert now.value("mailfuse_environment_production", environment="staging") is None
    assert now.value("mailfuse_reloads_total", result="ok") == 1
    running.send(letter(), names("b", 2), QA)
    running.send(letter(), names("c", 3), STAGING_CLIENT)  # belongs to nobody now
    running.reload(head + production() + staging(f'allow = {{"*"}} {QUIET}'))
    running.send(letter(), names("d", 5), STAGING_CLIENT)
    running.wait_counts("staging", {"sent": 9})
    now = scrape(running)
    assert recipients(now, "staging", "", "accepted") == 9
    assert recipients(now, "new", "", "accepted") == 2
    assert recipients(now, "unknown", "unknown", "held") == 3
    assert not lint(now.text)


def test_a_refused_reload_is_told_until_one_works(make_gate, sink):
    config = listener() + upstream(sink) + production()
    running = make_gate(config).start()
    running.write(config + "nonsense")
    running.signal(signal.SIGHUP)
    running.wait_logged("config.refused")
    now = scrape(running)
    assert now.value("mailfuse_config_refused") == 1
    assert now.value("mailfuse_reloads_total", result="refused") == 1
    running.reload(config)
    now = scrape(running)
    assert now.value("mailfuse_config_refused") == 0
    assert now.value("mailfuse_reloads_total", result="ok") == 1


def test_a_start_begins_at_zero_and_what_is_held_is_still_told(holding):
    running, batch, _ = holding(6)
    running.stop()
    running.start()
    now = scrape(running)
    assert recipients(now, "production", "content marker", "held") == 0
    assert now.value("mailfuse_quarantine_recipients", environment="production") == 6
    batch.discard()
    batch.must("restore")
    assert recipients(scrape(running), "production", "content marker", "held") == 0


# ---- what is wrong


def test_upstream_down_store_full_panic_and_an_observing_rule(make_gate, sink):
    config = (listener() + upstream(sink)
              + production('burst "volume" { limit = "1000/1h" per = {environment} action = alert }'))
    running = make_gate(config).start()
    now = scrape(running)
    assert now.value("mailfuse_policy_enforced", environment="production",
                     rule="burst volume") == 0
    assert now.value("mailfuse_environment_production", environment="production") == 1
    assert now.value("mailfuse_store_room") == 1 and now.value("mailfuse_store_broken") == 0
    assert now.series("mailfuse_panic_hold") == {}
    running.do("hold", "--environment", "production", "--reason", "looking")
    now = scrape(running)
    assert now.value("mailfuse_panic_hold", scope="environment", name="production") == 1
    running.send(letter(), names("h", 3), PRODUCTION_CLIENT)
    assert recipients(scrape(running), "production", "panic", "held") == 3
    running.do("unhold", "--environment", "production", "--reason", "looked")
    assert scrape(running).series("mailfuse_panic_hold") == {}
    sink.stop()
    running.send(letter(), names("d", 2), PRODUCTION_CLIENT)
    now = wait_value(running, 0, "mailfuse_upstream_up", upstream="smarthost")
    assert now.value("mailfuse_queue_deliveries", environment="production", state="queued") == 2
    wait_for("it is overdue", lambda: scrape(running).value(
        "mailfuse_queue_overdue_seconds", environment="production") > 0)
    assert scrape(running).value("mailfuse_queue_oldest_seconds", environment="production") > 0
    running.write('quarantine_limit = "1MB"\n' + config)
    running.signal(signal.SIGHUP)
    wait_for("the limit", lambda: scrape(running).value("mailfuse_quarantine_limit_bytes") == 1 << 20)
    big = letter(body="x" * 300000)
    for n in range(5):
        with running.client(PRODUCTION_CLIENT) as client:
            client.mail([f"big{n}@ok.example"], big)
    now = wait_value(running, 0, "mailfuse_store_room")
    assert now.value("mailfuse_quarantine_bytes") >= 1 << 20


# ---- the text


def test_names_that_want_escaping(gate, sink):
    """A configuration names things in letters and digits; who presses the button writes anything."""
    hostile = ['a"b\\c', "\\n", '"} 1\\', 'x{y="z"} 5', "grün \u202e \u2028", "#", "a" * 90,
               "mailfuse_store_room 0"]
    running = gate(ALL)
    for name in hostile:
        running.do("hold", "--source", name, "--reason", "looking")
    now = scrape(running)
    for name in hostile:
        assert now.value("mailfuse_panic_hold", scope="source", name=name) == 1, name
    assert len(now.series("mailfuse_panic_hold")) == len(hostile)
    assert now.value("mailfuse_store_room") == 1
    assert not lint(now.text)


def test_more_names_than_are_counted(make_gate, sink, tmp_path):
    """Each series is told once, also where an environment is called other and the table is full."""
    many = "".join(environment(f"e{n}", f"127.20.{n // 200}.{n % 200 + 1}", "others = hold")
                   for n in range(1400))
    running = make_gate(listener() + upstream(sink) + environment("other", QA, 'allow = {"*"}')
                        + many + production()).start()
    running.send(letter(), names("q", 2), QA)
    running.send(letter(), names("p", 3), PRODUCTION_CLIENT)
    running.wait_counts("other", {"sent": 2})
    running.wait_counts("production", {"sent": 3})
    now = scrape(running)
    assert (recipients(now, "other", "", "accepted"), deliveries(now, "other", "delivered")) == (2, 2)
    assert recipients(now, "(other)", "(other)", "accepted") == 3
    assert deliveries(now, "(other)", "delivered") == 3
    assert len(now.series("mailfuse_quarantine_recipients")) == 1403
    assert len(now.series("mailfuse_recipients_total")) < 3 * 4096
    assert not lint(now.text)


def test_the_parser_of_these_tests_is_strict():
    good = '# HELP a b\n# TYPE a counter\na{x="1\\n\\"\\\\"} 1\n'
    assert Metrics(good).value("a", x='1\n"\\') == 1
    for bad in ('# TYPE a counter\na 1\n', '# HELP a b\n# TYPE a counter\na 1\na 2\n',
                '# HELP a b\n# TYPE a counter\nb 1\n', '# HELP a b\n# TYPE a counter\na{x=1} 1\n',
                '# HELP a b\n# TYPE a counter\na{x="1",x="2"} 1\n',
                '# HELP a b\n# TYPE a counter\na{x="\\t"} 1\n',
                '# HELP a b\n# TYPE a counter\na 1', '# HELP a b\n# TYPE a counter\na one\n'):
        with pytest.raises(AssertionError):
            parse(bad)


def test_promtool_takes_the_text(gate, sink):
    running = gate(ALL)
    running.send(letter(), names("p", 7), PRODUCTION_CLIENT)
    assert lint(scrape_text(running)) == ""
    assert "counter" in lint("# HELP a b\n# TYPE a counter\na 1\n")  # it does look


def test_docs_name_each_metric_and_no_other(gate, sink):
    rows = dict()
    for line in (TOP / "docs" / "metrics.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        if len(cells) == 6 and cells[1].startswith("`"):
            rows[cells[1].strip("`")] = (cells[2], set(filter(None, cells[3].split(", "))))
    running = gate(ALL)
    running.send(letter("Big sale"), names("p", 7), PRODUCTION_CLIENT)
    running.do("hold", "--source", "127.0.9.9", "--reason", "looking")
    now = scrape(running)
    assert {name: family.kind for name, family in now.families.items()} == {
        name: kind for name, (kind, _) in rows.items()}
    for name, family in now.families.items():
        for _, labels in family.samples:
            assert {key for key, _ in labels} - {"le"} == rows[name][1], name


def test_both_doors_and_who_may(holding, tmp_path):
    running, _, _ = holding(3, more=http_section(tmp_path, viewer="viewer", operator="operator"))
    status, answer, _ = ask(running, "GET", "/metrics")
    assert status == 401 and "B1" not in str(answer)
    status, answer = running.api("POST", "/metrics", {})
    assert status == 405
    status, answer = running.api("GET", "/metrics?name=x")
    assert status == 400
    for who in ("viewer", "operator"):
        status, kind, text = get(running, "/metrics", who)
        assert (status, kind) == (200, TYPE)
        assert recipients(Metrics(text), "production", "content marker", "held") == 3


def get(running, path, who):
    """As Prometheus asks."""
    import http.client

    from rig.people import Token, port
    connection = http.client.HTTPConnection("127.0.0.1", port(running), timeout=60)
    connection.request("GET", path, headers={
        "Authorization": f"Bearer {Token(running, who).token}",
        "Accept": "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"})
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, answer.headers["Content-Type"], text
