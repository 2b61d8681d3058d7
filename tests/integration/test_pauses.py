"""Releases under way that somebody pauses, resumes, stops, or restarts the gate under."""

import signal
import threading

import pytest

from rig.batch import Batch, channel, fill, marked
from rig.client import Blast
from rig.gate import PRODUCTION_CLIENT, listener, scaled, upstream
from rig.sink import Refuse, Valve
from rig.wait import stays_true, wait_for

TWO = "connections = 2"


def quiet(batch):
    """Waits until nothing of it is on its way; returns the recipients by state."""
    wait_for(lambda: f"nothing on its way: {batch.by_state()}",
             lambda: "queued" not in batch.by_state())
    return batch.by_state()


def each_once(sink, names):
    arrived = sink.recipients()
    assert sorted(arrived) == sorted(names), (
        f"twice: {sorted({n for n in arrived if arrived.count(n) > 1})[:9]}, "
        f"missing: {sorted(set(names) - set(arrived))[:9]}")


def press(running, on=True):
    status, answer = running.api("POST", "/v1/hold" if on else "/v1/unhold",
                                 {"scope": "everything", "reason": "something is wrong"})
    assert status == 200, answer


# ---- pause and resume


@pytest.mark.parametrize("release", [
    {}, {"rings": ["all"]}, {"rings": [3, "all"]}, {"rings": [3, 40, "all"], "wait": "1h"},
], ids=["plain", "one-ring", "in-ring-two", "with-a-wait"])
def test_pause_takes_back_what_has_not_left(release, holding, sink, webhook):
    running, batch, names = holding(30, TWO, channel(webhook))
    first = release.get("rings", ["all"])[0]
    begins = release.get("wait") is None
    sink.rule = Valve(free=5 if begins else 2)
    batch.release(**release)
    in_hand = 2 if begins else 1  # with the wait, the ring's third; else what both connections have
    wait_for("the upstream is busy", lambda: len(sink.rule.waiting) == in_hand)
    taken = len(sink.recipients())
    answer = batch.pause(reason="let me think")
    assert answer["state"] == "paused", answer
    assert batch.plan["why"]
    sink.rule.open()
    states = quiet(batch)
    assert set(states) <= {"held", "sent"}
    assert len(states["sent"]) == len(sink.recipients()) == taken
    shown = batch.show()
    assert (shown["state"], shown["held"], shown["sent"]) == ("paused", 30 - taken, taken)
    stays_true("it stays paused", lambda: len(sink.recipients()) == taken, 1.2)
    webhook.wait("batch.paused")
    batch.refused("pause", "paused")
    answer = batch.resume(reason="it is fine")
    assert answer["state"] == "running", answer
    if begins:
        batch.wait_plan("done")
        each_once(sink, names)
        shown = batch.show()
        assert (shown["state"], shown["held"], shown["released"]) == ("released", 0, 30)
    else:
        wait_for("the ring is through", lambda: batch.plan["next_ring_at"])
        each_once(sink, names[:first])
    paused = [row for row in running.audit() if row["action"] in ("batch.paused", "batch.resumed")]
    assert [row["reason"] for row in paused] == ["let me think", "it is fine"]


def test_pause_again_and_again(holding, sink):
    _, batch, names = holding(40, TWO)
    sink.rule = Valve()
    batch.release(rings=[10, 10, "all"])
    for _ in range(8):
        wait_for("the upstream is busy, or it is over",
                 lambda: sink.rule.waiting or batch.plan["state"] == "done")
        if batch.plan["state"] == "done":
            break
        batch.pause()
        batch.resume()
        sink.rule.let(4)
    sink.rule.open()
    batch.wait_plan("done")
    each_once(sink, names)


def test_pause_of_a_paced_release_and_another_rate(holding, sink):
    _, batch, names = holding(20)
    batch.release(rate="1/1h")
    sink.wait(1)
    rate = batch.plan["rate"]
    batch.pause()
    quiet(batch)
    assert batch.show()["held"] == 19
    batch.resume()
    assert batch.plan["rate"] == rate
    stays_true("at the old rate", lambda: len(sink.recipients()) <= 2, 0.5)
    batch.pause()
    batch.resume(rate="100000/1s")
    batch.wait_plan("done")
    each_once(sink, names)


def test_pause_between_rings(holding, sink):
    _, batch, names = holding(10)
    batch.release(rings=[4, "all"], wait="1s")
    wait_for("ring one is through", lambda: batch.plan["next_ring_at"])
    batch.pause()
    stays_true("ring two does not begin", lambda: len(sink.recipients()) == 4, 1.3)
    assert batch.show()["state"] == "paused"
    batch.resume()
    batch.wait_plan("done")
    each_once(sink, names)


def test_pause_while_the_upstream_is_down(holding, sink):
    _, batch, names = holding(10)
    sink.stop()
    batch.release(rings=[4, "all"])
    batch.pause()
    assert quiet(batch)["held"] == set(names)
    sink.start()
    stays_true("nothing leaves", lambda: not sink.messages, 1.2)
    batch.resume()
    batch.wait_plan("done", deadline=60)
    each_once(sink, names)


def test_what_is_over_cannot_be_paused_or_resumed(holding, sink):
    _, batch, names = holding(4)
    batch.refused("resume")
    batch.release(rings=[2, "all"])
    batch.refused("resume")
    batch.wait_plan("done")
    for call in ("pause", "resume", "approve"):
        batch.refused(call)
    each_once(sink, names)


def test_new_release_replaces_a_paused_one(holding, sink):
    running, batch, names = holding(12)
    sink.rule = Refuse(names=names[:2])
    batch.release(rings=[4, "all"], stop_on=0, reason="the first try")
    batch.wait_plan("paused")
    quiet(batch)
    before = batch.plan
    sink.rule = None
    answer = batch.release(rings=[1, "all"], reason="the second try")
    assert answer["plan"]["id"] != before["id"]
    batch.wait_plan("done", reason="the second try")
    failed = batch.by_state().get("failed", set())
    each_once(sink, set(names) - failed)
    assert [row["reason"] for row in running.audit() if row["action"] == "batch.released"] == [
        "the first try", "the second try"]


# ---- other decisions meanwhile


def test_second_release_meanwhile_is_refused_until_it_is_paused(holding, sink):
    _, batch, names = holding(12)
    sink.rule = Valve(free=1)
    batch.release(rings=[2, 4, "all"])
    why = batch.refused("release", "1 of 3", "pause")
    assert "uid:" in why, "who decided it"
    batch.refused("release", rings=[1, "all"])
    assert batch.plan["total"] == 12
    batch.pause()
    batch.release()
    sink.rule.open()
    batch.wait_plan("done")
    each_once(sink, names)


def test_second_plain_release_adds_to_the_first(holding, sink):
    running, batch, names = holding(6)
    sink.rule = Valve(free=2)
    batch.release(first=4)
    names += fill(running, 4, prefix="late")
    answer = batch.release()
    assert answer["recipients"] == 6
    plan = batch.plan
    assert (plan["total"], plan["ring_size"], plan["released"]) == (10, 10, 10)
    sink.rule.open()
    batch.wait_plan("done")
    each_once(sink, names)


def test_single_ids_beside_a_plan(holding, sink):
    """Somebody releases one recipient by hand: the plan does not send it again."""
    running, batch, names = holding(10)
    batch.release(rings=[2, "all"], wait="1s")
    rows = {row["recipient"]: row["id"] for row in batch.deliveries()}
    running.api("POST", "/v1/discard", {"ids": [rows[names[5]]], "reason": "not this one"})
    running.api("POST", "/v1/release", {"ids": [rows[names[8]]], "reason": "this one now"})
    wait_for("it is there", lambda: names[8] in sink.recipients())
    batch.wait_plan("done")
    each_once(sink, set(names) - {names[5]})
    assert batch.by_state()["discarded"] == {names[5]}


def test_discard_meanwhile_ends_the_plan(holding, sink):
    running, batch, names = holding(12, TWO)
    sink.rule = Valve(free=1)
    batch.release(rings=[4, "all"])
    wait_for("in ring one", lambda: sink.rule.waiting)
    answer = batch.discard()
    assert answer["recipients"] == 8
    sink.rule.open()
    states = quiet(batch)
    assert states["discarded"] == set(names[4:]) and states["sent"] == set(names[:4])
    assert wait_for("the plan is over", lambda: batch.plan["state"] in ("done", "ended"))
    batch.must("restore")
    stays_true("nothing restored leaves by itself", lambda: len(sink.recipients()) == 4, 1.3)
    assert batch.show()["held"] == 8
    batch.release(rings=[1, "all"])
    batch.wait_plan("done")
    each_once(sink, names)


def test_discard_of_what_is_paused(holding, sink):
    """In two parts: the plan is over with the last of it, and nothing comes back to life."""
    _, batch, names = holding(12, TWO)
    sink.rule = Valve(free=2)
    batch.release(rings=[6, "all"])
    wait_for("in ring one", lambda: sink.rule.waiting)
    batch.pause()
    sink.rule.open()
    sent = len(quiet(batch)["sent"])
    batch.discard(first=1)
    plan = batch.plan
    assert (plan["state"], plan["total"]) == ("paused", 11)
    assert batch.discard()["recipients"] == 11 - sent
    assert batch.plan["state"] in ("done", "ended")
    assert batch.show()["state"] == "discarded"
    batch.refused("resume")
    assert batch.must("restore")["recipients"] == 12 - sent
    stays_true("nothing leaves by itself", lambda: len(sink.recipients()) == sent, 1.2)
    batch.release(rings=[1, "all"])
    batch.wait_plan("done")
    each_once(sink, names)


def test_discard_of_some_meanwhile(holding, sink):
    """What is discarded of a plan is not released; it ends with what is left."""
    _, batch, names = holding(12)
    batch.release(rings=[2, 4, "all"], wait="1s")
    batch.discard(to="c1*@*")  # c1 has left with ring one; c10 and c11 are held
    batch.wait_plan("done")
    assert batch.by_state() == {"sent": set(names[:10]), "discarded": set(names[10:])}
    each_once(sink, names[:10])


def test_restored_recipients_are_none_of_the_running_plan(holding, sink):
    """They were not there when it was decided on."""
    _, batch, names = holding(10)
    batch.discard(first=3)
    batch.release(rings=[2, "all"], wait="1s")
    batch.must("restore")
    plan = batch.wait_plan("done")
    assert plan["total"] == plan["released"] == 7
    each_once(sink, names[3:])
    shown = batch.show()
    assert (shown["state"], shown["held"]) == ("held", 3)


def test_panic_pauses_the_plan_and_resume_waits_for_it(holding, sink):
    running, batch, names = holding(20, TWO)
    sink.rule = Valve(free=4)
    batch.release(rings=[3, "all"])
    wait_for("in ring two", lambda: len(sink.recipients()) == 6)
    press(running)
    sink.rule.open()
    batch.wait_plan("paused")
    states = quiet(batch)
    assert len(states["sent"]) == len(sink.recipients()) == 6
    assert len(states["held"]) == 14
    batch.refused("resume", "hold")
    batch.refused("release", rings=[1, "all"])
    stays_true("nothing leaves under the button", lambda: len(sink.recipients()) == 6, 1.2)
    press(running, on=False)
    stays_true("nor by itself after it", lambda: len(sink.recipients()) == 6, 1.2)
    batch.resume()
    batch.wait_plan("done")
    each_once(sink, names)


def test_panic_for_one_of_its_sources_pauses_it(gate, sink):
    """Though most of the batch is of another; for a source that it has not, it goes on."""
    running = gate(marked().replace("header = Subject", "per = {environment} header = Subject"),
                   upstream_keys=TWO)
    names = fill(running, 8) + fill(running, 2, "other", source="127.0.1.9")
    batch = Batch(running)

    def press_for(source, on=True):
        status, answer = running.api("POST", "/v1/hold" if on else "/v1/unhold", {
            "scope": "source", "name": source, "reason": "something is wrong"})
        assert status == 200, answer

    sink.rule = Valve(free=3)
    press_for("127.0.1.77")
    batch.release(rings=[2, "all"])
    wait_for("in ring two", lambda: sink.rule.waiting)
    assert batch.plan["state"] == "running"
    press_for("127.0.1.9")
    sink.rule.open()
    plan = batch.wait_plan("paused")
    assert "127.0.1.9" in plan["why"], plan
    states = quiet(batch)
    assert states["sent"] == set(sink.recipients()) and set(names[8:]) <= states["held"]
    press_for("127.0.1.9", on=False)
    batch.resume()
    batch.wait_plan("done")
    each_once(sink, names)


def test_panic_in_the_wait_between_rings(holding, sink):
    running, batch, names = holding(10)
    batch.release(rings=[3, "all"], wait="1s")
    wait_for("ring one is through", lambda: batch.plan["next_ring_at"])
    press(running)
    batch.wait_plan("paused")
    press(running, on=False)
    stays_true("ring two does not begin", lambda: len(sink.recipients()) == 3, 1.3)
    batch.resume()
    batch.wait_plan("done")
    each_once(sink, names)


# ---- reload, stop, restart


def test_reload_meanwhile(holding, sink):
    running, batch, names = holding(20, TWO)
    sink.rule = Valve(free=4)
    batch.release(rings=[3, "all"], wait="1s")
    running.reload()
    wait_for("in ring two", lambda: len(sink.rule.waiting) == 2)
    running.reload(listener() + upstream(sink, "connections = 5") + marked("subject_prefix = 'x'"))
    sink.rule.open()
    batch.wait_plan("done")
    each_once(sink, names)


def test_environment_is_away_for_a_ring(holding, sink):
    """Its rings wait, as what is queued does; they go on when it is back."""
    running, batch, names = holding(8)
    config = listener() + upstream(sink)
    batch.release(rings=[3, "all"], wait="1s")
    wait_for("ring one is through", lambda: batch.plan["next_ring_at"])
    running.reload(config)
    stays_true("nothing leaves", lambda: len(sink.recipients()) == 3, 1.3)
    running.reload(config + marked())
    batch.wait_plan("done", deadline=60)
    each_once(sink, names)


@pytest.mark.parametrize("moment", ["in-a-ring", "between-rings", "paused"])
def test_stop_and_start_repeats_nothing(moment, holding, sink):
    running, batch, names = holding(20, TWO)
    sink.rule = Valve(free=2 if moment == "in-a-ring" else 4)
    batch.release(rings=[4, "all"], wait="1s")
    if moment == "in-a-ring":
        wait_for("in ring one", lambda: sink.rule.waiting)
        running.signal(signal.SIGTERM)
    else:
        wait_for("ring one is through", lambda: batch.plan["next_ring_at"])
    sink.rule.open()
    if moment == "paused":
        batch.pause()
    before = batch.plan if moment == "paused" else None
    running.stop()
    at_stop = len(sink.recipients())
    running.start()
    if before:
        plan = batch.plan
        for name in ("id", "state", "ring", "total", "released", "why", "who", "reason"):
            assert plan[name] == before[name], name
        stays_true("paused stays paused", lambda: len(sink.recipients()) == at_stop, 1.5)
        batch.resume()
    batch.wait_plan("done")
    each_once(sink, names)


def test_release_during_shutdown(holding, sink):
    """While the last transactions end: an answer, or none; and what was answered holds."""
    running, batch, names = holding(20, TWO)
    sink.rule = Valve(free=1)
    batch.release(first=5)
    wait_for("the upstream is busy", lambda: sink.rule.waiting)
    running.signal(signal.SIGTERM)
    try:
        status, answer = batch.post("release", rings=[5, "all"])
    except OSError:
        status, answer = 0, None
    if status not in (0, 200):
        assert status in (409, 503) and answer["detail"], (status, answer)
    sink.rule.open()
    running.stop()
    assert set(sink.recipients()) <= set(names[:10])
    running.start()
    if status != 200:
        wait_for("the first is through", lambda: batch.plan["state"] == "done")
        if batch.plan["total"] == 5:
            batch.release(rings=[5, "all"])
    batch.wait_plan("done")
    batch.wait(state="released", sent=20)
    each_once(sink, names)


# ---- many hands, and mail that still comes


def test_release_of_a_batch_that_is_still_filling(gate, sink):
    running = gate(marked())
    count = scaled(2500)
    blast = Blast(running.address(), count, PRODUCTION_CLIENT).start()

    batch = Batch(running)
    wait_for("it fills", lambda: len(blast.accepted) >= count // 8)
    answer = batch.release(rings=[10, 50, "all"])
    total = answer["recipients"]
    assert 0 < total <= count and answer["released"] == min(10, total)
    blast.join()
    assert len(blast.accepted) == count
    plan = batch.wait_plan("done", deadline=60)
    assert plan["total"] == plan["released"] == total
    shown = batch.show()
    assert (shown["held"], shown["sent"]) == (count - total, total)
    if total < count:
        batch.release()
    batch.wait(sent=count, deadline=60)
    each_once(sink, blast.accepted)


def test_pause_resume_and_discard_of_a_batch_that_is_still_filling(gate, sink):

    running = gate(marked())
    count = scaled(2000)
    blast = Blast(running.address(), count, PRODUCTION_CLIENT).start()
    batch = Batch(running)
    wait_for("it fills", lambda: len(blast.accepted) >= count // 10)
    batch.release(rings=[20, "all"])
    for _ in range(5):
        if batch.post("pause")[0] == 200:
            batch.resume()
    batch.post("pause")
    batch.discard(percent=50)
    blast.join()
    batch.must("restore")
    batch.release()
    batch.wait(sent=count, held=0, deadline=60)
    each_once(sink, blast.accepted)


CALLS = {
    "release": lambda n: {"first": 1 + n} if n % 3 == 0 else {"rings": [1 + n, "all"]},
    "discard": lambda n: {"first": 1 + n} if n % 2 else {"to": f"*{n}@*"},
    "restore": lambda n: {},
    "pause": lambda n: {},
    "resume": lambda n: {},
    "approve": lambda n: {},
}


def test_many_operators_decide_at_once(holding, sink):
    """Each gets one clear answer; whatever they did, each recipient gets it at most once."""
    running, batch, names = holding(scaled(200))
    wrong, answered = [], []

    def work(seed):
        calls = sorted(CALLS)
        for n in range(15):
            call = calls[(seed * 7 + n * (seed + 1)) % len(calls)]
            status, answer = batch.post(call, reason=f"hand {seed}", **CALLS[call](n % 7))
            answered.append(status)
            if status == 409 and answer["detail"]:
                continue
            if status != 200 or not isinstance(answer.get("recipients"), int):
                wrong.append((call, status, answer))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert answered.count(200) >= 2
    batch.post("pause")
    batch.post("restore")
    status, answer = batch.post("release")
    assert status == 200 or not batch.show()["held"], answer
    batch.wait(held=0, sent=len(names), deadline=60)
    stays_true("nobody gets it twice", lambda: len(sink.recipients()) == len(names), 0.5)
    each_once(sink, names)
    shown = batch.show()
    assert (shown["discarded"], shown["failed"], shown["state"]) == (0, 0, "released")


@pytest.mark.parametrize("call, body", [
    ("release", {}), ("release", {"rings": [3, "all"]}), ("discard", {}), ("pause", {}),
], ids=["release", "rings", "discard", "pause"])
def test_the_same_decision_by_many_at_once_is_taken_once(call, body, holding, sink):
    running, batch, names = holding(12)
    sink.rule = Valve()
    if call == "pause":
        batch.release(rings=[6, "all"])
    answers = []
    gate_opens = threading.Barrier(8)

    def work():
        gate_opens.wait()
        answers.append(batch.post(call, **body))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(status in (200, 409) for status, _ in answers)
    good = [a for status, a in answers if status == 200 and (a["recipients"] or call == "pause")]
    assert len(good) == 1, answers
    assert call == "pause" or good[0]["recipients"] == 12
    sink.rule.open()
    if call == "discard":
        assert batch.by_state() == {"discarded": set(names)}
        return
    if call == "pause":
        batch.resume()
    batch.wait_plan("done")
    each_once(sink, names)
