"""Fixtures of the end-to-end tests. Each test gets its own gate, sink and webhook."""

import os
import signal
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from rig.gate import MAILFUSE, MAILFUSED, Gate, listener, upstream  # noqa: E402
from rig.sink import Sink  # noqa: E402
from rig.webhook import Webhook  # noqa: E402


def pytest_configure(config):
    # A shell starts what runs in the background with SIGINT ignored, and children inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for binary in (MAILFUSED, MAILFUSE):
        if not os.access(binary, os.X_OK):
            pytest.exit(f"{binary} is not there: build first, or set MAILFUSED and MAILFUSE", 2)
    config.addinivalue_line("markers", "heavy: thousands of messages or many megabytes")


@pytest.fixture
def sink():
    server = Sink()
    yield server
    server.stop()


@pytest.fixture
def webhook():
    server = Webhook()
    yield server
    server.stop()


@pytest.fixture
def make_gate(tmp_path):
    """make_gate(config): a gate in a directory of its own, not started. Ends with the test."""
    gates = []

    def make(config, **keys):
        directory = tmp_path / f"gate{len(gates)}"
        directory.mkdir()
        gate = Gate(directory, config, **keys)
        gates.append(gate)
        return gate

    yield make
    errors = []
    for gate in gates:
        try:
            gate.close()
        except AssertionError as error:
            errors.append(str(error))
    assert not errors, "\n".join(errors)


@pytest.fixture
def gate(make_gate, sink):
    """gate(environments): started, with one listener and the sink as its only upstream."""

    def start(environments, listener_keys="", upstream_keys="", more=""):
        config = listener(listener_keys) + upstream(sink, upstream_keys) + environments + more
        return make_gate(config).start()

    return start
