"""Decisions on a page that is old: refused with what has changed, in the decision's transaction."""

import threading

import pytest

from rig.batch import Batch, fill, marked
from rig.gate import listener, upstream
from rig.people import Token, http_section
from rig.sink import Valve

FIELDS = ("state", "held", "released", "discarded")


def seen(batch, *names):
    """What a page shows of the batch."""
    row = batch.show()
    plan = row["plan"]
    page = {name: row[name] for name in FIELDS}
    page.update(plan=plan and plan["id"], ring=plan and plan["ring"])
    return {name: page[name] for name in names or page}


def stale(batch, call, **body):
    """It must be refused for what has changed; returns (words, changed)."""
    status, answer = batch.post(call, **body)
    assert status == 409, answer
    assert answer["type"] == "about:blank" and answer["status"] == 409
    assert answer.get("changed"), answer
    return answer["detail"], answer["changed"]


def test_a_release_of_what_was_seen(holding, sink):
    running, batch, names = holding(20)
    answer = batch.release(seen=seen(batch))
    assert answer["recipients"] == 20
    running.wait_count("production", "sent", 20)
    assert len(sink.messages) == 20


def test_a_batch_that_has_grown_is_not_released(holding, sink):
    running, batch, names = holding(12)
    page = seen(batch)
    fill(running, 1234, prefix="later")
    words, changed = stale(batch, "release", seen=page)
    assert words == ("held was 12, is 1,246 now; the batch is still filling: look again")
    assert changed == {"held": [12, 1246]}
    assert batch.row()["held"] == 1246 and not sink.messages
    # A dry run of the same says the same.
    stale(batch, "release", seen=page, dry_run=True)
    # Whoever looks again may.
    assert batch.release(seen=seen(batch))["recipients"] == 1246


@pytest.mark.parametrize("part", [
    {"first": 10}, {"percent": 50}, {"to": "c1*@customers.example"}, {"subject": "*sale*"}])
def test_a_part_may_be_released_while_it_fills(holding, part):
    running, batch, names = holding(20)
    page = seen(batch)
    fill(running, 5, prefix="later")
    assert batch.release(seen=page, **part)["recipients"] > 0


def test_rings_of_all_are_a_release_of_all(holding):
    running, batch, names = holding(20)
    page = seen(batch)
    fill(running, 1, prefix="later")
    words, changed = stale(batch, "release", seen=page, rings=[5, "all"])
    assert changed == {"held": [20, 21]}


def test_a_filling_batch_can_be_stopped(holding):
    """Discard, and restore of it, are not refused for more that is held."""
    running, batch, names = holding(5)
    page = seen(batch)
    fill(running, 5, prefix="later")
    assert batch.discard(seen=page, stream="1h")["recipients"] == 10
    page = seen(batch)
    fill(running, 5, prefix="more")  # these are discarded as they come
    assert batch.must("restore", seen=page)["recipients"] == 15


def test_two_operators(holding):
    """Of two who saw the same page one decides; the other is told what was decided."""
    running, batch, names = holding(30)
    page = seen(batch)
    first, second = batch, Batch(running)
    first.discard(seen=page)
    words, changed = stale(second, "release", seen=page)
    assert changed["held"] == [30, 0] and changed["discarded"] == [0, 30]
    assert changed["state"] == ["held", "discarded"]
    assert "state was held, is discarded now" in words
    assert words.endswith("look again")
    second.must("restore", seen=seen(second))
    words, changed = stale(first, "purge", seen={"discarded": 30})
    assert changed == {"discarded": [30, 0]}


def test_two_at_the_same_moment(make_gate, sink, tmp_path):
    """Many press at once on the same page: exactly one is carried out."""
    people = {f"op{n}": "operator" for n in range(8)}
    running = make_gate(listener() + upstream(sink) + marked() +
                        http_section(tmp_path, **people)).start()
    fill(running, 10)
    page = seen(Batch(running))
    start = threading.Barrier(len(people))
    answers = {}

    def press(name, call):
        start.wait()
        answers[name] = Batch(Token(running, name)).post(call, seen=page)

    threads = [threading.Thread(target=press, args=(name, ("discard", "release")[n % 2]))
               for n, name in enumerate(people)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    good = [name for name, (status, _) in answers.items() if status == 200]
    assert len(good) == 1, answers
    for name, (status, answer) in answers.items():
        assert name in good or (status == 409 and answer["changed"]), answers
    assert [a["who"] for a in running.audit() if a["action"] in
            ("batch.released", "batch.discarded")] == [f"token:{good[0]}"]


def test_a_plan_that_was_replaced(holding, sink):
    running, batch, names = holding(20)
    sink.rule = Valve(free=2)
    batch.release(rings=[2, 5, "all"], wait="1h")
    running.wait_count("production", "sent", 2)
    page = seen(batch)
    assert page["plan"] == 1
    batch.pause(seen=page)
    words, changed = stale(batch, "resume", seen=page)
    assert changed["state"] == ["releasing", "paused"]
    batch.discard()
    words, changed = stale(batch, "resume", seen={"plan": 7, "ring": 3})
    assert changed["plan"][0] == 7 and changed["ring"] == [3, 1]
    assert "plan was 7, is " in words


def test_progress_of_the_release_that_was_seen(holding, sink):
    """What runs goes on under the page of who stops it."""
    running, batch, names = holding(30)
    page = dict(seen(batch), state="releasing", plan=1, ring=1)
    batch.release(rings=[5, "all"], wait="1h")
    running.wait_count("production", "sent", 5)
    # held was 30 with nothing released: this very plan has moved that on.
    assert batch.must("pause", seen=page, dry_run=True)["state"] == "paused"
    assert batch.must("discard", seen=page, dry_run=True)["recipients"] == 25
    # For who saw another plan, or none, it is a change.
    assert "plan" in stale(batch, "discard", seen=dict(page, plan=None))[1]


def test_an_approval_of_what_was_seen(make_gate, sink, tmp_path):
    running = make_gate(
        listener() + upstream(sink) + marked() + "approval { above = 5 }\n" +
        http_section(tmp_path, ann="operator", bob="approver")).start()
    fill(running, 20)
    ann, bob = Batch(Token(running, "ann")), Batch(Token(running, "bob"))
    assert ann.must("release", seen=seen(ann))["state"] == "asked"
    page = seen(bob)
    assert page["plan"] == 1 and page["ring"] == 0
    ann.must("release", first=10, seen=seen(ann))  # another one is asked for now
    assert stale(bob, "approve", seen=page)[1] == {"plan": [1, 2]}
    fill(running, 3, prefix="later")  # the release is of what was asked for
    assert bob.must("approve", seen=dict(page, plan=2))["recipients"] == 10


@pytest.mark.parametrize("page, words", [
    ("all", "write what you saw"),
    ([], "write what you saw"),
    ({"helt": 3}, "unknown field seen.helt"),
    ({"held": "3"}, "write the number"),
    ({"held": -1}, "write the number"),
    ({"held": 1.5}, "write the number"),
    ({"held": None}, "write the number"),
    ({"state": "open"}, "write held, releasing"),
    ({"state": 1}, "write held, releasing"),
])
def test_what_is_no_page(holding, page, words):
    running, batch, names = holding(1)
    for call in ("release", "discard", "restore", "purge", "approve", "pause", "resume"):
        batch.refused(call, words, status=400, seen=page)
    assert batch.row()["held"] == 1


def test_a_page_is_of_one_batch(holding):
    running, batch, names = holding(2)
    one = batch.deliveries()[0]["id"]
    for ids in (["B1", "B2"], [one], ["B1", one]):
        batch.refused("release", "about one batch", status=400, ids=ids, seen={"held": 2})
    assert batch.release(ids=["B1", "B1"], seen={"held": 2})["recipients"] == 2


def test_no_page_is_no_question(holding):
    running, batch, names = holding(2)
    fill(running, 2, prefix="later")
    assert batch.release(seen=None)["recipients"] == 4
