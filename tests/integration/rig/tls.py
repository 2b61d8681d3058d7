"""A small certificate authority, with the openssl command: for listeners, smarthosts and clients.

Keys are P-256, because they are made in milliseconds, and readable by their owner only, because
the gate insists on it.
"""

import re
import subprocess
from pathlib import Path

# `openssl ca` and not `openssl x509`: only it takes the dates of a certificate that has expired.
CONFIG = """[ca]
default_ca = authority
[authority]
dir = {dir}
new_certs_dir = {dir}
database = {dir}/index.txt
certificate = {dir}/ca.pem
private_key = {dir}/ca.key
default_md = sha256
default_days = 30
unique_subject = no
rand_serial = yes
policy = any
[any]
commonName = supplied
[req]
distinguished_name = name
[name]
[root]
basicConstraints = critical, CA:true
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[leaf]
basicConstraints = critical, CA:false
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth, clientAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
{names}
"""


class CA:
    """`path` is its certificate in PEM, for whoever shall trust it."""

    def __init__(self, directory, name="Test CA"):
        self.dir = Path(directory)
        self.dir.mkdir(parents=True, exist_ok=True)
        self.path = self.dir / "ca.pem"
        self.issued = 0
        (self.dir / "index.txt").touch()
        config = self._config("ca", "")
        key = self._key("ca")
        openssl("req", "-x509", "-new", "-config", config, "-extensions", "root", "-key", key,
                "-subj", f"/CN={name}", "-days", "30", "-out", self.path)

    def issue(self, name, ip=None, expired=False, email=None):
        """(certificate, key) as paths of PEM files; `name` is a host name, or a common name.

        With `email` that address, and no host name, is the alternative name; `ip` is one more.
        Each call makes new files, also for a name that was there before.
        """
        self.issued += 1
        stem = f"{self.issued}-" + re.sub(r"[^A-Za-z0-9.-]", "_", name)
        names = [f"email:{email}"] if email else [f"DNS:{name}"]
        names += [f"IP:{ip}"] if ip else []
        config = self._config(stem, "subjectAltName = " + ", ".join(names))
        key = self._key(stem)
        request, certificate = self.dir / f"{stem}.csr", self.dir / f"{stem}.pem"
        openssl("req", "-new", "-config", config, "-key", key, "-subj", f"/CN={name}",
                "-out", request)
        dates = ["-startdate", "20200101000000Z", "-enddate", "20200201000000Z"] if expired else []
        openssl("ca", "-batch", "-notext", "-config", config, "-extensions", "leaf", *dates,
                "-in", request, "-out", certificate)
        return certificate, key

    def _config(self, stem, names):
        path = self.dir / f"{stem}.cnf"
        path.write_text(CONFIG.format(dir=self.dir, names=names))
        return path

    def _key(self, stem):
        path = self.dir / f"{stem}.key"
        path.touch(mode=0o600)
        openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", path)
        path.chmod(0o600)
        return path


def make_ca(directory, name="Test CA"):
    return CA(directory, name)


def openssl(*arguments):
    result = subprocess.run(["openssl", *map(str, arguments)], stdin=subprocess.DEVNULL,
                            capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, f"openssl {arguments[0]}: {result.stderr}"
    return result.stdout
