"""The audit log's chain: whatever is done to the rows with the sqlite3 tool is found and named."""

import hashlib
import json
import re
import sqlite3
import subprocess
from urllib.parse import urlencode

import pytest

from rig.batch import channel
from rig.gate import QUIET, listener, staging, upstream
from rig.wait import wait_for

ROWS = 12
PAGE = 1000


@pytest.fixture
def logged(make_gate, sink):
    """A gate whose audit log has ROWS rows more than a fresh one."""
    gate = make_gate(listener() + upstream(sink) + staging(f'allow = {{"*"}} {QUIET}')).start()
    press(gate, ROWS)
    return gate


def press(gate, rows):
    for n in range(rows):
        call = "/v1/unhold" if n % 2 else "/v1/hold"
        status, answer = gate.api("POST", call, {"scope": "source", "name": f"10.0.0.{n // 2}",
                                                 "reason": f"because {n}"})
        assert status == 200, answer


def tamper(gate, sql):
    result = subprocess.run(["sqlite3", "-bail", "-cmd", ".timeout 5000", str(gate.store)],
                            input=sql, text=True, capture_output=True, timeout=30)
    assert result.returncode == 0 and not result.stderr, result.stderr


def verify(gate, *arguments):
    result = gate.cli("audit", "verify", *arguments)
    return result.returncode, result.stdout + result.stderr


def head(gate):
    code, text = verify(gate)
    assert code == 0, text
    found = re.search(r"^([\d,]+) rows, chain is whole; head (\d+:[0-9a-f]{64})$", text, re.M)
    rows = int(found[1].replace(",", ""))
    assert found[2].startswith(f"{rows}:"), text
    return rows, found[2]


def link(before, row):
    """The hash of a row, as base/audit_chain.c computes it."""
    def number(n):
        return (n & (2**64 - 1)).to_bytes(8, "little")

    texts = b"".join(number(len(t.encode())) + t.encode() for t in row[2:7])
    return hashlib.sha256(before + number(row[0]) + number(row[1]) + texts).digest()


def recompute(gate, first, last=None, with_head=True):
    """What somebody who knows the source does: the hashes from `first` on anew."""
    db = sqlite3.connect(gate.store, timeout=10)
    rows = db.execute("SELECT id, at, who, action, object, reason, detail, hash FROM audit"
                      " ORDER BY id").fetchall()
    before = bytes(32)
    for row in rows:
        digest = row[7]
        if row[0] >= first and (last is None or row[0] <= last):
            digest = link(before, row)
            db.execute("UPDATE audit SET hash = ? WHERE id = ?", (digest, row[0]))
        before = digest
    if with_head:
        db.execute("UPDATE audit_head SET id = ?, hash = ?", (rows[-1][0], before))
    db.commit()
    db.close()


def test_an_untouched_log_is_whole(logged):
    rows, newest = head(logged)
    assert rows >= ROWS
    assert newest.endswith(logged.audit()[-1]["hash"])
    code, text = verify(logged, "--head", newest)
    assert code == 0, text
    logged.stop()
    logged.start()
    press(logged, 3)
    code, text = verify(logged, "--head", newest)
    assert code == 0 and f"{rows + 3} rows" in text, text


def test_a_log_of_many_pages_is_whole(logged):
    press(logged, PAGE * 2 + 10)
    assert head(logged)[0] >= PAGE * 2 + 10 + ROWS


LAST = "(SELECT max(id) FROM audit)"
SPLIT = "UPDATE audit SET id = -id WHERE id >= 5; UPDATE audit SET id = 1 - id WHERE id < 0;"

# name, what is done to the database, the row that the answer must name (L: the last, counted from
# it: "L-1"), and a word of it
TAMPERINGS = [
    ("at", "UPDATE audit SET at = at + 1 WHERE id = 5", "5", "altered"),
    ("who", "UPDATE audit SET who = 'uid:0(root)x' WHERE id = 5", "5", "altered"),
    ("action", "UPDATE audit SET action = 'hold.cleared ' WHERE id = 5", "5", "altered"),
    ("object", "UPDATE audit SET object = 'B99' WHERE id = 5", "5", "altered"),
    ("reason", "UPDATE audit SET reason = 'because 99' WHERE id = 5", "5", "altered"),
    ("reason emptied", "UPDATE audit SET reason = '' WHERE id = 5", "5", "altered"),
    ("detail", "UPDATE audit SET detail = detail || ' ' WHERE id = 5", "5", "altered"),
    ("hash", "UPDATE audit SET hash = zeroblob(32) WHERE id = 5", "5", "altered"),
    ("hash too short", "UPDATE audit SET hash = x'00' WHERE id = 5", "5", "altered"),
    ("hash as text", "UPDATE audit SET hash = lower(hex(hash)) WHERE id = 5", "5", "altered"),
    ("text moved to the next field",
     "UPDATE audit SET reason = '', object = object || reason WHERE id = 5", "5", "altered"),
    ("another type", "UPDATE audit SET reason = CAST(reason AS BLOB) WHERE id = 5", "5", "kind"),
    ("a time as text", "UPDATE audit SET at = 'x' || at WHERE id = 5", "5", "kind"),
    ("text behind a NUL", "UPDATE audit SET reason = reason || char(0) || 'no' WHERE id = 5", "5",
     "kind"),
    ("bytes that are no UTF-8",
     "UPDATE audit SET reason = CAST(reason || x'ff' AS TEXT) WHERE id = 5", "5", "altered"),
    ("first altered", "UPDATE audit SET reason = 'no' WHERE id = 1", "1", "altered"),
    ("last altered", f"UPDATE audit SET reason = 'no' WHERE id = {LAST}", "L", "altered"),
    ("first deleted", "DELETE FROM audit WHERE id = 1", "1", "missing"),
    ("middle deleted", "DELETE FROM audit WHERE id = 5", "5", "missing"),
    ("several deleted", "DELETE FROM audit WHERE id BETWEEN 5 AND 7", "5 to 7", "missing"),
    ("last deleted", f"DELETE FROM audit WHERE id = {LAST}", "L", "missing"),
    ("several last deleted", f"DELETE FROM audit WHERE id > {LAST} - 3", "L-2", "missing"),
    ("all deleted", "DELETE FROM audit", "1", "missing"),
    ("middle deleted and those behind moved up",
     "DELETE FROM audit WHERE id = 5; UPDATE audit SET id = id - 1 WHERE id > 5", "5", "altered"),
    ("two swapped", "UPDATE audit SET id = -5 WHERE id = 5; UPDATE audit SET id = 5 WHERE id = 6;"
     " UPDATE audit SET id = 6 WHERE id = -5", "5", "altered"),
    ("one repeated at the end", "INSERT INTO audit SELECT id + 100, at, who, action, object,"
     " reason, detail, hash FROM audit WHERE id = 5", "L+1", "missing"),
    ("one repeated behind itself",
     SPLIT + "INSERT INTO audit SELECT 5, at, who, action, object, reason, detail, hash"
     " FROM audit WHERE id = 4", "5", "altered"),
    ("one inserted at the start", "INSERT INTO audit SELECT 0, at, who, action, object, reason,"
     " detail, hash FROM audit WHERE id = 1", "0", "added"),
    ("one inserted before the start", "INSERT INTO audit SELECT -9, at, who, action, object,"
     " reason, detail, hash FROM audit WHERE id = 1", "-9", "added"),
    ("one inserted in the middle",
     SPLIT + "INSERT INTO audit VALUES(5, 1, 'uid:0(root)', 'batch.released', 'B1', 'x', '',"
     " zeroblob(32))", "5", "altered"),
    ("one inserted at the end", f"INSERT INTO audit SELECT {LAST} + 1, at, who, action, object,"
     f" reason, detail, hash FROM audit WHERE id = {LAST}", "L+1", "altered"),
    ("renumbered", "UPDATE audit SET id = 9000 WHERE id = 5", "5", "missing"),
    ("the largest number", f"UPDATE audit SET id = 9223372036854775807 WHERE id = {LAST}", "L",
     "missing"),
    ("head's hash altered", "UPDATE audit_head SET hash = zeroblob(32)", "L", "head"),
    ("head's row altered", "UPDATE audit_head SET id = id + 1", "L+1", "missing"),
    ("head set back", "UPDATE audit_head SET id = id - 1", "L", "added"),
    ("head deleted", "DELETE FROM audit_head", "L", "head"),
]


def named(wanted, last):
    return str(last + int(wanted[1:] or 0)) if wanted.startswith("L") else wanted


@pytest.mark.parametrize("sql, row, word", [t[1:] for t in TAMPERINGS],
                         ids=[t[0].replace(" ", "-") for t in TAMPERINGS])
def test_tampering_is_found_and_its_row_named(sql, row, word, logged):
    last = head(logged)[0]
    tamper(logged, sql)
    code, text = verify(logged)
    assert code == 1, text
    assert re.search(rf"rows? {re.escape(named(row, last))}\b", text.split(":", 1)[1]), text
    assert word in text, text


# The gate would not start with it, and says why.
STARTS = [t for t in TAMPERINGS if t[0] != "the largest number"]


@pytest.mark.parametrize("sql, row", [t[1:3] for t in STARTS],
                         ids=[t[0].replace(" ", "-") for t in STARTS])
def test_tampering_with_a_stopped_gate_is_found(sql, row, logged):
    """What was done to the end of the log the gate itself notes at its start, in the log."""
    last = head(logged)[0]
    logged.stop()
    tamper(logged, sql)
    logged.start()
    press(logged, 2)
    code, text = verify(logged)
    assert code == 1, text
    if "own note" in text:
        assert f"its last row was {last}" in text or "head" in sql, text
        assert "while no gate was running" in text
    else:
        assert re.search(rf"rows? {re.escape(named(row, last))}\b", text.split(":", 1)[1]), text


def test_a_log_and_head_that_are_gone_are_found_by_what_an_alert_told(logged):
    last, noted = head(logged)
    logged.stop()
    tamper(logged, "DELETE FROM audit; DELETE FROM audit_head")
    logged.start()
    press(logged, 2)
    assert verify(logged)[0] == 0
    code, text = verify(logged, "--head", noted)
    assert code == 1 and f"there was a row {last}" in text, text


def test_a_running_gate_notes_what_was_done_to_the_end_of_its_log(logged):
    last = head(logged)[0]
    tamper(logged, f"DELETE FROM audit WHERE id > {last - 2}")
    press(logged, 1)
    code, text = verify(logged)
    assert code == 1 and f"row {last - 1} is mailfuse's own note" in text, text
    assert "while the gate was running" in text, text
    # Who knows of it goes on from there.
    newest = logged.audit()[-1]
    code, text = verify(logged, "--head", f"{newest['id']}:{newest['hash']}")
    assert code == 0, text


def test_a_row_added_at_the_end_is_found_before_the_gate_sees_it(logged):
    last = head(logged)[0]
    tamper(logged, f"INSERT INTO audit SELECT {last} + 1, at, who, action, object, 'forged', '',"
                   f" hash FROM audit WHERE id = {last}")
    recompute(logged, last + 1, with_head=False)
    code, text = verify(logged)
    assert code == 1 and f"row {last + 1} was added" in text, text


def test_one_hash_computed_anew_is_found_by_the_row_behind(logged):
    head(logged)
    tamper(logged, "UPDATE audit SET reason = 'no' WHERE id = 5")
    recompute(logged, 5, 5, with_head=False)
    code, text = verify(logged)
    assert code == 1 and "row 6" in text and "row 5 before it was altered" in text, text


def test_the_last_rows_hash_computed_anew_is_found_by_the_head(logged):
    last = head(logged)[0]
    tamper(logged, f"UPDATE audit SET reason = 'no' WHERE id = {last}")
    recompute(logged, last, with_head=False)
    code, text = verify(logged)
    assert code == 1 and f"row {last} is not the one" in text, text


def test_a_whole_chain_computed_anew_is_found_by_what_an_alert_told(logged):
    last, noted = head(logged)
    tamper(logged, "UPDATE audit SET reason = 'no' WHERE id = 5")
    recompute(logged, 5)
    assert verify(logged)[0] == 0
    code, text = verify(logged, "--head", noted)
    assert code == 1 and f"row {last} is not the one" in text, text


def test_a_whole_log_cut_and_its_head_set_back_is_found_by_what_an_alert_told(logged):
    last, noted = head(logged)
    tamper(logged, f"DELETE FROM audit WHERE id > {last - 3}")
    recompute(logged, 1)
    assert verify(logged)[0] == 0
    code, text = verify(logged, "--head", noted)
    assert code == 1 and f"row {last - 2} is missing" in text, text


def test_the_head_that_an_alert_told_is_good_for_verify(make_gate, sink, webhook):
    gate = make_gate(listener() + upstream(sink) + staging(f'allow = {{"*"}} {QUIET}')
                     + channel(webhook)).start()
    press(gate, 4)
    wait_for("alerts", lambda: len(webhook.alerts) >= 4)
    for alert in webhook.alerts:
        noted = alert["audit"]
        code, text = verify(gate, "--head", f"{noted['id']}:{noted['hash']}")
        assert code == 0, text
    tamper(gate, "UPDATE audit SET reason = 'no' WHERE id = 2")
    recompute(gate, 2)
    noted = webhook.alerts[-1]["audit"]
    code, text = verify(gate, "--head", f"{noted['id']}:{noted['hash']}")
    assert code == 1 and f"row {noted['id']} is not the one" in text, text


def test_times_that_go_back_are_told_and_no_error(logged):
    head(logged)
    tamper(logged, "UPDATE audit SET at = at - 3600000000 WHERE id = 5")
    recompute(logged, 5)
    code, text = verify(logged)
    assert code == 0 and "row 5" in text and "clock" in text, text


def test_json_says_the_same(logged):
    answer = logged.one("audit", "verify")
    assert answer["whole"] is True and answer["problem"] is None
    assert answer["head"]["id"] == answer["rows"]
    tamper(logged, "UPDATE audit SET reason = 'no' WHERE id = 5")
    result = logged.cli("--json", "audit", "verify")
    answer = json.loads(result.stdout)
    assert result.returncode == 1
    assert (answer["whole"], answer["row"]) == (False, 5)


# ---- export

def export(gate, tmp_path, *arguments):
    result = gate.cli("audit", "export", "--json", *arguments)
    assert result.returncode == 0, result.stderr
    path = tmp_path / "audit.jsonl"
    path.write_text(result.stdout)
    return path, result.stdout.splitlines()


def test_an_export_can_be_verified_without_a_gate(logged, tmp_path):
    rows, noted = head(logged)
    path, lines = export(logged, tmp_path)
    assert len(lines) == rows
    logged.stop()
    code, text = verify(logged, "--file", path, "--head", noted)
    assert code == 0 and f"{rows} rows, chain is whole" in text, text


def test_a_part_of_an_export_can_be_verified(logged, tmp_path):
    rows = head(logged)[0]
    path, lines = export(logged, tmp_path, "--after", 5)
    assert len(lines) == rows - 5
    code, text = verify(logged, "--file", path)
    assert code == 1 and "rows 1 to 5 are missing" in text, text
    assert verify(logged, "--file", path, "--after", 5)[0] == 0
    path.write_text("\n".join(lines[:2] + lines[3:]) + "\n")
    code, text = verify(logged, "--file", path, "--after", 5)
    assert code == 1 and "row 8 is missing" in text, text


@pytest.mark.parametrize("change, wanted", [
    (lambda lines: lines[:4] + [lines[4].replace("because", "becausE")] + lines[5:], "row 5 was"),
    (lambda lines: lines[:4] + lines[5:], "row 5 is missing"),
    (lambda lines: lines[:4] + lines[3:], "row 4 stands behind row 4"),
    (lambda lines: lines[:3] + [lines[4], lines[3]] + lines[5:], "row 4 is missing"),
    (lambda lines: lines[:4] + ["{}"], "no row of an audit log"),
    (lambda lines: lines[:4] + ["not JSON"], "line 5"),
    (lambda lines: lines[:4] + ["[" * 100000], "line 5"),
])
def test_an_export_that_was_changed(change, wanted, logged, tmp_path):
    path, lines = export(logged, tmp_path)
    assert verify(logged, "--file", path)[0] == 0
    path.write_text("\n".join(change(lines)) + "\n")
    code, text = verify(logged, "--file", path)
    assert code == 1 and wanted in text, text


def test_the_rows_of_one_batch_or_object(logged):
    status, answer = logged.api("GET", "/v1/log?object=B17")
    assert status == 200 and answer["items"] == []
    everything = logged.api("GET", "/v1/log?limit=1000")[1]
    row = everything["items"][-1]
    status, answer = logged.api("GET", "/v1/log?" + urlencode(
        {"limit": 1000, "object": row["object"]}))
    assert row in answer["items"] and all(r["object"] == row["object"] for r in answer["items"])
    assert answer["head"] == everything["head"] == {"id": row["id"], "hash": row["hash"]}


@pytest.mark.parametrize("words", [[], ["check"], ["verify", "--head", "57"],
                                   ["verify", "--head", "57:abc"], ["verify", "--after", "3"],
                                   ["verify", "now"], ["export", "--file", "x"]])
def test_usage(words, logged):
    result = logged.cli("audit", *words)
    assert result.returncode == 2 and result.stderr, result
