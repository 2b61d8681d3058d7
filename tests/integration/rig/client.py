"""A plain SMTP client for what the real ones would never say, and for sending a lot at once."""

import base64
import socket
import ssl
import threading


class Client:
    """One connection; the greeting is read on connect. Replies are (code, text).

    `tls` is off, starttls (done at once, before `greet`'s EHLO) or implicit. `ca` is the file of
    who signed the gate's certificate; without it any will do. `certificate` and `key` are the
    client's own.
    """

    def __init__(self, address, source="127.0.2.1", greet=True, timeout=30, tls="off", ca=None,
                 certificate=None, key=None, name="gate.example"):
        host, port = address
        self.ca, self.certificate, self.key, self.name = ca, certificate, key, name
        self.buffer = b""
        self.sock = socket.create_connection((host, port), timeout,
                                             source_address=(source, 0) if source else None)
        try:
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if tls == "implicit":
                self.handshake()
            self.greeting = self.reply()
            if tls == "starttls":
                self.expect(250, "EHLO client.example")
                self.start_tls()
            if greet:
                self.expect(250, "EHLO client.example")
        except BaseException:
            self.sock.close()
            raise

    def start_tls(self):
        self.expect(220, "STARTTLS")
        self.handshake()

    def handshake(self, version=None):
        """TLS from here on. What came in clear behind the last reply would be an injection."""
        assert not self.buffer, f"in clear before the handshake: {self.buffer!r}"
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if version:
            context.minimum_version = context.maximum_version = version
        if self.ca:
            context.load_verify_locations(self.ca)
        else:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if self.certificate:
            context.load_cert_chain(self.certificate, self.key)
        self.sock = context.wrap_socket(self.sock, server_hostname=self.name)

    def login(self, name, password):
        return self.command(b"AUTH PLAIN " + plain(name, password))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.sock.close()

    def send(self, data):
        self.sock.sendall(data if isinstance(data, bytes) else data.encode())

    def reply(self):
        """The next reply: (code, lines joined with newlines). (0, "") when the gate hung up."""
        lines = []
        while True:
            while b"\r\n" not in self.buffer:
                try:
                    more = self.sock.recv(65536)
                except (ConnectionResetError, ssl.SSLError) as error:
                    if isinstance(error, TimeoutError):
                        raise
                    more = b""
                if not more:
                    return 0, ""
                self.buffer += more
            line, _, self.buffer = self.buffer.partition(b"\r\n")
            lines.append(line[4:].decode("utf-8", "replace"))
            if line[3:4] != b"-":
                return int(line[:3]), "\n".join(lines)

    def command(self, line):
        self.send(line if isinstance(line, bytes) else line.encode())
        self.send(b"\r\n")
        return self.reply()

    def expect(self, code, line):
        got = self.command(line)
        assert got[0] == code, f"{line!r}: wanted {code}, got {got}"
        return got[1]

    def mail(self, recipients, data, sender="app@shop.example", parameters=""):
        """One pipelined transaction; returns (replies of RCPT, reply of the end of data).

        `data` is what goes on the wire but for the final CRLF.CRLF. The second is the reply of
        DATA itself where that was refused.
        """
        lines = [f"MAIL FROM:<{sender}>{parameters}\r\n"]
        lines += [f"RCPT TO:<{r}>\r\n" for r in recipients]
        self.send("".join(lines) + "DATA\r\n")
        mail = self.reply()
        results = [self.reply() for _ in recipients]
        go = self.reply()
        if go[0] != 354:
            return results, mail if mail[0] != 250 else go
        self.send(data if isinstance(data, bytes) else data.encode())
        self.send(b"\r\n.\r\n")
        return results, self.reply()


def plain(name, password, authority=""):
    """The initial response of AUTH PLAIN (RFC 4616)."""
    return b64(f"{authority}\0{name}\0{password}")


def b64(text):
    return base64.b64encode(text if isinstance(text, bytes) else text.encode())


def letter(subject="Hello", sender="app@shop.example", to="someone@example.com", body="Hi.",
           extra=""):
    """A small message with CRLF line ends, without a final one."""
    return (f"From: {sender}\r\nTo: {to}\r\nSubject: {subject}\r\n{extra}\r\n{body}").encode()


class Blast:
    """Sends `count` letters, one recipient each, over several connections at once.

    `accepted` has the recipients whose message got its 250, `refused` the rest with the reply.
    When the gate dies, its connections end and run() returns all the same.
    """

    def __init__(self, address, count, source="127.0.2.1", connections=4, subject="Sale today",
                 domain="customers.example", prefix="c", each=None):
        self.address, self.count, self.source = address, count, source
        self.connections, self.subject = connections, subject
        self.domain, self.prefix = domain, prefix
        self.each = each  # called with the number accepted so far, on the sending threads
        self.accepted = []
        self.ids = []
        self.refused = []
        self.threads = []

    def recipient(self, number):
        return f"{self.prefix}{number}@{self.domain}"

    def _send(self, first):
        try:
            with Client(self.address, self.source) as client:
                for n in range(first, self.count, self.connections):
                    to = self.recipient(n)
                    _, end = client.mail([to], letter(self.subject, to=to, body=f"Dear {n}"))
                    if end[0] == 250:
                        self.accepted.append(to)
                        self.ids.append(end[1].split()[-1])
                        if self.each:
                            self.each(len(self.accepted))
                    elif end[0] == 0:
                        return
                    else:
                        self.refused.append((to, end))
        except OSError:
            return

    def start(self):
        for first in range(self.connections):
            thread = threading.Thread(target=self._send, args=(first,), daemon=True)
            thread.start()
            self.threads.append(thread)
        return self

    def join(self, deadline=120):
        for thread in self.threads:
            thread.join(deadline)
            assert not thread.is_alive(), "the blast did not end"
        return self

    def run(self):
        return self.start().join()
