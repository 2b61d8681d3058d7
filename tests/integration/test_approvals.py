"""A large release takes two people: users over the socket, tokens over the TCP port, or both."""

import os
import threading

import pytest

from rig.batch import Batch, channel, fill
from rig.gate import PRODUCTION_CLIENT
from rig.people import Token, User, http_section

ABOVE = 5
RULE = f'approval {{ above = {ABOVE} approvers = %d expires = "%s" }}\n'

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="becomes other users: needs root")


@pytest.fixture
def guarded(holding, tmp_path):
    """guarded(count): a gate with the rule, its batch, and people: two users and two tokens."""

    def make(count=8, approvers=2, expires="1h", more=""):
        section = http_section(tmp_path, ann="operator,approver", ben="operator,approver",
                               cat="approver")
        running, batch, names = holding(count, more=RULE % (approvers, expires) + section + more)
        return running, batch, names

    return make


def asked(answer, missing=1):
    assert (answer["state"], answer["released"], answer["approvals_missing"]) == (
        "asked", 0, missing), answer
    assert answer["expires_at"] and answer["plan"]["state"] == "asked"


def nothing_left(sink, batch, names):
    assert sink.recipients() == []
    assert batch.by_state() == {"held": set(names)}


def who_did(running, action):
    return [row["who"] for row in running.audit() if row["action"] == action]


# ---- two people


@needs_root
def test_two_users_over_the_socket(guarded, sink):
    running, batch, names = guarded()
    one, two = User(running, "daemon"), User(running, "nobody")
    asked(Batch(one).release())
    nothing_left(sink, batch, names)
    Batch(one).refused("approve", "another person")
    Batch(one).refused("approve", "another person")
    nothing_left(sink, batch, names)
    answer = Batch(two).must("approve")
    assert answer["approvals_missing"] == 0
    batch.wait_plan("done")
    assert sorted(sink.recipients()) == sorted(names)
    assert who_did(running, "batch.asked") == [one.who]
    assert who_did(running, "batch.approved") == [two.who]


def test_two_tokens_over_http(guarded, sink):
    running, batch, names = guarded()
    one, two = Token(running, "ann"), Token(running, "ben")
    asked(Batch(one).release())
    Batch(one).refused("approve", "another person")
    nothing_left(sink, batch, names)
    Batch(two).must("approve")
    batch.wait_plan("done")
    assert sorted(sink.recipients()) == sorted(names)
    assert who_did(running, "batch.asked") == ["token:ann"]
    assert who_did(running, "batch.approved") == ["token:ben"]


def test_a_user_and_a_token(guarded, sink):
    running, batch, names = guarded()
    asked(batch.release())
    Batch(Token(running, "cat")).must("approve")
    batch.wait_plan("done")
    assert sorted(sink.recipients()) == sorted(names)


def test_the_second_of_three_is_not_enough_and_does_not_count_twice(guarded, sink):
    running, batch, names = guarded(approvers=3)
    ann, ben, cat = (Token(running, name) for name in ("ann", "ben", "cat"))
    asked(Batch(ann).release(), missing=2)
    assert Batch(ben).must("approve")["approvals_missing"] == 1
    Batch(ben).refused("approve", "already")
    Batch(ann).refused("approve", "another person")
    nothing_left(sink, batch, names)
    assert batch.plan["approved_by"] == ["token:ben"]
    assert Batch(cat).must("approve")["approvals_missing"] == 0
    batch.wait_plan("done")
    assert sorted(sink.recipients()) == sorted(names)


def test_a_dry_run_of_an_approval_approves_nothing(guarded, sink):
    running, batch, names = guarded()
    batch.release()
    answer = Batch(Token(running, "ben")).must("approve", dry_run=True)
    assert answer["dry_run"] and answer["approvals_missing"] == 0
    nothing_left(sink, batch, names)
    assert batch.plan["approved_by"] == []


def test_the_command_says_how_to_go_on_and_goes_on(guarded, sink):
    running, batch, names = guarded()
    done = running.cli("--yes", "release", "B1", "--reason", "checked the text")
    assert "mailfuse approve B1" in done.stdout + done.stderr, done
    nothing_left(sink, batch, names)
    done = Token(running, "ben").cli("--yes", "approve", "B1", "--reason", "me too")
    assert done.returncode == 0, done.stderr
    batch.wait_plan("done")
    assert sorted(sink.recipients()) == sorted(names)


# ---- what needs it


def test_up_to_the_limit_nobody_is_asked(guarded, sink):
    running, batch, names = guarded(count=ABOVE)
    answer = batch.release()
    assert (answer["state"], answer["released"]) == ("released", ABOVE)
    batch.wait_plan("done")
    assert sorted(sink.recipients()) == sorted(names)


def test_parts_are_added_up(guarded, sink):
    running, batch, names = guarded(count=12)
    for part in (3, 2):
        assert batch.release(first=part)["released"] == part
        batch.wait_plan("done")
    asked(batch.release(first=1))
    assert sorted(sink.recipients()) == sorted(names[:ABOVE])
    Batch(Token(running, "ben")).must("approve")
    sink.wait(ABOVE + 1)
    # What two people let go does not count: still the sixth of one alone is asked for.
    batch.wait_plan("done")
    asked(batch.release(first=1))


def test_another_person_does_not_add_a_limit_of_its_own(guarded, sink):
    running, batch, names = guarded(count=12)
    for name, part in (("ann", 3), ("ben", 2)):
        Batch(Token(running, name)).release(first=part)
        batch.wait_plan("done")
    asked(Batch(Token(running, "ben")).release(first=1))
    assert sorted(sink.recipients()) == sorted(names[:ABOVE])


def test_single_deliveries_do_not_go_round_it(guarded, sink):
    running, batch, names = guarded(count=8)
    ids = [row["id"] for row in batch.deliveries()]
    batch.refused("release", "release the batch itself", ids=ids[:ABOVE + 1])
    nothing_left(sink, batch, names)
    assert batch.must("release", ids=ids[:2])["released"] == 2
    sink.wait(2)
    batch.refused("release", "release the batch itself", ids=ids[2:ABOVE + 1])
    asked(batch.release())
    assert sorted(sink.recipients()) == sorted(names[:2])


def test_rings_that_are_over_it_wait_before_the_first(guarded, sink):
    running, batch, names = guarded(count=8)
    asked(batch.release(rings=[1, "all"]))
    nothing_left(sink, batch, names)
    Batch(Token(running, "ben")).must("approve")
    batch.wait_plan("done")
    assert sink.recipients()[0] == names[0] and len(sink.recipients()) == 8


def test_a_stream_does_not_pass_by_one_person(guarded, sink):
    """Two are held, and nobody knows how many are to come."""
    running, batch, names = guarded(count=2)
    asked(batch.release(stream="1h"))
    late = fill(running, 2, prefix="late", source=PRODUCTION_CLIENT)
    assert sink.recipients() == []
    Batch(Token(running, "ben")).must("approve")
    batch.wait_plan("done")
    late += fill(running, ABOVE + 2, prefix="later", source=PRODUCTION_CLIENT)
    sink.wait(2 + ABOVE + 2)
    assert sorted(sink.recipients()) == sorted(names + late[2:])
    assert batch.by_state()["held"] == set(late[:2])
    # Nor does one person make it longer.
    batch.release(ids=[row["id"] for row in batch.deliveries() if row["state"] == "held"])
    sink.wait(2 + ABOVE + 2 + 2)
    batch.refused("release", "second person", stream="24h")


def test_mail_that_was_taken_out_and_brought_back_takes_two(guarded, sink, tmp_path):
    running, batch, names = guarded(count=2)
    why = ("--reason", "by hand")
    assert running.cli("export", "B1", tmp_path / "out").returncode == 0
    batch.discard()
    batch.must("purge")
    assert running.cli("import", tmp_path / "out", *why).returncode == 0
    asked(Batch(running, "B2").release())
    assert sink.recipients() == []
    ids = [row["id"] for row in Batch(running, "B2").deliveries()]
    batch.refused("release", "release the batch itself", ids=ids[:1])


def test_discarding_needs_one_person_and_so_does_restoring(guarded):
    _, batch, names = guarded()
    batch.discard()
    assert batch.by_state() == {"discarded": set(names)}
    batch.must("restore")
    assert batch.by_state() == {"held": set(names)}


# ---- what happens meanwhile


def test_a_request_lapses_everything_stays_held_and_people_are_told(guarded, sink, webhook):
    running, batch, names = guarded(expires="2s", more=channel(webhook))
    asked(batch.release())
    webhook.wait("batch.asked")
    webhook.wait("batch.lapsed")
    nothing_left(sink, batch, names)
    assert batch.plan["state"] == "ended"
    Batch(Token(running, "ben")).refused("approve")
    nothing_left(sink, batch, names)
    asked(batch.release())  # it can be asked for again


def test_what_was_discarded_meanwhile_does_not_leave(guarded, sink):
    running, batch, names = guarded(count=8)
    asked(batch.release())
    gone = [row["id"] for row in batch.deliveries() if row["recipient"] in names[:3]]
    batch.discard(ids=gone)
    Batch(Token(running, "ben")).must("approve")
    sink.wait(5)
    batch.wait_plan("done")
    assert sorted(sink.recipients()) == sorted(names[3:])
    assert batch.by_state() == {"sent": set(names[3:]), "discarded": set(names[:3])}


def test_what_joined_meanwhile_was_not_decided_on(guarded, sink):
    running, batch, names = guarded(count=8)
    asked(batch.release())
    late = fill(running, 2, prefix="late", source=PRODUCTION_CLIENT)
    Batch(Token(running, "ben")).must("approve")
    batch.wait_plan("done")
    assert sorted(sink.recipients()) == sorted(names)
    assert batch.by_state() == {"sent": set(names), "held": set(late)}


def test_an_approval_under_the_panic_button_is_refused_and_can_be_given_later(guarded, sink):
    running, batch, names = guarded()
    asked(batch.release())
    running.do("hold", "--everything", "--reason", "stop")
    Batch(Token(running, "ben")).refused("approve", "unhold")
    nothing_left(sink, batch, names)
    running.do("unhold", "--everything", "--reason", "go on")
    Batch(Token(running, "ben")).must("approve")
    batch.wait_plan("done")
    assert sorted(sink.recipients()) == sorted(names)


def test_an_approval_of_another_plan_is_refused(guarded, sink):
    running, batch, names = guarded()
    asked(batch.release())
    seen = batch.plan["id"]
    asked(batch.release(first=7))
    assert batch.plan["id"] != seen
    Batch(Token(running, "ben")).refused("approve", plan=seen)
    nothing_left(sink, batch, names)
    Batch(Token(running, "ben")).must("approve", plan=batch.plan["id"])
    batch.wait_plan("done")
    assert sorted(sink.recipients()) == sorted(names[:7])


def test_a_request_survives_a_kill(guarded, sink):
    running, batch, names = guarded()
    asked(batch.release())
    running.kill()
    running.start()
    assert batch.plan["state"] == "asked"
    batch.refused("approve", "another person")
    Batch(Token(running, "ben")).must("approve")
    batch.wait_plan("done")
    assert sorted(sink.recipients()) == sorted(names)


def test_two_approvals_at_once_release_once(guarded, sink):
    running, batch, names = guarded()
    asked(batch.release())
    answers = []
    threads = [threading.Thread(target=lambda n=name: answers.append(
        Batch(Token(running, n)).post("approve")[0])) for name in ("ann", "ben", "cat")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [200, 409, 409]
    batch.wait_plan("done")
    assert sorted(sink.recipients()) == sorted(names)


def test_nothing_to_approve(guarded):
    running, batch, _ = guarded()
    Batch(Token(running, "ben")).refused("approve")
    assert Token(running, "ben").api(
        "POST", "/v1/approve", {"ids": ["B99"], "reason": "x"})[0] == 404
