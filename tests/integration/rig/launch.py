"""Starts the gate as systemd would: `python3 launch.py [--socket FD=NAME]... [--unit FILE] PROGRAM ...`

--socket passes a socket by sd_listen_fds(3)'s protocol. --unit puts the process behind the system
call filter, the memory rule and the address families of a unit file; a call that they forbid kills
it, where systemd would only refuse the call. systemd-analyze names the calls, libseccomp loads them.
"""

import ctypes
import ctypes.util
import errno
import os
import shutil
import subprocess
import sys

ALLOW = 0x7FFF0000
KILL = 0x80000000
MASKED_EQUAL = 7
EQUAL = 4
PROT_WRITE, PROT_EXEC = 2, 4
FAMILIES = {"AF_UNIX": 1, "AF_INET": 2, "AF_INET6": 10, "AF_NETLINK": 16}


def why_no_filter():
    """Why --unit cannot work here; None if it can."""
    if not shutil.which("systemd-analyze"):
        return "systemd-analyze is not installed"
    if not ctypes.util.find_library("seccomp"):
        return "libseccomp is not installed"
    return None


def settings(unit, name):
    """Every value of a setting of a unit file, in order."""
    with open(unit, encoding="utf-8") as file:
        for line in file:
            key, equal, value = line.strip().partition("=")
            if equal and key == name:
                yield value


def members(name):
    """The system calls of a set such as @system-service, or the one that is named."""
    if not name.startswith("@"):
        return {name}
    text = subprocess.run(["systemd-analyze", "syscall-filter", name], check=True,
                          capture_output=True, text=True).stdout
    found = set()
    for line in text.splitlines()[1:]:
        word = line.strip()
        if word and not word.startswith("#"):
            found |= members(word)
    return found


def allowed_calls(unit):
    """As systemd reads it: the first line says that the list is one of what is allowed."""
    allowed = set()
    for value in settings(unit, "SystemCallFilter"):
        names = set().union(*(members(name) for name in value.lstrip("~").split()))
        allowed = allowed - names if value.startswith("~") else allowed | names
    # What PID 1 itself needs to start a service is in @default, so nothing is added.
    return allowed | members("@default")


class Compare(ctypes.Structure):
    _fields_ = [("arg", ctypes.c_uint), ("op", ctypes.c_int), ("a", ctypes.c_uint64),
                ("b", ctypes.c_uint64)]


class Filter:
    """A seccomp filter that kills whoever makes a call it does not name."""

    def __init__(self, default):
        self.library = ctypes.CDLL(ctypes.util.find_library("seccomp"), use_errno=True)
        self.library.seccomp_init.restype = ctypes.c_void_p
        self.library.seccomp_load.argtypes = [ctypes.c_void_p]
        self.library.seccomp_rule_add_array.argtypes = [
            ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int, ctypes.c_uint, ctypes.POINTER(Compare)]
        self.context = self.library.seccomp_init(ctypes.c_uint32(default))
        assert self.context, "libseccomp gives no filter"

    def rule(self, action, name, *comparisons):
        number = self.library.seccomp_syscall_resolve_name(name.encode())
        if number == -1:  # not on this machine, or not known to this libseccomp
            return
        array = (Compare * max(1, len(comparisons)))(*comparisons)
        code = self.library.seccomp_rule_add_array(self.context, action, number, len(comparisons),
                                                   array)
        # Calls of other architectures cannot be filtered here, and not be made either.
        assert code in (0, -errno.EDOM, -errno.EINVAL), f"{name}: {os.strerror(-code)}"

    def load(self):
        code = self.library.seccomp_load(self.context)
        assert code == 0, f"the filter cannot be loaded: {os.strerror(-code)}"


def refuse(number):
    return 0x00050000 | number


def restrict(unit):
    """This process, and whatever it becomes, makes only the calls that the unit allows."""
    # Filters add up. This one first, as the other forbids to load a filter.
    arguments = Filter(ALLOW)
    if list(settings(unit, "MemoryDenyWriteExecute"))[-1:] == ["true"]:
        both = PROT_WRITE | PROT_EXEC
        arguments.rule(refuse(errno.EPERM), "mmap", Compare(2, MASKED_EQUAL, both, both))
        for name in ("mprotect", "pkey_mprotect"):
            arguments.rule(refuse(errno.EPERM), name,
                           Compare(2, MASKED_EQUAL, PROT_EXEC, PROT_EXEC))
    wanted = {FAMILIES[word] for value in settings(unit, "RestrictAddressFamilies")
              for word in value.split()}
    if wanted:
        for family in range(64):
            if family not in wanted:
                arguments.rule(refuse(errno.EAFNOSUPPORT), "socket", Compare(0, EQUAL, family, 0))
    arguments.load()
    calls = Filter(KILL)
    for name in sorted(allowed_calls(unit)):
        calls.rule(ALLOW, name)
    calls.load()


def pass_sockets(pairs):
    # Out of the way first: a source may be one of the numbers that are to be filled.
    moved = [os.dup(int(fd)) for fd, _ in pairs]
    spare = [os.dup2(fd, 500 + i) for i, fd in enumerate(moved)]
    for i, fd in enumerate(spare):
        os.dup2(fd, 3 + i)
    os.closerange(3 + len(pairs), 600)
    os.environ["LISTEN_PID"] = str(os.getpid())
    os.environ["LISTEN_FDS"] = str(len(pairs))
    if any(name for _, name in pairs):
        os.environ["LISTEN_FDNAMES"] = ":".join(name for _, name in pairs)


def main(arguments):
    sockets, unit = [], None
    while arguments[0].startswith("--"):
        option, value = arguments[:2]
        if option == "--socket":
            fd, _, name = value.partition("=")
            sockets.append((fd, name))
        else:
            unit = value
        arguments = arguments[2:]
    if sockets:
        pass_sockets(sockets)
    if unit:
        restrict(unit)
    os.execv(arguments[0], arguments)


if __name__ == "__main__":
    main(sys.argv[1:])
