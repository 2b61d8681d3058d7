#!/usr/bin/python3 -B
"""The gate against the model in tests/integration/rig/model.py; `make check` runs it.

Random policies, random arrivals, on a clock of our own: the same verdicts and the same counts,
whatever the wall clock does and however often the counters come back out of what was kept.
gate_tool (see gate_tool.c) stands between. A case that fails is made as short as it goes and
printed. `test_model.py SEED [COUNT]` runs others by hand.
"""

import os
import random
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "integration"))

from rig.model import DAY, HOUR, MINUTE, PARTS, SECOND, Mail, Model, Rule  # noqa: E402

TOOL = os.environ.get("GATE_TOOL", "tests/unit/gate_tool")
CASES = int(os.environ.get("MODEL_CASES", "500"))


class Mismatch(Exception):
    """The gate and the model say different things."""


def check(what, said, wanted):
    if said != wanted:
        raise Mismatch(f"{what}: the gate says {said}, the model {wanted}")


# ---- the gate


class Tool:
    """The program; one question, one answer."""

    def __init__(self):
        self.process = subprocess.Popen([TOOL], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True, bufsize=1)

    def ask(self, *words):
        try:
            self.process.stdin.write("\t".join(map(str, words)) + "\n")
            answer = self.process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if not answer.endswith("\n"):
            raise Mismatch(f"gate_tool ended with {self.process.wait()} at: {words}")
        return answer[:-1]

    def close(self):
        self.process.stdin.close()
        assert self.process.wait() == 0


def config_of(rules):
    """The policy as an operator would write it."""
    out = ['listener "apps" { address = "127.0.0.1:0" }',
           'upstream "out" { address = "127.0.0.1:25" }',
           'environment "production" {', "production = true",
           'match { network = {"127.0.0.0/8"} }']
    for r in rules:
        if r.kind == "audience":
            out.append(f'campaign_window = "{r.window // SECOND}s"')
            continue
        keys = [f"per = {{{', '.join(('environment', *r.per))}}}",
                f'cooldown = "{r.cooldown // SECOND}s"', f"action = {r.action}"]
        if r.kind == "burst":
            keys.append(f'limit = "{r.limit}/{r.window // SECOND}s"')
        else:
            keys.append(f"header = \"X-Mark\" match = '/{r.mark}/'")
            if r.limit:
                keys.append(f'above = "{r.limit}/{r.window // SECOND}s"')
        if r.head:
            keys.append(f'head = "{r.head}/{r.head_window // SECOND}s" '
                        f'settle = "{r.settle // SECOND}s"')
        if r.declared:
            keys.append(f'declared = "{r.declared}/{r.declared_window // SECOND}s"')
        out.append(f'{r.kind} "{r.name}" {{ {" ".join(keys)} }}')
    return "\n".join([*out, "}", ""])


# ---- one case


class World:
    """The gate and the model side by side, and what became of every delivery."""

    def __init__(self, tool, rules, path):
        path.write_text(config_of(rules))
        tool.ask("policy", path)
        self.tool, self.model = tool, Model(rules)
        self.mono, self.wall = 1000 * SECOND, 1_800_000_000 * SECOND
        self.deliveries, self.messages = [], 0
        self.hashes, self.keys = {}, {}  # a stream's hash <-> its key in the model
        self.trips = {}  # a stream's hash -> number of its trip -> when, as the gate says
        self.unsaved, self.blurred = set(), set()
        self.seen = Counter()

    def run(self, events):
        for number, (verb, *words) in enumerate(events):
            try:
                getattr(self, verb)(*words)
            except Mismatch as mismatch:
                raise Mismatch(f"event {number}, {verb}: {mismatch}") from None

    def later(self, dt):
        self.mono += dt
        self.wall += dt

    def until(self, which, what, dt):
        """To where something of some key ends, or a microsecond beside it."""
        keys = [k for k in self.model.keys.values() if k.arrivals]
        if not keys:
            return
        key = keys[which % len(keys)]
        d = key.arrivals[-1 - which % min(len(key.arrivals), 40)]
        end = {"window": key.all.end(d.at), "head": key.head.end(d.at),
               "trip": (key.over_until or 0) + key.rule.cooldown}[what]
        self.later(max(0, end + dt - self.mono))

    def jump(self, dt):
        """The wall clock is set; the monotonic clock takes no notice."""
        self.wall += dt

    # -- arrivals

    def words(self, mail):
        return (self.mono, self.wall, mail.source, mail.sender, mail.subject, mail.campaign,
                mail.audience, mail.marks, *mail.recipients)

    def mail(self, mail):
        self.explain(mail)
        answers = self.tool.ask("judge", *self.words(mail)).split("\t")
        deliveries = self.model.judge(mail, self.mono)
        check("recipients", len(answers), len(deliveries))
        for place, (answer, d) in enumerate(zip(answers, deliveries)):
            d.number = (self.messages, place)
            self.compare(f"recipient {place} {d.recipient}", answer, d)
            self.seen[d.state] += 1
        self.messages += 1
        self.deliveries += deliveries
        for key in self.model.tripped:
            if key.rule.holds:
                self.recall(key)

    def compare(self, what, answer, d):
        action, rule, settle, observed, stream, keys = answer.split("|")
        check(f"{what}: verdict", (action, rule),
              (d.state, d.rule.full_name if d.rule else ""))
        check(f"{what}: observed", observed, d.observed.full_name if d.observed else "")
        if d.state == "wait":
            check(f"{what}: settle", int(settle), d.settle)
        self.learn(what, keys.split(), d.keys)
        if d.state == "hold":
            self.compare_trip(what, stream.split(), d)

    def learn(self, what, hashes, keys):
        """One hash for each key, always the same one, and no other's."""
        check(f"{what}: number of keys", len(hashes), len(keys))
        for number, key in zip(hashes, keys):
            check(f"{what}: key", self.keys.setdefault(number, key).rule.full_name,
                  key.rule.full_name)
            check(f"{what}: key", self.keys[number] is key, True)
            check(f"{what}: hash", number, self.hashes.setdefault(key, number))

    def compare_trip(self, what, stream, d):
        number, tripped_at, counted, limit, trips_now = stream
        check(f"{what}: held by the stream", number, self.hashes[d.key])
        # An audience calls nothing back: those within it may leave.
        check(f"{what}: calls back", trips_now == "1",
              d.opens and d.key.rule.kind != "audience")
        if d.opens and d.key in self.blurred:
            check(f"{what}: left before the trip, at least", int(counted) >= d.counted, True)
        elif d.opens:  # a later one does not say it again
            check(f"{what}: left before the trip", int(counted), d.counted)
        check(f"{what}: limit", int(limit), d.key.limit)
        # The store knows a batch by its stream and the time of its trip.
        trip = self.trips.setdefault(number, {}).setdefault(d.key.trips, tripped_at)
        check(f"{what}: trip", tripped_at, trip)
        check(f"{what}: different trips", len(set(self.trips[number].values())),
              len(self.trips[number]))

    def explain(self, mail):
        wanted = [(row.rule.full_name, row) for row in self.model.explain(mail, self.mono)]
        text = self.tool.ask("explain", *self.words(mail))
        rows = [row.split("|") for row in text.split("\t")] if text else []
        check("explain: rules", sorted(r[0] for r in rows), sorted(w[0] for w in wanted))
        # Keys of one rule come in the gate's own order.
        said = sorted((name, min(int(before), int(limit) + 1), int(limit), trips == "1")
                      for name, before, _, _, limit, trips in rows)
        check("explain: counts", said, sorted(
            (name, min(row.before, row.limit + 1), row.limit, row.trips)
            for name, row in wanted))

    def recall(self, key):
        """Its trip pulls in what waits of the stream."""
        for d in self.deliveries:
            if d.state == "wait" and d.due > self.mono and key in d.keys:
                d.state, d.key, d.held = "hold", key, True
                self.unsaved |= set(d.keys)
                self.tool.ask("recall", *d.number)
                self.seen["recalled"] += 1

    # -- what else happens

    def cool(self):
        said = self.tool.ask("cool", self.mono).split()
        # A trip that only observes has no batch; when it ends there is nobody's business.
        holding = [self.hashes[k] for k in self.model.cool(self.mono) if k.rule.holds]
        check("cooled", sorted(h for h in said if h in self.keys), sorted(holding))
        self.seen["cooled"] += len(holding)

    def decide(self, which, how):
        """On the batch of one stream that is tripped."""
        tripped = [k for k in self.model.keys.values() if k.rule.holds and k.tripped
                   and k in self.hashes]
        if not tripped:
            return
        self.later(1)  # never in the very moment of a save
        key = tripped[which % len(tripped)]
        self.tool.ask("decide", self.mono, self.hashes[key], how)
        key.forget()
        for d in self.deliveries:
            if how == "release" and d.state == "hold" and d.key is key:
                d.state = "gone"
                d.keys = [k for k in d.keys if k is not key]
        self.seen["decided"] += 1

    def save(self, result, first, count):
        self.tool.ask("save", self.mono, result, first, count)
        if (result, count) == ("ok", 64):
            self.unsaved = set()

    def restart(self, shift):
        """shift 0: the same boot; else the monotonic clock begins anew."""
        self.tool.ask("restart", shift)
        # Called back between the last save and a crash: of a long window's count it is known, but
        # not that it did not leave. The next leak may be said too high, never too low.
        self.blurred |= {k for k in self.unsaved if k.all.length > HOUR}
        self.mono += shift
        for d in self.deliveries:
            d.at += shift
        for key in self.model.keys.values():
            key.over_until = None if key.over_until is None else key.over_until + shift
            # The store was not told: its batch still collects, for the moment.
            # What only observes has none; it is told again.
            key.tripped = (key.tripped or key.cooled) and key.rule.holds
            key.cooled = False
            # When ended trips were is forgotten; that time has passed meanwhile.
            trips = self.trips.get(self.hashes.get(key), {})
            for number in [n for n in trips if n != key.trips or not key.tripped]:
                del trips[number]
        self.seen["restarts"] += 1


# ---- making cases

# Of these a 60th is a whole second, and 84 hours are a multiple of all of them: slices of a clock
# that began anew are then those of the old one.
ROUND = [MINUTE, 10 * MINUTE, HOUR, DAY, 7 * DAY, 30 * DAY]
ODD = [10 * SECOND, 37 * SECOND, 90 * SECOND, 2 * HOUR + SECOND, 3 * DAY + 7 * SECOND]
BOOT = 302_400 * SECOND


def some_limit(rng):
    return rng.choice([rng.randint(1, 6), rng.randint(1, 32), 32, 33, rng.randint(33, 60),
                       rng.randint(61, 500)])


def some_rule(rng, kind, number, windows):
    r = Rule(kind, f"r{number}", some_limit(rng), rng.choice(windows),
             tuple(p for p in PARTS if rng.random() < 0.4),
             cooldown=rng.choice([0, SECOND, 30 * SECOND, 10 * MINUTE, HOUR, DAY]),
             action="alert" if rng.random() < 0.15 else "hold")
    if kind == "content":
        r = replace(r, mark=rng.choice("ab"), limit=rng.choice([0, 0, rng.randint(1, 40)]))
        return replace(r, window=10 * MINUTE) if r.limit == 0 else r
    if r.limit > 1 and rng.random() < 0.5:
        # Nothing waits for longer than a window: a recall takes out of the newest arrivals.
        r = replace(r, head=rng.choice([h for h in (1, 3, 10, 40) if h < r.limit]),
                    settle=rng.randint(1, 10) * SECOND,
                    head_window=rng.choice([w for w in windows if w <= HOUR]))
    if rng.random() < 0.3:
        r = replace(r, declared=r.limit + rng.choice([0, 5, 100]),
                    declared_window=rng.choice(windows))
    return r


def some_rules(rng, windows):
    rules = [some_rule(rng, "burst", n, windows) for n in range(rng.randint(1, 4))]
    rules += [some_rule(rng, "content", n, windows) for n in range(rng.choice([0, 0, 1, 2]))]
    return [*rules, Rule("audience", window=rng.choice(windows), per=("campaign",), cooldown=0)]


def remembered(rule):
    """What only observes is not kept with the mail: of it a restart knows short bursts only."""
    if rule.holds:
        return rule
    if rule.kind == "content":
        return replace(rule, action="hold")
    return replace(rule, window=min(rule.window, HOUR),
                   declared_window=min(rule.declared_window, HOUR))


def long_lived(rng, rule):
    """A rule whose counters are saved, and whose few streams see every mail."""
    if not rule.holds or (rule.kind == "content" and rule.limit == 0):
        return rule
    limit = min(rule.limit, rng.choice([10, 40, 100]))
    return replace(rule, window=rng.choice([DAY, 7 * DAY]), limit=limit, declared=0,
                   declared_window=0, head=rule.head if rule.head < limit else 0,
                   per=rule.per[:1] if rule.name else rule.per)


def some_step(rng, rules):
    """Often nothing, often just about where something ends."""
    lengths = [t for r in rules for t in (r.window, r.window // 60, r.head_window, r.settle,
                                          r.cooldown, r.declared_window) if t]
    near = rng.choice(lengths) + rng.choice([-1, 0, 1, rng.randint(-SECOND, SECOND)])
    return max(0, rng.choice([0, 0, 1, rng.randint(0, SECOND), rng.randint(0, 20 * SECOND),
                              near // rng.choice([1, 1, 2, 7, 40])]))


class Traffic:
    """Where mail of one case comes from: a few of everything, so that streams meet."""

    def __init__(self, rng, rules):
        self.rng = rng
        self.limits = [r.limit for r in rules if r.limit] + [3]
        self.people = rng.choice([2, 5, 100])
        self.marked = rng.random() * 0.5
        self.declares = rng.random()

    def mail(self):
        rng = self.rng
        declared = rng.random() < self.declares
        count = rng.choice([1, 1, 1, 2, rng.randint(1, 20), rng.choice(self.limits)])
        number = rng.randrange(10**6)  # of a subject: its normal form has #
        return Mail(
            source=rng.choice(["shop", "billing"]),
            sender=rng.choice(["app@shop.test", "App@Shop.test", "other@shop.test"]),
            subject=rng.choice(["sale", "order #"]).replace("#", str(number)),
            recipients=[rng.choice(["p", "P"]) + f"{rng.randrange(self.people)}@x.test"
                        for _ in range(count)],
            campaign=rng.choice(["spring", "summer", ""]) if declared else "",
            marks=" ".join(m for m in "ab" if rng.random() < self.marked))


def some_case(seed):
    rng = random.Random(seed)
    same_boot = rng.random() < 0.6
    rules = some_rules(rng, ROUND + ODD if same_boot else ROUND)
    restarts = rng.random() < 0.7
    if restarts:
        rules = [remembered(r) for r in rules]
        if rng.random() < 0.5:
            rules = [long_lived(rng, r) for r in rules]
    traffic, events = Traffic(rng, rules), []
    audience = rng.choice([1, 3, 10, 40, 300])
    for _ in range(rng.choice([15, 40, 80])):
        kind = rng.random() if not restarts or rng.random() < 0.85 else 0.85 + 0.15 * rng.random()
        if kind < 0.22:
            events.append(("later", some_step(rng, rules)))
        elif kind < 0.30:
            events.append(("until", rng.randrange(10**6), rng.choice(["window", "head", "trip"]),
                           rng.choice([-1, 0, 1])))
        elif kind < 0.80:
            mail = traffic.mail()
            if mail.campaign:
                mail.audience = rng.choice([0, audience, audience, audience + 1])
            pause = rng.choice([[], [("later", 1)], [("later", rng.randint(1, SECOND))]])
            many = 1 if len(mail.recipients) > 20 else rng.choice([1, 1, 1, 3, 12])
            events += [("mail", mail), *pause] * many
        elif kind < 0.85:
            events.append(("jump", rng.choice([-1, 1]) * rng.choice([1, HOUR, 3 * DAY, 400 * DAY])))
        elif kind < 0.90:
            events.append(("cool",))
        elif kind < 0.92:
            events.append(("decide", rng.randrange(10), rng.choice(["release", "discard"])))
        elif restarts and kind < 0.96:
            shards = (0, 64) if rng.random() < 0.7 else (rng.randrange(64), rng.randrange(1, 32))
            events += [("save", result, *shards)
                       for result in rng.choice([["ok"], ["ok"], ["failed"], ["failed", "ok"]])]
        elif restarts:
            events.append(("restart", 0 if same_boot else -BOOT * rng.randint(0, 3)))
    return rules, events


# ---- running and shortening them


class Runner:
    def __init__(self):
        self.tool = Tool()
        self.dir = tempfile.TemporaryDirectory()
        self.path = Path(self.dir.name) / "policy.conf"
        self.seen = Counter()

    def failure(self, rules, events):
        """What went wrong, None if nothing."""
        try:
            world = World(self.tool, rules, self.path)
            world.run(events)
            self.seen += world.seen
            return None
        except Mismatch as mismatch:
            if self.tool.process.poll() is not None:
                self.tool = Tool()
            return str(mismatch)

    def shorten(self, rules, events):
        """The same case with all that can be left out left out."""
        for size in (64, 16, 4, 1, 1):
            at = 0
            while at < len(events):
                fewer = events[:at] + events[at + size:]
                if self.failure(rules, fewer):
                    events = fewer
                else:
                    at += size
        for rule in list(rules):
            fewer = [r for r in rules if r is not rule]
            # Without any burst rule the gate has its own.
            if rule.kind != "audience" and any(r.kind == "burst" for r in fewer) and \
                    self.failure(fewer, events):
                rules = fewer
        return rules, [self.fewer_recipients(rules, events, i) or e
                       for i, e in enumerate(events)]

    def fewer_recipients(self, rules, events, place):
        """That mail with a shorter list, if it fails with it."""
        verb, *words = events[place]
        if verb != "mail" or len(words[0].recipients) < 2:
            return None
        for count in (1, 2, len(words[0].recipients) // 2):
            mail = replace(words[0], recipients=words[0].recipients[:count])
            if self.failure(rules, [*events[:place], ("mail", mail), *events[place + 1:]]):
                events[place] = ("mail", mail)
                return events[place]
        return None

    def run(self, seed):
        """False after it has printed what is wrong with this case."""
        rules, events = some_case(seed)
        first = self.failure(rules, events)
        if not first:
            return True
        print(f"seed {seed} fails after {len(events)} events: {first}; shorter:")
        rules, events = self.shorten(rules, events)
        print(f"{self.failure(rules, events)}\n{config_of(rules)}")
        for number, (verb, *words) in enumerate(events):
            print(number, verb, *words)
        return False

    def close(self):
        self.tool.close()
        self.dir.cleanup()


def main(arguments):
    runner = Runner()
    first = int(arguments[0]) if arguments else 1
    count = int(arguments[1]) if len(arguments) > 1 else 1 if arguments else CASES
    good, seed = True, first
    while good and seed < first + count:
        good = runner.run(seed)
        seed += 1
    print(f"{seed - first} cases from seed {first}:",
          ", ".join(f"{count} {what}" for what, count in sorted(runner.seen.items())))
    if not good:
        return 1
    runner.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
