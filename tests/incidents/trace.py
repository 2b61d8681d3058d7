"""Traces for `mailfuse simulate`: the rows, the CSV they become, and one run over them."""

import csv
import json
import os
import subprocess
from pathlib import Path
from typing import NamedTuple

TOP = Path(__file__).resolve().parents[2]
MAILFUSE = os.environ.get("MAILFUSE", str(TOP / "build" / "mailfuse"))
# Read where the tests run from an unpacked release, too.
PRODUCTION_CONF = TOP / "etc" / "production.conf"


class Row(NamedTuple):
    """One line of a trace; simulate/simulate.h says what the columns are.

    `recipients` is a list of addresses, or a number of different made-up people.
    """

    time: float
    client: str
    sender: str
    subject: str
    recipients: object
    body: str = ""
    user: str = ""
    size: int = 6000
    over: float = 0
    campaign: str = ""
    audience: int = 0
    label: str = "ok"

    def count(self):
        return self.recipients if isinstance(self.recipients, int) else len(self.recipients)


COLUMNS = ("time", "client", "user", "sender", "subject", "recipients", "size", "over", "campaign",
           "audience", "body", "label")


def write(rows, path):
    """Writes the rows, which are in the order of time; returns the path."""
    with open(path, "w", encoding="utf-8", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(COLUMNS)
        for row in rows:
            fields = row._asdict()
            fields["time"] = f"{row.time:.3f}"
            fields["over"] = f"{row.over:.3f}" if row.over else ""
            fields["audience"] = row.audience or ""
            if not isinstance(row.recipients, int):
                fields["recipients"] = " ".join(row.recipients)
            lines.writerow(fields[name] for name in COLUMNS)
    return path


def simulate_raw(path, config, *options, deadline=300):
    """The JSON objects that `mailfuse simulate` prints."""
    result = subprocess.run(
        [MAILFUSE, "simulate", "--config", str(config), "--trace", str(path), "--json", *options],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=deadline)
    assert result.returncode == 0, result.stderr[-2000:]
    return [json.loads(line) for line in result.stdout.splitlines()]


def simulate(path, config=PRODUCTION_CONF):
    """(total, rules) of one run."""
    objects = simulate_raw(path, config)
    totals = [o for o in objects if o["kind"] == "total"]
    assert len(totals) == 1, objects
    return totals[0], [o for o in objects if o["kind"] == "rule"]
