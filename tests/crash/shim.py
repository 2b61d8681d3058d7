"""The libraries that are preloaded into the gate: compiled when they are needed, steered by a file."""

import os
import struct
import subprocess
import sys
from mmap import mmap
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "integration"))

OFF, KILL, POWER = range(3)


def build(name, directory):
    """Compiles tests/crash/NAME.c with what both share; returns the library's path."""
    library = Path(directory) / f"{name}.so"
    subprocess.run([os.environ.get("CC", "cc"), "-O1", "-Wall", "-Wextra", "-Werror", "-shared",
                    "-fPIC", "-o", str(library), str(HERE / f"{name}.c"),
                    str(HERE / "preload.c"), "-ldl", "-pthread"],
                   check=True)
    return library


class Numbers:
    """A file of named 64-bit numbers that this process and the gate both have mapped."""

    def __init__(self, path, names):
        path = Path(path)
        path.write_bytes(bytes(8 * len(names)))
        self._file = open(path, "r+b")
        self._map = mmap(self._file.fileno(), 8 * len(names))
        self._at = {name: 8 * n for n, name in enumerate(names)}

    def __getitem__(self, name):
        return struct.unpack_from("q", self._map, self._at[name])[0]

    def __setitem__(self, name, value):
        struct.pack_into("q", self._map, self._at[name], value)


class Power:
    """Steers power.c, for the files in `store`'s directory."""

    def __init__(self, directory, store):
        self.numbers = Numbers(Path(directory) / "power.control",
                               ["left", "mode", "seed", "liar", "calls", "lost"])
        self.environment = {
            "LD_PRELOAD": str(build("power", directory)),
            "MAILFUSE_TEST_POWER": str(Path(directory) / "power.control"),
            "MAILFUSE_TEST_POWER_DIR": str(Path(store).parent),
        }

    def arm(self, calls, mode, seed):
        """The process ends at its `calls`th change of a file from now on."""
        self.numbers["left"] = 0
        self.numbers["mode"] = mode
        self.numbers["seed"] = seed
        self.numbers["left"] = calls

    def disarm(self):
        self.numbers["left"] = 0


class Faults(Numbers):
    """Steers faults.c: faults["bad_sync"] = 1 makes the next sync of the store fail."""

    def __init__(self, directory, store_directory):
        super().__init__(Path(directory) / "faults.control", [
            "no_space", "bad_write", "bad_read", "bad_sync", "slow_sync_ms", "no_accept",
            "no_socket", "no_memory", "memory_least", "wall_jump_s", "syncs", "accepts"])
        self.environment = {
            "LD_PRELOAD": str(build("faults", directory)),
            "MAILFUSE_TEST_FAULTS": str(Path(directory) / "faults.control"),
            "MAILFUSE_TEST_FAULTS_DIR": str(store_directory),
        }
