"""What can be taken back: discards, whole and in part; what cannot: purges; and dropped mail."""

import os
import sqlite3

import pytest

from rig.batch import Batch, channel, fill, marked
from rig.client import letter
from rig.gate import PRODUCTION_CLIENT, STAGING_CLIENT, listener, staging, upstream
from rig.wait import stays_true, wait_for

DAYS = 24 * 3600 * 1000000  # the store's microseconds


def raw(running, message):
    status, data = running.api("GET", f"/v1/messages/{message}/raw")
    assert status == 200, data
    return data


def contents(batch):
    """Every delivery by its id: to whom, in what state, and the bytes of its message."""
    return {row["id"]: (row["recipient"], row["final"], row["state"], row["subject"],
                        raw(batch.gate, row["message"])) for row in batch.deliveries()}


def various(running):
    """Messages of several recipients, sizes and encodings; returns the recipients, in order."""
    crowd = [f"crowd{n}@x.test" for n in range(5)]
    running.send(letter("Sale one", body="..dots\r\n.\x2e\r\n"), crowd, PRODUCTION_CLIENT)
    running.send(letter("Sale two", body="x" * 900 + "\r\n" * 300), ["large@y.test"],
                 PRODUCTION_CLIENT)
    running.send(letter("Sale three", extra="Bcc: hidden@x.test\r\n",
                        body=os.urandom(40000).hex()), ["hidden@x.test"], PRODUCTION_CLIENT)
    return crowd + ["large@y.test", "hidden@x.test"] + fill(running, 5)


# ---- discard and restore


def test_restore_gives_back_exactly_what_was_discarded(gate, sink):
    running = gate(marked())
    names = various(running)
    batch = Batch(running)
    before = contents(batch)
    assert batch.discard(reason="a mistake")["recipients"] == 12
    assert batch.show()["state"] == "discarded"
    assert {row[2] for row in contents(batch).values()} == {"discarded"}
    running.stop()
    running.start()
    assert batch.must("restore", reason="it was not")["recipients"] == 12
    assert contents(batch) == before
    assert batch.show()["state"] == "held" and batch.show()["held"] == 12
    batch.release()
    batch.wait_plan("done")
    assert sorted(sink.recipients()) == sorted(names)
    arrived = {name: message.data for message in sink.messages for name in message.recipients}
    for recipient, _, _, _, data in before.values():
        assert arrived[recipient] == data or arrived[recipient] == data.rstrip(b"\r\n") + b"\r\n"


PARTS = [
    ({"first": 5}, lambda names: names[:5]),
    ({"percent": 50}, None),
    ({"to": "c*@customers.example"}, lambda names: names[7:]),
    ({"to": "/^crowd[0-2]@/"}, lambda names: names[:3]),
    ({"subject": "Sale th*"}, lambda names: names[6:7]),
    ({"to": "*@x.test", "first": 2}, lambda names: names[:2]),
]


@pytest.mark.parametrize("part, wanted", PARTS, ids=[" ".join(p) for p, _ in PARTS])
def test_parts_go_and_come_back(part, wanted, gate, sink):
    running = gate(marked())
    names = various(running)
    batch = Batch(running)
    before = contents(batch)
    dry = batch.discard(dry_run=True, **part)
    assert contents(batch) == before
    count = batch.discard(**part)["recipients"]
    assert dry["recipients"] == count
    states = batch.by_state()
    if wanted:
        assert states["discarded"] == set(wanted(names))
    else:
        assert count == 6 == len(states["discarded"])
    assert len(states["held"]) == 12 - count and batch.show()["state"] == "held"
    # A part of the part, then the rest of it.
    one = batch.must("restore", first=1)["recipients"]
    assert one == 1 and len(batch.by_state()["held"]) == 13 - count
    if count > 1:
        assert batch.must("restore", dry_run=True)["recipients"] == count - 1
        assert batch.must("restore")["recipients"] == count - 1
    assert contents(batch) == before
    assert not sink.messages


def test_percent_is_the_same_people_each_time(gate):
    running = gate(marked())
    fill(running, 30)
    batch = Batch(running)
    batch.discard(percent=30)
    chosen = batch.by_state()["discarded"]
    assert len(chosen) == 9
    batch.must("restore")
    batch.discard(percent=30)
    assert batch.by_state()["discarded"] == chosen


def test_restore_by_id(gate, sink):
    running = gate(marked())
    names = various(running)
    batch = Batch(running)
    batch.discard()
    rows = batch.deliveries()
    crowd, large = rows[1]["id"], rows[5]["message"]
    assert batch.must("restore", ids=[crowd, large])["recipients"] == 2
    assert batch.by_state()["held"] == {names[1], names[5]}
    shown = batch.show()
    assert (shown["state"], shown["held"], shown["discarded"]) == ("held", 2, 10)


def test_what_was_sent_or_is_held_is_not_restored(gate, sink):
    running = gate(marked())
    names = fill(running, 6)
    batch = Batch(running)
    batch.release(first=2)
    batch.wait(sent=2)
    status, answer = batch.post("restore")
    assert (status == 409 and answer["detail"]) or answer["recipients"] == 0
    batch.discard(first=2)
    assert batch.must("restore")["recipients"] == 2
    assert batch.by_state() == {"sent": set(names[:2]), "held": set(names[2:])}


# ---- purge


def test_purge_takes_only_what_is_discarded_and_for_good(gate, sink, webhook):
    running = gate(marked(), more=channel(webhook))
    names = various(running)
    batch = Batch(running)
    batch.refused("purge", "discard")
    batch.discard(to="crowd*@*")
    gone = {row["id"]: row["message"] for row in batch.deliveries() if row["state"] == "discarded"}
    assert batch.must("purge", dry_run=True)["recipients"] == 5
    assert len(batch.deliveries()) == 12
    assert batch.must("purge", reason="nobody may ever read it")["recipients"] == 5
    left = batch.by_state()
    assert left == {"held": set(names[5:])}
    for message in set(gone.values()):
        assert running.api("GET", f"/v1/messages/{message}")[0] == 404
        assert running.api("GET", f"/v1/messages/{message}/raw")[0] == 404
    for verb in ("restore", "release", "purge"):
        status, answer = batch.post(verb, ids=list(gone)[:1])
        assert status in (404, 409) and answer["detail"], (verb, answer)
    rows = [row for row in running.audit() if "purge" in row["action"]]
    assert len(rows) == 1 and rows[0]["reason"] == "nobody may ever read it"
    assert batch.name in rows[0]["object"] and rows[0]["who"].startswith("uid:")
    alert = webhook.wait("batch.purged")[0]
    assert alert["reason"] == "nobody may ever read it"
    batch.release()
    batch.wait(held=0, sent=7)
    assert sorted(sink.recipients()) == sorted(names[5:])


def test_purge_of_one_recipient_leaves_the_message_to_the_others(gate, sink):
    running = gate(marked())
    crowd = [f"crowd{n}@x.test" for n in range(3)]
    message = running.send(letter("Sale"), crowd, PRODUCTION_CLIENT)
    batch = Batch(running)
    rows = batch.deliveries()
    batch.discard(ids=[rows[0]["id"]])
    status, answer = batch.post("purge", ids=[rows[0]["id"], rows[1]["id"]])
    if status == 200:
        assert answer["recipients"] == 1, "held mail is never purged"
    else:
        assert status == 409 and answer["detail"]
        batch.must("purge", ids=[rows[0]["id"]])
    assert batch.by_state() == {"held": set(crowd[1:])}
    assert raw(running, message)
    batch.release()
    batch.wait(sent=2, held=0)
    assert sorted(sink.recipients()) == crowd[1:]


def test_purge_in_parts(gate):
    running = gate(marked())
    for n in range(6):
        running.send(letter("Sale"), [f"p{n}@x.test"], PRODUCTION_CLIENT)
    batch = Batch(running)
    batch.discard()
    assert batch.must("purge", first=2)["recipients"] == 2
    assert batch.must("purge", to="/^p[23]@/")["recipients"] == 2
    assert batch.must("purge")["recipients"] == 2
    assert batch.deliveries() == []
    status, answer = batch.post("restore")
    assert status == 409 or answer["recipients"] == 0
    shown = batch.show()
    assert (shown["held"], shown["discarded"], shown["purged"]) == (0, 6, 6)
    assert not any(" restore " in line or " purge " in line for line in shown["story"]["next"])


# ---- how long it is kept


def age(running, days):
    """Everything in the store of a stopped gate is so much older."""
    with sqlite3.connect(running.store) as db:
        back = days * DAYS
        for table, columns in (("delivery", ("changed_at", "queued_at")),
                               ("message", ("accepted_at",)),
                               ("batch", ("opened_at", "last_at", "tripped_at"))):
            for column in columns:
                db.execute(f"UPDATE {table} SET {column} = {column} - ? WHERE {column} > 0",
                           (back,))
        names = {row[1] for row in db.execute("PRAGMA table_info(batch)")}
        for column in {"remind_from", "seen_at", "decided_at"} & names:
            db.execute(f"UPDATE batch SET {column} = {column} - ? WHERE {column} > 0", (back,))
    db.close()


def test_discarded_is_kept_for_its_time_and_held_for_ever(gate, sink):
    running = gate(marked(), more='keep_discarded = "30d"\n')
    names = fill(running, 8)
    batch = Batch(running)
    batch.discard(first=3)
    running.stop()
    age(running, 29)
    running.start()
    stays_true("it is still there", lambda: len(batch.deliveries()) == 8, 1.5)
    running.stop()
    age(running, 2)
    running.start()
    wait_for("what was discarded is gone", lambda: len(batch.deliveries()) == 5)
    running.stop()
    age(running, 4000)
    running.start()
    stays_true("what is held is not", lambda: batch.by_state() == {"held": set(names[3:])}, 1.5)
    assert not sink.messages
    batch.release()
    batch.wait_plan("done")
    assert sorted(sink.recipients()) == sorted(names[3:])


# ---- dropped mail


ALLOW = 'allow = {{"@ok.test"{}}} others = drop burst "b" {{ limit = "1000/1m" per = {{source}} }}'


def dropped(gate, sink):
    running = gate(staging(ALLOW.format("")))
    message = running.send(letter("Hello"), ["a@ok.test", "customer@shop.test", "b@other.test"],
                           STAGING_CLIENT)
    sink.wait(1)
    running.wait_counts("staging", {"sent": 1, "dropped": 2})
    rows = {row["recipient"]: row for row in running.deliveries(state="dropped")}
    return running, message, rows


def decide(running, call, *ids):
    return running.api("POST", f"/v1/{call}", {"ids": list(ids), "reason": "QA asked for it"})


def test_dropped_mail_can_be_looked_at(gate, sink):
    running, message, rows = dropped(gate, sink)
    assert set(rows) == {"customer@shop.test", "b@other.test"}
    assert b"Subject: Hello" in raw(running, message)
    shown = running.one("message", message)
    assert {d["state"] for d in shown["deliveries"]} == {"sent", "dropped"}
    listed = {row["recipient"] for row in running.do("messages", "--state", "dropped")}
    assert listed == set(rows)


def test_dropped_mail_is_released_only_to_whom_it_may_reach_now(gate, sink):
    running, message, rows = dropped(gate, sink)
    customer, other = rows["customer@shop.test"]["id"], rows["b@other.test"]["id"]
    for ids in ([customer], [customer, other], [message]):
        status, answer = decide(running, "release", *ids)
        assert status in (403, 409), answer
        assert "allow" in answer["detail"], answer
    running.reload(listener() + upstream(sink)
                   + staging(ALLOW.format(', "customer@shop.test"')))
    status, answer = decide(running, "release", other)
    assert status in (403, 409), answer
    status, answer = decide(running, "release", customer)
    assert status == 200 and answer["recipients"] == 1, answer
    wait_for("it is there", lambda: "customer@shop.test" in sink.recipients())
    running.wait_counts("staging", {"sent": 2, "dropped": 1})
    assert decide(running, "release", customer)[0] in (404, 409) or \
        decide(running, "release", customer)[1]["recipients"] == 0
    stays_true("once, and nobody else",
               lambda: sink.recipients() == ["a@ok.test", "customer@shop.test"], 0.5)
    assert [r for r in running.audit()
            if "released" in r["action"] and r["reason"] == "QA asked for it"]


def test_dropped_mail_may_not_leave_an_environment_that_captures(gate, sink):
    running, _, rows = dropped(gate, sink)
    running.reload(listener() + upstream(sink) + staging(
        'upstream = none ' + ALLOW.format(', "@shop.test"')))
    status, answer = decide(running, "release", rows["customer@shop.test"]["id"])
    assert status in (403, 409) and answer["detail"], answer
    running.reload(listener() + upstream(sink))
    status, answer = decide(running, "release", rows["customer@shop.test"]["id"])
    assert status in (403, 409) and answer["detail"], answer
    assert sink.recipients() == ["a@ok.test"]


def test_dropped_mail_is_no_part_of_discard_or_restore(gate, sink):
    running, _, rows = dropped(gate, sink)
    for call in ("discard", "restore", "purge"):
        status, answer = decide(running, call, rows["b@other.test"]["id"])
        assert status in (404, 409) and answer["detail"], (call, answer)
    running.wait_counts("staging", {"sent": 1, "dropped": 2})
