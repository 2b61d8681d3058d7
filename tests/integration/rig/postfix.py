"""A Postfix of our own: Debian's programs, a configuration and a queue in a temporary directory.

It listens on loopback ports, one per service, and keeps everything in a Maildir. The machine's own
Postfix, if there is one, is neither read nor touched. Needs root, as Postfix does.
"""

import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path

from .maildir import MaildirServer, free_ports
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
notify_classes =
smtpd_recipient_restrictions =
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_client_connection_count_limit = 0
"""

# Logins are in Cyrus SASL's own database. What smtpd_sasl_path names is a file in sasl/ beside
# main.cf, without its ".conf": Debian's Postfix looks there and nowhere else.
SASL = """pwcheck_method: auxprop
auxprop_plugin: sasldb
sasldb_path: {dir}/users
mech_list: {mechanisms}
"""

MASTER = """pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
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


def why_no_logins():
    """The same for one with logins."""
    if not shutil.which("saslpasswd2", path="/usr/sbin:/usr/bin"):
        return "sasl2-bin is not installed"
    if not list(Path("/usr/lib").glob("*/sasl2/libplain.so")):
        return "libsasl2-modules is not installed"
    return why_not()


# Keys of a service that wants a login; with TLS, only under it.
LOGIN = {"smtpd_sasl_auth_enable": "yes", "smtpd_sasl_local_domain": "smarthost.example",
         "smtpd_relay_restrictions": "permit_sasl_authenticated, reject"}


def secured(issued, level="encrypt", **keys):
    """Keys of a service with TLS: level is may or encrypt."""
    certificate, key = issued
    return {"smtpd_tls_security_level": level, "smtpd_tls_cert_file": certificate,
            "smtpd_tls_key_file": key, "smtpd_tls_auth_only": "yes", "smtpd_tls_loglevel": "1",
            "smtpd_tls_received_header": "yes", **keys}


def implicit(issued, **keys):
    return secured(issued, smtpd_tls_wrappermode="yes", **keys)


class Postfix(MaildirServer):
    """`services`: the settings of each by its name, which the lines of its log begin with.

    `login`, a pair, may be used at those that have LOGIN.
    """

    def __init__(self, services=None, login=None):
        # Not below pytest's directory: Postfix's own users must be able to enter.
        self.dir = Path(tempfile.mkdtemp(prefix="mailfuse-postfix-"))
        self.dir.chmod(0o755)
        self.inbox = self.dir / "mail" / "inbox"
        services = services or {"plain": {}}
        self.ports = free_ports(services)
        owner = pwd.getpwnam("postfix")
        box = pwd.getpwnam("nobody")
        for name in ("config", "queue", "data", "mail"):
            (self.dir / name).mkdir()
        os.chown(self.dir / "data", owner.pw_uid, owner.pw_gid)
        # While Postfix is down, postsuper writes its warnings there itself, as this user.
        (self.dir / "postfix.log").touch()
        os.chown(self.dir / "postfix.log", owner.pw_uid, owner.pw_gid)
        os.chown(self.dir / "mail", box.pw_uid, box.pw_gid)
        config = self.dir / "config"
        (config / "main.cf").write_text(
            MAIN.format(dir=self.dir, uid=box.pw_uid, gid=box.pw_gid))
        (config / "master.cf").write_text(
            "".join(self._service(name, keys) for name, keys in services.items()) + MASTER)
        if login:
            self._add_login(*login, owner)
        self.start()

    def _service(self, name, keys):
        line = f"127.0.0.1:{self.ports[name]} inet n - n - - smtpd\n"
        keys = {"syslog_name": f"postfix/{name}", **keys}
        return line + "".join(f" -o {{ {key} = {value} }}\n" for key, value in keys.items())

    def _add_login(self, user, password, owner):
        sasl, users = self.dir / "config" / "sasl", self.dir / "users"
        sasl.mkdir()
        subprocess.run(["/usr/sbin/saslpasswd2", "-c", "-p", "-f", str(users),
                        "-u", "smarthost.example", user], input=password, text=True, check=True)
        os.chown(users, owner.pw_uid, owner.pw_gid)
        for name, mechanisms in (("smtpd", "PLAIN LOGIN"), ("login", "LOGIN"),
                                 ("cram", "CRAM-MD5")):
            (sasl / f"{name}.conf").write_text(
                SASL.format(dir=self.dir, mechanisms=mechanisms))

    @property
    def port(self):
        """Of the first service."""
        return next(iter(self.ports.values()))

    def start(self):
        """Its sockets are bound when the command ends."""
        self._run("start")

    def restart(self):
        """Starts again and again: it does not where a process that ends late moves a queue file."""
        said = []
        self._run("stop")

        def starts():
            result = self._command("start")
            said.append(result.stdout)
            return result.returncode == 0

        wait_for(lambda: f"Postfix starts: {said[-1]}{self.log()[-2000:]}", starts)

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def log(self):
        path = self.dir / "postfix.log"
        return path.read_text() if path.exists() else ""

    def log_of(self, service):
        """The lines that its smtpd wrote."""
        mark = f" postfix/{service}/smtpd["
        return "".join(line for line in self.log().splitlines(True) if mark in line)

    def _command(self, verb):
        return subprocess.run(
            ["/usr/sbin/postfix", "-c", str(self.dir / "config"), verb],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, timeout=60,
        )

    def _run(self, verb):
        result = self._command(verb)
        assert result.returncode == 0, f"postfix {verb}: {result.stdout}{self.log()[-2000:]}"

    def stop(self):
        try:
            self._run("stop")
        finally:
            shutil.rmtree(self.dir, ignore_errors=True)
