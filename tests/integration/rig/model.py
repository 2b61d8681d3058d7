"""What the counting rules of an environment say, in the simplest way that could be right.

Written from DESIGN.md 4.5 and filters/gate.h, not from the C code: every key keeps all its arrivals
for ever and counts them one by one. Times are microseconds of the monotonic clock.

tests/unit/test_model.py holds the gate against it.
"""

import re
from dataclasses import dataclass, field

SECOND = 1_000_000
MINUTE, HOUR, DAY = 60 * SECOND, 3600 * SECOND, 86400 * SECOND
EXACT_MAX, SLICES = 32, 60  # filters/window.h: granularity
PARTS = ("source", "sender", "subject", "recipient", "campaign")  # beside the environment
ORDER = ("content", "audience", "burst")


@dataclass
class Rule:
    """One content, audience or burst rule. `mark`: what a content rule looks for."""

    kind: str
    name: str = ""
    limit: int = 0
    window: int = 10 * MINUTE
    per: tuple = ()
    head: int = 0
    head_window: int = 0
    settle: int = 0
    cooldown: int = HOUR
    action: str = "hold"
    declared: int = 0
    declared_window: int = 0
    mark: str = ""

    @property
    def full_name(self):
        return f"{self.kind} {self.name}" if self.name else self.kind

    @property
    def holds(self):
        return self.action == "hold"


@dataclass
class Mail:
    """As the gate sees it. `recipients` are those that may leave, as they were rewritten."""

    source: str
    sender: str
    subject: str
    recipients: list
    campaign: str = ""
    audience: int = 0
    marks: str = ""


@dataclass(eq=False)
class Delivery:
    """One recipient of one mail, and which counters hold it."""

    mail: Mail
    recipient: str
    at: int
    state: str = "pass"  # pass, wait (until `due`), hold, gone
    rule: Rule = None
    key: "Key" = None  # whose limit held it
    settle: int = 0
    opens: bool = False  # its trip began with this mail
    counted: int = 0  # what of that stream had left before its trip
    observed: Rule = None
    keys: list = field(default_factory=list)  # every counter of a rule that holds
    held: bool = False  # left nothing behind that would be a leak

    @property
    def due(self):
        return self.at + self.settle


class Window:
    """How a count is kept: to the microsecond for small limits, else in 60 slices."""

    def __init__(self, limit, length, sliced=False):
        self.length = length
        self.width = -(-length // SLICES) if sliced or limit > EXACT_MAX else 0

    def end(self, at):
        """The first moment at which what came `at` counts no more."""
        if self.width == 0:
            return at + self.length
        return at - at % self.width + self.width - 1 + self.length


class Key:
    """One counter: the arrivals of one stream under one rule."""

    def __init__(self, rule, terms):
        self.rule, self.limit = rule, terms.limit
        self.trips = 0  # how often it tripped
        self.all = Window(terms.limit, terms.window, rule.kind == "audience")
        self.head = Window(terms.head, terms.head_window)
        self.forget()

    def forget(self):
        self.arrivals = []
        self.tripped = False
        self.cooled = False  # its trip ended, and nobody was told yet
        self.over_until = None

    def end_trip(self):
        self.tripped, self.cooled = False, True

    def within(self, now, window):
        return [d for d in self.arrivals if window.end(d.at) > now]

    def count(self, now):
        return len(self.within(now, self.all))

    def head_count(self, now):
        return len(self.within(now, self.head))

    def left(self, now):
        return sum(not d.held for d in self.within(now, self.all))

    def cools(self, now):
        """Its trip ends: the stream has stayed under its limit for the cooldown."""
        cooldown = self.rule.cooldown
        if cooldown == 0:
            if self.rule.holds:
                return False  # until somebody decides
            cooldown = 1
        return self.tripped and now >= self.over_until + cooldown

    def note_over(self, now):
        """When the count falls to the limit again if nothing more comes."""
        ends = sorted(self.all.end(d.at) for d in self.within(now, self.all))
        if len(ends) > self.limit:
            until = ends[len(ends) - self.limit - 1]
            self.over_until = until if self.over_until is None else max(self.over_until, until)


@dataclass
class Terms:
    """What a rule asks of one mail."""

    limit: int
    window: int
    head: int = 0
    head_window: int = 0
    settle: int = 0
    tag: str = ""


@dataclass
class Row:
    """One key of one rule, as `explain` tells it."""

    rule: Rule
    before: int
    after: int
    head_before: int
    limit: int
    trips: bool


class Model:
    def __init__(self, rules):
        self.rules = sorted(rules, key=lambda r: ORDER.index(r.kind))
        self.keys = {}
        self.tripped = []  # what the last mail made trip and call back

    @staticmethod
    def terms(rule, mail):
        """None where the rule does not count this mail."""
        if rule.kind == "content" and rule.mark not in mail.marks:
            return None
        if rule.kind == "audience":
            if not mail.campaign or not mail.audience:
                return None
            return Terms(mail.audience, rule.window)
        if rule.declared and mail.campaign and 0 < mail.audience <= rule.declared:
            return Terms(rule.declared, rule.declared_window, tag="declared")
        return Terms(rule.limit, rule.window, rule.head, rule.head_window, rule.settle)

    @staticmethod
    def identity(rule, terms, mail, recipient):
        values = {"source": mail.source, "sender": mail.sender.lower(),
                  "subject": re.sub("[0-9]+", "#", mail.subject),
                  "campaign": mail.campaign, "recipient": recipient.lower()}
        return (rule.full_name, terms.tag,
                *((part, values[part]) for part in PARTS if part in rule.per))

    def groups(self, rule, mail):
        """The places of a mail's recipients by key, with the terms; empty if it is not counted."""
        terms, found = self.terms(rule, mail), {}
        if terms:
            for place, recipient in enumerate(mail.recipients):
                found.setdefault(self.identity(rule, terms, mail, recipient), []).append(place)
        return terms, found

    def look(self, rule, terms, identity, n, now):
        """(key, row) as things stand; a key that nobody has seen is made but not kept."""
        key = self.keys.get(identity) or Key(rule, terms)
        limit = min(key.limit, terms.limit) if rule.kind == "audience" else key.limit
        before = key.count(now)
        still = key.tripped and not key.cools(now)
        return key, Row(rule, before, before + n, key.head_count(now), limit,
                        still or before + n > limit)

    def explain(self, mail, now):
        rows = []
        for rule in self.rules:
            terms, groups = self.groups(rule, mail)
            rows += [self.look(rule, terms, identity, len(places), now)[1]
                     for identity, places in groups.items()]
        return rows

    def judge(self, mail, now):
        """A Delivery for each recipient."""
        deliveries = [Delivery(mail, r, now) for r in mail.recipients]
        self.tripped = []
        for rule in self.rules:
            terms, groups = self.groups(rule, mail)
            for identity, places in groups.items():
                self.judge_key(rule, terms, identity, [deliveries[i] for i in places], now)
        for d in deliveries:
            d.held = d.state == "hold"
        return deliveries

    def judge_key(self, rule, terms, identity, deliveries, now):
        key, row = self.look(rule, terms, identity, len(deliveries), now)
        self.keys[identity] = key
        key.limit = row.limit
        if key.cools(now):
            key.end_trip()
        # A trip needs a batch to decide on: where earlier rules hold all of it, the next that they
        # do not hold makes it trip.
        hidden = rule.holds and all(d.state == "hold" for d in deliveries)
        trips_now = row.trips and not key.tripped and not hidden
        if trips_now:
            key.tripped, key.cooled, key.counted = True, False, key.left(now)
            key.trips += 1
            # An audience calls nothing back: those within it may leave.
            self.tripped += [key] * (rule.kind != "audience")
        for i, d in enumerate(deliveries):
            surplus = row.before + i >= row.limit if rule.kind == "audience" else row.trips
            if surplus and rule.holds:
                self.hold(d, rule, key, trips_now)
            elif surplus:
                d.observed = d.observed or rule
            elif terms.head and terms.settle and rule.holds and row.head_before + i >= terms.head:
                self.wait(d, rule, terms)
            d.keys += [key] * rule.holds
        key.arrivals += deliveries
        key.note_over(now)

    @staticmethod
    def hold(d, rule, key, opens):
        if d.state != "hold":
            d.state, d.rule, d.key, d.settle = "hold", rule, key, 0
            d.opens, d.counted = opens, key.counted

    @staticmethod
    def wait(d, rule, terms):
        if d.state == "pass" or (d.state == "wait" and d.settle < terms.settle):
            d.state, d.rule, d.settle = "wait", rule, terms.settle

    def cool(self, now):
        """The keys whose trip has ended since somebody asked."""
        for key in self.keys.values():
            if key.cools(now):
                key.end_trip()
        cooled = [k for k in self.keys.values() if k.cooled]
        for key in cooled:
            key.cooled = False
        return cooled
