"""A terminal of its own for a program: what it writes is shown on a screen (pyte) and kept as it
came, so that a test can look at both."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time

import pyte

# Hangs only: nothing is ever waited for so long.
GUARD = 60

# What may come besides text: colours, cursor and screen as xterm has them.
SEQUENCE = re.compile(rb"\x1b\[[0-9;?]*[A-Za-z]|\x18(?=\x1b\[0m)")


def sets_up(session):
    """For preexec_fn: the pty on stdin becomes the controlling terminal."""
    os.setsid()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTSTP):
        signal.signal(number, signal.SIG_DFL)


class Terminal:
    def __init__(self, args, environment, columns=80, rows=24, stdin=None):
        self.master, slave = pty.openpty()
        self.raw = b""
        self.read_on = True
        self._slave_name = os.ttyname(slave)
        self._size(slave, columns, rows)
        self.before = termios.tcgetattr(slave)
        self.process = subprocess.Popen(args, stdin=slave, stdout=slave, stderr=slave,
                                        env=environment, preexec_fn=lambda: sets_up(self))
        # Stays open, so that what the program leaves behind can be looked at.
        self.slave = slave

    def _size(self, fd, columns, rows):
        fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.columns, self.rows = columns, rows
        self.screen = pyte.Screen(columns, rows)
        self.stream = pyte.ByteStream(self.screen)

    def resize(self, columns, rows):
        """The kernel tells the program by SIGWINCH."""
        self.pump(0)
        self._size(self.master, columns, rows)

    def pump(self, wait=0.05):
        """Takes what the program has written; False where the terminal is closed."""
        while select.select([self.master], [], [], wait)[0]:
            try:
                piece = os.read(self.master, 65536)
            except OSError:
                return False
            if not piece:
                return False
            self.raw += piece
            self.stream.feed(piece)
            wait = 0
        return True

    @property
    def text(self):
        return "\n".join(line.rstrip() for line in self.screen.display)

    def wait(self, what):
        """Until this text, or what this function finds, is on the screen; returns the screen."""
        found = what if callable(what) else lambda text: what in text
        end = time.monotonic() + GUARD
        while not found(self.text):
            assert time.monotonic() < end, self.text
            self.pump()
            assert self.process.poll() is None or found(self.text), (
                self.process.returncode, self.text, self.raw[-500:])
        return self.text

    def type(self, keys):
        os.write(self.master, keys)

    def end(self):
        """Waits for the end of the program; returns its exit code, -N for a signal."""
        end = time.monotonic() + GUARD
        while self.process.poll() is None:
            assert time.monotonic() < end, self.text
            self.pump()
        self.pump(0)
        return self.process.returncode

    def check_given_back(self):
        """The modes of before, the first screen, the cursor, wrapping."""
        assert termios.tcgetattr(self.slave) == self.before
        last = {}
        for mode, way in re.findall(rb"\x1b\[\?(\d+)([hl])", self.raw):
            last[mode] = way
        assert last == {b"1049": b"l", b"25": b"h", b"7": b"h"}, last

    def check_harmless(self):
        """Nothing but text, line ends and the sequences of a screen."""
        rest = SEQUENCE.sub(b"", self.raw).decode()
        bad = {c for c in rest if (ord(c) < 32 and c not in "\r\n") or 0x7f <= ord(c) < 0xa0 or
               0x200b <= ord(c) <= 0x200f or 0x202a <= ord(c) <= 0x202e or
               0x2066 <= ord(c) <= 0x2069}
        assert not bad, bad

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for fd in (self.master, self.slave):
            if fd >= 0:
                os.close(fd)
        self.master = self.slave = -1
