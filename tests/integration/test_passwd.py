"""mailfuse passwd: what it writes, asked for on a terminal or a pipe; what it leaves as it was; what
it refuses. Hashes are checked with Python's own scrypt."""

import base64
import fcntl
import hashlib
import json
import os
import pty
import re
import select
import shutil
import signal
import stat
import subprocess
import tempfile
import termios
import threading

import pytest
from rig.gate import MAILFUSE
from rig.wait import DEADLINE, wait_for

OTHER = (
    "$scrypt$ln=10,r=8,p=1$c2l4dGVlbiBieXRlIHNhbA$"
    "Bv2SJHBl4qs1L3dd2RrdPDTxb1L931Fp1q7yoqz8t+w"
)


def is_password(hashed, password):
    """By hashlib, from the hash's own costs and salt."""
    kind, costs, salt, key = hashed.split("$")[1:]
    assert kind == "scrypt"
    costs = dict(cost.split("=") for cost in costs.split(","))

    def decode(text):
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)

    wanted = hashlib.scrypt(password, salt=decode(salt), n=1 << int(costs["ln"]),
                            r=int(costs["r"]), p=int(costs["p"]), dklen=len(decode(key)),
                            maxmem=1 << 26)
    return wanted == decode(key)


def read(path):
    """The users of a file, as a dictionary."""
    return dict(line.split(":") for line in path.read_text().splitlines()
                if line.strip() and not line.startswith("#"))


def passwd(*args, data=b"correct horse\n", **more):
    done = subprocess.run([MAILFUSE, "passwd", *args], input=data, capture_output=True,
                          timeout=DEADLINE, **more)
    done.out, done.err = done.stdout.decode(), done.stderr.decode()
    assert "Sanitizer" not in done.err and "runtime error" not in done.err, done.err
    return done


def refused(*args, why, code=1, **more):
    done = passwd(*args, **more)
    assert (done.returncode, done.out) == (code, ""), done.err
    assert why in done.err, done.err


@pytest.fixture
def users(tmp_path):
    return tmp_path / "users"


def test_new_file(users):
    done = passwd("shop", "--users", str(users))
    assert (done.returncode, done.err) == (0, "")
    assert done.out == (f"Added user shop to {users}; systemctl reload mailfuse (or SIGHUP) takes "
                        "it into use.\n")
    assert stat.S_IMODE(users.stat().st_mode) == 0o640
    hashed = read(users)["shop"]
    assert hashed.startswith("$scrypt$ln=15,r=8,p=1$")
    assert is_password(hashed, b"correct horse") and not is_password(hashed, b"correct hors")
    assert os.listdir(users.parent) == ["users"]


def test_change_keeps_the_rest(users):
    before = f"# ours\n\nshop-2:{OTHER}\n  \nshop:{OTHER}\n#shop:x\nqa:{OTHER}"
    users.write_text(before)
    users.chmod(0o604)
    if os.geteuid() == 0:
        os.chown(users, 12345, 23456)
    owner = users.stat()
    done = passwd("--users", str(users), "shop", data="pässwörd\nignored\n".encode())
    assert done.returncode == 0 and done.out.startswith(f"Changed the password of shop in {users};")
    hashed = read(users)["shop"]
    assert users.read_text() == before.replace(f"\nshop:{OTHER}", f"\nshop:{hashed}")
    assert is_password(hashed, "pässwörd".encode())
    now = users.stat()
    assert (now.st_uid, now.st_gid, now.st_mode) == (owner.st_uid, owner.st_gid, owner.st_mode)
    assert now.st_ino != owner.st_ino

    assert passwd("new", "--users", str(users), data=b"x").returncode == 0
    assert list(read(users)) == ["shop-2", "shop", "qa", "new"]
    assert users.read_text().startswith("# ours\n\nshop-2:")


def test_bytes_stay(users):
    """Whatever somebody wrote there: it is mailfused that complains of it, with its line."""
    before, after = b"\0\xff\r\n#x\r\n", b"\tshop:x\n:\n\n\0"
    users.write_bytes(before + b"shop:\0\r\n" + after)
    assert passwd("shop", "--users", str(users)).returncode == 0
    now = users.read_bytes()
    assert now.startswith(before + b"shop:$scrypt$") and now.endswith(b"\n" + after)
    assert passwd("shop", "--delete", "--users", str(users)).returncode == 0
    assert users.read_bytes() == before + after


def test_same_salt_never(users):
    seen = set()
    for _ in range(3):
        passwd("shop", "--users", str(users))
        seen.add(read(users)["shop"])
    assert len(seen) == 3 and len(read(users)) == 1


def test_delete(users):
    users.write_text(f"a:{OTHER}\nshop:{OTHER}\n# b\nshop:{OTHER}\nb:{OTHER}\n")
    users.chmod(0o600)
    refused("nobody", "--delete", "--users", str(users), why=f"there is no user nobody in {users}")
    done = passwd("shop", "--delete", "--users", str(users), data=b"")
    assert done.returncode == 0 and done.out.startswith(f"Deleted user shop from {users};")
    assert users.read_text() == f"a:{OTHER}\n# b\nb:{OTHER}\n"
    assert stat.S_IMODE(users.stat().st_mode) == 0o600
    missing = users.parent / "none"
    refused("shop", "--delete", "--users", str(missing), why="there is no user shop")
    assert not missing.exists()


def test_twice_in_the_file(users):
    """mailfused refuses such a file; a new password puts it right."""
    users.write_text(f"shop:{OTHER}\na:{OTHER}\nshop:{OTHER}\n")
    assert passwd("shop", "--users", str(users)).returncode == 0
    text = users.read_text()
    assert len(text.splitlines()) == 2 and text.endswith(f"\na:{OTHER}\n")
    assert is_password(read(users)["shop"], b"correct horse")


def test_json(users):
    for args, result in [([], "added"), ([], "changed"), (["--delete"], "deleted")]:
        done = passwd("--json", "shop", "--users", str(users), *args)
        assert json.loads(done.out) == {"user": "shop", "users": str(users), "result": result}
        assert "systemctl reload mailfuse" in done.err


@pytest.mark.parametrize("name", ["", "a:b", "#a", " a", "a ", "a\nb", "a\x1b[2J", "n" * 256,
                                  b"J\xfcrgen"])
def test_names(users, name):
    refused("--users", str(users), "--", name, why="cannot be a user", code=2)
    assert not users.exists()


@pytest.mark.parametrize("name", ["n" * 255, "app@example.com", "two words", "Jürgen", "-x"])
def test_good_names(users, name):
    assert passwd("--users", str(users), "--", name).returncode == 0
    assert list(read(users)) == [name]


@pytest.mark.parametrize("data, why", [
    (b"", "no password on standard input"),
    (b"\n", "an empty password"),
    (b"x" * 1025 + b"\n", "longer than 1024 bytes"),
    (b"x" * 100000, "longer than 1024 bytes"),
    (b"secret\r\n", "control character"),
    (b"se\x00cret\n", "control character"),
    (b"se\x1b[Dcret\n", "control character"),
    (b"p\xe4ssword\n", "not UTF-8"),
])
def test_passwords(users, data, why):
    users.write_text("# ours\n")
    refused("shop", "--users", str(users), data=data, why=why)
    assert users.read_text() == "# ours\n" and os.listdir(users.parent) == ["users"]


def test_longest_password(users):
    assert passwd("shop", "--users", str(users), data=b"x" * 1024).returncode == 0
    assert is_password(read(users)["shop"], b"x" * 1024)


def test_usage(users):
    refused("--users", str(users), why="which one?", code=2)
    refused("shop", "secret", "--users", str(users), why='"secret" is too much', code=2)
    refused("shop", "--password", "secret", why="unknown option --password", code=2)
    assert not users.exists()


def test_files(users, tmp_path):
    refused("shop", "--users", str(tmp_path), why="is not a regular file")
    refused("shop", "--users", str(tmp_path / "none" / "users"), why="name another file with --users FILE")
    os.mkfifo(users)
    refused("shop", "--users", str(users), why="is not a regular file")
    users.unlink()
    users.symlink_to("nowhere")
    refused("shop", "--users", str(users), why="cannot find")
    users.unlink()
    with users.open("wb") as f:
        f.truncate(16 * 1024 * 1024 + 1)
    refused("shop", "--users", str(users), why="larger than 16 MiB")


def test_link_stays(users, tmp_path):
    real = tmp_path / "real"
    real.mkdir()
    (real / "file").write_text(f"a:{OTHER}\n")
    users.symlink_to("real/file")
    assert passwd("shop", "--users", str(users)).returncode == 0
    assert users.is_symlink() and list(read(real / "file")) == ["a", "shop"]
    assert os.listdir(real) == ["file"]


def test_relative_path(tmp_path):
    assert passwd("shop", "--users", "users", cwd=tmp_path).returncode == 0
    assert passwd("qa", "--users", "./users", cwd=tmp_path).returncode == 0
    assert list(read(tmp_path / "users")) == ["shop", "qa"]


@pytest.mark.skipif(os.geteuid() != 0, reason="root may look at the folder's group")
def test_group_of_the_folder(users):
    os.chown(users.parent, 0, 23456)
    assert passwd("shop", "--users", str(users)).returncode == 0
    assert (users.stat().st_uid, users.stat().st_gid) == (0, 23456)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs another user")
def test_no_permission(users):
    users.write_text(f"a:{OTHER}\n")
    users.chmod(0o644)
    # A copy: the other user may not be able to enter the folder of the program.
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        program = shutil.copy(MAILFUSE, folder)
        done = subprocess.run([program, "passwd", "shop", "--users", "users"], input=b"x\n",
                              capture_output=True, timeout=DEADLINE, user=65534, group=65534,
                              extra_groups=[], cwd=users.parent)
    assert done.returncode == 1 and b"Permission denied; try sudo" in done.stderr
    assert read(users) == {"a": OTHER}


def test_many_at_once(users):
    names = [f"shop-{n}" for n in range(12)]
    threads = [threading.Thread(target=passwd, args=(name, "--users", str(users)))
               for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(read(users)) == sorted(names)
    assert os.listdir(users.parent) == ["users"]


def test_waits_for_the_other(users):
    users.write_text(f"a:{OTHER}\n")
    folder = os.open(users.parent, os.O_RDONLY)
    fcntl.flock(folder, fcntl.LOCK_EX)
    process = subprocess.Popen([MAILFUSE, "passwd", "a", "--delete", "--users", str(users)],
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    # It has opened the folder, so it is at the lock or just before it.
    wait_for("it waits", lambda: str(users.parent) in
             {os.path.realpath(f"/proc/{process.pid}/fd/{fd}")
              for fd in os.listdir(f"/proc/{process.pid}/fd")})
    assert read(users) == {"a": OTHER}
    os.close(folder)
    assert process.communicate(timeout=DEADLINE)[0].startswith(b"Deleted user a")
    assert process.returncode == 0 and read(users) == {}


class Terminal:
    """mailfuse passwd on a terminal of its own, with echo, as a person has it."""

    def __init__(self, *args):
        self.master, self.slave = pty.openpty()
        self.shown = b""
        self.process = subprocess.Popen([MAILFUSE, "passwd", *args], stdin=self.slave,
                                        stdout=self.slave, stderr=self.slave,
                                        start_new_session=True)

    def echoes(self):
        return bool(termios.tcgetattr(self.slave)[3] & termios.ECHO)

    def until(self, text):
        while text not in self.shown:
            assert select.select([self.master], [], [], DEADLINE)[0], self.shown
            self.shown += os.read(self.master, 65536)

    def answer(self, prompt, text):
        self.until(prompt)
        assert not self.echoes()
        os.write(self.master, text)

    def end(self):
        """The exit code; all that stood on the terminal is in shown."""
        code = self.process.wait(DEADLINE)
        while select.select([self.master], [], [], 0)[0]:
            self.shown += os.read(self.master, 65536)
        assert self.echoes()
        os.close(self.master)
        os.close(self.slave)
        return code


def test_terminal(users):
    terminal = Terminal("shop", "--users", str(users))
    terminal.answer(b"Password for shop: ", b"correct horse\n")
    terminal.answer(b"The same again: ", b"correct horse\n")
    assert terminal.end() == 0
    lines = terminal.shown.decode().split("\r\n")
    assert lines[:2] == ["Password for shop: ", "The same again: "]
    assert lines[2].startswith("Added user shop") and b"horse" not in terminal.shown
    assert is_password(read(users)["shop"], b"correct horse")


def test_terminal_differs(users):
    terminal = Terminal("shop", "--users", str(users))
    terminal.answer(b"Password for shop: ", b"correct horse\n")
    terminal.answer(b"The same again: ", b"correct hors\n")
    assert terminal.end() == 1
    assert b"the two passwords are not the same. Nothing was changed." in terminal.shown
    assert not users.exists()


def test_terminal_empty(users):
    for typed in [b"\n", b"\x04"]:  # Enter; Ctrl-D
        terminal = Terminal("shop", "--users", str(users))
        terminal.answer(b"Password for shop: ", typed)
        assert terminal.end() == 1
    assert not users.exists()


def test_terminal_signal(users):
    """Ctrl-C in the middle of a password leaves a terminal that echoes."""
    terminal = Terminal("shop", "--users", str(users))
    terminal.answer(b"Password for shop: ", b"corr")
    os.kill(terminal.process.pid, signal.SIGINT)
    assert terminal.end() == -signal.SIGINT
    assert b"corr" not in terminal.shown and not users.exists()


def test_terminal_refuses_before_it_asks(users):
    terminal = Terminal("shop", "--users", str(users / "none"))
    assert terminal.end() == 1
    assert b"Password" not in terminal.shown


def test_terminal_delete(users):
    users.write_text(f"shop:{OTHER}\n")
    for typed, code, left in [(b"n\n", 1, ["shop"]), (b"y\n", 0, [])]:
        terminal = Terminal("shop", "--delete", "--users", str(users))
        terminal.until(f"Delete user shop from {users}? [y/N] ".encode())
        os.write(terminal.master, typed)
        assert terminal.end() == code
        assert list(read(users)) == left
    users.write_text(f"shop:{OTHER}\n")
    terminal = Terminal("--yes", "shop", "--delete", "--users", str(users))
    assert terminal.end() == 0 and b"[y/N]" not in terminal.shown


def test_help():
    done = subprocess.run([MAILFUSE, "help", "passwd"], capture_output=True, text=True, check=True)
    assert re.match(r"Usage: mailfuse passwd NAME \[--users FILE\] \[--delete\]\n", done.stdout)
    assert "/mailfuse/users" in done.stdout
