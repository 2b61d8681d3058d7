"""Waiting for something to become true, never longer than a deadline."""

import time

DEADLINE = 30.0  # seconds; generous, for sanitizer builds on a busy machine


def wait_for(what, condition, deadline=DEADLINE):
    """Calls condition() until it returns something true, and returns that.

    `what` says in the failure what never happened; a function is called only then.
    """
    end = time.monotonic() + deadline
    pause = 0.005
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > end:
            text = what() if callable(what) else what
            raise AssertionError(f"after {deadline:.0f} s still not: {text}")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.1)


def stays_true(what, condition, seconds):
    """Fails if condition() stops being true within `seconds`: for things that must not happen."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert condition(), f"no longer true: {what}"
        time.sleep(0.02)
