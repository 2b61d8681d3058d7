"""A Postfix of our own: Debian's programs, a configuration and a queue in a temporary directory.

It listens on one loopback port and keeps everything in a Maildir. The machine's own Postfix, if
there is one, is neither read nor touched. Needs root, as Postfix does.
"""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

from .wait import wait_for

MAIN = """compatibility_level = 3.6
queue_directory = {dir}/queue
data_directory = {dir}/data
maillog_file = {dir}/postfix.log
maillog_file_prefixes = {dir}
myhostname = smarthost.example
mydestination =
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
alias_maps =
alias_database =
local_recipient_maps =
virtual_mailbox_domains = static:all
virtual_mailbox_maps = static:inbox/
virtual_mailbox_base = {dir}/mail
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{gid}
virtual_transport = virtual
message_size_limit = 60000000
virtual_mailbox_limit = 0
smtpd_recipient_restrictions =
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_client_connection_count_limit = 0
"""

MASTER = """127.0.0.1:{port} inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""


def why_not():
    """Why Postfix cannot run here; None if it can."""
    if os.geteuid() != 0:
        return "Postfix needs root"
    if not shutil.which("postfix", path="/usr/sbin:/usr/bin"):
        return "Postfix is not installed"
    return None


class Postfix:
    def __init__(self):
        # Not below pytest's directory: Postfix's own users must be able to enter.
        self.dir = Path(tempfile.mkdtemp(prefix="mailfuse-postfix-"))
        self.dir.chmod(0o755)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        owner = pwd.getpwnam("postfix")
        box = pwd.getpwnam("nobody")
        for name in ("config", "queue", "data", "mail"):
            (self.dir / name).mkdir()
        os.chown(self.dir / "data", owner.pw_uid, owner.pw_gid)
        os.chown(self.dir / "mail", box.pw_uid, box.pw_gid)
        config = self.dir / "config"
        (config / "main.cf").write_text(
            MAIN.format(dir=self.dir, uid=box.pw_uid, gid=box.pw_gid)
        )
        (config / "master.cf").write_text(MASTER.format(port=self.port))
        self._run("start")
        wait_for(f"Postfix on its port:\n{self.log()}", self._answers)

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def log(self):
        path = self.dir / "postfix.log"
        return path.read_text() if path.exists() else ""

    def _answers(self):
        try:
            with socket.create_connection(("127.0.0.1", self.port), 5) as sock:
                return sock.recv(100).startswith(b"220")
        except OSError:
            return False

    def _run(self, verb):
        result = subprocess.run(
            ["/usr/sbin/postfix", "-c", str(self.dir / "config"), verb],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, timeout=60,
        )
        assert result.returncode == 0, f"postfix {verb}: {result.stdout}{self.log()}"

    def delivered(self):
        """The files of what was delivered."""
        return set((self.dir / "mail" / "inbox").glob("new/*"))

    def wait(self, count, before=frozenset()):
        """Until `count` messages came that are not in `before`: one bytes each, LF line ends."""
        wait_for(f"{count} messages delivered by Postfix:\n{self.log()[-2000:]}",
                 lambda: len(self.delivered() - before) >= count)
        return [path.read_bytes() for path in self.delivered() - before]

    def stop(self):
        try:
            self._run("stop")
        finally:
            shutil.rmtree(self.dir, ignore_errors=True)
