"""A batch that nobody looked at is told of again; nothing that is held goes by itself."""

import datetime

import pytest

from rig.batch import Batch, channel, fill, marked
from rig.sink import Refuse
from rig.wait import stays_true, wait_for

AFTER = 'remind_after = {"1s", "3s", "5s"}\n'
LATER = 1.6  # seconds in which a reminder that is due would have come: it looks once a second


@pytest.fixture
def waiting(gate, webhook):
    """A gate with a batch of five, nobody having looked at it; nor does row() of it."""

    def make(more=AFTER):
        running = gate(marked(), more=channel(webhook) + more)
        fill(running, 5)
        return running, Batch(running)

    return make


def when(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))


def reminders(webhook):
    """Each once: one whose gate was killed in the middle of telling it comes again."""
    return list({alert["id"]: alert for alert in webhook.events("batch.waiting")}.values())


def test_told_again_at_each_time_and_then_not_for_a_day(waiting, webhook, sink):
    running, batch = waiting()
    opened = when(batch.row()["opened_at"])

    def waited(alert):
        return (when(alert["at"]) - opened).total_seconds()

    wait_for("the last", lambda: any(waited(alert) >= 5 for alert in reminders(webhook)))
    told = reminders(webhook)
    assert len(told) in (2, 3), "a slow machine may find two of them due at once"
    for at, alert in zip((1, 3, 5), told):
        assert waited(alert) >= at - 0.01
        assert alert["batch"]["id"] == batch.name
        assert alert["environment"] == "production"
        assert batch.name in alert["text"] and "5" in alert["text"]
    stays_true("not again", lambda: len(reminders(webhook)) == len(told), LATER)
    row = batch.row()
    assert (row["state"], row["held"], row["seen_at"]) == ("held", 5, None)
    assert not sink.messages


def test_who_looks_is_the_end_of_it(waiting, webhook):
    running, batch = waiting()
    webhook.wait("batch.waiting")
    assert running.one("show", batch.name)["id"] == batch.name
    seen = wait_for("it is seen", lambda: (row := batch.row())["seen_at"] and row)
    assert seen["seen_by"].startswith("uid:")
    count = len(reminders(webhook))
    stays_true("no more", lambda: len(reminders(webhook)) <= count + 1, LATER)
    # One may have been on its way when somebody looked.
    count = len(reminders(webhook))
    stays_true("no more", lambda: len(reminders(webhook)) == count, LATER)
    assert running.one("show", batch.name)["seen_at"] == seen["seen_at"], "the first look counts"


def test_who_looks_at_the_list_has_not_looked(waiting, webhook):
    running, batch = waiting()
    running.batches()
    running.batches("--all")
    running.status()
    running.do("messages", batch.name)
    assert batch.row()["seen_at"] is None
    webhook.wait("batch.waiting")


@pytest.mark.parametrize("call", ["release", "discard"])
def test_decided_is_the_end_of_it(call, waiting, webhook, sink):
    running, batch = waiting()
    webhook.wait("batch.waiting")
    batch.must(call)
    webhook.wait(f"batch.{call}{'d' if call == 'release' else 'ed'}")
    count = len(reminders(webhook))
    stays_true("no more", lambda: len(reminders(webhook)) == count, LATER + 1)
    if call == "release":
        sink.wait(5)
    else:
        assert not sink.messages


def test_a_restart_neither_forgets_nor_repeats(waiting, webhook):
    running, batch = waiting('remind_after = {"1s", "4s"}\n')
    webhook.wait("batch.waiting")
    running.kill()
    running.start()
    told = wait_for("the second", lambda: len(reminders(webhook)) == 2 and reminders(webhook))
    opened = when(batch.row()["opened_at"])
    assert (when(told[1]["at"]) - opened).total_seconds() >= 4 - 0.01
    running.stop()
    running.start()
    stays_true("each once", lambda: len(reminders(webhook)) == 2, LATER)


def test_time_that_passed_while_the_gate_was_away_is_told_once(waiting, webhook):
    running, batch = waiting('remind_after = {"1s", "2s", "1h"}\n')
    running.stop()
    before = len(reminders(webhook))
    stays_true("it is away", lambda: True, 2.2)
    running.start()
    webhook.wait("batch.waiting")
    stays_true("not once for each time", lambda: len(reminders(webhook)) <= before + 1, LATER)


def test_reload_changes_the_times(waiting, webhook, sink):
    running, batch = waiting('remind_after = {"1h"}\n')
    stays_true("an hour has not passed", lambda: not reminders(webhook), LATER)
    running.write(running.config.read_text().replace(running.head.format(
        dir=running.dir, run=running.run), "").replace('"1h"', '"1s"'))
    running.reload()
    webhook.wait("batch.waiting")


def test_paused_is_told_again(waiting, webhook, sink):
    """Somebody looked when it was held; the stop is new, and counts from there."""
    running, batch = waiting('remind_after = {"2s"}\n')
    batch.show()
    wait_for("it is seen", lambda: batch.row()["seen_at"])
    sink.rule = Refuse("554 5.7.1 no", every=1)
    batch.release(rings=[1, "all"], stop_on=0)
    paused = webhook.wait("batch.paused")[0]
    told = webhook.wait("batch.waiting")[0]
    assert (when(told["at"]) - when(paused["at"])).total_seconds() >= 2 - 0.01
    assert batch.row()["state"] == "paused"


def test_rings_under_way_are_not_told(waiting, webhook, sink):
    running, batch = waiting()
    batch.release(rings=[1, "all"], wait="1h")
    wait_for("ring one is through", lambda: batch.row()["sent"] == 1)
    count = len(reminders(webhook))
    stays_true("somebody decided", lambda: len(reminders(webhook)) == count, LATER + 1)
    assert batch.row()["state"] == "releasing"
