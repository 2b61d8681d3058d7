"""The two that are measured: the gate and Postfix, each with one upstream, the sink.

Both run as they come: what is set beside addresses and folders stands in GATE and in MAIN, and why
in tests/bench/README.md. Their stores are in the same folder, so on the same disk.
"""

import os
import pwd
import shutil
import time
from pathlib import Path

from rig.gate import Gate, listener, secured, upstream
from rig.maildir import free_ports
from rig.postfix import MASTER, Postfix
from rig.wait import wait_for

from .tools import cpu_us, children, pss_mb

HEAD = """hostname = "gate.example"
store = "{dir}/mailfuse.db"
control = "{run}/control.sock"
min_free_space = "1MB"
quarantine_limit = "500GB"
"""
START_SECONDS = 900  # with ten million deliveries; a guard only
# More than one client address is not at hand, so one may have as many connections as there are.
OPEN = "max_connections = 100000 max_client_connections = 100000"
PASSING = """environment "production" {
	production = true
	match { network = {"127.0.0.0/8"} }
	burst "volume" { limit = "1000000000/10m" per = {source, subject} }
}
"""
# The same rule and one more, which holds everything at once.
HOLDING = PASSING.replace('	burst "volume"', """	content "marker" { header = Subject match = sale }
	burst "volume\"""")

MAIN = """compatibility_level = 3.6
queue_directory = {dir}/queue
data_directory = {dir}/data
maillog_file = {dir}/postfix.log
maillog_file_prefixes = {dir}
myhostname = postfix.example
mydestination =
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
alias_maps =
alias_database =
relayhost = [127.0.0.1]:{sink}
default_destination_concurrency_limit = {connections}
"""


class Relay:
    """What both have. `ports`: plain, tls. `pids`: its processes."""

    def cpu(self):
        """Microseconds so far, once it has come to rest: what follows the last mail counts too."""
        end = time.monotonic() + 5
        last = cpu_us(self.pids())
        while time.monotonic() < end:
            time.sleep(0.1)
            now = cpu_us(self.pids())
            if now - last < 10_000:
                return now
            last = now
        return last

    def memory(self):
        return pss_mb(self.pids())


class MailfuseRelay(Relay):
    name = "mailfuse"

    def __init__(self, directory, sink, issued, environments=PASSING, connections=20, store=None):
        directory.mkdir()
        config = (listener(OPEN) + listener(OPEN + " " + secured(issued), name="tls")
                  + upstream(sink, f"tls = off connections = {connections}") + environments)
        self.gate = Gate(directory, config, head=HEAD)
        del self.gate.environment["MAILFUSE_TEST_RETRY_MS"]
        if store:
            store.rename(self.gate.store)
        begin = time.monotonic()
        self.gate.spawn()
        wait_for("mailfused is ready", lambda: self.gate.logged(r"- ready\b") or self.gate.exited(),
                 START_SECONDS)
        assert not self.gate.exited(), f"mailfused ended at its start:\n{self.gate.text()}"
        self.start_seconds = time.monotonic() - begin
        self.ports = {name: self.gate.address(at)[1] for name, at in (("plain", "apps"),
                                                                      ("tls", "tls"))}

    def pids(self):
        return [self.gate.process.pid]

    def stop(self):
        self.gate.stop(deadline=120)
        self.gate.close()
        shutil.rmtree(self.gate.dir, ignore_errors=True)


class PostfixRelay(Relay, Postfix):
    name = "Postfix"

    def __init__(self, directory, sink, issued, connections=20):
        directory.mkdir(mode=0o755)
        certificate, key = issued
        services = {"plain": {}, "tls": {"smtpd_tls_security_level": "may",
                                         "smtpd_tls_cert_file": certificate,
                                         "smtpd_tls_key_file": key}}
        self.dir = directory
        self.ports = free_ports(services)
        owner = pwd.getpwnam("postfix")
        for name in ("config", "queue", "data"):
            (self.dir / name).mkdir(mode=0o755)
        (self.dir / "postfix.log").touch()
        for name in ("data", "postfix.log"):
            os.chown(self.dir / name, owner.pw_uid, owner.pw_gid)
        (self.dir / "config" / "main.cf").write_text(
            MAIN.format(dir=self.dir, sink=sink.port, connections=connections))
        (self.dir / "config" / "master.cf").write_text(
            "".join(self._service(name, keys) for name, keys in services.items()) + MASTER)
        self.start()
        self.master = int((self.dir / "queue" / "pid" / "master.pid").read_text())

    def pids(self):
        return [self.master, *children(self.master)]


def sync():
    """What one has left to be written must not slow down the other."""
    os.sync()


def file_system(path):
    """(type, device) of the file system that holds a path."""
    best = ("", "?", "?")
    for line in Path("/proc/mounts").read_text().splitlines():
        device, at, kind = line.split()[:3]
        if str(path).startswith(at.rstrip("/") + "/") and len(at) > len(best[0]):
            best = (at, kind, device)
    return best[1], best[2]
