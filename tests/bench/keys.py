#!/usr/bin/env python3
"""What a key of the burst counters costs, and whether a decision costs more the more keys there are.

    make tests/bench/keys && tests/bench/keys.py [--program tests/bench/keys] [--keys N ...]

For 1,000 to 1,000,000 distinct keys prints bytes a key (malloc's own count, so with its overhead)
and what one gate_judge() takes with two rules, spread over all keys: the median time, which counts
the cache misses of a big table too, and instructions, counted by valgrind's callgrind (the package valgrind),
which do not depend on how busy the machine is. Ends with 1 if a decision takes more than 1.2
times the instructions with the most keys than with the fewest. Takes about two minutes.
"""

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

DECISIONS = 1000
FLAT = 1.2


def native(program, keys):
    """Bytes a key, and nanoseconds of the median decision."""
    done = subprocess.run([program, str(keys), str(DECISIONS)], check=True, capture_output=True, text=True)
    values = dict(line.split() for line in done.stdout.splitlines())
    return int(values["bytes"]), int(values["ns"])


def instructions(program, keys):
    """Instructions a decision."""
    with tempfile.TemporaryDirectory() as directory:
        out = Path(directory) / "callgrind.out"
        command = ["valgrind", "--tool=callgrind", "--instr-atstart=no", "--toggle-collect=decide",
                   f"--callgrind-out-file={out}", program, str(keys), str(DECISIONS)]
        subprocess.run(command, check=True, capture_output=True)
        total = re.search(r"^totals: (\d+)", out.read_text(), re.MULTILINE)
    return int(total[1]) / DECISIONS


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--program", default="tests/bench/keys")
    parser.add_argument("--keys", type=int, nargs="+", default=[1000, 10_000, 100_000, 1_000_000])
    args = parser.parse_args()
    program = str(Path(args.program).resolve())
    counted = []
    print(f"{'keys':>10} {'bytes/key':>10} {'ns/decision':>12} {'instructions/decision':>22}")
    for keys in args.keys:
        size, ns = native(program, keys)
        counted.append(instructions(program, keys))
        print(f"{keys:>10} {size:>10} {ns:>12} {counted[-1]:>22.0f}", flush=True)
    ratio = counted[-1] / counted[0]
    print(f"instructions with {args.keys[-1]} keys / with {args.keys[0]}: {ratio:.3f}")
    return 0 if ratio <= FLAT else 1


if __name__ == "__main__":
    sys.exit(main())
