"""A release in rings: their sizes, their order, what each waits for, and what stops it."""

import itertools
import threading

import pytest

from rig.batch import Batch, channel, fill, marked
from rig.client import letter
from rig.gate import PRODUCTION_CLIENT
from rig.sink import CUT, Refuse, Valve
from rig.wait import stays_true, wait_for

NO_SUCH_USER = "550 5.1.1 no such user here"
TOO_FAST = "451 4.7.1 slow down please"
BUSY = 0.05  # seconds that two clocks may read apart


def assert_in_rings(arrived, names, sizes):
    """Each ring came whole before the next: the oldest first."""
    at = 0
    for size in sizes:
        assert set(arrived[at:at + size]) == set(names[at:at + size]), f"the ring from {at}"
        at += size
    assert len(arrived) == at


# ---- sizes, order, waiting


def test_rings_one_after_another_with_the_wait_between(holding, sink, webhook):
    running, batch, names = holding(20, more=channel(webhook))
    answer = batch.release(rings=[2, 5, "all"], wait="1s", stop_on=0)
    assert (answer["state"], answer["recipients"], answer["released"]) == ("running", 20, 2)
    assert answer["left"] == 18
    plan = answer["plan"]
    assert (plan["rings"], plan["ring"], plan["total"]) == ([2, 5, "all"], 1, 20)
    shown = batch.show()
    assert (shown["state"], shown["held"], shown["collecting"]) == ("releasing", 18, True)
    plan = batch.wait_plan("done")
    assert (plan["ring"], plan["ring_size"], plan["sent"]) == (3, 13, 13)
    assert (plan["total"], plan["released"], plan["refused"]) == (20, 20, 0)
    assert_in_rings(sink.recipients(), names, [2, 5, 13])
    times = [message.at for message in sink.messages]
    assert times[2] - times[1] >= 1 - BUSY and times[7] - times[6] >= 1 - BUSY
    shown = batch.show()
    assert (shown["state"], shown["held"], shown["sent"]) == ("released", 0, 20)
    assert not shown["collecting"]
    webhook.wait("batch.done")
    assert not webhook.events("batch.paused")
    rings = [row for row in running.audit() if row["action"] == "batch.ring"]
    assert len(rings) in (2, 3), "each ring that begins is in the log"


def test_next_ring_waits_for_the_slowest_of_the_one_before(holding, sink):
    _, batch, names = holding(8)
    sink.rule = Valve(free=2)
    batch.release(rings=[3, "all"])
    wait_for("the last of the ring waits for its 250", lambda: len(sink.rule.waiting) == 1)
    stays_true("ring two has not begun", lambda: len(sink.rule.waiting) == 1, 1.3)
    plan = batch.plan
    assert (plan["state"], plan["ring"], plan["sent"], plan["next_ring_at"]) == (
        "running", 1, 2, None)
    sink.rule.open()
    batch.wait_plan("done")
    assert_in_rings(sink.recipients(), names, [3, 5])


def test_next_ring_waits_for_what_is_tried_again(holding, sink):
    _, batch, names = holding(8)
    sink.rule = Refuse(TOO_FAST, names={names[1]}, times=3)
    batch.release(rings=[3, "all"])
    batch.wait_plan("done")
    assert sink.rule.refused == [names[1]] * 3
    assert_in_rings(sink.recipients(), names, [3, 5])


def test_last_ring_may_be_smaller_and_rings_may_be_too_many(holding, sink):
    _, batch, names = holding(5)
    answer = batch.release(rings=[2, 10, 100, "all"])
    assert answer["recipients"] == 5
    plan = batch.wait_plan("done")
    assert (plan["ring"], plan["ring_size"], plan["total"], plan["released"]) == (2, 3, 5, 5)
    assert_in_rings(sink.recipients(), names, [2, 3])
    assert batch.show()["state"] == "released"


def test_rings_without_all_leave_the_rest_held(holding, sink):
    _, batch, names = holding(10)
    answer = batch.release(rings=[1, 3])
    assert (answer["recipients"], answer["released"]) == (4, 1)
    batch.wait_plan("done")
    assert_in_rings(sink.recipients(), names, [1, 3])
    shown = batch.show()
    assert (shown["state"], shown["held"], shown["sent"]) == ("held", 6, 4)
    batch.release(rings=[2, "all"])
    batch.wait_plan("done", total=6)
    assert_in_rings(sink.recipients(), names, [1, 3, 2, 4])


def test_first_with_rings_is_the_limit_of_all_of_them(holding, sink):
    _, batch, names = holding(10)
    answer = batch.release(rings=[2, "all"], first=5)
    assert answer["recipients"] == 5
    batch.wait_plan("done", total=5)
    assert_in_rings(sink.recipients(), names, [2, 3])
    assert batch.show()["held"] == 5


def test_ring_may_end_in_the_middle_of_a_message(gate, sink):
    running = gate(marked())
    crowd = [f"a{n}@x.test" for n in range(6)]
    running.send(letter("Sale"), crowd, PRODUCTION_CLIENT)
    names = crowd + fill(running, 4)
    batch = Batch(running)
    batch.release(rings=[4, 3, "all"])
    batch.wait_plan("done")
    assert_in_rings(sink.recipients(), names, [4, 3, 3])
    assert [m.recipients for m in sink.messages[:2]] == [crowd[:4], crowd[4:]] or \
        crowd[4:] in [m.recipients for m in sink.messages]


@pytest.mark.parametrize("select, count", [
    ({"percent": 50}, 12), ({"to": "c1*@*"}, 11), ({"subject": "Sale b*"}, 4),
    ({"to": "*@customers.example", "percent": 25}, 6),
], ids=lambda value: "-".join(value) if isinstance(value, dict) else "")
def test_rings_of_a_part(select, count, gate, sink):
    running = gate(marked())
    names = fill(running, 20) + fill(running, 4, prefix="d", subject="Sale b")
    batch = Batch(running)
    dry = batch.release(rings=[2, "all"], dry_run=True, **select)
    assert dry["recipients"] == count
    assert batch.show()["held"] == 24 and batch.plan is None
    answer = batch.release(rings=[2, "all"], **select)
    assert (answer["recipients"], answer["released"], answer["left"]) == (count, 2, 22)
    plan = batch.wait_plan("done")
    assert (plan["total"], plan["released"]) == (count, count)
    arrived = sink.recipients()
    chosen = [name for name in names if name in arrived]
    assert_in_rings(arrived, chosen, [2, count - 2])
    if "percent" not in select:
        wanted = "c1" if "to" in select else "d"
        assert all(name.startswith(wanted) for name in chosen)
    shown = batch.show()
    assert (shown["state"], shown["held"], shown["sent"]) == ("held", 24 - count, count)


def test_mail_that_joins_meanwhile_stays_held(holding, sink):
    running, batch, names = holding(10)
    sink.rule = Valve(free=1)
    batch.release(rings=[2, 3, "all"])
    late = fill(running, 5, prefix="late")
    sink.rule.open()
    plan = batch.wait_plan("done")
    assert (plan["total"], plan["released"]) == (10, 10)
    late += fill(running, 2, prefix="later")
    shown = batch.wait(sent=10)
    assert (shown["state"], shown["held"], shown["recipients"]) == ("held", 7, 17)
    assert_in_rings(sink.recipients(), names, [2, 3, 5])
    batch.release()
    batch.wait(state="released", sent=17)
    assert sorted(sink.recipients()) == sorted(names + late)


def test_rate_holds_inside_a_ring(holding, sink):
    _, batch, names = holding(24)
    batch.release(rings=[4, "all"], rate="10/1s")
    batch.wait_plan("done")
    assert_in_rings(sink.recipients(), names, [4, 20])
    times = [message.at for message in sink.messages]
    # Twenty at ten a second, however a second is cut: the last comes after the first second.
    assert times[-1] - times[4] >= 0.9


def test_plain_release_is_a_plan_of_one_ring(holding, sink):
    _, batch, names = holding(6)
    answer = batch.release()
    assert (answer["state"], answer["recipients"], answer["released"]) == ("released", 6, 6)
    plan = batch.wait_plan("done")
    assert (plan["total"], plan["released"], plan["ring"], plan["sent"]) == (6, 6, 1, 6)
    assert sorted(sink.recipients()) == sorted(names)


# ---- refusals, and the stop rule


def run_until_it_stops(batch):
    return wait_for(lambda: f"done or paused: {batch.plan}",
                    lambda: (p := batch.plan)["state"] in ("done", "paused") and p)


STOPS = [
    # name, percent, refused for good, refused for now, paused?
    ("nobody", 0, 0, 0, False),
    ("one-for-good-at-none", 0, 1, 0, True),
    ("one-for-now-at-none", 0, 0, 1, True),
    ("exactly-at-the-limit", 10, 1, 0, False),
    ("for-now-exactly-at-the-limit", 10, 0, 1, False),
    ("just-over-for-good", 10, 2, 0, True),
    ("just-over-for-now", 10, 0, 2, True),
    ("just-over-mixed", 10, 1, 1, True),
    ("under-a-fraction", 20.5, 1, 1, False),
    ("over-a-fraction", 19.5, 1, 1, True),
    ("all-at-a-hundred", 100, 10, 0, False),
    ("no-rule", None, 10, 0, False),
]


@pytest.mark.parametrize("percent, gone, later, paused", [row[1:] for row in STOPS],
                         ids=[row[0] for row in STOPS])
def test_stop_rule(percent, gone, later, paused, holding, sink, webhook):
    running, batch, names = holding(12, more=channel(webhook))
    never = Refuse(NO_SUCH_USER, names=names[:gone])
    once = Refuse(TOO_FAST, names=names[gone:gone + later], times=1)
    sink.rule = lambda *stage: never(*stage) or once(*stage)
    batch.release(rings=[10, "all"], **({} if percent is None else {"stop_on": percent}))
    plan = run_until_it_stops(batch)
    assert plan["stop_on"] == percent
    if not paused:
        assert plan["state"] == "done", plan
        running.wait_counts("production", {k: v for k, v in (
            ("sent", 12 - gone), ("failed", gone)) if v})
        assert sorted(sink.recipients()) == sorted(names[gone:])
        assert not webhook.events("batch.paused")
        return
    assert (plan["state"], plan["ring"], plan["ring_size"]) == ("paused", 1, 10)
    assert (plan["failed"], plan["deferred"], plan["refused"]) == (gone, later, gone + later)
    told = {(r["count"], r["reply"][:9]) for r in plan["refusals"]}
    assert told == {(n, reply[:9]) for n, reply in ((gone, NO_SUCH_USER), (later, TOO_FAST)) if n}
    assert plan["why"]
    alert = webhook.wait("batch.paused")[0]
    for count, reply in ((gone, NO_SUCH_USER), (later, TOO_FAST)):
        assert (reply in alert["text"]) == (count > 0), alert["text"]
    batch.wait(state="paused")
    wait_for("nothing of it is on its way", lambda: "queued" not in batch.by_state())
    before = sink.recipients()
    assert set(before) <= set(names[:10])
    stays_true("it stays paused", lambda: len(sink.recipients()) == len(before), 1.2)
    sink.rule = None
    answer = batch.resume()
    assert answer["state"] == "running", answer
    batch.wait_plan("done")
    assert_in_rings(sink.recipients(), names[gone:], [10 - gone, 2])
    assert len(webhook.events("batch.paused")) == 1
    assert len(webhook.wait("batch.resumed")) == 1


def test_refused_for_now_and_then_for_good_counts_once(holding, sink):
    _, batch, names = holding(12)
    replies = [TOO_FAST, TOO_FAST, NO_SUCH_USER]

    def moody(stage, argument, session):
        return replies.pop(0) if stage == "rcpt" and argument == names[0] else None

    sink.rule = moody
    sink.after = None
    batch.release(rings=[10, "all"], stop_on=10, wait="1s")
    plan = batch.wait_plan("running", ring=1, sent=9, failed=1)
    assert (plan["deferred"], plan["failed"], plan["refused"]) == (1, 1, 1)
    batch.wait_plan("done")
    assert not replies
    assert_in_rings(sink.recipients(), names[1:], [9, 2])


def test_refusals_are_counted_ring_by_ring(holding, sink, webhook):
    """One in ten of each ring is borne; three of the last ring are not."""
    running, batch, names = holding(30, more=channel(webhook))
    sink.rule = Valve(free=18, rule=Refuse(NO_SUCH_USER, names=[names[n] for n in (
        3, 13, 20, 21, 22)]))
    batch.release(rings=[10, 10, "all"], stop_on=20)
    plan = batch.wait_plan("paused")
    sink.rule.open()
    assert (plan["ring"], plan["ring_size"], plan["failed"]) == (3, 10, 3)
    assert plan["refusals"] == [{"count": 3, "reply": plan["refusals"][0]["reply"]}]
    assert webhook.wait("batch.paused")[0]["batch"]["id"] == batch.name
    assert set(names[:20]) - set(sink.recipients()) == {names[3], names[13]}


def test_stop_in_a_large_ring_leaves_the_rest_held(holding, sink):
    """An upstream that takes 20 and then refuses everybody: most of the ring is spared."""
    running, batch, names = holding(200, upstream_keys="connections = 2")
    places, knows = itertools.count(1), threading.Event()

    def slower(stage, *_):
        """Its sixth refusal and those behind it take until the gate has heard of the others."""
        place = next(places) if stage == "rcpt" else 0
        if place > 25:
            knows.wait(30)
        return "554 5.7.1 your reputation is poor" if place > 20 else None

    sink.rule = slower
    batch.release(rings=["all"], stop_on=2)
    plan = batch.wait_plan("paused")
    assert plan["refused"] == 5
    knows.set()
    wait_for("nothing of it is on its way", lambda: "queued" not in batch.by_state())
    states = batch.by_state()
    assert states["sent"] == set(sink.recipients()) and len(states["sent"]) == 20
    assert len(states["failed"]) <= 5 + 2, "what two connections had in hand"
    assert len(states["held"]) == 200 - 20 - len(states["failed"])
    sink.rule = None
    batch.resume()
    batch.wait_plan("done")
    assert sorted(sink.recipients()) == sorted(set(names) - states["failed"])


def test_whole_upstream_refuses_at_its_greeting(holding, sink, webhook):
    """Not a word about any recipient: the ring waits until it is taken, and nothing fails."""
    _, batch, names = holding(8, more=channel(webhook))
    sink.rule = lambda stage, *_: "554 5.3.2 not today" if stage == "connect" else None
    batch.release(rings=[2, "all"])
    wait_for("it was tried", lambda: sink.connections >= 2)
    assert batch.plan["ring"] == 1
    sink.rule = None
    batch.wait_plan("done", deadline=60)
    assert_in_rings(sink.recipients(), names, [2, 6])


# ---- the upstream goes away


def test_upstream_down_between_rings(holding, sink):
    _, batch, names = holding(10)
    batch.release(rings=[2, 4, "all"], wait="1s", stop_on=0)
    wait_for("ring one is through", lambda: batch.plan["next_ring_at"])
    sink.stop()
    batch.wait_plan("running", ring=2)
    stays_true("it waits", lambda: batch.plan["state"] == "running", 1.2)
    sink.start()
    batch.wait_plan("done", deadline=60)
    assert_in_rings(sink.recipients(), names, [2, 4, 4])


def test_upstream_goes_down_in_a_ring_and_comes_back(holding, sink):
    _, batch, names = holding(30, upstream_keys="connections = 2")
    sink.rule = Valve(free=8)
    batch.release(rings=[5, "all"])
    wait_for("in the middle of ring two", lambda: len(sink.rule.waiting) == 2)
    sink.stop()
    sink.rule = None
    sink.start()
    batch.wait_plan("done", deadline=60)
    assert_in_rings(sink.recipients(), names, [5, 25])


def test_connections_that_break_before_the_reply_repeat_and_lose_nothing(holding, sink):
    """Cut before the 250: the sink has not taken it, so nobody gets it twice."""
    cuts = []

    def cutting(stage, argument, session):
        if stage == "end" and len(cuts) < 6:
            cuts.append(argument.recipients[0])
            return CUT
        return None

    _, batch, names = holding(20, upstream_keys="connections = 2")
    sink.rule = cutting
    batch.release(rings=[5, "all"])
    batch.wait_plan("done", deadline=60)
    assert len(cuts) == 6
    assert_in_rings(sink.recipients(), names, [5, 15])


def test_what_is_given_up_counts_as_refused(holding, sink, webhook):
    """Nobody answers for as long as retry_for: the ring has failed, and the next does not begin."""
    running, batch, names = holding(6, 'connections = 2 retry_for = "2s"', channel(webhook))
    sink.stop()
    batch.release(rings=[2, "all"], stop_on=0)
    plan = batch.wait_plan("paused")
    # Where the second is not given up at the same moment, it is held again with the pause.
    assert (plan["ring"], plan["failed"]) in ((1, 1), (1, 2)), plan
    assert plan["refused"] == plan["failed"]
    assert "4.4.7" in plan["refusals"][0]["reply"], plan
    states = batch.by_state()
    failed = states["failed"]
    assert failed <= set(names[:2]) and len(failed) == plan["failed"]
    assert states == {"failed": failed, "held": set(names) - failed}
    sink.start()
    # Else what is resumed could be given up before the gate looks at the upstream again.
    wait_for("an upstream that is up", lambda: running.status()["upstreams"][0]["up"])
    batch.resume()
    batch.wait_plan("done", deadline=60)
    assert sorted(sink.recipients()) == sorted(set(names) - failed)


# ---- answers to what makes no sense

NONSENSE = [
    {"rings": []}, {"rings": [0]}, {"rings": [-1, "all"]}, {"rings": [1.5]}, {"rings": ["some"]},
    {"rings": ["all", 10]}, {"rings": "all"}, {"rings": [1] * 50}, {"rings": [2 ** 70]},
    {"rings": [1, "all"], "wait": "soon"}, {"rings": [1, "all"], "wait": -1},
    {"rings": [1, "all"], "stop_on": 101}, {"rings": [1, "all"], "stop_on": -1},
    {"rings": [1, "all"], "stop_on": "2%x"}, {"rings": [1, "all"], "rate": "0/1s"},
    {"rings": [1, "all"], "first": 0}, {"rings": [1, "all"], "percent": 0},
    {"rings": [1, "all"], "to": "/(/"}, {"rings": [1, "all"], "frobnicate": 1},
]


def test_nonsense_is_refused_with_a_word_and_changes_nothing(holding, sink):
    _, batch, names = holding(3)
    for body in NONSENSE:
        status, answer = batch.post("release", **body)
        assert status == 400 and answer["detail"], (body, status, answer)
    batch.refused("release", rings=[1, "all"], ids=["B999"], status=404)
    ids = [row["id"] for row in batch.deliveries()]
    for status, answer in (batch.post("release", rings=[1, "all"], ids=ids[:2]),
                           batch.post("release", rings=[1, "all"], ids=["B1", ids[0]])):
        assert status in (400, 409) and answer["detail"], answer
    assert batch.show()["held"] == 3 and batch.plan is None
    for call in ("pause", "resume", "approve"):
        batch.refused(call)
        batch.refused(call, ids=["B999"], status=404)
    assert not sink.messages
