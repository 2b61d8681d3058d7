"""GET /metrics against what clients were told, what the sink has, and what mailfuse show says."""

import signal
import threading

from rig.batch import MARKED, Batch, fill
from rig.client import Blast, letter
from rig.gate import PRODUCTION_CLIENT, QUIET, STAGING_CLIENT, listener, production, staging, upstream
from rig.metrics import Metrics, lint, scrape, scrape_text
from rig.wait import wait_for

BURST = 'burst "volume" { limit = "50/10m" per = {environment} }'


class Truth:
    """What has happened since the last start, as the outside has seen it."""

    def __init__(self, running, sink):
        self.running, self.sink = running, sink
        self.accepted = {"production": 0, "staging": 0}
        self.opened = set()  # batches of an earlier start
        self.sent_before = 0

    def restarted(self):
        self.accepted = dict.fromkeys(self.accepted, 0)
        self.opened = {b["id"] for b in self.batches()}
        self.sent_before = len(self.sink.recipients())

    def batches(self):
        return [self.running.do("show", b["id"])[0] for b in self.running.batches("--all")]

    def settled(self):
        return not any(self.running.counts(name).get(state, 0) for name in self.accepted
                       for state in ("queued", "waiting"))

    def check(self):
        """All numbers at once; leaks are told some seconds later."""
        wait_for("nothing on its way", self.settled)
        batches = self.batches()
        leaks = {}
        for b in batches:
            if b["id"] not in self.opened:
                leaks[b["rule"]] = leaks.get(b["rule"], 0) + b["leaked"]
        seen = []

        def told():
            seen[:] = [scrape(self.running)]
            return all(seen[0].total("mailfuse_leaked_recipients_total", rule=rule) == n
                       for rule, n in leaks.items())

        wait_for(lambda: f"leaks {leaks}", told)
        now = seen[0]
        for name, count in self.accepted.items():
            assert now.value("mailfuse_recipients_total", environment=name, rule="",
                             verdict="accepted") == count, name
            assert now.value("mailfuse_quarantine_recipients", environment=name) == sum(
                b["held"] for b in batches if b["environment"] == name), name
            for state in ("queued", "waiting"):
                assert now.value("mailfuse_queue_deliveries", environment=name, state=state) == 0
        assert now.total("mailfuse_deliveries_total", result="delivered") == (
            len(self.sink.recipients()) - self.sent_before)
        assert now.total("mailfuse_deliveries_total", result="failed") == 0
        for rule in {b["rule"] for b in batches}:
            held = now.total("mailfuse_recipients_total", rule=rule, verdict="held")
            assert held == sum(b["recipients"] for b in batches
                               if b["rule"] == rule and b["id"] not in self.opened), rule
        assert now.value("mailfuse_quarantine_batches") == sum(b["held"] > 0 for b in batches)
        return now


def test_from_a_blast_over_every_decision_and_a_restart(make_gate, sink):
    config = listener() + upstream(sink) + production(MARKED) + staging(f'allow = {{"*"}} {BURST}')
    running = make_gate(config).start()
    truth = Truth(running, sink)
    truth.check()

    fill(running, 30)
    truth.accepted["production"] += 30
    truth.check()
    blast = Blast(running.address(), 200, STAGING_CLIENT).run()
    truth.accepted["staging"] += len(blast.accepted)
    assert len(blast.accepted) == 200
    now = truth.check()
    assert now.total("mailfuse_leaked_recipients_total", environment="staging") > 0

    marked, burst = (Batch(running, next(b["id"] for b in truth.batches() if b["rule"] == rule))
                     for rule in ("content marker", "burst volume"))
    marked.release(first=5)
    truth.check()
    marked.discard()
    truth.check()
    marked.must("restore")
    truth.check()
    marked.release(rings=[10, "all"], wait="1h")
    marked.wait(sent=15)
    marked.pause()
    truth.check()

    running.do("hold", "--environment", "production", "--reason", "looking")
    running.send(letter(), ["p1@ok.example", "p2@ok.example"], PRODUCTION_CLIENT)
    truth.accepted["production"] += 2
    now = truth.check()
    assert now.total("mailfuse_recipients_total", rule="panic", verdict="held") == 2
    running.do("unhold", "--environment", "production", "--reason", "looked")

    before = truth.check()
    running.reload(config)
    after = truth.check()
    for family in before.families.values():
        if family.kind == "counter" and family.name.startswith("mailfuse_"):
            for key, value in family.samples.items():
                assert after.families[family.name].samples[key] >= value, key

    truth.restarted()
    running.stop()
    running.start()
    truth.check()
    burst.release(first=20)
    truth.check()
    # A release is called back when the panic button is pressed: held again, and in its old batch.
    sink.stop()
    burst.release(first=15)
    running.do("hold", "--environment", "staging", "--reason", "stop")
    wait_for("it is held again", lambda: running.counts("staging").get("held") == burst.show()["held"]
             and truth.settled())
    sink.start()
    truth.check()
    running.do("unhold", "--environment", "staging", "--reason", "go")
    fill(running, 3, prefix="after")
    truth.accepted["production"] += 3
    truth.check()
    assert not lint(scrape_text(running))


def test_scrapes_side_by_side_agree_with_themselves(gate, sink):
    """While mail comes and configurations change; nobody waits for another."""
    running = gate(production(QUIET) + staging(f'allow = {{"*"}} {QUIET}'))
    answers, done = [[] for _ in range(6)], threading.Event()

    def ask(mine):
        while not done.is_set():
            mine.append(scrape_text(running))

    askers = [threading.Thread(target=ask, args=(mine,), daemon=True) for mine in answers]
    for asker in askers:
        asker.start()
    blast = Blast(running.address(), 300, PRODUCTION_CLIENT).start()
    for _ in range(3):
        count = running.text().count("config.reloaded")
        running.signal(signal.SIGHUP)
        wait_for("reloaded", lambda: running.text().count("config.reloaded") > count)
    blast.join()
    running.wait_counts("production", {"sent": 300})
    done.set()
    for asker in askers:
        asker.join()
    assert len(blast.accepted) == 300
    for mine in answers:
        assert mine
        before = 0
        for text in mine:
            accepted = Metrics(text).total("mailfuse_recipients_total", verdict="accepted")
            assert before <= accepted <= 300
            before = accepted
    now = scrape(running)
    assert now.value("mailfuse_deliveries_total", environment="production", result="delivered") == 300
    assert now.value("mailfuse_reloads_total", result="ok") == 3


def test_a_store_that_cannot_be_read_is_said_and_the_rest_is_told(holding):
    running, _, _ = holding(20)
    before = scrape(running)
    assert before.value("mailfuse_store_readable") == 1
    with open(running.dir / "mailfuse.db", "r+b") as file:
        size = file.seek(0, 2)
        file.seek(8192)
        file.write(b"\xff" * (size - 8192))
    wait_for("it is noticed", lambda: scrape(running).value("mailfuse_store_readable") == 0)
    now = scrape(running)
    assert now.series("mailfuse_quarantine_recipients") == {}
    assert now.value("mailfuse_build_info", version=dict(next(
        labels for labels in before.series("mailfuse_build_info")))["version"]) == 1
    assert now.total("mailfuse_recipients_total", rule="content marker", verdict="held") == 20
    assert not lint(now.text)
