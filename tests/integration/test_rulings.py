"""`--stream 1h`: the rest of a stream passes, or is discarded, for a time after the decision."""

import pytest

from rig.batch import Batch, channel, fill
from rig.client import Blast
from rig.gate import PRODUCTION_CLIENT, production, scaled
from rig.sink import Valve
from rig.wait import stays_true, wait_for

# Five a subject pass, the sixth opens a batch: so the stream shows when it is counted afresh.
RULE = 'burst "volume" { limit = "5/10m" per = {source, subject} }'
SALE, NEWS = "Sale", "News"


@pytest.fixture
def two_streams(gate, sink):
    """A gate with a batch of Sale (B1) and one of News (B2), five of each sent, four held."""

    def make(more="", sale=9):
        running = gate(production(RULE), more=more)
        names = fill(running, sale, "sale", subject=SALE)
        other = fill(running, 9, "news", subject=NEWS)
        running.wait_counts("production", {"sent": 10, "held": sale - 5 + 4})
        return running, Batch(running, "B1"), Batch(running, "B2"), names + other[:5]

    return make


def ruled(batch, goes):
    """The ruling it must have; returns until when."""
    ruling = batch.show()["ruling"]
    assert ruling and ruling["goes"] == goes and ruling["until"], ruling
    return ruling["until"]


def sorted_at(sink):
    return sorted(sink.recipients())


def test_pass_lets_the_rest_of_the_stream_through(two_streams, sink):
    running, sale, news, names = two_streams()
    answer = sale.release(stream="1h")
    assert answer["recipients"] == 4
    until = ruled(sale, "pass")
    assert any(
        text.startswith("B1: what follows of its stream passes until ") and "mailfuse pause B1" in text
        for text in running.status()["warnings"]
    )
    names += fill(running, 20, "more", subject=SALE)
    sink.wait(len(names))
    assert sorted_at(sink) == sorted(names)
    shown = sale.show()
    assert (shown["collecting"], shown["held"], shown["recipients"]) == (True, 0, 24)
    sale.wait(sent=24, released=24)
    assert ruled(sale, "pass") == until, "what comes does not make it longer"
    fill(running, 3, "other", subject=NEWS)
    assert news.show()["held"] == 7 and news.show()["ruling"] is None
    fill(running, 9, "third", subject="Invoice")
    assert len(running.batches("--all")) == 3, "a stream that trips now is held"
    sink.wait(len(names) + 5)
    stays_true("only five of it left", lambda: len(sink.recipients()) == len(names) + 5, 0.4)


def test_discard_takes_the_rest_of_the_stream_away(two_streams, sink):
    running, sale, news, names = two_streams()
    names = names[:5] + names[9:]  # what left before it tripped
    answer = sale.discard(stream="1h")
    assert answer["recipients"] == 4
    ruled(sale, "discard")
    more = fill(running, 12, "more", subject=SALE)
    fill(running, 3, "other", subject=NEWS)
    sale.wait(discarded=16, held=0)
    assert sale.show()["state"] == "discarded"
    assert news.show()["held"] == 7
    stays_true("nothing of it left", lambda: sorted_at(sink) == sorted(names), 0.4)
    assert sale.must("restore")["recipients"] == 16
    sale.release()
    wait_for("all of it", lambda: set(more) <= set(sink.recipients()))
    sale.wait(sent=16)


def test_without_it_the_stream_is_counted_afresh(two_streams, sink):
    running, sale, _, names = two_streams()
    sale.release()
    assert sale.show()["ruling"] is None
    names += fill(running, 5, "more", subject=SALE)
    sink.wait(len(names))
    fill(running, 4, "again", subject=SALE)
    batch = Batch(running, "B3")
    assert batch.show()["held"] == 4


@pytest.mark.parametrize("verb, goes", [("release", "pass"), ("discard", "discard")])
def test_when_the_time_is_over_the_stream_is_counted_afresh(verb, goes, two_streams, sink):
    running, sale, _, _ = two_streams()
    sale.must(verb, stream="2s")
    ruled(sale, goes)
    fill(running, 3, "more", subject=SALE)
    sale.wait(ruling=None, collecting=False)
    sale.wait(held=0, **({"sent": 7} if verb == "release" else {"discarded": 7}))
    before = len(sink.recipients())
    fill(running, 5, "fresh", subject=SALE)
    sink.wait(before + 5)
    fill(running, 4, "again", subject=SALE)
    again = Batch(running, "B3").show()
    assert (again["held"], again["leaked"]) == (4, 5)
    assert sale.show()["recipients"] == 7


def test_rings_begin_the_ruling_with_the_last(two_streams, sink):
    running, sale, _, names = two_streams()
    sink.rule = Valve(free=1)
    sale.release(rings=[2, "all"], stream="1h")
    assert sale.show()["ruling"] is None
    early = fill(running, 3, "early", subject=SALE)
    assert sale.show()["held"] == 5
    sink.rule.open()
    sale.wait_plan("done")
    ruled(sale, "pass")
    late = fill(running, 3, "late", subject=SALE)
    sink.wait(len(names) + 3)
    assert set(late) <= set(sink.recipients())
    # What came between was not decided on, and nothing says that it was.
    assert not set(early) & set(sink.recipients())
    assert sale.show()["held"] == 3
    sale.release()
    wait_for("these too", lambda: set(early) <= set(sink.recipients()))


def test_panic_beats_the_ruling(two_streams, sink):
    running, sale, _, names = two_streams()
    sale.release(stream="1h")
    sink.wait(len(names))
    body = {"scope": "everything", "reason": "stop"}
    assert running.api("POST", "/v1/hold", body)[0] == 200
    more = fill(running, 5, "more", subject=SALE)
    held = {d["recipient"] for d in running.deliveries(state="held")}
    assert set(more) <= held
    stays_true("nothing leaves", lambda: sorted_at(sink) == sorted(names), 0.5)
    running.api("POST", "/v1/unhold", body)
    after = fill(running, 5, "after", subject=SALE)
    stays_true("what was stopped waits for a person",
               lambda: not set(more) & set(sink.recipients()), 0.5)
    assert set(after) <= {d["recipient"] for d in running.deliveries(environment="production")}


@pytest.mark.parametrize("how", ["stop", "kill"])
@pytest.mark.parametrize("verb", ["release", "discard"])
def test_ruling_survives_a_restart(verb, how, two_streams, sink):
    running, sale, news, names = two_streams()
    sale.must(verb, stream="1h")
    until = ruled(sale, "pass" if verb == "release" else "discard")
    if verb == "release":
        sale.wait(sent=4)
    getattr(running, how)()
    running.start()
    assert sale.show()["ruling"]["until"] == until
    names += fill(running, 6, "more", subject=SALE)
    fill(running, 2, "other", subject=NEWS)
    if verb == "release":
        sale.wait(sent=10, held=0)
        assert sorted_at(sink) == sorted(names)
    else:
        sale.wait(discarded=10, held=0)
    assert news.show()["held"] == 6


def test_time_that_ends_while_the_gate_is_away(two_streams, sink):
    running, sale, _, _ = two_streams()
    sale.release(stream="1s")
    sale.wait(sent=4)
    running.stop()
    stays_true("the time passes", lambda: True, 1.2)
    running.start()
    sale.wait(ruling=None, collecting=False)
    fill(running, 9, "more", subject=SALE)
    assert Batch(running, "B3").show()["held"] == 4


def test_pass_is_turned_into_discard(two_streams, sink):
    """Let through at first, then seen to be wrong, though nothing of it is held."""
    running, sale, _, names = two_streams()
    sale.release(stream="1h")
    fill(running, 2, "early", subject=SALE)
    sale.wait(held=0, sent=6)
    answer = sale.discard(stream="2h", reason="no, the other way")
    assert answer["recipients"] == 0
    ruled(sale, "discard")
    fill(running, 3, "late", subject=SALE)
    sale.wait(held=0, sent=6, discarded=3)
    assert "no, the other way" in [row["reason"] for row in running.audit()]
    again = running.one("discard", sale.name, "--stream", "1h", "--reason", "once more")
    assert again["recipients"] == 0


def test_restore_ends_a_discard_of_the_stream(two_streams, sink):
    """What is discarded is not released; it is restored first, and what still comes is held."""
    running, sale, _, _ = two_streams()
    sale.discard(stream="1h")
    fill(running, 2, "early", subject=SALE)
    sale.refused("release", "restore", stream="1h")
    assert sale.must("restore")["recipients"] == 6
    assert sale.show()["ruling"] is None
    fill(running, 3, "late", subject=SALE)
    sale.wait(held=9, discarded=0)


@pytest.mark.parametrize("first, second", [("release", "release"), ("release", "discard"),
                                           ("discard", "discard")])
def test_another_decision_ends_it(first, second, two_streams, sink):
    """Without --stream it is counted afresh from there: five pass, what follows is a new batch."""
    running, sale, _, names = two_streams()
    sale.must(first, stream="1h")
    fill(running, 2, "early", subject=SALE)
    sale.wait(held=0, **{"sent" if first == "release" else "discarded": 6})
    sale.must(second)
    shown = sale.show()
    assert (shown["ruling"], shown["collecting"]) == (None, False)
    fresh = fill(running, 9, "fresh", subject=SALE)
    assert Batch(running, "B3").show()["held"] == 4
    wait_for("five of it", lambda: set(fresh[:5]) <= set(sink.recipients()))
    assert not set(fresh[5:]) & set(sink.recipients())


@pytest.mark.parametrize("first", ["release", "discard"])
def test_pause_has_the_stream_held_again(first, two_streams, sink):
    """The quickest way back, also where nothing is on its way at that moment."""
    running, sale, _, names = two_streams()
    sale.must(first, stream="1h")
    sale.wait(held=0, **{"sent" if first == "release" else "discarded": 4})
    if first == "release":
        sale.wait_plan("done")
    assert sale.pause(dry_run=True)["recipients"] == 0
    ruled(sale, "pass" if first == "release" else "discard")
    told = running.cli("--yes", "pause", sale.name, "--reason", "wait")
    assert told.returncode == 0 and told.stdout.strip(), told
    assert sale.show()["ruling"] is None
    fill(running, 7, "late", subject=SALE)
    shown = sale.wait(held=7, state="held")
    assert shown["collecting"]
    assert ("batch.paused", "wait") in [(r["action"], r["reason"]) for r in running.audit()]
    sale.refused("pause")
    running.kill()
    running.start()
    assert sale.show()["held"] == 7 and sale.show()["ruling"] is None
    sale.release()
    sale.wait(held=0)


def test_pause_is_above_the_ruling(two_streams, sink):
    """While its release is paused nothing of the stream passes; then it goes on."""
    running, sale, _, names = two_streams()
    sink.rule = Valve()
    sale.release(stream="1h")
    sale.pause()
    late = fill(running, 3, "late", subject=SALE)
    assert set(late) <= sale.by_state()["held"]
    sink.rule.open()
    sale.resume()
    later = fill(running, 3, "later", subject=SALE)
    wait_for("what comes after it", lambda: set(later) <= set(sink.recipients()))
    assert sale.by_state()["held"] == set(late), "what came meanwhile was not decided on"


def test_discard_of_what_was_stopped_meanwhile_ends_a_pass(two_streams, sink):
    running, sale, _, names = two_streams()
    sale.release(stream="1h")
    sink.wait(len(names))
    sale.wait_plan("done")
    sink.rule = Valve()
    fill(running, 2, "more", subject=SALE)
    sale.pause()
    fill(running, 3, "stopped", subject=SALE)
    sale.discard()
    assert sale.show()["ruling"] is None
    sink.rule.open()
    fill(running, 9, "fresh", subject=SALE)
    assert Batch(running, "B3").show()["held"] == 4


def test_ruling_on_a_stream_at_full_speed(two_streams, sink):
    """Everything that was taken is sent, once, whatever moment the decision came at."""
    running, sale, _, names = two_streams(sale=6)
    count = scaled(2000)
    blast = Blast(running.address(), count, PRODUCTION_CLIENT, subject=SALE, prefix="b").start()
    wait_for("it comes", lambda: len(blast.accepted) > count // 10)
    sale.release(stream="1h")
    blast.join()
    assert len(blast.accepted) == count
    sale.wait(held=0, sent=count + 1, deadline=60)
    assert sorted_at(sink) == sorted(names + blast.accepted)


def test_what_makes_no_sense_is_refused(two_streams):
    running, sale, _, _ = two_streams()
    for body in ({"stream": "soon"}, {"stream": "-1h"}, {"stream": 5.5}, {"stream": ""}):
        status, answer = sale.post("release", **body)
        assert status == 400 and answer["detail"], (body, answer)
    one = sale.deliveries()[0]["id"]
    for body in ({"ids": [one]}, {"first": 1}, {"percent": 50}, {"to": "*@*"}):
        for verb in ("release", "discard"):
            status, answer = sale.post(verb, stream="1h", **body)
            assert status in (400, 409) and answer["detail"], (verb, body, answer)
    assert sale.show()["held"] == 4 and sale.show()["ruling"] is None


def test_ruling_is_in_the_log_and_told(two_streams, webhook):
    running, sale, _, _ = two_streams(more=channel(webhook))
    sale.release(stream="1h", reason="it is the spring sale")
    assert webhook.wait("batch.released")[0]["reason"] == "it is the spring sale"
    rows = [r for r in running.audit() if r["action"] == "batch.released"]
    assert len(rows) == 1 and rows[0]["reason"] == "it is the spring sale"
    assert "stream" in rows[0]["detail"] or "1h" in rows[0]["detail"], rows
