"""An OpenSMTPD of our own: Debian's programs in a chroot with a configuration and a queue.

Its package cannot be installed beside Postfix's, so tests/opensmtpd.sh only unpacks it, and ./check
has that done. The paths it was built with are all inside the chroot; the network is the machine's.
Needs root, as OpenSMTPD does, and nothing else of it: no mounts, no devices.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
from pathlib import Path

from .maildir import MaildirServer, free_ports
from .tls import openssl
from .wait import wait_for

TOP = Path(__file__).resolve().parents[3]
UNPACKED = Path(os.environ.get("MAILFUSE_OPENSMTPD", TOP / "build-check" / "opensmtpd"))

# Users of the chroot only: no such numbers need be anybody outside.
DAEMON, QUEUE, BOX = 64201, 64202, 64203
PASSWD = f"""root:x:0:0:root:/:/bin/sh
opensmtpd:x:{DAEMON}:{DAEMON}::/var/lib/opensmtpd/empty:/bin/false
opensmtpq:x:{QUEUE}:{QUEUE}::/var/lib/opensmtpd/empty:/bin/false
box:x:{BOX}:{BOX}::/mail:/bin/sh
"""
GROUP = f"root:x:0:\nopensmtpd:x:{DAEMON}:\nopensmtpq:x:{QUEUE}:\nbox:x:{BOX}:\n"

CONFIG = """pki smarthost.example cert "/etc/smarthost.pem"
pki smarthost.example key "/etc/smarthost.key"
table logins file:/etc/logins
table boxes {{ "@" = "box" }}
smtp limit max-mails {mails}
listen on 127.0.0.1 port {starttls} tls-require pki smarthost.example hostname smarthost.example auth <logins>
listen on 127.0.0.1 port {implicit} smtps pki smarthost.example hostname smarthost.example auth <logins>
action "keep" maildir "/mail/inbox" virtual <boxes>
match auth from any for any action "keep"
"""


def why_not():
    """Why OpenSMTPD cannot run here; None if it can."""
    if os.geteuid() != 0:
        return "OpenSMTPD needs root"
    if not (UNPACKED / "keys.so").exists():
        return f"OpenSMTPD is not in {UNPACKED}: run tests/opensmtpd.sh {UNPACKED}"
    return None


class OpenSMTPD(MaildirServer):
    """Services: starttls and implicit; both want `login`, a pair, first."""

    def __init__(self, issued, login, mails=100):
        self.root = Path(tempfile.mkdtemp(prefix="mailfuse-opensmtpd-"))
        self.root.chmod(0o755)
        self.inbox = self.root / "mail" / "inbox"
        self.ports = free_ports(["starttls", "implicit"])
        self.process, self.reader, self.said = None, None, []
        self._fill(issued, login)
        (self.root / "etc/smtpd.conf").write_text(CONFIG.format(mails=mails, **self.ports))
        self.start()

    def _fill(self, issued, login):
        for name in ("bin", "etc", "mail", "tmp", "usr/sbin", "usr/libexec", "usr/lib", "var/run",
                     "var/spool/smtpd", "var/lib/opensmtpd/empty"):
            (self.root / name).mkdir(parents=True)
        (self.root / "var/spool/smtpd").chmod(0o711)
        (self.root / "tmp").chmod(0o1777)
        os.chown(self.root / "mail", BOX, BOX)
        # The shell starts what delivers.
        programs = [UNPACKED / "usr/sbin/smtpd", UNPACKED / "usr/libexec/opensmtpd/mail.maildir",
                    UNPACKED / "keys.so", Path("/bin/sh")]
        places = ["usr/sbin/smtpd", "usr/libexec/opensmtpd/mail.maildir", "usr/lib/keys.so", "bin/sh"]
        for program, place in zip(programs, places):
            (self.root / place).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(program, self.root / place)
            for library in libraries(program):
                there = self.root / library.lstrip("/")
                there.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(library, there)
        user, password = login
        etc = self.root / "etc"
        for name, text in (("passwd", PASSWD), ("group", GROUP),
                           ("hosts", "127.0.0.1 localhost\n"),
                           # Names come from that file, and nobody is asked.
                           ("resolv.conf", "lookup file\n"),
                           ("ld.so.preload", "/usr/lib/keys.so\n"),
                           ("logins", f"{user} {openssl('passwd', '-6', password)}")):
            (etc / name).write_text(text)
        certificate, key = issued
        shutil.copy(certificate, etc / "smarthost.pem")
        shutil.copy(key, etc / "smarthost.key")
        (etc / "smarthost.key").chmod(0o600)

    def log(self):
        return "".join(self.said)

    def start(self):
        self.process = subprocess.Popen(
            ["/usr/sbin/chroot", str(self.root), "/usr/sbin/smtpd", "-d"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd="/",
            text=True, errors="replace",
        )
        self.reader = threading.Thread(target=lambda: self.said.extend(self.process.stdout),
                                       daemon=True)
        self.reader.start()
        wait_for("OpenSMTPD on its ports", lambda: self._answers() or self.process.poll() is not None)
        assert self.process.poll() is None, f"OpenSMTPD ended at its start:\n{self.log()}"

    def _answers(self):
        try:
            with socket.create_connection(("127.0.0.1", self.ports["starttls"]), 5) as sock:
                return sock.recv(100).startswith(b"220")
        except OSError:
            return False

    def end(self, number=signal.SIGTERM):
        """Until its last process has ended: they all write to the pipe that the reader reads."""
        self.process.send_signal(number)
        self.process.wait(60)
        self.reader.join(60)
        assert not self.reader.is_alive(), "OpenSMTPD did not end"
        self.process.stdout.close()

    def restart(self, number=signal.SIGTERM):
        self.end(number)
        self.start()

    def stop(self):
        try:
            self.end()
        finally:
            shutil.rmtree(self.root, ignore_errors=True)


def libraries(program):
    """Paths of what it is linked with, the loader included."""
    listed = subprocess.run(["ldd", str(program)], check=True, capture_output=True, text=True)
    return re.findall(r"(/\S+) \(0x", listed.stdout)
