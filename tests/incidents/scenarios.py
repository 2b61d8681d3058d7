"""Each incident of incidents.json as rows of a trace, with what had to be assumed.

What a source does not say is assumed, and the assumption stands beside the figures in the table.
How many people a list had does not change what gets out, for the rest of it is held whatever its
length; how fast they were mailed does, which is why the table ends with one blast at many rates.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

from .trace import Row

PUBLISHED = {entry["id"]: entry
             for entry in json.loads((Path(__file__).parent / "incidents.json").read_text())}

HOUR, MINUTE = 3600, 60
PRODUCTION, STAGING = "10.1.0.7", "10.2.0.7"


@dataclass
class Incident:
    """`rate`: recipients a second while a wave lasts; `copies`: what one person would have got."""

    id: str
    assumed: str
    rate: float
    rows: Callable  # (client) -> rows, all of them labelled blast
    copies: int = 1

    @property
    def fast(self):
        return self.rate >= 25

    @property
    def repeats(self):
        return self.copies > 1

    @property
    def was_test(self):
        """It came out of an environment that was for nobody's eyes."""
        return PUBLISHED[self.id]["environment_kind"] in ("test", "development")


def people(count, name="c"):
    return [f"{name}{n}@customers.example" for n in range(count)]


def wave(subject, body, count, rate, sender="news@company.example", start=0.0):
    """One mail to `count` different people, a message each."""
    def rows(client):
        yield Row(start, client, sender, subject, count, body, over=count / rate, label="blast")
    return rows


def rounds(subject, body, who, times, pause, rate, sender="robot@company.example"):
    """The same mail to the same people, again and again: a round every `pause` seconds."""
    def rows(client):
        for n in range(times):
            yield Row(n * pause, client, sender, subject, who, body, over=len(who) / rate,
                      label="blast")
    return rows


def church(client):
    """Everybody once, and while that goes on one in ten up to seven times more."""
    who = people(15000)
    yield Row(0, client, "news@company.example", "Getting to know your church software", who,
              "Hello, here is how to begin.", over=len(who) / 50, label="blast")
    for n in range(7):
        yield Row(10 + 40 * n, client, "news@company.example",
                  "Getting to know your church software", who[::10],
                  "Hello, here is how to begin.", over=len(who) / 500, label="blast")


def giftcards(client):
    """Three waves, Saturday noon and evening, and Sunday; each has some of the people."""
    who = people(10000)
    for wave_number, (hour, share) in enumerate(((12, 1), (20, 2), (36, 3))):
        for n, start in enumerate(range(0, len(who), 1000)):
            some = who[start:start + 1000:share]
            yield Row(hour * HOUR + n * 20 / share, client, "orders@company.example",
                      f"Your order #{113 + wave_number}-{n}{start:05d} of a gift card", some,
                      "Thank you for your order.", over=len(some) / 50, label="blast")


def reply_all(client):
    """A list of everybody; then 80 people answer to all of it. The server mails each a message."""
    who = people(400, "staff")
    yield Row(0, client, "list@company.example", "test", who, " ", over=len(who) / 1000,
              label="blast")
    for n in range(80):
        yield Row(60 + n * 50, client, f"person{n}@company.example", "Re: test", who,
                  "Please take me off this list.", over=len(who) / 1000, label="blast")


def mention(client):
    """A comment that names a team, and the team answers."""
    who = people(1000, "member")
    for n in range(25):
        yield Row(n * 120, client, "notifications@company.example",
                  "Re: [organisation/project] A small correction (PR #29)", who,
                  "@organisation/everybody please look at this." if n == 0 else "Why me?",
                  over=len(who) / 500, label="blast")


INCIDENTS = (
    Incident("hbo-max-2021",
             "list unknown: 30,000; one wave, rate unknown: 50/s",
             50, wave("Integration Test Email #1",
                      "This template is used by integration tests only.", 30000, 50)),
    Incident("softentropy-2013",
             "1.6 million in 20 runs, scaled to 1,000 customers a run; a run an hour; one "
             "template; rate unknown: 50/s",
             50, rounds("Your account has changed", "Dear customer, have a look.", people(1000), 20,
                        HOUR, 50), copies=20),
    Incident("boingo-2010",
             "list unknown: 20,000, evenly over 48 h; the raw fields written {{so}}",
             0.12, wave("Your subscription was cancelled",
                        "Account {{account_number}}, plan {{plan_name}}, {{cancel_reason}}", 20000,
                        20000 / (48 * HOUR))),
    Incident("church-community-builder-2015",
             "list unknown: 15,000, of whom 1,500 get 8 copies; rate unknown: 50/s",
             50, church, copies=8),
    Incident("nyt-2011",
             "8.6 million in 3 h, scaled to 100,000 at the same rate: 796/s",
             796, wave("Important information regarding your subscription",
                       "Our records indicate that you recently requested to cancel.", 100000,
                       8600000 / (3 * HOUR))),
    Incident("ed-accenture-2022",
             "9 million in 48 h, scaled to 30,000 at the same rate: 52/s",
             52, wave("Your Student Loan Debt Relief Plan Application Has Been Approved",
                      "You will soon receive an update.", 30000, 9000000 / (48 * HOUR))),
    Incident("uky-2021",
             "500,000 scaled to 30,000; one send, rate unknown: 50/s",
             50, wave("You have been accepted", "Welcome to our programme.", 30000, 50)),
    Incident("coinbase-2021",
             "125,000 in 82 minutes, scaled to 30,000 at the same rate: 25/s",
             125000 / (82 * MINUTE),
             wave("Your 2-step verification settings have been changed",
                  "If this was not you, secure your account.", 30000, 125000 / (82 * MINUTE))),
    Incident("ucsd-2009",
             "one send of 46,377, rate unknown: 50/s",
             50, wave("We are thrilled that you have been admitted", "Come and visit us.", 46377,
                      50)),
    Incident("buffalo-2016",
             "one send of 5,109, rate unknown: 50/s",
             50, wave("Your application", "Congratulations on your acceptance.", 5109, 50)),
    Incident("amazon-giftcard-2023",
             "list unknown: 10,000, in three waves on two days; order numbers in the subject; rate "
             "unknown: 50/s",
             50, giftcards, copies=3),
    Incident("amazon-babyregistry-2017",
             "list unknown: 30,000; one wave, rate unknown: 50/s",
             50, wave("A gift is on the way", "Someone bought you a gift from your baby registry.",
                      30000, 50)),
    Incident("twitter-reset-2014",
             "below 1 % of accounts taken as 2 million; an evening as 4 h; scaled to 30,000 at "
             "that rate: 139/s",
             139, wave("Your password has been reset", "Please choose a new one.", 30000,
                       2000000 / (4 * HOUR))),
    Incident("aa-2017",
             "list unknown: 30,000; one wave, rate unknown: 50/s",
             50, wave("Your password has been changed", "If this was not you, call us.", 30000,
                      50)),
    Incident("shutterfly-2014",
             "list unknown: 30,000; one wave, rate unknown: 50/s",
             50, wave("As a new parent, you know the joys of parenthood", "Send thank-you cards.",
                      30000, 50)),
    Incident("epic-github-2022",
             "398,463 scaled to 1,000; one mention and 24 answers, two minutes apart; rate "
             "unknown: 500/s",
             500, mention, copies=25),
    Incident("nhs-2016",
             "850,000 scaled to 400; a list server that mails each a message, 1,000/s; 80 answers "
             "in 67 minutes",
             1000, reply_all, copies=81),
    Incident("nextrelease-2020",
             "customers unknown: 300; 120 copies each in 8 h, a round every 4 minutes: 1.25/s",
             1.25, rounds("Your weekly summary", "This is what happened at your company.",
                          people(300), 120, 4 * MINUTE, 1.25), copies=120),
    Incident("safebase-courier-2023",
             "people unknown: 40; a retry every 10 minutes for 6 h: 36 copies, 1/s in a round",
             1, rounds("An update of the documents you follow", "Version 4 is there.", people(40),
                       36, 10 * MINUTE, 1), copies=36),
    Incident("mediainfo-2015",
             "nothing: 10 people, 85 copies in 126 minutes",
             10 / MINUTE, rounds("Your daily media news", "Good morning.", people(10), 85,
                                 126 * MINUTE / 85, 10), copies=85),
)

# Nothing is left out: of each the number of waves or copies is known or can be bounded.
assert {i.id for i in INCIDENTS} == set(PUBLISHED)


def declared(client):
    """The New York Times, had the job said in its header that it is for 300 people."""
    yield Row(0, client, "news@company.example",
              "Important information regarding your subscription", 30000,
              "Our records indicate that you recently requested to cancel.",
              over=30000 * 3 * HOUR / 8600000, campaign="cancelled-2011-12", audience=300,
              label="blast")


def personal(client):
    """A blast in which every subject is another: two streams of one letter each are no stream."""
    names = [a + b for a in ("Al", "Be", "Ca", "Da", "El", "Fa", "Ga", "Ha", "In", "Jo", "Ka", "Li")
             for b in ("an", "bert", "cia", "dor", "emma", "fred", "gar", "helm", "ilia", "jan")]
    for n in range(5000):
        who = f"{names[n % 120]} {names[n // 120 % 120].lower()}"
        yield Row(n / 50, client, "news@company.example", f"{who}, your account was closed",
                  [f"p{n}@customers.example"], "We are sorry to see you go.", label="blast")


def steady(rate):
    """One blast of this many recipients a second, for half an hour or 20,000."""
    return wave("A message to all of you", "Hello.", min(20000, int(rate * 1800)), rate)
