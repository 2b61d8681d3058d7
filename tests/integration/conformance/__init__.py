"""The conformance table: what a client says, and what it must hear, a case a row.

row(name, reference, before, said, heard, said, heard, ..., on=..., arrives=...)

`before` is where the session stands when the row begins: CONNECTED, GREETED (EHLO was said),
MAILED (and MAIL), READY (and RCPT) or IN_DATA (and DATA). A `said` in str is a line, its CRLF is
added; in bytes it goes out as it is, in one segment. `heard` is the reply: a code, and the
enhanced code where it matters ("501 5.5.4"), alternatives apart by "|", several replies in a
tuple, or a Reply that also says what its lines have. CLOSED: the gate hangs up. HANDSHAKE instead
of a pair: TLS from here on.

`on` is where the row holds: EVERYWHERE (in clear, after STARTTLS, and on a listener with implicit
TLS) unless said. A transport is (listener, tls); the listeners are in test_conformance.py.
`arrives` are the bodies of the messages that the smarthost gets, None for any body; by default
none may come. `envelope` is (sender, recipients) where there is one. `limited` lets the row come
from an environment that refuses whom it does not know.

After each row a NOOP must get the very next reply: whoever has answered once too often, or takes
what follows for content, fails there.
"""

from dataclasses import dataclass

CLOSED = "closed"
HANDSHAKE = object()

CONNECTED = ()
GREETED = (("EHLO client.example", "250"),)
MAILED = GREETED + (("MAIL FROM:<a@b.example>", "250 2.1.0"),)
READY = MAILED + (("RCPT TO:<c@d.example>", "250 2.1.5"),)
IN_DATA = READY + (("DATA", "354"),)

IN_CLEAR = (("clear", "off"),)
ENCRYPTED = (("starttls", "starttls"), ("implicit", "implicit"))
EVERYWHERE = IN_CLEAR + ENCRYPTED
BEFORE_TLS = (("starttls", "off"),)
MUST_ENCRYPT = (("required", "off"),)
HAS_ENCRYPTED = (("required", "starttls"),)
MUST_LOGIN = (("login", "off"), ("login", "starttls"))
NO_LOGIN = (("bare", "off"),)

HEAD = b"Subject: row\r\n\r\n"

# Limits of the listeners in test_conformance.py, small enough to be reached in a row.
MAX_SIZE = 102400
MAX_RECIPIENTS = 100

# Who may log in there.
USER, PASSWORD = "app", "correct horse"


@dataclass(frozen=True)
class Reply:
    """A reply with a look at its lines, each compared as a whole and without regard to case."""

    code: str
    has: tuple = ()
    lacks: tuple = ()
    starts: str = ""


@dataclass(frozen=True, eq=False)
class Row:
    name: str
    reference: str
    steps: tuple
    on: tuple
    arrives: tuple
    envelope: tuple
    limited: bool


def row(name, reference, before, *talk, on=EVERYWHERE, arrives=(), envelope=None, limited=False):
    steps, rest = list(before), list(talk)
    while rest:
        said = rest.pop(0)
        steps.append(said if said is HANDSHAKE else (said, rest.pop(0)))
    return Row(name, reference, tuple(steps), on, tuple(arrives), envelope, limited)


def content(name, reference, wire, body, **keys):
    """A message whose body is `wire` on the wire (its last line ended), and `body` when it
    arrives."""
    return row(name, reference, IN_DATA, HEAD + wire + b".\r\n", "250 2.0.0", arrives=[body],
               **keys)


def chunk(data, last=False):
    """A BDAT and its octets, in one segment."""
    return b"BDAT %d%s\r\n" % (len(data), b" LAST" if last else b"") + data


def sized(length, head="NOOP "):
    """A line of `length` octets, with its CRLF."""
    return head.encode() + b"x" * (length - len(head) - 2) + b"\r\n"
