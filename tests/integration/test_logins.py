"""Logins over time and from many sides: what is remembered, what a changed users file does, and
people who guess. What AUTH says in each case is in test_conformance.py."""

import select
import signal
import subprocess
import threading

import pytest
from rig.client import plain
from rig.gate import MAILFUSE, MAILFUSED, PRODUCTION_CLIENT, STAGING_CLIENT, hashed, listener, users
from rig.wait import DEADLINE, wait_for

DEAR = 15  # as mailfuse passwd has it: one check takes long enough for others to wait


@pytest.fixture
def logins(make_gate, tmp_path):
    def start(keys="", ln=10):
        head = users(tmp_path, shop="")
        (tmp_path / "users").write_text(f"shop:{hashed('right', ln)}\n")
        return make_gate(head + listener(f"auth = optional {keys}")).start()

    return start


def failures(gate):
    return gate.text().count("session.login-failed")


def guess_and_hang_up(gate, source, times):
    """Whoever is not let in at once knows enough and need not wait for the no."""
    for _ in range(times):
        before = failures(gate)
        with gate.client(source) as client:
            client.send(b"AUTH PLAIN " + plain("shop", f"guess {before}") + b"\r\n")
            wait_for("the failure in the log", lambda: failures(gate) > before)


def test_hanging_up_is_no_way_out(logins):
    gate = logins('max_client_errors = "30/1h"')
    waiting = gate.client(STAGING_CLIENT)
    guess_and_hang_up(gate, STAGING_CLIENT, 4)
    with gate.client(STAGING_CLIENT, greet=False) as client:
        assert client.greeting[0] == 421 and "errors from your address" in client.greeting[1]
    # Nor is a connection from before.
    assert waiting.login("shop", "right")[0] == 421
    assert waiting.reply() == (0, "")
    waiting.close()
    with gate.client(PRODUCTION_CLIENT) as client:
        assert client.login("shop", "right")[0] == 235


def test_the_log_says_why_an_application_sends_nothing(make_gate, tmp_path):
    gate = make_gate(users(tmp_path, shop="right") + listener("auth = required")).start()
    with gate.client() as client:
        client.expect(530, "MAIL FROM:<a@x.test>")
        client.expect(221, "QUIT")
    gate.wait_logged(r"session\.end client=\S+ reason=quit refused=\"530 5\.7\.0 Log in with AUTH")
    with gate.client() as client:
        assert client.login("shop", "right")[0] == 235
        client.expect(221, "QUIT")
    gate.wait_logged(r"session\.end client=\S+ reason=quit\n")


def test_wait_grows(logins):
    gate = logins()
    guess_and_hang_up(gate, STAGING_CLIENT, 6)
    guess_and_hang_up(gate, PRODUCTION_CLIENT, 1)
    with gate.client(STAGING_CLIENT) as client:
        assert client.login("shop", "right")[0] == 235
    guess_and_hang_up(gate, STAGING_CLIENT, 1)
    waits = [int(part.split()[0]) for part in gate.text().split("wait_ms=")[1:]]
    assert waits == [1000, 2000, 4000, 8000, 16000, 16000, 1000, 1000]


def test_one_client_does_not_keep_the_desk_busy(logins):
    """A hundred guesses at once from one address fill the desk; another address is let in
    meanwhile."""
    gate = logins(ln=DEAR)
    guessers = [gate.client(STAGING_CLIENT) for _ in range(100)]
    for number, client in enumerate(guessers):
        client.send(b"AUTH PLAIN " + plain("shop", f"guess {number}") + b"\r\n")
    # Those that found no place are answered first.
    assert select.select([client.sock for client in guessers], [], [], DEADLINE)[0]
    with gate.client(PRODUCTION_CLIENT) as client:
        assert client.login("shop", "right")[0] == 235
    for client in guessers:
        client.close()


def test_many_connections_of_one_application(logins):
    gate = logins(ln=DEAR)
    clients = [gate.client(STAGING_CLIENT) for _ in range(40)]
    for client in clients:
        client.send(b"AUTH PLAIN " + plain("shop", "right") + b"\r\n")
    assert [client.reply()[0] for client in clients] == [235] * 40
    for client in clients:
        client.close()


def test_passwd_and_reload(logins, tmp_path):
    """What was remembered of the old password is worth nothing after the reload."""
    gate = logins()
    with gate.client() as client:
        assert client.login("shop", "right")[0] == 235

    def passwd(*args, password=b""):
        subprocess.run([MAILFUSE, "passwd", "--users", str(tmp_path / "users"), *args],
                       input=password, check=True, stdout=subprocess.DEVNULL)
        before = gate.text().count("config.reloaded")
        gate.signal(signal.SIGHUP)
        wait_for("the reload", lambda: gate.text().count("config.reloaded") > before)

    passwd("shop", password=b"new")
    passwd("other", password="pässwörd".encode())
    for name, password, code in [("shop", "right", 535), ("shop", "new", 235),
                                 ("other", "pässwörd", 235)]:
        with gate.client() as client:
            assert client.login(name, password)[0] == code, name
    passwd("shop", "--delete")
    with gate.client() as client:
        assert client.login("shop", "new")[0] == 535


def test_bad_users_file(logins, tmp_path):
    """Refused with file and line, at the check, at a reload, and at a start; a reload changes
    nothing."""
    gate = logins()
    path = tmp_path / "users"
    good = path.read_text()
    path.write_text(good + "qa:secret\n")
    wrong = f"{path}:2: what follows the colon is no scrypt hash; run mailfuse passwd qa"
    checked = subprocess.run([MAILFUSED, "-t", "-c", str(gate.config)], capture_output=True,
                             text=True, timeout=DEADLINE)
    assert checked.returncode == 1 and wrong in checked.stdout + checked.stderr
    gate.signal(signal.SIGHUP)
    gate.wait_logged(r"config\.refused")
    assert "qa:secret" not in gate.text()
    with gate.client() as client:
        assert client.login("shop", "right")[0] == 235
    path.write_text(good)
    path.chmod(0o644)
    gate.signal(signal.SIGHUP)
    gate.wait_logged(r"chmod")
    gate.stop()
    gate.spawn()
    assert wait_for("the end", lambda: gate.exited()) and "chmod" in gate.text()
    gate.process = None


def test_stop_while_logins_wait(logins):
    """Nobody's login holds the gate up: not one that is computed, asked for or made to wait."""
    gate = logins(ln=DEAR)
    guess_and_hang_up(gate, PRODUCTION_CLIENT, 1)
    asked = gate.client()
    asked.expect(334, "AUTH LOGIN")
    clients = [gate.client(f"127.0.2.{n}") for n in range(1, 31)]
    for number, client in enumerate(clients):
        client.send(b"AUTH PLAIN " + plain("shop", f"guess {number}") + b"\r\n")
    threads = [threading.Thread(target=client.reply) for client in clients]
    for thread in threads:
        thread.start()
    gate.stop()
    assert not gate.logged("relay.stop-late")
    assert asked.reply()[0] == 421
    asked.close()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()
    for client in clients:
        client.close()


def test_a_burst_of_guesses_is_told_once(logins):
    """From many addresses, so that none of them makes too many mistakes by itself."""
    gate = logins()

    def told():
        return [row for row in gate.audit() if row["action"] == "login.failures"]

    for i in range(9):
        guess_and_hang_up(gate, f"127.0.3.{i + 1}", 1)
    assert told() == []
    guess_and_hang_up(gate, "127.0.3.10", 1)
    wait_for("the fact in the audit log", told)
    for i in range(12):
        guess_and_hang_up(gate, f"127.0.3.{i + 11}", 1)
    (row,) = told()
    assert row["object"] == "127.0.3.10" and row["detail"].startswith("10 logins have failed lately")
