"""What each incident would have come to behind etc/production.conf: a table.

    python3 -m incidents.table [INCIDENT...]        (in tests/; MAILFUSE names the program)
"""

import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from . import scenarios
from .trace import PRODUCTION_CONF, simulate, write

# Where tests of mail belong: colleagues are reached, nobody else is.
STAGING_CONF = """environment "staging" {
	match { network = {"10.2.0.0/16"} }
	allow = {"@company.example"}
	others = drop
}
"""
RATES = (0.4, 1, 2, 3, 5, 10, 15, 25, 50, 100, 1000)


class Outcome(NamedTuple):
    """Of one run; counts are recipients, `alerted` is in seconds, or None."""

    recipients: int
    reached: int
    copies: int
    held: int
    dropped: int
    alerted: float
    rule: str  # that held most of it

    @classmethod
    def of(cls, total, rules):
        rule = max(rules, key=lambda r: r["held"])
        return cls(total["blast"], total["blast_reached"], total["most_copies"],
                   total["blast_held"], total["dropped"], total["time_to_alert"],
                   rule["rule"] if rule["held"] else "-")


def run(rows, directory, config=PRODUCTION_CONF):
    """One trace through `mailfuse simulate`."""
    return Outcome.of(*simulate(write(rows, Path(directory) / "trace.csv"), config))


def run_production(incident, directory):
    """As it happened: with mail that may go to anybody."""
    return run(incident.rows(scenarios.PRODUCTION), directory)


def run_staging(incident, directory):
    """Where it should have happened: in an environment of its own."""
    config = Path(directory) / "staging.conf"
    config.write_text(STAGING_CONF)
    return run(incident.rows(scenarios.STAGING), directory, config)


HEADINGS = ("incident", "recipients", "reached", "most copies", "held", "alert after", "held by",
            "assumed")
WORDS = {0, 6, 7}  # columns that are no numbers


def line(name, outcome, assumed):
    after = "-" if outcome.alerted is None else f"{outcome.alerted:.1f} s"
    return (name, f"{outcome.recipients:,}", f"{outcome.reached:,}", str(outcome.copies),
            f"{outcome.held:,}", after, outcome.rule, assumed)


def format_table(lines, headings=HEADINGS):
    """Columns with two spaces between them, numbers to the right."""
    rows = [headings, *lines]
    widths = [max(len(row[n]) for row in rows) for n in range(len(headings))]
    return "\n".join(
        "  ".join(row[n].ljust(width) if n in WORDS else row[n].rjust(width)
                  for n, width in enumerate(widths)).rstrip() for row in rows)


def production_lines(directory, names=()):
    for incident in scenarios.INCIDENTS:
        if not names or incident.id in names:
            yield line(incident.id, run_production(incident, directory), incident.assumed)


def staging_lines(directory):
    for incident in scenarios.INCIDENTS:
        if incident.was_test:
            yield line(incident.id, run_staging(incident, directory), "")


def other_lines(directory):
    yield line("nyt-2011, declared", run(scenarios.declared(scenarios.PRODUCTION), directory),
               "the same, had the job declared its audience of 300")
    yield line("every subject another", run(scenarios.personal(scenarios.PRODUCTION), directory),
               "5,000 letters at 50/s with the reader's name in the subject")


def rate_lines(directory):
    for rate in RATES:
        outcome = run(scenarios.steady(rate)(scenarios.PRODUCTION), directory)
        yield line(f"{rate}/s", outcome, "one subject, for half an hour or 20,000 recipients")


def main(names):
    known = [incident.id for incident in scenarios.INCIDENTS]
    unknown = [name for name in names if name not in known]
    if unknown:
        sys.exit(f"There is no incident {', '.join(unknown)}; there are: {' '.join(known)}")
    with tempfile.TemporaryDirectory() as directory:
        print("Behind etc/production.conf; counts are recipients:\n")
        print(format_table(production_lines(directory, names)))
        if names:
            return
        print("\nThose that were tests, in an environment for tests: mail for customers is dropped.\n")
        print(format_table(staging_lines(directory)))
        print("\nBeside the incidents:\n")
        print(format_table(other_lines(directory)))
        print("\nOne blast at many rates:\n")
        print(format_table(rate_lines(directory)))


if __name__ == "__main__":
    main(sys.argv[1:])
