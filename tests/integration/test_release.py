"""What a person does with a batch: release in part, discard, restore; and the panic button."""

import random
import threading

import pytest

from rig.client import Blast, letter
from rig.gate import PRODUCTION_CLIENT, STAGING_CLIENT, production, scaled, staging
from rig.wait import stays_true, wait_for

TRIPS = 'allow = {"*"} burst "volume" { limit = "5/10m" per = {environment} cooldown = 0 }'
WHY = ("--reason", "checked by hand")


def held(gate, names, subjects=None):
    """A gate that holds six openers (one message) and one delivery to each name, in one batch."""
    running = gate(staging(TRIPS))
    running.send(letter(), [f"opener{n}@x.test" for n in range(6)])
    for n, name in enumerate(names):
        running.send(letter(subjects[n] if subjects else "Hello", to=name), [name])
    return running, running.batch()["id"]


@pytest.mark.heavy
def test_first_ten_then_the_rest_everybody_exactly_once(gate, sink):
    running = gate(production(""))
    count = scaled(5000)
    blast = Blast(running.address(), count, PRODUCTION_CLIENT).run()
    assert len(blast.accepted) == count
    batch = running.batch()
    leaked = batch["leaked"]
    sink.wait(leaked)
    answer = running.one("release", batch["id"], "--first", 10, *WHY)
    assert answer["recipients"] == 10
    sink.wait(leaked + 10)
    stays_true("only ten more", lambda: len(sink.recipients()) == leaked + 10, 0.5)
    running.one("release", batch["id"], *WHY)
    sink.wait(count, deadline=120)
    running.wait_count("production", "sent", count)
    assert sorted(sink.recipients()) == sorted(blast.accepted)
    batch = running.one("show", batch["id"])
    assert (batch["state"], batch["held"]) == ("released", 0)
    assert batch["released"] == batch["sent"] == count - leaked


def test_release_takes_the_oldest_first(gate, sink):
    running, batch = held(gate, [f"a{n}@x.test" for n in range(10)])
    running.one("release", batch, "--first", 8, *WHY)
    sink.wait(8)
    wanted = [f"opener{n}@x.test" for n in range(6)] + ["a0@x.test", "a1@x.test"]
    assert sorted(sink.recipients()) == sorted(wanted)


def test_release_percent_is_a_share_and_repeatable(gate, sink):
    running, batch = held(gate, [f"a{n}@x.test" for n in range(94)])
    dry = running.one("release", batch, "--percent", 20, *WHY)
    assert dry["recipients"] == 20
    sink.wait(20)
    stays_true("twenty of a hundred", lambda: len(sink.recipients()) == 20, 0.3)
    assert running.one("show", batch)["held"] == 80


@pytest.mark.parametrize("option, pattern, wanted", [
    ("--to", "@good.test", ["a@good.test", "b@good.test"]),
    ("--to", "a@good.test", ["a@good.test"]),
    ("--to", "/^c@/", ["c@bad.test"]),
    ("--subject", "Invoice*", ["b@good.test", "c@bad.test"]),
])
def test_release_by_pattern(option, pattern, wanted, gate, sink):
    running, batch = held(gate, ["a@good.test", "b@good.test", "c@bad.test"],
                          ["Hello", "Invoice 1", "Invoice 2"])
    answer = running.one("release", batch, option, pattern, *WHY)
    assert answer["recipients"] == len(wanted)
    sink.wait(len(wanted))
    stays_true("only those", lambda: sorted(sink.recipients()) == wanted, 0.3)


def test_release_at_a_rate(gate, sink):
    running, batch = held(gate, [f"a{n}@x.test" for n in range(14)])
    running.one("release", batch, "--rate", "5/1s", *WHY)
    sink.wait(1)
    assert len(sink.recipients()) <= 10
    wait_for("half of it", lambda: 5 <= len(sink.recipients()))
    assert len(sink.recipients()) < 20
    sink.wait(20)


def test_release_of_one_delivery_and_of_one_message(gate, sink):
    running, batch = held(gate, [])
    rows = running.do("messages", batch)
    message_id, _, number = rows[2]["id"].partition(".")
    running.one("release", rows[2]["id"], *WHY)
    assert sink.wait(1)[0].recipients == [rows[2]["recipient"]]
    running.one("release", message_id, *WHY)
    sink.wait(6)
    assert sorted(sink.recipients()) == sorted(r["recipient"] for r in rows)


def test_released_twice_is_sent_once(gate, sink):
    running, batch = held(gate, ["a@x.test"])
    running.one("release", batch, *WHY)
    sink.wait(7)
    again = running.cli("release", batch, *WHY, "--yes")
    assert again.returncode == 1 or '"recipients":0' in again.stdout.replace(" ", "") \
        or " 0 " in again.stdout, again
    stays_true("nobody twice", lambda: len(sink.recipients()) == 7, 0.3)


def test_after_a_release_the_stream_is_counted_afresh(gate, sink):
    running, batch = held(gate, [])
    running.one("release", batch, *WHY)
    sink.wait(6)
    running.send(letter(), ["next@x.test"])
    sink.wait(7)
    assert len(running.batches("--all")) == 1


def test_discard_and_restore(gate, sink):
    running, batch = held(gate, ["a@x.test"])
    answer = running.one("discard", batch, *WHY)
    assert answer["recipients"] == 7
    assert running.one("show", batch)["state"] == "discarded"
    assert running.batches() == []
    refused = running.cli("release", batch, *WHY, "--yes")
    assert refused.returncode == 1 and "restore" in refused.stderr, refused
    running.one("restore", batch, *WHY)
    assert running.one("show", batch)["state"] == "held"
    running.one("release", batch, *WHY)
    sink.wait(7)
    running.wait_counts("staging", {"sent": 7})


def test_discard_after_a_first_ring_keeps_what_was_sent(gate, sink):
    running, batch = held(gate, ["a@x.test"])
    running.one("release", batch, "--first", 3, *WHY)
    sink.wait(3)
    running.wait_count("staging", "sent", 3)
    running.one("discard", batch, *WHY)
    running.wait_counts("staging", {"sent": 3, "discarded": 4})
    running.one("restore", batch, *WHY)
    running.wait_counts("staging", {"sent": 3, "held": 4})
    stays_true("nothing more", lambda: len(sink.recipients()) == 3, 0.3)


def test_discarded_survives_a_restart_and_can_be_restored(gate, sink):
    running, batch = held(gate, [])
    running.one("discard", batch, *WHY)
    running.stop()
    running.start()
    running.one("restore", batch, *WHY)
    running.one("release", batch, *WHY)
    sink.wait(6)


def test_log_says_who_did_what_and_why(gate, sink):
    running, batch = held(gate, [])
    running.one("release", batch, "--first", 2, "--reason", "first ring")
    running.one("discard", batch, "--reason", "it was a test")
    rows = running.audit()
    for action, reason in (("release", "first ring"), ("discard", "it was a test")):
        found = [r for r in rows if action in r["action"] and r["reason"] == reason]
        assert len(found) == 1, rows
        assert found[0]["who"].startswith("uid:"), found
        assert batch in found[0]["object"]
    hashes = [r["hash"] for r in rows]
    assert len(set(hashes)) == len(hashes) and all(len(h) == 64 for h in hashes)


REFUSED = [
    # arguments, exit code
    (["release", "B1"], 2),  # no reason
    (["release", "B999", "--reason", "x", "--yes"], 1),
    (["release", "nonsense", "--reason", "x", "--yes"], 1),
    (["release", "B1", "--first", "many", "--reason", "x", "--yes"], 2),
    (["discard", "B1"], 2),
    (["show", "B999"], 1),
    (["frobnicate"], 2),
    ([], 2),
    (["batches", "--frobnicate"], 2),
]


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    from rig.gate import Gate, listener

    running = Gate(tmp_path_factory.mktemp("refused"),
                   listener() + staging('allow = {"*"} upstream = none')).start()
    running.send(letter(), ["a@x.test"])
    yield running
    running.close()


@pytest.mark.parametrize("arguments, code", REFUSED, ids=[" ".join(r[0]) for r in REFUSED])
def test_tool_refuses_and_says_why(arguments, code, shared):
    result = shared.cli(*arguments)
    assert result.returncode == code, result
    assert result.stderr.strip(), "it refused without a word"


def test_daemon_not_reached_is_3(shared, tmp_path):
    import subprocess

    from rig.gate import MAILFUSE

    result = subprocess.run([MAILFUSE, "--control", str(tmp_path / "nobody"), "status"],
                            capture_output=True, text=True, timeout=30)
    assert result.returncode == 3
    assert str(tmp_path / "nobody") in result.stderr


def test_many_hands_at_once_nobody_lost_nobody_twice(gate, sink):
    """Operators decide on one batch, by batch and by id, while others press and clear the button."""
    names = [f"a{n}@x.test" for n in range(scaled(200))]
    running, batch = held(gate, names)
    wanted = sorted(names + [f"opener{n}@x.test" for n in range(6)])
    ids = [d["id"] for d in running.deliveries(batch=batch)]
    wrong = []

    def work(seed):
        dice = random.Random(seed)
        for _ in range(12):
            some = dice.sample(ids, 5)
            verb = dice.choice(["release", "discard", "restore"])
            what = {"ids": dice.choice([[batch], some]), "reason": "many hands"}
            status, answer = running.api("POST", "/v1/" + verb, what)
            if status not in (200, 404, 409):
                wrong.append((status, answer))
            if seed == 0:
                for verb in ("hold", "unhold"):
                    running.api("POST", "/v1/" + verb, {"scope": "everything", "reason": "stop"})

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    for each in running.batches("--all"):
        running.cli("restore", each["id"], *WHY)
        running.cli("release", each["id"], *WHY)
    running.wait_counts("staging", {"sent": len(wanted)})
    stays_true("nobody gets it twice", lambda: sorted(sink.recipients()) == wanted, 0.5)
    batch = running.one("show", batch)
    assert (batch["recipients"], batch["sent"], batch["held"]) == (len(wanted), len(wanted), 0)


# ---- the panic button

@pytest.mark.parametrize("scope", [["--everything"], ["--environment", "staging"],
                                   ["--source", STAGING_CLIENT]], ids=lambda s: s[0][2:])
def test_panic_holds_and_unhold_lets_new_mail_through(scope, gate, sink):
    running = gate(production() + staging('allow = {"*"} burst "b" '
                                          '{ limit = "1000/1m" per = {environment} }'))
    running.do("hold", *scope, "--reason", "something is wrong")
    running.send(letter(), ["a@x.test"])
    running.send(letter(), ["p@x.test"], PRODUCTION_CLIENT)
    everything = scope == ["--everything"]
    running.wait_counts("staging", {"held": 1})
    if everything:
        running.wait_counts("production", {"held": 1})
    else:
        assert sink.wait(1)[0].recipients == ["p@x.test"]
    assert running.status()["holds"][0]["reason"] == "something is wrong"
    before = len(sink.messages)
    running.do("unhold", *scope, "--reason", "all is well")
    assert running.status()["holds"] == []
    running.send(letter(), ["b@x.test"])
    sink.wait(before + 1)
    stays_true("what was held waits for a person", lambda: "a@x.test" not in sink.recipients(),
               0.3)
    for batch in running.batches():
        running.one("release", batch["id"], *WHY)
    wait_for("released", lambda: "a@x.test" in sink.recipients())


def test_panic_stops_what_is_queued_while_the_upstream_is_down(gate, sink):
    sink.stop()
    running = gate(production())
    for n in range(20):
        running.send(letter(), [f"a{n}@x.test"], PRODUCTION_CLIENT)
    running.wait_counts("production", {"queued": 20})
    running.do("hold", "--everything", "--reason", "stop it all")
    running.wait_count("production", "held", 20)
    sink.start()
    stays_true("nothing leaves under the panic button", lambda: not sink.messages, 1)
    running.do("unhold", "--everything", "--reason", "go on")
    for batch in running.batches():
        running.one("release", batch["id"], *WHY)
    sink.wait(20)
    assert sorted(sink.recipients()) == sorted(f"a{n}@x.test" for n in range(20))


def test_panic_survives_a_restart(gate, sink):
    running = gate(production())
    running.do("hold", "--everything", "--reason", "stop it all")
    running.stop()
    running.start()
    running.send(letter(), ["a@x.test"], PRODUCTION_CLIENT)
    running.wait_counts("production", {"held": 1})
    stays_true("nothing leaves", lambda: not sink.messages, 0.3)


def test_restart_does_not_lose_a_paced_release(gate, sink):
    running, batch = held(gate, [f"a{n}@x.test" for n in range(14)])
    running.one("release", batch, "--rate", "10/1s", *WHY)
    sink.wait(1)
    running.stop()
    running.start()
    sink.wait(20)
    assert sorted(sink.recipients()) == sorted(
        [f"a{n}@x.test" for n in range(14)] + [f"opener{n}@x.test" for n in range(6)])
