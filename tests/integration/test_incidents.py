"""Public accidents and ordinary weeks behind etc/production.conf: see tests/incidents/README.md."""

import re
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from rig.client import Client, letter
from rig.gate import PRODUCTION_CLIENT, SMALL, scaled, users
from rig.wait import wait_for

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from incidents import scenarios, table, trace, week  # noqa: E402

INCIDENTS = [pytest.param(i, id=i.id) for i in scenarios.INCIDENTS]
REACHED_MOST, COPIES_MOST = 20, 5


def shortened(rows):
    """On slow builds: the same rates for a fifth of the time, or of the rows where those repeat."""
    rows = list(rows)
    if not SMALL:
        return rows
    if len(rows) >= 25:
        return rows[:len(rows) // 5]
    return [row._replace(recipients=max(1, row.recipients // 5), over=row.over / 5)
            if isinstance(row.recipients, int) else row for row in rows]


def show(name, outcome, assumed=""):
    """Seen with `pytest -rP`, and where a test fails."""
    print(table.format_table([table.line(name, outcome, assumed)]))


# ---- simulated


@pytest.mark.heavy
@pytest.mark.parametrize("incident", INCIDENTS)
def test_incident_in_production(incident, tmp_path):
    rows = shortened(incident.rows(scenarios.PRODUCTION))
    outcome = table.run(rows, tmp_path)
    show(incident.id, outcome, incident.assumed)
    assert outcome.recipients == sum(row.count() for row in rows)
    assert outcome.reached + outcome.held == outcome.recipients
    assert outcome.copies <= COPIES_MOST
    if incident.fast:
        assert outcome.reached <= REACHED_MOST
    assert outcome.alerted is not None


@pytest.mark.parametrize("incident", [
    pytest.param(i, id=i.id) for i in scenarios.INCIDENTS if i.was_test])
def test_incident_in_an_environment_for_tests(incident, tmp_path):
    outcome = table.run_staging(incident, tmp_path)
    show(incident.id, outcome)
    assert outcome.reached == 0
    assert outcome.dropped == outcome.recipients


@pytest.mark.parametrize("name", ["hbo-max-2021", "church-community-builder-2015"])
def test_incident_in_staging_of_the_shipped_sample(name, tmp_path):
    """There everybody else's mail goes to one mailbox instead, and that is not flooded either."""
    incident = next(i for i in scenarios.INCIDENTS if i.id == name)
    path = trace.write(shortened(incident.rows(scenarios.STAGING)), tmp_path / "trace.csv")
    objects = trace.simulate_raw(path, trace.TOP / "etc" / "mailfuse.conf", "--verdicts")
    said = Counter(o["verdict"] for o in objects if o["kind"] == "verdict")
    assert set(said) == {"rewrite", "hold"}
    assert said["rewrite"] <= 50  # the built-in limit outside production


def test_declared_audience_reaches_those_it_was_meant_for(tmp_path):
    outcome = table.run(scenarios.declared(scenarios.PRODUCTION), tmp_path)
    assert outcome.reached == 300
    assert outcome.held == outcome.recipients - 300


def test_blast_under_many_subjects(tmp_path):
    outcome = table.run(scenarios.personal(scenarios.PRODUCTION), tmp_path)
    assert outcome.reached <= REACHED_MOST


@pytest.mark.parametrize("rate", table.RATES)
def test_what_gets_out_at_which_rate(rate, tmp_path):
    """The bound in the manual page, with the numbers of the rules in the file."""
    outcome = table.run(shortened(scenarios.steady(rate)(scenarios.PRODUCTION)), tmp_path)
    show(f"{rate}/s", outcome)
    volume, source = rule_numbers("volume"), rule_numbers("source")
    most = volume["limit"] if rate * 600 > volume["limit"] else outcome.recipients
    if rate * source["settle"] >= volume["limit"] and rate >= source["head"] / 10:
        most = source["head"]
    if rate * volume["settle"] >= volume["limit"]:
        most = volume["head"]
    assert outcome.reached <= most
    if rate * 600 < volume["limit"]:
        assert outcome.held == 0


def rule_numbers(name):
    """limit, head and settle of a burst rule of production.conf: counts, and seconds."""
    text = trace.PRODUCTION_CONF.read_text()
    section = re.search(rf'burst "{name}" {{(.*?)\n\t}}', text, re.S)[1]
    return {key: int(value) for key, value in
            re.findall(r'^\s*(limit|head|settle) = "(\d+)', section, re.M)}


@pytest.mark.heavy
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_ordinary_week(seed, tmp_path):
    rows = [row for row in week.week(seed) if not SMALL or row.time < 2 * week.DAY]
    total, rules = trace.simulate(trace.write(rows, tmp_path / "week.csv"))
    held = [r for r in rules if r["held"]]
    print(f"seed {seed}: {total['messages']:,} messages, {total['recipients']:,} recipients, "
          f"{total['held']} held, {total['delayed']} delayed "
          f"({100 * total['delayed'] / total['recipients']:.3f} %)")
    assert total["held"] == 0, held
    assert total["rejected"] == total["dropped"] == 0
    assert SMALL or 200000 <= total["recipients"] <= 500000
    assert total["passed"] == total["recipients"] == sum(row.count() for row in rows)
    assert total["delayed"] <= total["recipients"] / 1000


# ---- through SMTP


def adapted(directory, sink, webhook):
    """production.conf with this machine's addresses and paths in it, and nothing else changed."""
    text = trace.PRODUCTION_CONF.read_text()
    for old, new in (
            ('users = "/etc/mailfuse/users"\n', users(directory)),
            ('\taddress = "127.0.0.1:2525"\n', '\taddress = "127.0.0.1:0"\n'),
            ('\taddress = "127.0.0.1:25"\n', f'\taddress = "{sink.address}"\n'),
            ('{"10.1.0.0/16"}', '{"127.0.1.0/24"}'),
            ('{"10.1.8.0/24"}', '{"127.0.8.0/24"}')):
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text + f'alert "test" {{ type = webhook url = "{webhook.url}" }}\n'


def letters(incident, count):
    """About `count` of its messages, one recipient each: (recipient, subject, body, sender)."""
    rows = list(incident.rows(PRODUCTION_CLIENT))
    for number, row in enumerate(rows):
        who = row.recipients
        if isinstance(who, int):
            who = [f"p{number}-{n}@customers.example" for n in range(min(who, count))]
        for person in who[:max(1, -(-count // len(rows)))]:
            yield person, row.subject, row.body, row.sender


class Sending:
    """Letters over several connections, each as fast as it goes."""

    def __init__(self, address, queue, connections=6):
        self.address, self.queue = address, list(queue)
        self.accepted = []  # when each got its 250
        self.began = time.monotonic()
        self.threads = [threading.Thread(target=self.send, args=(n, connections), daemon=True)
                        for n in range(connections)]
        for thread in self.threads:
            thread.start()

    def send(self, first, step):
        with Client(self.address, PRODUCTION_CLIENT) as client:
            for to, subject, body, sender in self.queue[first::step]:
                _, end = client.mail([to], letter(subject, sender, to, body), sender)
                assert end[0] == 250, end
                self.accepted.append(time.monotonic() - self.began)

    def join(self, deadline=120):
        for thread in self.threads:
            thread.join(deadline)
        assert len(self.accepted) == len(self.queue), "not every letter was taken"


BY_SMTP = ("hbo-max-2021", "nyt-2011", "coinbase-2021", "buffalo-2016", "softentropy-2013",
           "mediainfo-2015")


@pytest.mark.heavy
@pytest.mark.parametrize("incident", [
    pytest.param(i, id=i.id) for i in scenarios.INCIDENTS if i.id in BY_SMTP])
def test_incident_through_smtp_at_full_speed(incident, make_gate, sink, webhook, tmp_path):
    running = make_gate(adapted(tmp_path, sink, webhook)).start()
    sending = Sending(running.address(), letters(incident, scaled(3000)))
    webhook.wait("batch.opened")
    alerted = time.monotonic() - sending.began
    sending.join()
    count = len(sending.queue)
    volume = rule_numbers("volume")
    if sorted(sending.accepted)[min(volume["limit"], count - 1)] > volume["settle"]:
        pytest.skip("this machine is slower than the blasts that the bound is about")
    counts = wait_for(lambda: f"all sent or held; is {running.counts('production')}",
                      lambda: all_done(running.counts("production"), count))
    got = Counter(sink.recipients())
    print(f"{incident.id}: {count} recipients in {max(sending.accepted):.1f} s, "
          f"reached {got.total()}, most copies {max(got.values(), default=0)}, "
          f"held {counts['held']}, alert after {alerted:.2f} s")
    assert got.total() == counts.get("sent", 0) <= REACHED_MOST
    assert max(got.values(), default=0) <= COPIES_MOST
    batches = running.batches("--all")
    assert sum(b["held"] for b in batches) == counts["held"]
    for batch in batches:
        assert batch["leaked"] == leaked_of(batch, got), batch


def all_done(counts, count):
    return counts.get("sent", 0) + counts.get("held", 0) == count and counts


def leaked_of(batch, got):
    """What the sink took of that batch's stream; every letter here has the same source, subject."""
    person = re.search(r"\brecipient=(\S+)", batch["key"])
    return got[person[1]] if person else got.total()
