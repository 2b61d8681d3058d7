"""Decisions on a whole batch are one write, and a release of it is fed a little at a time.

A batch that is larger than what is queued ahead of the relay: discarded, restored, released in
rings, killed in the middle of being fed; each recipient gets the message once, and once more only
for what was with the upstream at the kill.
"""

from collections import Counter

import pytest

from rig.batch import Batch, marked
from rig.client import letter
from rig.gate import PRODUCTION_CLIENT
from rig.sink import Valve
from rig.wait import wait_for

COUNT = 12000  # more than twice what is queued ahead
PER_MESSAGE = 100
pytestmark = pytest.mark.heavy


def fill_big(running, count):
    names = [f"r{i:05}@example.net" for i in range(count)]
    with running.client(PRODUCTION_CLIENT) as client:
        for at in range(0, count, PER_MESSAGE):
            _, end = client.mail(names[at:at + PER_MESSAGE], letter("the sale begins"), sender="")
            assert end[0] == 250, end
    return names


def test_a_big_batch_is_decided_at_once_and_fed(gate, sink):
    valve = sink.rule = Valve()
    running = gate(marked())
    names = fill_big(running, COUNT)
    batch = Batch(running)
    batch.wait(held=COUNT)

    answer = batch.discard()
    assert answer["recipients"] == COUNT and answer["left"] == 0
    assert answer["messages"] == COUNT // PER_MESSAGE
    assert batch.show()["state"] == "discarded"
    assert running.deliveries(batch="B1", state="held") == []
    assert batch.must("restore")["recipients"] == COUNT
    assert batch.show()["held"] == COUNT

    answer = batch.release(rings=[10, "all"])
    assert answer["recipients"] == COUNT and answer["released"] == 10
    valve.let(1)
    batch.wait_plan("running", ring=2, deadline=60)
    shown = batch.show()
    assert shown["plan"]["ring_size"] == COUNT - 10
    assert 0 < shown["plan"]["released"] < COUNT, "the queue is bounded"
    assert shown["held"] >= COUNT - 10 - 5000

    # What was with the upstream may come once more; nothing else.
    valve.let(20)
    wait_for("some of it left", lambda: len(sink.recipients()) >= 10 + 15 * PER_MESSAGE, 60)
    running.kill()
    wait_for("the upstream has noticed", lambda: not sink.open)
    before = Counter(sink.recipients())
    valve.open()
    running.start()
    batch.wait_plan("done", deadline=240)
    got = Counter(sink.recipients())
    assert set(got) == set(names)
    twice = {name for name, n in got.items() if n > 1}
    assert twice <= set(before) and all(got[name] == 2 for name in twice)
    shown = batch.show()
    assert (shown["held"], shown["sent"], shown["state"]) == (0, COUNT, "released")
