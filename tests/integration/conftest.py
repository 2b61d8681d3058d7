"""Fixtures of the end-to-end tests. Each test gets its own gate, sink and webhook."""

import os
import signal
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from rig.batch import Batch, fill, marked  # noqa: E402
from rig.gate import MAILFUSE, MAILFUSED, Gate, listener, upstream  # noqa: E402
from rig.sink import Sink  # noqa: E402
from rig.webhook import Webhook  # noqa: E402

try:
    from rig import openapi
except ImportError:  # no python3-jsonschema: test_openapi.py says so
    openapi = None


def pytest_configure(config):
    # A shell starts what runs in the background with SIGINT ignored, and children inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for binary in (MAILFUSED, MAILFUSE):
        if not os.access(binary, os.X_OK):
            pytest.exit(f"{binary} is not there: build first, or set MAILFUSED and MAILFUSE", 2)
    Gate.watch = openapi.Watch() if openapi else None
    config.addinivalue_line("markers", "heavy: thousands of messages or many megabytes")
    config.addinivalue_line("markers", "everywhere: of the console, also on the sanitizer builds")


# Long tables of cases that go the same few ways through the program.
TABLES = {
    "test_access", "test_approvals", "test_audit", "test_backup", "test_cli_contract",
    "test_clients_tls", "test_config", "test_conformance", "test_content", "test_drill", "test_headers",
    "test_hostile_clients", "test_hostile_upstream", "test_incidents",
    "test_injection", "test_passwd", "test_ring_crashes", "test_rings", "test_smarthosts",
    "test_smuggling", "test_upstream_tls",
}


def pytest_collection_modifyitems(config, items):
    """MAILFUSE_TEST_SHARE=N/M: of the tables only every Mth case, from the Nth on, and of the
    console's only what is marked `everywhere`: most of what they run is a browser.

    The plain build has all of them; each sanitizer build has a share of its own.
    """
    share = os.environ.get("MAILFUSE_TEST_SHARE")
    if not share:
        return
    first, step = map(int, share.split("/"))
    cases = [item for item in items if item.path.stem in TABLES]
    left_out = set(cases) - set(cases[first - 1::step])
    if step > 1:
        left_out |= {item for item in items if item.path.stem == "test_console"
                     and not item.get_closest_marker("everywhere")}
    config.hook.pytest_deselected(items=list(left_out))
    items[:] = [item for item in items if item not in left_out]


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


@pytest.fixture
def holding(gate):
    """holding(count): a gate, its one batch of so many recipients, and their names in order."""

    def make(count=20, upstream_keys="connections = 4", more="", keys=""):
        running = gate(marked(keys), upstream_keys=upstream_keys, more=more)
        return running, Batch(running), fill(running, count)

    return make
