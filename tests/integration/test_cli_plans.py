"""Decisions on the command line: what they say before and after, ids from standard input, and a
release that is watched. First against canned answers (test_cli_contract.py), then a real gate."""

import json
import os
import signal
import subprocess
import time

import pytest

from rig.gate import MAILFUSE as CLI
from rig.sink import Refuse, Valve
from rig.wait import wait_for
from test_cli_contract import (
    DECISION, HARMLESS, HOSTILE, MAILFUSE, MESSAGE, STATUS, STORY, Problem, Raw, batch, can, fake,
    page, plan, step,
)

__all__ = ["fake"]

REASON = ("--reason", "checked")
RINGS = ("--rings", "10,100,all", "--wait", "10m", "--stop-on", "2%")
CONTROLS = set(map(chr, range(32))) - {"\n"} | {"\x7f"}


def released(state="released", **more):
    """The answer to a release of 4990."""
    return DECISION | {"messages": 4990, "recipients": 4990, "left": 0, "dry_run": False,
                       "state": state, "released": 4990, "rings": [4990], "approvals_missing": 0,
                       "expires_at": None, "asked": [], "plan": None} | more


def running(**more):
    return released("running", released=10, rings=[10, 100, 4880], plan=plan()) | more


def asked(**more):
    return released("asked", released=0, left=4990, approvals_missing=1, asked=["B17"],
                    expires_at="2026-11-22T10:00:00.000Z", approval_above=1000,
                    plan=plan(state="asked")) | more


# ---- what is said


def test_a_dry_run_says_all_and_changes_nothing(fake):
    can(fake)
    fake.answers[("POST", "/v1/release")] = running()
    done = fake.run("release", "B17", *RINGS, "--stream", "1h", "--dry-run")
    assert done.returncode == 0 and done.err == ""
    assert done.out == (
        "Would release 4,990 recipients (4,990 messages) of B17 in rings of 10, 100 and all that "
        "is left, 10m after each, stopped when more than 2% of a ring are refused. Mail that "
        "follows passes for 1h. Still held after ring 1: 0.\n"
        "  Ring 1: 10 recipients\n  Ring 2: 100 recipients\n  Ring 3: 4,880 recipients\n"
        "Needs nobody else's approval.\nA dry run: nothing was changed.\n")
    assert [r[2]["dry_run"] for r in fake.requests if r[0] == "POST"] == [True]
    fake.answers[("POST", "/v1/release")] = asked(approvals_missing=2)
    assert ("Needs approval: 2 more people must say yes before anything is sent.\n"
            in fake.run("release", "B17", *REASON, "--dry-run").out)
    answer = json.loads(fake.run("release", "B17", *REASON, "--dry-run", "--json").out)
    assert answer["state"] == "asked"
    for verb, word in [("discard", "discard"), ("restore", "restore"), ("purge", "delete")]:
        out = fake.run(verb, "B17", "--dry-run").out
        assert out.startswith(f"Would {word} 4,990 recipients (4,990 messages) of B17.")
        assert out.endswith("A dry run: nothing was changed.\n") and "approval" not in out
    assert all(r[2]["dry_run"] for r in fake.requests if r[0] == "POST")


@pytest.mark.parametrize("had, told", [
    ({"state": "paused", "ring": 2, "why": "3 of 100 were refused"},
     "The release of B17 is paused in ring 2 of 4: 3 of 100 were refused. This one takes its "
     "place; mailfuse resume B17 would go on with it."),
    ({"state": "asked"},
     "A release of B17 waits for approval, which uid:1000(anna) asked for: checked with the team. "
     "This one takes its place."),
    ({"state": "done"}, None),
])
def test_a_release_says_what_it_takes_the_place_of(fake, had, told):
    can(fake)
    fake.answers[("POST", "/v1/release")] = released()
    fake.answers[("GET", "/v1/batches/B17")] = batch(plan=plan(**had))
    out = fake.run("release", "B17", *REASON, "--dry-run").out
    assert out.startswith(told + "\nWould release" if told else "Would release")
    code, seen = fake.terminal("release", "B17", *REASON, typed=b"n\n")
    assert code == 1 and seen.startswith(told + "\nRelease 4,990" if told else "Release 4,990")


def test_a_dry_run_asks_nothing_on_a_terminal(fake):
    can(fake)
    code, seen = fake.terminal("purge", "B17", "--dry-run")
    assert code == 0 and "[y/N]" not in seen and len(fake.requests) == 1


def test_a_large_release_says_how_it_goes_on(fake):
    can(fake)
    fake.answers[("POST", "/v1/release")] = asked()
    done = fake.run("release", "B17", *REASON)
    assert (done.returncode, done.err) == (0, "Asking for the release of 4,990 recipients of "
                                              "B17.\n")
    assert done.out == (
        "Nothing was sent yet. This release of 4,990 recipients is beyond what one "
        "person may release of a batch (1,000 recipients, and nothing that was imported or is still "
        "to come): a second person must approve it before 2026-11-22 12:00:00: "
        "mailfuse approve B17\n")
    assert json.loads(fake.run("--json", "release", "B17", *REASON).out)["asked"] == ["B17"]
    code, seen = fake.terminal("release", "B17", *REASON, *RINGS, typed=b"y\n")
    assert code == 0 and "Nothing was sent yet." in seen
    assert ("Ask for the release of 4,990 recipients of B17 to staging's upstream in rings of 10, "
            "100 and all that is left, 10m after each, stopped when more than 2% of a ring are "
            "refused? Nothing is sent before a second person has approved it. [y/N] ") in seen


def test_some_batches_are_released_and_one_is_asked_for(fake):
    can(fake)
    fake.answers[("POST", "/v1/release")] = asked(released=5, asked=["B18", "B19"],
                                                  approvals_missing=2, approval_above=0)
    assert fake.run("release", "B17", "B18", "B19", *REASON).out == (
        "Released 5 recipients.\n"
        "Nothing of the rest was sent yet. This release of 4,990 recipients is a large one: 2 more "
        "people must approve it before 2026-11-22 12:00:00: mailfuse approve B18, mailfuse "
        "approve B19\n")


def test_a_release_in_rings_returns_at_once_in_a_pipe(fake):
    can(fake)
    fake.answers[("POST", "/v1/release")] = running()
    done = fake.run("release", "B17", *REASON, *RINGS)
    assert done.out == (
        "Released 10 of 4,990 recipients of B17: ring 1 of 3. The others follow by themselves: "
        "mailfuse show B17 --follow watches them, mailfuse pause B17 stops them.\n")
    assert len(fake.requests) == 2


def test_purge_says_that_nothing_brings_it_back(fake):
    can(fake)
    code, seen = fake.terminal("purge", "B17", *REASON, typed=b"n\n")
    assert code == 1 and [r[1] for r in fake.requests] == ["/v1/batches/B17", "/v1/purge"]
    assert ("Delete 4,990 recipients of B17 for good? Nothing brings them back. [y/N] "
            in seen)
    done = fake.run("purge", "B17", *REASON)
    assert done.out == ("Deleted 4,990 recipients (4,990 messages) of B17. They are gone for "
                        "good.\n")


def test_dry_runs_of_plans(fake):
    can(fake)
    fake.answers[("POST", "/v1/approve")] = step("approve", approvals_missing=1)
    fake.answers[("POST", "/v1/resume")] = step("resume", plan=plan(state="paused"))
    for verb, told in [
            ("approve", "Would approve the release of B17: 4,990 recipients in all. Asked for by "
                        "uid:1000(anna), in rings of 10, 100, 1,000 and all that is left"),
            ("pause", "Would pause the release of B17: 10 recipients would be held again.\n"),
            ("resume", "Would go on with the release of B17: 10 recipients would go out now. "
                       "Still held then: ")]:
        fake.requests.clear()
        done = fake.run(verb, "B17", "--dry-run")
        assert done.returncode == 0 and done.out.startswith(told), done.out
        assert done.out.endswith("A dry run: nothing was changed.\n")
        assert [r[2]["dry_run"] for r in fake.requests] == [True]
        assert json.loads(fake.run(verb, "B17", "-n", "--json").out)["batch"] == "B17"
        code, seen = fake.terminal(verb, "B17", "-n")
        assert code == 0 and "[y/N]" not in seen


def test_questions_of_plans(fake):
    can(fake)
    fake.answers[("POST", "/v1/approve")] = step("approve", approvals_missing=1)
    fake.answers[("POST", "/v1/resume")] = step(
        "resume", plan=plan(state="paused", why="3 of 100 were refused"))
    for args, question in [
            (["approve", "B17"],
             "uid:1000(anna) asked for it at 2026-11-21 12:10:00: checked with the team\n"
             "Approve the release of 4,990 recipients of B17 to staging's upstream in rings of 10, "
             "100, 1,000 and all that is left, 10 min after each, stopped when more than 2% of a "
             "ring are refused? After you 1 person would still have to approve it. [y/N] "),
            (["pause", "B17"],
             "Pause the release of B17? What has not left, 10 recipients now, is held again until "
             "mailfuse resume B17. [y/N] "),
            (["resume", "B17", "--rate", "5/1m"],
             "It is paused: 3 of 100 were refused\n"
             "Go on with the release of B17, with 10 recipients now, to staging's upstream at "
             "5/1m, in rings of 10, 100, 1,000 and all that is left, 10 min after each, stopped "
             "when more than 2% of a ring are refused? [y/N] ")]:
        fake.requests.clear()
        code, seen = fake.terminal(*args, typed=b"n\n")
        assert code == 1 and question in seen, seen
        assert all(r[2]["dry_run"] for r in fake.requests if r[0] == "POST")
        code, seen = fake.terminal(*args, "--yes")
        assert code == 0 and "[y/N]" not in seen


def test_results_of_plans(fake):
    can(fake)
    assert fake.run("approve", "B17").err == (
        "Approving the release of 4,990 recipients of B17, asked for by uid:1000(anna): checked "
        "with the team\n")
    assert fake.run("approve", "B17").out == (
        "Approved. Released 10 recipients of B17: ring 1 of its rings. mailfuse show B17 --follow "
        "watches the others. Still held: 4,980.\n")
    fake.answers[("POST", "/v1/approve")] = step(
        "approve", state="asked", recipients=4990, approvals_missing=1,
        plan=plan(state="asked", expires_at="2026-11-22T10:00:00.000Z"))
    assert fake.run("approve", "B17").out == (
        "Approved. Nothing was sent yet: 1 more person must approve the release of B17 before "
        "2026-11-22 12:00:00.\n")
    assert fake.run("pause", "B17").out == (
        "Paused B17: 10 recipients held again. What is with the upstream already ends there. Go on "
        "with mailfuse resume B17\n")
    assert fake.run("resume", "B17").out == (
        "Resumed B17: 10 recipients on the way. Still held: 4,980.\n")
    fake.answers[("POST", "/v1/approve")] = Problem(
        409, "uid:1000(anna) asked for it, and cannot be the second person too")
    done = fake.run("approve", "B17")
    assert (done.returncode, done.out) == (1, "")
    assert "cannot be the second person" in done.err


def test_the_plan_that_was_asked_about_is_the_one_approved(fake):
    can(fake)
    fake.run("approve", "B17", *REASON)
    assert [r[2] for r in fake.requests] == [
        {"ids": ["B17"], "reason": "checked", "dry_run": True},
        {"ids": ["B17"], "reason": "checked", "plan": 5}]


SHOWN = [
    ("running", plan(), """\
Release      running: 110 of 4,990 recipients released, by uid:1000(anna) at 2026-11-21 12:10:00: \
checked with the team
Rings        10 (done), 100 (now), 1,000, all that is left; 10 min after each; stopped when more \
than 2% of a ring are refused
Ring 2       45 of 100 sent, refused 1 for now (4xx), 2 for good (5xx)
Refused      2 times: 550 5.1.1 no such user
Refused      1 time: 451 4.7.1 later
"""),
    ("a rate and a stream", plan(rings=["all"], ring=1, wait=0, stop_on=0, rate="5/1m",
                                 stream=3600),
     "Rings        all that is left (now); stopped by the first refusal; at 5/1m. Mail that "
     "follows passes for 60 min.\n"),
    ("paused", plan(state="paused", why="3 of 100 recipients were refused, more than 2%",
                    refusals=[]),
     "Paused       3 of 100 recipients were refused, more than 2%: mailfuse resume B17\n"),
    ("waiting", plan(next_ring_at="2020-01-01T10:00:00.000Z"),
     "Next ring    at 2020-01-01 12:00:00 (now)\n"),
    ("asked", plan(state="asked", ring=0, approvers=3, approvals_missing=1,
                   approved_by=["token:ops"], expires_at="2026-11-22T10:00:00.000Z"),
     "Approval     waits for 1 more person until 2026-11-22 12:00:00: mailfuse approve B17\n"
     "Approved by  token:ops\n"),
    ("ended", plan(state="ended", why="nobody approved it in time"),
     "Ended        nobody approved it in time\n"),
]


@pytest.mark.parametrize("shown,wanted", [r[1:] for r in SHOWN], ids=[r[0] for r in SHOWN])
def test_show_has_the_plan(fake, shown, wanted):
    fake.answers[("GET", "/v1/batches/B17")] = batch(story=STORY, plan=shown)
    assert wanted in fake.run("show", "B17").out


def test_show_says_what_follows(fake):
    def shown(**more):
        fake.answers[("GET", "/v1/batches/B17")] = batch(story=STORY, plan=None, **more)
        return fake.run("show", "B17").out

    assert "Release  " not in shown(ruling=None, sending=None, seen_at=None, seen_by="")
    assert "Still sending: no, nothing since 2026-11-21 12:05:31\n" in shown(sending=None)
    assert "Still sending: no, nothing since 2020-01-01 12:00:00\n" in shown(
        sending={"recipients": 120, "window": 600, "last_at": "2020-01-01T10:00:00.000Z",
                 "quiet_at": "2020-01-01T10:01:00.000Z"})
    # The daemon says when a silence is an end.
    ago = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(time.time() - 300))
    assert "Still sending: yes, 5 recipients in the last 10 min, last 5 min" in shown(
        sending={"recipients": 5, "window": 600, "last_at": ago,
                 "quiet_at": "2999-01-01T10:00:00.000Z"})
    out = shown(sending={"recipients": 120, "window": 600, "last_at": "2999-01-01T10:00:00.000Z",
                         "quiet_at": "2999-01-01T10:01:00.000Z"},
                ruling={"goes": "pass", "until": "2026-11-21T11:00:00.000Z"},
                seen_by="uid:0(root)", seen_at="2026-11-21T11:00:00.000Z")
    assert "Still sending: yes, 120 recipients in the last 10 min, last 0 s ago\n" in out
    assert "What follows passes until 2026-11-21 13:00:00\n" in out
    assert "Seen by      uid:0(root) at 2026-11-21 13:00:00\n" in out
    assert "What follows is discarded until" in shown(
        ruling={"goes": "discard", "until": "2026-11-21T11:00:00.000Z"})


def test_batches_mark_releases(fake):
    fake.answers[("GET", "/v1/batches")] = page([
        batch(state="releasing", plan=plan()), batch(state="paused", plan=plan(state="paused")),
        batch(plan=plan(state="asked")), batch(plan=plan(state="done")), batch(plan=None),
        batch(state="releasing", plan=plan(rings=["all"]))])
    rows = fake.run("batches").out.splitlines()[1:]
    assert [" ".join(row.split("staging")[0].split()[1:]) for row in rows] == [
        "releasing 2/4", "paused 2/4", "held, asked", "held", "held", "releasing"]


def test_status_tells_of_the_last_drill(fake):
    for drill, wanted in [
            (None, "never"),
            ({"at": "2026-11-21T10:00:00.000Z", "passed": True,
              "passed_at": "2026-11-21T10:00:00.000Z"}, "2026-11-21 12:00:00, passed"),
            ({"at": "2026-11-21T10:00:00.000Z", "passed": False, "passed_at": None},
             "2026-11-21 12:00:00, failed: mailfuse drill"),
            ({"at": "2026-11-21T10:00:00.000Z", "passed": False,
              "passed_at": "2026-10-21T10:00:00.000Z"},
             "2026-11-21 12:00:00, failed; the last that passed: 2026-10-21 12:00:00: mailfuse "
             "drill")]:
        fake.answers[("GET", "/v1/status")] = STATUS | {"last_drill": drill}
        assert f"\nLast drill   {wanted}\n" in fake.run("status").out


def test_hostile_plans(fake):
    """Nothing of a plan but what can be seen reaches the screen."""
    hostile = plan(**{k: HOSTILE for k in ("state", "who", "reason", "why", "rate", "wait")},
                   rings=[HOSTILE, 10**18, -5, {}], approved_by=[HOSTILE], total=-1,
                   refusals=[{"count": -1, "reply": HOSTILE}])
    shown = batch(id=HOSTILE, story=STORY, plan=hostile, seen_by=HOSTILE,
                  ruling={"goes": HOSTILE, "until": HOSTILE},
                  sending={"recipients": HOSTILE, "window": HOSTILE, "last_at": HOSTILE,
                           "quiet_at": HOSTILE})
    fake.answers = {
        ("GET", "/v1/batches/B17"): shown,
        ("GET", "/v1/batches"): page([shown]),
        ("POST", "/v1/release"): released(HOSTILE, asked=[HOSTILE], expires_at=HOSTILE),
        ("POST", "/v1/approve"): step("approve", plan=hostile, approvals_missing=1),
        ("POST", "/v1/resume"): step("resume", plan=hostile),
    }
    for args in [["show", "B17"], ["show", "B17", "--follow"], ["batches"],
                 ["release", "B17", *REASON], ["approve", "B17"], ["resume", "B17"]]:
        done = fake.run(*args)
        assert not set(done.out + done.err) & CONTROLS, args
        assert "\u202e" not in done.out + done.err
    assert HARMLESS in fake.run("show", "B17").out


# ---- ids from standard input


def test_ids_from_standard_input(fake):
    can(fake)
    rows = json.dumps({"subject": "a # b", "id": MESSAGE + ".2"})
    done = fake.run("release", "-", *REASON, "--yes", data=f"B18 # first\n\n{rows}\n".encode())
    assert done.returncode == 0, done.err
    assert [r[2]["ids"] for r in fake.requests] == [["B18", MESSAGE + ".2"]] * 2
    fake.requests.clear()
    done = fake.run("discard", "B17", "-", *REASON, "--dry-run", data=b"B18\nB17\n")
    assert done.returncode == 0
    assert [r[2]["ids"] for r in fake.requests] == [["B17", "B18"]]


# name, input, options, exit code, what stderr says
STDIN = [
    ("nothing", b"\n# none\n", ["--yes"], 1, "standard input lists nothing"),
    ("a bad line after good ones", b"B1\nB2\nhello\n", ["--yes"], 1, 'line 3 of standard input'),
    ("hostile", b"\x1b[2J\xff\x00\n", ["--yes"], 1, '"\\x1b[2J?"'),
    ("nobody to ask", b"B1\n", [], 2, "add --yes"),
    ("rings of many", b"B1\nB2\n", ["--yes", "--rings", "1,all"], 2, "--rings is for one batch"),
]


@pytest.mark.parametrize("data,options,code,why", [r[1:] for r in STDIN],
                         ids=[r[0] for r in STDIN])
def test_bad_standard_input(fake, data, options, code, why):
    """Nothing is asked of the daemon before all of the list is read and good."""
    can(fake)
    done = subprocess.run([MAILFUSE, "release", "-", *REASON, *options], input=data, timeout=60,
                          capture_output=True, env=fake.environment(), start_new_session=True)
    assert done.returncode == code and why in done.stderr.decode()
    assert (fake.requests, done.stdout) == ([], b"")


def test_ids_from_standard_input_are_asked_about_on_the_terminal(fake, tmp_path):
    can(fake)
    ids = tmp_path / "ids"
    ids.write_text("B17\nB18\n")
    program = ["sh", "-c", f'exec "$0" "$@" < {ids}', MAILFUSE, "release", "-", *REASON]
    for typed, code in [(b"y\n", 0), (b"n\n", 1)]:
        fake.requests.clear()
        got, seen = on_terminal(fake.environment(), program, typed)
        assert "Release 4,990 recipients of B17 and B18 to " in seen
        assert got == code and len(fake.requests) == 2 - code


def on_terminal(environment, program, typed):
    """As fake.terminal(), but the terminal is the one that /dev/tty opens."""
    pid, master = os.forkpty()
    if pid == 0:
        os.execvpe(program[0], program, environment)
    os.write(master, typed)
    seen = b""
    while True:
        try:
            piece = os.read(master, 65536)
        except OSError:
            break
        if not piece:
            break
        seen += piece
    os.close(master)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), seen.decode()


def test_many_ids_go_in_several_calls(fake):
    """25,000 of them; the sum is told, --first counts over all, and what failed late is said."""
    def answer(path, body):
        count = min(len(body["ids"]), body.get("first", 10**9))
        return released(recipients=count, messages=count, released=count, left=1,
                        batches=["B1"], dry_run=body.get("dry_run", False))

    data = "".join(f"B{n}\n" for n in range(1, 25001)).encode()
    fake.answers[("POST", "/v1/release")] = answer
    done = fake.run("release", "-", *REASON, "--yes", data=data)
    assert done.returncode == 0, done.err
    assert done.out == ("Released 25,000 recipients (25,000 messages) of 25,000 ids. Still held: "
                        "3.\n")
    assert [len(r[2]["ids"]) for r in fake.requests] == [10000, 10000, 5000] * 2
    assert sum((r[2]["ids"] for r in fake.requests[3:]), []) == data.decode().split()
    fake.requests.clear()
    done = fake.run("release", "-", *REASON, "--yes", "--first", "12000", "--json", data=data)
    assert json.loads(done.out)["recipients"] == 12000
    assert [r[2]["first"] for r in fake.requests] == [12000, 2000] * 2
    fake.requests.clear()
    fake.answers[("POST", "/v1/release")] = lambda path, body: (
        Problem(409, "B10001 is on hold")
        if body["ids"][0] == "B10001" and "dry_run" not in body else answer(path, body))
    done = fake.run("release", "-", *REASON, "--yes", data=data)
    assert (done.returncode, done.out) == (1, "")
    assert "mailfuse release: B10001 is on hold\n" in done.err
    assert "Before that it was done for 10,000 recipients, which stands.\n" in done.err


# ---- watching


def follows(plans):
    """One plan after another; the last one stays."""
    left = list(plans)

    def answer(path, body):
        return batch(story=STORY, plan=left.pop(0) if len(left) > 1 else left[0])

    return answer


PLANS = [
    plan(ring=1, ring_size=10, sent=3, failed=0, deferred=0, refusals=[]),
    plan(ring=1, ring_size=10, sent=10, failed=0, deferred=0, refusals=[],
         next_ring_at="2999-01-01T10:00:00.000Z"),
    plan(),
]
DONE = plan(state="done", ring=4, ring_size=3880, sent=3880, failed=0, deferred=0, released=4990,
            refusals=[])


def test_follow_in_a_pipe_is_a_line_a_change(fake):
    can(fake)
    fake.answers[("GET", "/v1/batches/B17")] = follows([PLANS[0], PLANS[0], *PLANS, DONE])
    fake.answers[("POST", "/v1/release")] = running()
    done = fake.run("release", "B17", *REASON, *RINGS, "--follow")
    assert done.returncode == 0, done.err
    assert done.out.splitlines()[1:] == [
        "B17  ring 1 of 4: 3 of 10 sent; running, ring 2 begins when this one is delivered",
        "B17  ring 1 of 4: 10 of 10 sent; running, ring 2 begins at 2999-01-01 12:00:00",
        "B17  ring 2 of 4: 45 of 100 sent, refused 1 (4xx), 2 (5xx); running, ring 3 begins when "
        "this one is delivered",
        "B17  ring 4 of 4: 3,880 of 3,880 sent; done: 4,990 recipients released"]
    assert not set(done.out + done.err) & CONTROLS


def test_follow_as_json(fake):
    fake.answers[("GET", "/v1/batches/B17")] = follows([*PLANS, DONE])
    done = fake.run("show", "B17", "--follow", "--json")
    assert done.returncode == 0, done.err
    assert [json.loads(line) for line in done.out.splitlines()] == [*PLANS[1:], DONE]


def test_follow_ends_with_1_at_a_pause(fake):
    why = "3 of 100 recipients were refused, more than 2%"
    fake.answers[("GET", "/v1/batches/B17")] = follows([plan(), plan(state="paused", why=why)])
    done = fake.run("show", "B17", "--follow")
    assert done.returncode == 1
    assert done.out.endswith(f"paused: {why}\n")
    assert done.err == (
        "Refused 2 times: 550 5.1.1 no such user\nRefused 1 time: 451 4.7.1 later\n"
        "Go on with it: mailfuse resume B17 --reason TEXT. More of it: mailfuse show B17\n")


def test_a_narrow_terminal_has_all_of_why_it_is_paused(fake):
    why = "3 of 100 recipients were refused (1 for now, 2 for good), more than 2 %"
    fake.answers[("GET", "/v1/batches/B17")] = follows([plan(), plan(state="paused", why=why)])
    code, seen = fake.terminal("show", "B17", "--follow", columns=40, NO_COLOR="1")
    assert code == 1 and f"\x1b[JIt is paused: {why}\nRefused 2 times: " in seen


def test_follow_nothing(fake):
    fake.answers[("GET", "/v1/batches/B17")] = batch(plan=None)
    done = fake.run("show", "B17", "--follow")
    assert done.returncode == 1 and done.err == "Nothing of B17 is being released.\n"
    fake.answers[("GET", "/v1/batches/B17")] = Problem(404, "there is no batch B17")
    assert fake.run("show", "B17", "--follow").returncode == 1


def test_follow_draws_bars_in_place(fake):
    fake.answers[("GET", "/v1/batches/B17")] = follows([plan(), *PLANS, DONE])
    code, seen = fake.terminal("show", "B17", "--follow", columns=80, NO_COLOR="1")
    assert code == 0
    frames = seen[seen.index("Ring 1"):].split("\x1b[5A\r")
    assert len(frames) == 4, seen
    for frame in frames:
        lines = frame.replace("\x1b[J", "").split("\x1b[K\n")
        assert len(lines) == 6 and lines[5] == "", lines
        assert all(len(line) < 80 and not set(line) & CONTROLS for line in lines)
    assert "\u2588" in frames[0] and "B17 done: 4,990 recipients released" in frames[-1]
    # What cannot write over itself gets lines.
    fake.answers[("GET", "/v1/batches/B17")] = follows([plan(), *PLANS, DONE])
    code, seen = fake.terminal("show", "B17", "--follow", TERM="dumb")
    assert code == 0 and "\x1b" not in seen and "\nB17  ring 2 of 4: " in seen


def test_rings_on_a_terminal_are_watched_without_asking(fake):
    can(fake)
    fake.answers[("POST", "/v1/release")] = running()
    fake.answers[("GET", "/v1/batches/B17")] = follows([DONE])
    code, seen = fake.terminal("release", "B17", *REASON, *RINGS, "--yes", NO_COLOR="1")
    assert code == 0 and "B17 done: 4,990 recipients released" in seen
    code, seen = fake.terminal("release", "B17", *REASON, "--yes", NO_COLOR="1")
    assert code == 0 and "done" not in seen


def watch(fake, *arguments):
    return subprocess.Popen([MAILFUSE, "show", "B17", "--follow", *arguments],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                            env=fake.environment())


def looks(fake):
    return len([r for r in fake.requests if r[1] == "/v1/batches/B17"])


def test_interrupted_watching_says_that_the_release_goes_on(fake):
    fake.answers[("GET", "/v1/batches/B17")] = batch(plan=plan())
    process = watch(fake)
    wait_for("it watches", lambda: looks(fake) >= 3)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 0 and out.count("ring 2 of 4") == 1
    assert err == ("\nNo longer watched; the release goes on. Watch it again: mailfuse show B17 "
                   "--follow. Stop it: mailfuse pause B17\n")
    assert not [r for r in fake.requests if r[0] == "POST"]


def test_watching_outlives_a_restart_of_the_daemon(fake):
    fake.answers[("GET", "/v1/batches/B17")] = batch(plan=plan())
    process = watch(fake)
    wait_for("it watches", lambda: looks(fake) >= 2)
    fake.answers[("GET", "/v1/batches/B17")] = Raw(b"")
    assert "Asking again each second." in process.stderr.readline()
    fake.answers[("GET", "/v1/batches/B17")] = batch(plan=DONE)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (0, "mailfused answers again.\n")
    assert out.endswith("done: 4,990 recipients released\n")


# ---- with a real gate


def shown(running):
    return running.cli("show", "B1").stdout


def run(running, *arguments):
    """What a person reads; it must go well."""
    done = running.cli("--yes", *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def follow(running, *arguments):
    return subprocess.Popen([CLI, "--control", running.control, *arguments], text=True,
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, env=running.environment)


def test_rings_are_released_and_watched(holding, sink):
    running, batch, names = holding(12)
    dry = run(running, "release", "B1", "--rings", "2,4,all", "--dry-run")
    assert dry.startswith("Would release 12 recipients (12 messages) of B1 in rings of 2, 4 and ")
    assert "  Ring 1: 2 recipients\n  Ring 2: 4 recipients\n  Ring 3: 6 recipients\n" in dry
    assert batch.show()["held"] == 12 and not sink.messages
    out = run(running, "release", "B1", *REASON, "--rings", "2,4,all", "--wait", "1s",
              "--stop-on", "2%", "--follow")
    assert out.startswith("Released 2 of 12 recipients of B1: ring 1 of 3.")
    assert "\nB1  ring 1 of 3: " in out and "\nB1  ring 2 of 3: " in out
    assert out.endswith("B1  ring 3 of 3: 6 of 6 sent; done: 12 recipients released\n")
    assert sorted(sink.recipients()) == sorted(names)
    out = shown(running)
    assert "Release      done: 12 of 12 recipients released, by uid:" in out
    assert "Rings        2 (done), 4 (done), all that is left (done); 1 s after each; " in out
    assert "Ring 3       6 of 6 sent, refused 0 for now (4xx), 0 for good (5xx)\n" in out


def test_rings_on_a_terminal(holding, sink):
    """The question, then bars that are drawn over each other until it is done."""
    running, _, names = holding(12)
    program = [CLI, "--control", running.control, "release", "B1", *REASON, "--rings", "2,4,all"]
    code, seen = on_terminal(running.environment | {"TERM": "xterm", "LC_ALL": "C.UTF-8"}, program,
                             b"y\n")
    assert code == 0, seen
    assert ("Release 12 recipients of B1 to production's upstream in rings of 2, 4 and all that is "
            "left? [y/N] ") in seen
    assert "\x1b[4A\r" in seen and "\u2588" in seen
    last = seen.split("\x1b[4A\r")[-1]
    assert "B1 done: 12 recipients released\x1b[K" in last and " 6 of 6 sent\x1b[K" in last
    assert sorted(sink.recipients()) == sorted(names)


def test_interrupted_watching_leaves_the_release_alone(holding, sink):
    running, batch, _ = holding(12)
    sink.rule = Valve(free=1)
    process = follow(running, "release", "B1", *REASON, "--rings", "4,all", "--follow")
    assert "ring 1 of 2" in process.stdout.readline()
    assert process.stdout.readline().startswith("B1  ring 1 of 2: ")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0 and "the release goes on" in err
    assert batch.plan["state"] == "running"
    sink.rule.open()
    batch.wait_plan("done")
    assert len(sink.recipients()) == 12


def test_refusals_pause_it_and_a_person_goes_on(holding, sink):
    running, batch, names = holding(12)
    sink.rule = Refuse("550 5.1.1 no such user", names={names[1]})
    process = follow(running, "release", "B1", *REASON, "--rings", "4,all", "--stop-on", "2",
                     "--follow")
    out, err = process.communicate(timeout=60)
    assert process.returncode == 1, (out, err)
    assert out.splitlines()[-1].startswith("B1  ring 1 of 2: ")
    assert ", refused 0 (4xx), 1 (5xx); paused: " in out.splitlines()[-1]
    assert "550 5.1.1 no such user" in err and "mailfuse resume B1" in err
    out = shown(running)
    assert "Batch B1  paused: " in out
    assert "Paused       " in out and ": mailfuse resume B1\n" in out
    assert "Refused      1 time: 550 5.1.1 no such user\n" in out
    assert "B1     paused 1/2" in running.cli("batches").stdout
    sink.rule = None
    out = run(running, "resume", "B1", *REASON, "--rate", "1000/1s", "--follow")
    assert out.startswith("Resumed B1: ") and "done: 12 recipients released" in out
    assert len(set(sink.recipients())) == 11
    assert "Resumed B1" not in running.cli("resume", "B1").stdout, "there is nothing to resume"


def test_pause_holds_what_has_not_left(holding, sink):
    running, batch, _ = holding(12)
    sink.rule = Valve(free=1)
    run(running, "release", "B1", *REASON, "--rings", "6,all")
    wait_for("four are with the upstream", lambda: len(sink.rule.waiting) >= 1)
    out = run(running, "pause", "B1", "--reason", "look first")
    assert out.startswith("Paused B1: ") and out.endswith("mailfuse resume B1\n")
    assert "look first" in shown(running)
    sink.rule.open()
    batch.wait(state="paused")
    run(running, "resume", "B1")
    batch.wait_plan("done")
    assert len(sink.recipients()) == len(set(sink.recipients())) == 12


def test_a_second_person_approves(holding, sink):
    running, batch, _ = holding(8, more="approval { above = 5 }\n")
    dry = run(running, "release", "B1", "--dry-run")
    assert "Needs approval: a second person must say yes before anything is sent.\n" in dry
    out = run(running, "release", "B1", *REASON, "--rings", "2,all")
    assert out.startswith("Nothing was sent yet. This release of 8 recipients is beyond what "
                          "one person may release of a batch (5 recipients, and nothing that was "
                          "imported or is still to come): a second person must approve it before "
                          "20")
    assert out.endswith(": mailfuse approve B1\n")
    assert "Approval     waits for 1 more person until 20" in shown(running)
    assert "held, asked" in running.cli("batches").stdout
    done = running.cli("--yes", "approve", "B1")
    assert done.returncode == 1 and not sink.messages, "who asked is no second person"
    if os.geteuid() != 0:
        pytest.skip("a second person needs a second uid")
    os.chmod(running.run, 0o755)
    os.chmod(running.control, 0o666)
    program = [CLI, "--control", running.control, "--yes", "approve", "B1", "--follow"]
    done = subprocess.run(program, capture_output=True, text=True, timeout=60, user=65534,
                          group=65534, extra_groups=[], stdin=subprocess.DEVNULL,
                          env=running.environment, cwd="/")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Approved. Released 2 recipients of B1")
    assert "done: 8 recipients released" in done.stdout
    assert "Approved by  uid:65534(nobody)\n" in shown(running)
    assert len(sink.recipients()) == 8


def test_parts_are_discarded_restored_and_purged(holding, sink):
    running, batch, names = holding(10)
    assert run(running, "discard", "B1", *REASON, "--first", "4").startswith(
        "Discarded 4 recipients (4 messages) of B1. Still held: 6.")
    assert run(running, "restore", "B1", "--to", names[0]).startswith("Restored 1 recipient ")
    ids = "".join(json.dumps(row) + "\n"
                  for row in running.do("messages", "B1", "--state", "discarded"))
    done = subprocess.run([CLI, "--control", running.control, "purge", "-", *REASON, "--yes"],
                          input=ids, capture_output=True, text=True, timeout=60,
                          env=running.environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "Deleted 3 recipients (3 messages) of 3 ids. They are gone for good.\n"
    assert {state: len(r) for state, r in batch.by_state().items()} == {"held": 7}
    done = running.cli("--yes", "restore", "B1")
    assert done.returncode == 1, "nothing brings back what was purged"
    assert not sink.messages


def test_what_follows_passes_for_a_time(holding, sink):
    running, batch, _ = holding(3)
    out = run(running, "release", "B1", *REASON, "--stream", "1h")
    assert "Mail that follows passes for 1h." in out
    wait_for("they have left", lambda: len(sink.messages) == 3)
    assert "What follows passes until 20" in shown(running)
