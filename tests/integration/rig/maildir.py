"""What the real smarthosts have in common: everything that they take ends in one Maildir."""

import random
import socket
from types import SimpleNamespace

from .wait import wait_for


class MaildirServer:
    """Of a subclass: `inbox`, the Maildir; `ports`, a port of 127.0.0.1 per service; log()."""

    def at(self, service, host="127.0.0.1"):
        """Has an address, for rig.gate.upstream()."""
        return SimpleNamespace(address=f"{host}:{self.ports[service]}")

    def delivered(self):
        """The files of what was delivered."""
        return set(self.inbox.glob("new/*"))

    def wait(self, count, before=frozenset()):
        """Until `count` messages came that are not in `before`: one bytes each, LF line ends."""
        wait_for(lambda: f"{count} messages delivered:\n{self.log()[-2000:]}",
                 lambda: len(self.delivered() - before) >= count)
        return [path.read_bytes() for path in self.delivered() - before]

    def to(self, recipient):
        """What was delivered for this address."""
        line = b"\nDelivered-To: " + recipient.encode() + b"\n"
        contents = [path.read_bytes() for path in self.delivered()]
        return [c for c in contents if line in b"\n" + c.partition(b"\n\n")[0] + b"\n"]

    def recipients(self):
        """Of all that was delivered, repeats included."""
        found = []
        for path in self.delivered():
            for line in path.read_bytes().partition(b"\n\n")[0].decode().split("\n"):
                if line.startswith("Delivered-To: "):
                    found.append(line.partition(" ")[2])
        return found

    def only(self, recipient):
        """The one message for this address that must have come."""
        wait_for(lambda: f"mail for {recipient}:\n{self.log()[-2000:]}",
                 lambda: self.to(recipient))
        found = self.to(recipient)
        assert len(found) == 1, f"{len(found)} messages for {recipient}"
        return found[0]


def free_ports(names):
    """A port of 127.0.0.1 for each name.

    From below those that the kernel gives to connections and to whoever asks for any port: between
    here and the server's own bind nobody is likely to get it.
    """
    probes = {}
    try:
        for name in names:
            probes[name] = bound(random.sample(range(20000, 32000), 100))
        return {name: probe.getsockname()[1] for name, probe in probes.items()}
    finally:
        for probe in probes.values():
            probe.close()


def bound(ports):
    """A socket at the first of these that nobody has."""
    for port in ports:
        probe = socket.socket()
        try:
            probe.bind(("127.0.0.1", port))
            return probe
        except OSError:
            probe.close()
    raise AssertionError(f"none of {len(ports)} ports is free")
