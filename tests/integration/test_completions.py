"""etc/completions in real shells: bash and zsh on a terminal, fish by what it would offer; each asks
a running gate for what is live."""

import os
import pty
import re
import select
import shutil
import signal
import subprocess
import time

import pytest

from rig.batch import MARKED, channel, fill
from rig.client import letter
from rig.gate import MAILFUSE, PRODUCTION_CLIENT, TOP, production, staging
from rig.wait import DEADLINE

COMPLETIONS = TOP / "etc" / "completions"
CONTROLS = re.compile(r"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|\][^\x07]*\x07|[()][A-Z0-9]|[=>])|[\r\x07\x0f]")
END = "#done#"

needs = {name: pytest.mark.skipif(not shutil.which(name), reason=f"needs {name}")
         for name in ("bash", "zsh", "fish")}


@pytest.fixture
def home(tmp_path):
    """A home without configuration whose PATH has the mailfuse under test."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "mailfuse").symlink_to(os.path.abspath(MAILFUSE))
    (tmp_path / "work").mkdir()
    return tmp_path


def environment(home, gate):
    return {"HOME": str(home), "PATH": f"{home}/bin:/usr/bin:/bin", "TERM": "dumb", "LANG": "C.UTF-8",
            "MAILFUSE_CONTROL": gate.control if gate else f"{home}/nobody.sock",
            "ASAN_OPTIONS": "detect_leaks=0"}


class Shell:
    """A shell on a terminal of its own. What is typed is echoed like what it answers."""

    def __init__(self, arguments, home, gate):
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            os.chdir(home / "work")
            os.execvpe(arguments[0], arguments, environment(home, gate))

    def read_until(self, pattern):
        text, end = "", time.monotonic() + DEADLINE
        while not re.search(pattern, text):
            left = end - time.monotonic()
            assert left > 0, f"never came: {pattern!r} in {text!r}"
            if select.select([self.terminal], [], [], left)[0]:
                text += CONTROLS.sub("", os.read(self.terminal, 65536).decode("utf-8", "replace"))
        return text

    def type(self, text):
        os.write(self.terminal, text.encode())

    def run(self, line):
        """A command, to its end."""
        self.type(f"{line}; echo '#do''ne#'\n")
        return self.read_until(END)

    def complete(self, line):
        """What the line is after TAB: it is echoed by the shell, so as it would be run."""
        self.type(f"{line}\t")
        self.type("\x01echo 'R': \x05 ':E'\n")
        return re.search(r"\nR: (.*?) +:E", self.read_until(r"\nR: .* :E"))[1]

    def list(self, line, *wanted):
        """What the terminal shows after TAB, once all of `wanted` is there."""
        self.type(f"{line}\t")
        text = self.read_until("(?s)" + "".join(f"(?=.*{word})" for word in wanted))
        self.type("\x03")  # the line is given up
        return text + self.run("true")

    def close(self):
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self.terminal)


def start_bash(home, gate):
    shell = Shell(["bash", "--norc", "--noprofile", "-i"], home, gate)
    shell.run("bind 'set bell-style none'; bind 'set enable-bracketed-paste off'; "
              "bind 'set show-all-if-ambiguous on'; PS1='$ '")
    shell.run(f"source '{COMPLETIONS}/mailfuse.bash'")
    return shell


def start_zsh(home, gate):
    shell = Shell(["zsh", "-f", "-i"], home, gate)
    shell.run("PS1='$ '; unsetopt promptcr promptsp; unset zle_bracketed_paste; LISTMAX=500; "
              "unsetopt beep list_ambiguous auto_menu")
    shell.run(f"fpath=('{COMPLETIONS}' $fpath); autoload -U compinit; compinit -u -d '{home}/zcomp'")
    return shell


@pytest.fixture(params=[pytest.param(start_bash, id="bash", marks=needs["bash"]),
                        pytest.param(start_zsh, id="zsh", marks=needs["zsh"])])
def shell(request, home):
    """shell(gate): of each kind."""
    open_shells = []

    def start(gate):
        open_shells.append(request.param(home, gate))
        return open_shells[-1]

    yield start
    for each in open_shells:
        each.close()


@pytest.fixture
def busy(gate, webhook):
    """Two batches held, the second discarded; one channel."""
    running = gate(production(MARKED) + staging(MARKED), more=channel(webhook))
    fill(running, 3)
    running.send(letter("Sale $(touch oops) `x` \x1b[31m", to="dev@shop.example"), ["dev@shop.example"])
    assert running.cli("--yes", "discard", "B2", "--reason", "over").returncode == 0
    return running


# ---- on a terminal


def test_a_shell_completes_what_is_unique(shell, busy):
    sh = shell(busy)
    for line, whole in {
        "rele": "release", "release B": "release B1", "restore ": "restore B2", "restore b": "restore b2",
        "messages --environment sta": "messages --environment staging",
        "messages --environment=sta": "messages --environment=staging",
        "batches --state=releasi": "batches --state=releasing",
        "token ci --role viewer,op": "token ci --role viewer,operator", "alert test ": "alert test ops",
        "--json sho": "--json show", "release B1 --reason 'two words' --dr": "release B1 --reason two words --dry-run",
        "nonsense B": "nonsense B",
    }.items():
        assert sh.complete(f"mailfuse {line}") == f"mailfuse {whole}", line


def test_a_shell_lists_what_there_is(shell, busy, home):
    sh = shell(busy)
    sh.list("mailfuse show ", "B1", "B2")
    sh.list("mailfuse audit ", "export", "verify")
    assert "--state" not in sh.list("mailfuse release B1 --st", "--stop-on", "--stream")
    sh.list("mailfuse messages --environment ", "production", "staging")
    assert not list((home / "work").iterdir()), "something of a mail was run"


def test_a_shell_completes_files(shell, busy, home):
    (home / "work" / "a file.conf").touch()
    (home / "work" / "folder").mkdir()
    sh = shell(busy)
    assert sh.complete("mailfuse simulate --config a") == "mailfuse simulate --config a file.conf"
    assert sh.complete("mailfuse simulate --config=a") == "mailfuse simulate --config=a file.conf"
    assert sh.complete("mailfuse import f").rstrip("/") == "mailfuse import folder"


def test_a_shell_goes_on_without_a_daemon(shell, home):
    sh = shell(None)
    assert sh.complete("mailfuse show B") == "mailfuse show B"
    assert sh.complete("mailfuse simu") == "mailfuse simulate"


# ---- fish


def fish(home, gate, line):
    script = f"source '{COMPLETIONS}/mailfuse.fish'; complete -C \"$argv[1]\""
    done = subprocess.run(["fish", "--no-config", "-c", script, line], capture_output=True, text=True,
                          timeout=60, env=environment(home, gate), cwd=home / "work")
    assert not done.stderr, done.stderr
    return [row.split("\t")[0] for row in done.stdout.splitlines()]


@needs["fish"]
def test_fish(busy, home):
    (home / "work" / "a.conf").touch()
    (home / "work" / "folder").mkdir()
    for line, wanted in {
        "mailfuse rele": ["release"], "mailfuse release ": ["B1"], "mailfuse restore ": ["B2"],
        "mailfuse restore b": ["b2"], "mailfuse show ": ["B2", "B1"],
        "mailfuse messages --environment s": ["staging"], "mailfuse batches --state=rele": ["--state=releasing", "--state=released"],
        "mailfuse alert test ": ["ops"], "mailfuse audit ": ["verify", "export"],
        "mailfuse release B1 --sto": ["--stop-on"], "mailfuse token ci --role viewer,op": ["viewer,operator"],
        "mailfuse import ": ["folder/"], "mailfuse simulate --config=a": ["--config=a.conf"],
        "mailfuse nonsense ": [], "mailfuse --json --yes sho": ["show"],
    }.items():
        assert sorted(fish(home, busy, line)) == sorted(wanted), line
    assert fish(home, None, "mailfuse show B") == []
    assert sorted(os.listdir(home / "work")) == ["a.conf", "folder"]


# ---- what all of them ask




def ask(home, gate, *words):
    """Without --control before it: as a shell asks."""
    done = subprocess.run([MAILFUSE, "complete", *words], capture_output=True, text=True, timeout=60,
                          env=environment(home, gate))
    assert done.returncode == 0, done.stderr
    return [line.split("\t")[0] for line in done.stdout.splitlines()]


def test_each_verb_has_its_batches(busy, home):
    assert busy.cli("--yes", "release", "B1", "--reason", "why", "--rings", "1,1,all", "--wait", "1h").returncode == 0
    assert ask(home, busy, "pause", "") == ["B1"]
    assert ask(home, busy, "resume", "")[:1] != ["B1"]
    assert busy.cli("--yes", "pause", "B1", "--reason", "why").returncode == 0
    assert ask(home, busy, "resume", "") == ["B1"]
    assert ask(home, busy, "pause", "B") == []
    assert ask(home, busy, "approve", "B") == []
    assert ask(home, busy, "export", "B") == ["B2", "B1"]
    assert ask(home, busy, "export", "B1", "") == [":dirs"]
    assert ask(home, busy, "story", "B1", "") == ask(home, busy, "story", "B1", "--")


def test_lines_that_make_no_sense_offer_nothing(busy, home):
    for words in (["nonsense", ""], ["show", "--nonsense", "x", "B1", "B"], ["--", "-"], ["release", "--reason", ""],
                  ["show", "--", "--"], ["status", "x", "x", "y"], ["messages", "--state", "zzz"],
                  ["show", "\x1b[31m"], ["show", "B" * 5000], ["--control", "/no/such/socket", "show", "B"],
                  ["--url", "gopher://x", "show", "B"], ["--control", busy.control, "--url", "http://127.0.0.1:1", "show", "B"]):
        assert ask(home, busy, *words) == [], words
    assert ask(home, None, "--control", busy.control, "show", "") == ["B2", "B1"]
    assert ask(home, None, f"--control={busy.control}", "show", "") == ["B2", "B1"]
    assert "status" in ask(home, busy) and "status" in ask(home, busy, "")


def test_what_mail_says_is_one_harmless_line(busy, home):
    done = subprocess.run([MAILFUSE, "complete", "show", ""], capture_output=True, timeout=60,
                          env=environment(home, busy))
    lines = done.stdout.split(b"\n")
    assert [line.split(b"\t")[0] for line in lines] == [b"B2", b"B1", b""]
    assert b"\x1b" not in done.stdout and all(line.count(b"\t") <= 1 for line in lines)
