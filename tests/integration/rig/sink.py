"""A recording SMTP server: the smarthost behind the gate, and everything that can go wrong there.

It keeps the exact bytes of what it took. `rule(stage, argument, session)` may answer for it:
return None for the usual reply, a reply line such as "451 4.3.0 later", HANG (say nothing until
the peer goes away) or CUT (close the connection). Stages: connect, ehlo, mail, rcpt, data, end
(after the final dot), rset, quit. A message counts as taken only once its 250 was written.
"""

import socket
import threading
from dataclasses import dataclass, field

from .wait import wait_for

HANG = object()
CUT = object()


@dataclass
class Message:
    """One message that the sink took."""

    sender: str
    recipients: list
    wire: bytes  # between DATA's 354 and the final dot, as it came
    mail_line: str
    connection: int

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
    pending: bytes = b""


class Sink:
    """Starts listening at once; stop() and start() keep the port."""

    def __init__(self, rule=None, extensions=("PIPELINING", "SIZE 100000000", "8BITMIME")):
        self.rule = rule
        self.extensions = list(extensions)
        self.messages = []
        self.connections = 0
        self.lock = threading.Lock()
        self.open = set()
        self.listener = None
        self.port = 0
        self.start()

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def start(self):
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(("127.0.0.1", self.port))
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
            f"{count} recipients at the sink (now {len(self.recipients())})",
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
        reply = self.rule(stage, argument, session) if self.rule else None
        if reply is CUT:
            raise EOFError
        if reply is HANG:
            while session.sock.recv(65536):
                pass
            raise EOFError
        reply = reply or usual
        session.sock.sendall(reply.encode() + b"\r\n")
        return reply[0] in "23"

    def _talk(self, session):
        if not self._answer(session, "connect", "", "220 sink.example ESMTP"):
            return
        while True:
            line = self._read_until(session, b"\r\n").decode("utf-8", "surrogateescape")
            verb, _, argument = line.partition(" ")
            verb = verb.upper()
            if verb in ("EHLO", "HELO"):
                names = ["sink.example"] + (self.extensions if verb == "EHLO" else [])
                lines = [f"250-{n}" for n in names[:-1]] + [f"250 {names[-1]}"]
                self._answer(session, "ehlo", argument, "\r\n".join(lines))
            elif verb == "MAIL":
                session.recipients = []
                session.mail_line = line
                if self._answer(session, "mail", argument, "250 2.1.0 Ok"):
                    session.sender = path_of(argument)
            elif verb == "RCPT":
                recipient = path_of(argument)
                if session.sender is None:
                    session.sock.sendall(b"503 5.5.1 MAIL first\r\n")
                elif self._answer(session, "rcpt", recipient, "250 2.1.5 Ok"):
                    session.recipients.append(recipient)
            elif verb == "DATA":
                if not session.recipients:
                    session.sock.sendall(b"554 5.5.1 no valid recipients\r\n")
                elif self._answer(session, "data", "", "354 go ahead"):
                    self._take(session)
            elif verb in ("RSET", "NOOP"):
                if verb == "RSET":
                    session.sender = None
                    session.recipients = []
                self._answer(session, verb.lower(), "", "250 2.0.0 Ok")
            elif verb == "QUIT":
                self._answer(session, "quit", "", "221 2.0.0 Bye")
                return
            else:
                session.sock.sendall(b"500 5.5.2 what?\r\n")

    def _take(self, session):
        # The terminator may follow the 354 at once: an empty message is ".\r\n" alone.
        data = b"\r\n" + self._read_until(session, b"\r\n.\r\n", b"\r\n")
        message = Message(
            session.sender, session.recipients, data[2:] + b"\r\n" if len(data) > 2 else b"",
            session.mail_line, session.number,
        )
        session.sender = None
        session.recipients = []
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
