"""A week of a shop's ordinary mail, out of a seed: what a policy must not get in the way of.

Nobody here does anything wrong, and nothing is smoothed: arrivals are Poisson, customers retry,
after an outage everybody comes at once, queues get stuck and empty themselves, the warehouse ships
in the afternoon, invoices go out on the first of the month. What is sent to many at once says so:
X-Mailfuse-Campaign and -Audience.

    python3 -m incidents.week SEED > week.csv        (in tests/)
"""

import bisect
import math
import random
import sys

from .trace import Row, write

DAY, HOUR, MINUTE = 86400, 3600, 60
DAYS = 7  # from Monday 0:00; the first of the month is that week's Thursday

# Share of a day's mail by hour, of a shop whose customers live in one country.
HOURS = (6, 3, 2, 2, 2, 4, 10, 22, 38, 50, 56, 58, 60, 56, 52, 52, 54, 58, 62, 68, 72, 62, 40, 18)
# The warehouse packs from 10 and hands over to the carriers at 15 and 17.
SHIPPING = (0, 0, 0, 0, 0, 0, 0, 2, 6, 10, 22, 26, 20, 26, 50, 70, 60, 72, 20, 4, 0, 0, 0, 0)
OFFICE = (0, 0, 0, 0, 0, 1, 4, 16, 50, 70, 72, 66, 36, 60, 70, 66, 52, 26, 8, 4, 2, 2, 0, 0)
WEEKDAYS = (1.10, 1.05, 1.0, 1.05, 0.95, 0.85, 1.0)
WORKDAYS = (1.35, 1.2, 1.15, 1.15, 1.1, 0.05, 0.0)

FIRST = ("Anna", "Ben", "Chiara", "David", "Elif", "Farid", "Greta", "Hugo", "Ines", "Jonas",
         "Kofi", "Lena", "Marek", "Nadia", "Olga", "Paul", "Quentin", "Rosa", "Sven", "Tomás", "Uma",
         "Viktor", "Wanda", "Xenia", "Yusuf", "Zoë")
LAST = ("Adler", "Bauer", "Costa", "Dubois", "Eriksen", "Fischer", "García", "Horvat", "Ivanova",
        "Jansen", "Kowalski", "Lindqvist", "Moreau", "Novak", "Okafor", "Pereira", "Quist", "Rossi",
        "Schmidt", "Tóth", "Ueda", "Varga", "Weber", "Young", "Zhang")
THINGS = ("blue kettle", "garden chair", "rain jacket", "desk lamp", "bread knife", "hiking boots",
          "wool blanket", "tea towels 100% cotton", "{sic} poster", "bike pump", "oak shelf",
          "espresso cups", "yoga mat", "bird feeder", "test tube rack", "sewing kit", "night light",
          "cork board", "picnic basket", "ink pen", "chess set", "umbrella", "doormat")
DOMAINS = ("mail.example", "post.example", "home.example", "inbox.example", "univ.example",
           "firm.example")
CUSTOMERS = 40000

ACCOUNTS, SHOP, BILLING, COMMUNITY, SUPPORT, MARKETING = (
    f"10.1.0.{n}" for n in (11, 12, 13, 14, 15, 16))
# What tells the shop's own people of orders and tickets; always the same few mailboxes.
STAFF = "10.1.8.20"
SENDERS = {ACCOUNTS: "accounts@shop.example", SHOP: "orders@shop.example",
           BILLING: "billing@shop.example", COMMUNITY: "hello@shop.example",
           SUPPORT: "support@shop.example", MARKETING: "news@shop.example",
           STAFF: "robot@shop.example"}

# source, mails on a mean day, hours, days, subject, what the mail says.
# {n} is a number, {who} a name, {thing} an article, {hex} a token.
STREAMS = (
    (ACCOUNTS, 500, HOURS, WEEKDAYS, "Reset your password",
     "Somebody asked for a new password. https://shop.example/reset/{hex}"),
    (ACCOUNTS, 1700, HOURS, WEEKDAYS, "{n} is your sign-in code", "It is good for ten minutes."),
    (ACCOUNTS, 260, HOURS, WEEKDAYS, "Welcome to the shop, {who}", "Please confirm your address."),
    (ACCOUNTS, 700, HOURS, WEEKDAYS, "New sign-in to your account", "Was this you, {who}?"),
    (SHOP, 1500, HOURS, WEEKDAYS, "Your order #{n}", "Dear {who}, thank you for your order."),
    (SHOP, 1500, SHIPPING, WORKDAYS, "Order #{n} is on its way", "Dear {who}, {thing} left us."),
    (SHOP, 1300, OFFICE, WORKDAYS, "Order #{n} was delivered", "Dear {who}, enjoy {thing}."),
    (SHOP, 400, HOURS, WEEKDAYS, "{who}, your {thing} is waiting in your basket",
     "You left something behind."),
    (SHOP, 60, OFFICE, WORKDAYS, "Your test drive on March {n}", "The bike is ready for you."),
    (BILLING, 300, HOURS, WEEKDAYS, "Receipt for your payment of {n},{n} EUR", "Thank you, {who}."),
    (BILLING, 40, OFFICE, WORKDAYS, "Payment failed", "Your card was declined, {who}."),
    (COMMUNITY, 3800, HOURS, WEEKDAYS, "{who} commented on your review of the {thing}",
     "{who} wrote: I have one, too."),
    (COMMUNITY, 2200, HOURS, WEEKDAYS, "{who} sent you a message", "Hello! Is it still there?"),
    (COMMUNITY, 900, HOURS, WEEKDAYS, "You have a new follower", "{who} follows you."),
    (SUPPORT, 420, OFFICE, WORKDAYS, "[Ticket {n}] We received your request", "We will answer."),
    (SUPPORT, 640, OFFICE, WORKDAYS, "Re: [Ticket {n}] {thing} arrived broken",
     "Dear {who}, we are sorry."),
)
# Per subject: how many one customer asks for within the hour, by the shop's own limits.
IMPATIENT = {"Reset your password": (3, 0.06), "{n} is your sign-in code": (5, 0.10)}
# Collapsed by the community: one of these a person in half an hour.
COLLAPSED = {"You have a new follower": 30 * MINUTE}

# Declared: name, days, hour of the start, minutes, people, messages it is handed over in.
CAMPAIGNS = (
    ("What is new this week", (1,), 10.0, 40, 15000, 5),
    ("The spring catalogue is here: 20% off", (3,), 18.5, 60, 12000, 12),
    ("For our regular customers", (2,), 9.25, 15, 4500, 1),
    ("Your invitation to the spring workshop", (4,), 11.0, 10, 2000, 1),
    ("Last chance for the spring catalogue", (6,), 19.0, 25, 7500, 3),
    ("Your digest", range(DAYS), 7.0, 45, 8500, 1),
    ("How do you like your order?", range(DAYS), 17.0, 30, 1400, 1),
)


class Crowd:
    """The customers, and the few of them who get mail all day."""

    def __init__(self, rng):
        self.rng = rng
        self.everybody = [
            f"{rng.choice(FIRST)}.{rng.choice(LAST)}{n}@{rng.choice(DOMAINS)}".lower()
            .translate(str.maketrans("áëíó", "aeio")) for n in range(CUSTOMERS)]
        self.busy = rng.sample(self.everybody, 12)

    def one(self, source):
        # A dozen sellers and writers get one in eight of the community's mails.
        if source == COMMUNITY and self.rng.random() < 0.12:
            return self.rng.choice(self.busy)
        return self.rng.choice(self.everybody)


def surges(rng):
    """[(start, end, factor)]: what came back after an outage, and what was on television."""
    found = []
    for day, hour in ((0, 11), (2, 20), (4, 15), (rng.randrange(DAYS), rng.randrange(8, 23))):
        start = day * DAY + (hour + rng.random()) * HOUR
        found.append((start, start + 5 * MINUTE, 5))
    return found


def arrivals(rng, mean, hours, days, bursts):
    """Times of one stream: Poisson, thinned from its highest rate."""
    unit = mean / sum(hours) / HOUR  # a second, for an hour of weight 1
    highest = unit * max(hours) * max(days) * max(factor for *_, factor in bursts)
    edges = [(start, factor) for start, end, factor in bursts for start, factor
             in ((start, factor), (end, 1))]
    edges.sort()
    starts = [edge for edge, _ in edges]
    time = 0.0
    while True:
        time += -math.log(1.0 - rng.random()) / highest
        if time >= DAYS * DAY:
            return
        day, second = divmod(time, DAY)
        rate = unit * hours[int(second // HOUR)] * days[int(day)]
        place = bisect.bisect_right(starts, time)
        if place > 0:
            rate *= edges[place - 1][1]
        if rng.random() * highest < rate:
            yield time


def stuck(rows, rng):
    """Twice an application's queue stands still for ten minutes; then it goes at 4 a second."""
    for day, source in ((1, SHOP), (4, rng.choice((ACCOUNTS, COMMUNITY)))):
        start = day * DAY + rng.uniform(9, 20) * HOUR
        end = free = start + 10 * MINUTE
        for n, row in enumerate(rows):
            if row.client == source and start <= row.time < end:
                rows[n] = row._replace(time=free)
                free += 0.25
    return rows


def fill(rng, text):
    return (text.replace("{n}", str(rng.randrange(10, 10**rng.randrange(2, 7))))
            .replace("{hex}", f"{rng.getrandbits(64):016x}")
            .replace("{who}", f"{rng.choice(FIRST)} {rng.choice(LAST)}")
            .replace("{thing}", rng.choice(THINGS)))


def letter(rng, time, source, subject, body, recipients, **more):
    return Row(time, source, SENDERS[source], fill(rng, subject), recipients, fill(rng, body),
               size=rng.randrange(2500, 40000), **more)


def stream(rng, crowd, bursts, source, mean, hours, days, subject, body):
    """One stream's rows, and those of whoever asks again."""
    most, again = IMPATIENT.get(subject, (1, 0))
    pause = COLLAPSED.get(subject, 0)
    asked = {}
    for time in arrivals(rng, mean, hours, days, bursts):
        person = crowd.one(source)
        copies = 1
        while copies < most and rng.random() < again ** (1 / copies):
            copies += 1
        for _ in range(copies):
            past = [t for t in asked.get(person, ()) if t > time - max(HOUR, pause)]
            if len(past) >= most > 1 or (pause and past and past[-1] > time - pause):
                break  # the shop itself says: later
            asked[person] = past + [time]
            yield letter(rng, time, source, subject, body, [person])
            time += rng.uniform(20, 150)


def campaigns(rng, crowd):
    """What goes to many at once and says so."""
    for subject, days, hour, minutes, people, parts in CAMPAIGNS:
        for day in days:
            audience = int(people * rng.uniform(0.9, 1.05))
            # Some unsubscribe between the count and the sending.
            chosen = rng.sample(crowd.everybody, audience - rng.randrange(0, 20))
            start = day * DAY + hour * HOUR + rng.uniform(-300, 300)
            name = f"{subject.split()[0].lower()}-{day}-{rng.getrandbits(32):08x}"
            share = -(-len(chosen) // parts)
            for part in range(parts):
                yield letter(rng, start + part * minutes * MINUTE / parts, MARKETING, subject,
                             "Read it in your browser: https://shop.example/news",
                             chosen[part * share:(part + 1) * share], campaign=name,
                             audience=audience, over=minutes * MINUTE / parts)


def invoices(rng, crowd):
    """The first of the month, 6 to 10 in the morning: the billing job makes them one by one."""
    for _ in range(1800):
        time = 3 * DAY + rng.triangular(6, 10, 7.5) * HOUR
        yield letter(rng, time, BILLING, "Your invoice INV-2026-{n}", "Due in 14 days, {who}.",
                     [rng.choice(crowd.everybody)])


def staff(rng, bursts):
    """Mail to the shop's own mailboxes: the same few people, the same subject, all day."""
    for mean, hours, days, subject, box in (
            (1500, HOURS, WEEKDAYS, "New order {n}", "orders@example.com"),
            (420, OFFICE, WORKDAYS, "[Ticket {n}] {thing} arrived broken", "tickets@example.com"),
            (90, HOURS, WEEKDAYS, "[ALERT] web-{n} is slow", "oncall@example.com")):
        for time in arrivals(rng, mean, hours, days, bursts):
            yield letter(rng, time, STAFF, subject, "See the back office.", [box])


def week(seed):
    """Every row of it, in the order of time."""
    rng = random.Random(seed)
    crowd = Crowd(rng)
    bursts = surges(rng)
    rows = [*campaigns(rng, crowd), *invoices(rng, crowd), *staff(rng, bursts)]
    for values in STREAMS:
        rows += stream(rng, crowd, bursts, *values)
    rows.sort(key=lambda r: r.time)
    return sorted(stuck(rows, rng), key=lambda r: r.time)


if __name__ == "__main__":
    write(week(int(sys.argv[1]) if len(sys.argv) > 1 else 1), "/dev/stdout")
