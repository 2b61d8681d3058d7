"""A recording SMTP server: the smarthost behind the gate, and everything that can go wrong there.

It keeps the exact bytes of what it took. `rule(stage, argument, session)` may answer for it:
return None for the usual reply, a reply line such as "451 4.3.0 later", bytes to be written just
as they are, Drip (in pieces of one byte), HANG (say nothing until the peer goes away), CUT (close
the connection) or RESET (the same, rudely), or a tuple of bytes and, last, one of these. Stages:
connect, ehlo, helo, starttls, auth (each line of it), mail, rcpt, data, end (after the final dot),
rset, quit. A message counts as taken only once its 250 was written.

With `context` (see tls_context()) it does STARTTLS, or TLS at once with `implicit`; with `login`, a
pair, it wants AUTH PLAIN or LOGIN first. `heard` has every line that came: (connection, whether
it was under TLS, text). `after(stage, argument, session)`, where set, is called once a reply has
been written. Refuse and Valve are rules that many tests want.
"""

import base64
import select
import socket
import ssl
import struct
import threading
import time
from dataclasses import dataclass, field

from .wait import wait_for

HANG = object()
CUT = object()
RESET = object()


class Drip(str):
    """A reply that comes one byte at a time."""


class Refuse:
    """A rule that refuses recipients: those named, or every nth, or all behind the first `after`.

    `times` is how often one recipient is refused before it is taken; None = always. `refused` has
    each that was, in order, repeats included.
    """

    def __init__(self, reply="550 5.1.1 no such user", names=None, every=0, after=None,
                 times=None):
        self.reply, self.names, self.every, self.after = reply, names, every, after
        self.times = times
        self.seen, self.refused = [], []
        self.lock = threading.Lock()

    def wants(self, recipient):
        place = self.seen.index(recipient) + 1
        return ((self.names is not None and recipient in self.names)
                or (self.every and place % self.every == 0)
                or (self.after is not None and place > self.after))

    def __call__(self, stage, argument, session):
        if stage != "rcpt":
            return None
        with self.lock:
            if argument not in self.seen:
                self.seen.append(argument)
            if not self.wants(argument):
                return None
            if self.times is not None and self.refused.count(argument) >= self.times:
                return None
            self.refused.append(argument)
            return self.reply


def hung_up(sock, milliseconds):
    """True once the other side has closed, also where it has sent something before that."""
    poll = select.poll()
    poll.register(sock, select.POLLRDHUP)
    return bool(poll.poll(milliseconds))


class Valve:
    """A rule that lets `free` messages through, and has the others wait at their end until open().

    `rule` is asked first. Who waits for a client that is gone gives up.
    """

    def __init__(self, free=0, rule=None):
        self.free, self.rule = free, rule
        self.waiting = []  # the recipients of each message that stands before the valve
        self.opened = threading.Event()
        self.lock = threading.Lock()

    def open(self):
        self.opened.set()

    def let(self, count):
        """So many more."""
        with self.lock:
            self.free += count

    def _passes(self):
        with self.lock:
            if self.opened.is_set():
                return True
            self.free -= 1
            if self.free >= 0:
                return True
            self.free = 0
            return False

    def __call__(self, stage, argument, session):
        reply = self.rule(stage, argument, session) if self.rule else None
        if reply is not None or stage != "end" or self._passes():
            return reply
        entry = list(argument.recipients)
        with self.lock:
            self.waiting.append(entry)
        try:
            while not self._passes():
                if hung_up(session.sock, 10):
                    return CUT
        finally:
            with self.lock:
                self.waiting.remove(entry)
        return None


def tls_context(issued):
    """Of a server that shows this certificate; `issued` is what rig.tls.CA.issue() returned."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*map(str, issued))
    return context


@dataclass
class Message:
    """One message that the sink took."""

    sender: str
    recipients: list
    wire: bytes  # between DATA's 354 and the final dot, as it came
    mail_line: str
    connection: int
    rcpt_lines: list = field(default_factory=list)
    secured: bool = False
    user: str = None
    at: float = field(default_factory=time.monotonic)  # when it was here whole

    @property
    def data(self):
        """The message itself: dots undone."""
        lines = self.wire.split(b"\r\n")
        return b"\r\n".join(line[1:] if line.startswith(b".") else line for line in lines)

    @property
    def header(self):
        return self.data.partition(b"\r\n\r\n")[0] + b"\r\n"

    @property
    def body(self):
        return self.data.partition(b"\r\n\r\n")[2]

    def fields(self, name):
        """The unfolded values of a header field, first to last."""
        text = self.header.decode("utf-8", "surrogateescape").replace("\r\n ", " ")
        text = text.replace("\r\n\t", "\t")
        prefix = name.lower() + ":"
        return [
            line[len(prefix):].strip()
            for line in text.split("\r\n")
            if line.lower().startswith(prefix)
        ]

    def field(self, name):
        values = self.fields(name)
        assert len(values) == 1, f"{name} occurs {len(values)} times in:\n{self.header.decode()}"
        return values[0]


@dataclass
class Session:
    """One client connection, for rules that count or remember."""

    number: int
    sock: socket.socket
    sender: str = None
    mail_line: str = ""
    recipients: list = field(default_factory=list)
    rcpt_lines: list = field(default_factory=list)
    pending: bytes = b""
    secured: bool = False
    user: str = None


class Sink:
    """Starts listening at once; stop() and start() keep the port."""

    def __init__(self, rule=None, extensions=("PIPELINING", "SIZE 100000000", "8BITMIME"),
                 context=None, implicit=False, login=None, host="127.0.0.1"):
        self.rule, self.after = rule, None
        self.extensions = list(extensions)
        self.context, self.implicit, self.login = context, implicit, login
        self.host = host
        self.mechanisms = ["PLAIN", "LOGIN"]
        self.heard = []
        self.messages = []
        self.connections = 0
        self.lock = threading.Lock()
        self.open = set()
        self.listener = None
        self.port = 0
        self.start()

    @property
    def address(self):
        return f"{self.host}:{self.port}"

    def start(self):
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind((self.host, self.port))
        self.port = self.listener.getsockname()[1]
        self.listener.listen(256)
        threading.Thread(target=self._accept, args=(self.listener,), daemon=True).start()
        return self

    def stop(self):
        """Refuses new connections and cuts the open ones."""
        listener, self.listener = self.listener, None
        if listener:
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        self.cut()

    def cut(self):
        with self.lock:
            sessions = list(self.open)
        for sock in sessions:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def recipients(self):
        """Every recipient of every message taken, in order, repeats included."""
        with self.lock:
            return [r for m in self.messages for r in m.recipients]

    def wait(self, count, deadline=30.0):
        """Until `count` recipients came; returns the messages."""
        wait_for(
            lambda: f"{count} recipients at the sink: {len(self.recipients())}",
            lambda: len(self.recipients()) >= count,
            deadline,
        )
        return list(self.messages)

    def only(self):
        """The one message that must have come."""
        self.wait(1)
        assert len(self.messages) == 1
        return self.messages[0]

    def _accept(self, listener):
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            with self.lock:
                if self.listener is not listener:
                    sock.close()
                    return
                self.connections += 1
                self.open.add(sock)
                number = self.connections
            session = Session(number, sock)
            threading.Thread(target=self._serve, args=(session,), daemon=True).start()

    def _serve(self, session):
        try:
            session.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._talk(session)
        except (OSError, EOFError):
            pass
        finally:
            with self.lock:
                self.open.discard(session.sock)
            session.sock.close()

    def _answer(self, session, stage, argument, usual):
        """Writes the reply of a stage; returns whether it was positive."""
        positive = self._reply(session, stage, argument, usual)
        if self.after:
            self.after(stage, argument, session)
        return positive

    def _reply(self, session, stage, argument, usual):
        reply = self.rule(stage, argument, session) if self.rule else None
        if isinstance(reply, tuple):
            session.sock.sendall(b"".join(reply[:-1]))
            reply = reply[-1]
        if reply is CUT:
            raise EOFError
        if reply is RESET:
            session.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            raise EOFError
        if reply is HANG:
            while session.sock.recv(65536):
                pass
            raise EOFError
        if isinstance(reply, bytes):
            session.sock.sendall(reply)
            return reply[:1] in (b"2", b"3")
        wire = (reply or usual).encode() + b"\r\n"
        step = 1 if isinstance(reply, Drip) else len(wire)
        for at in range(0, len(wire), step):
            session.sock.sendall(wire[at:at + step])
        return wire[:1] in (b"2", b"3")

    def _secure(self, session):
        """The handshake; what it raises ends the connection."""
        session.sock.settimeout(30)
        plain, session.sock = session.sock, self.context.wrap_socket(session.sock, server_side=True)
        session.sock.settimeout(None)
        session.secured = True
        with self.lock:
            self.open.discard(plain)
            self.open.add(session.sock)

    def _extensions(self, session):
        names = list(self.extensions)
        if self.context and not session.secured:
            names.append("STARTTLS")
        if self.login:
            names.append("AUTH " + " ".join(self.mechanisms) if self.mechanisms else "AUTH")
        return names

    def _log_in(self, session, argument):
        """AUTH PLAIN, with an initial response or without, and LOGIN."""
        mechanism, _, initial = argument.partition(" ")
        mechanism = mechanism.upper()
        given = [initial] if initial else []
        while len(given) < (2 if mechanism == "LOGIN" else 1):
            prompt = ["VXNlcm5hbWU6", "UGFzc3dvcmQ6"][len(given)] if mechanism == "LOGIN" else ""
            if not self._answer(session, "auth", mechanism, f"334 {prompt}"):
                return
            given.append(self._line(session))
        words = [base64.b64decode(text).decode() for text in given]
        if mechanism == "PLAIN":
            words = words[0].split("\0")[1:]
        right = tuple(words) == tuple(self.login)
        usual = "235 2.7.0 Welcome" if right else "535 5.7.8 Authentication failed"
        if self._answer(session, "auth", mechanism, usual) and right:
            session.user = words[0]

    def _line(self, session):
        line = self._read_until(session, b"\r\n").decode("utf-8", "surrogateescape")
        with self.lock:
            self.heard.append((session.number, session.secured, line))
        return line

    def _talk(self, session):
        if self.implicit:
            self._secure(session)
        if not self._answer(session, "connect", "", "220 sink.example ESMTP"):
            return
        while self._command(session, self._line(session)):
            pass

    def _command(self, session, line):
        """Answers one line; false once the conversation is over."""
        verb, _, argument = line.partition(" ")
        verb = verb.upper()
        if verb in ("EHLO", "HELO"):
            names = ["sink.example"] + (self._extensions(session) if verb == "EHLO" else [])
            lines = [f"250-{n}" for n in names[:-1]] + [f"250 {names[-1]}"]
            self._answer(session, verb.lower(), argument, "\r\n".join(lines))
        elif verb == "STARTTLS" and self.context and not session.secured:
            if self._answer(session, "starttls", "", "220 2.0.0 go"):
                self._secure(session)
        elif verb == "AUTH" and self.login:
            self._log_in(session, argument)
        elif verb == "MAIL" and self.login and not session.user:
            session.sock.sendall(b"530 5.7.0 log in first\r\n")
        elif verb == "MAIL":
            session.recipients, session.rcpt_lines = [], []
            session.mail_line = line
            if self._answer(session, "mail", argument, "250 2.1.0 Ok"):
                session.sender = path_of(argument)
        elif verb == "RCPT":
            recipient = path_of(argument)
            if session.sender is None:
                session.sock.sendall(b"503 5.5.1 MAIL first\r\n")
            elif self._answer(session, "rcpt", recipient, "250 2.1.5 Ok"):
                session.recipients.append(recipient)
                session.rcpt_lines.append(line)
        elif verb == "DATA":
            if not session.recipients:
                session.sock.sendall(b"554 5.5.1 no valid recipients\r\n")
            elif self._answer(session, "data", "", "354 go ahead"):
                self._take(session)
        elif verb in ("RSET", "NOOP"):
            if verb == "RSET":
                session.sender = None
                session.recipients, session.rcpt_lines = [], []
            self._answer(session, verb.lower(), "", "250 2.0.0 Ok")
        elif verb == "QUIT":
            self._answer(session, "quit", "", "221 2.0.0 Bye")
            return False
        else:
            session.sock.sendall(b"500 5.5.2 what?\r\n")
        return True

    def _take(self, session):
        # The terminator may follow the 354 at once: an empty message is ".\r\n" alone.
        data = b"\r\n" + self._read_until(session, b"\r\n.\r\n", b"\r\n")
        message = Message(
            session.sender, session.recipients, data[2:] + b"\r\n" if len(data) > 2 else b"",
            session.mail_line, session.number, session.rcpt_lines, session.secured, session.user,
        )
        session.sender = None
        session.recipients, session.rcpt_lines = [], []
        # Recorded before the reply is written, so that whoever saw the 250 finds it here; taken
        # back if the rule said no.
        with self.lock:
            self.messages.append(message)
        taken = False
        try:
            taken = self._answer(session, "end", message, "250 2.0.0 Ok: taken")
        finally:
            if not taken:
                with self.lock:
                    self.messages = [m for m in self.messages if m is not message]

    def _read_until(self, session, end, already=b""):
        """The bytes before `end`; `already` counts as read before them and is not returned."""
        buffer = bytearray(already + session.pending)
        start = 0
        while True:
            at = buffer.find(end, start)
            if at >= 0:
                session.pending = bytes(buffer[at + len(end):])
                return bytes(buffer[len(already):at])
            start = max(0, len(buffer) - len(end))
            more = session.sock.recv(262144)
            if not more:
                raise EOFError
            buffer += more


def path_of(argument):
    return argument.partition("<")[2].partition(">")[0]
