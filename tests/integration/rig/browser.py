"""The console in Debian's Chromium: a case of tests/browser, run by Node beside the test.

A case asks the test for what a browser cannot do, as lines of JSON: `{"ask": name, "args": {...}}`
is answered by the function of that name that the test gave.
"""

import json
import os
import shutil
import subprocess
import threading
from pathlib import Path

from .gate import MAILFUSED, TOP, sanitized
from .people import url

BROWSER = TOP / "tests" / "browser"
SCREENS = os.environ.get("MAILFUSE_SCREENS", "")  # where pictures go; else none is taken
# Hang guards, in seconds: of a case, and of what is waited for in it.
CASE_DEADLINE = 3600
STEP_DEADLINE = 240 if sanitized() else 120


def console_built():
    said = subprocess.run([MAILFUSED, "-V"], capture_output=True, text=True, check=True).stdout
    return "console: yes" in said


def install():
    """The pinned packages, from the lock file, once."""
    if not (BROWSER / "node_modules" / ".package-lock.json").exists():
        subprocess.run([shutil.which("npm") or "npm", "ci", "--ignore-scripts", "--no-audit",
                        "--no-fund", "--silent"], cwd=BROWSER, check=True, timeout=600)


def run_case(gate, case, tokens=None, net_log=None, **functions):
    """Until the case has ended; it must end with 0."""
    environment = dict(
        os.environ, CONSOLE_URL=url(gate), CONSOLE_TOKENS=json.dumps(tokens or {}),
        CONSOLE_SCREENS=SCREENS, CONSOLE_DEADLINE_MS=str(STEP_DEADLINE * 1000))
    if net_log:
        environment["CONSOLE_NET_LOG"] = str(net_log)
    errors = gate.dir / f"{case}.stderr"
    with open(errors, "wb") as stderr:
        process = subprocess.Popen(["node", "run.js", case], cwd=BROWSER, env=environment,
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr,
                                   text=True)
    guard = threading.Timer(CASE_DEADLINE, process.kill)
    guard.start()
    try:
        for line in process.stdout:
            asked = json.loads(line)
            process.stdin.write(json.dumps(answer(functions, asked)) + "\n")
            process.stdin.flush()
        code = process.wait()
    finally:
        guard.cancel()
        if process.poll() is None:
            process.kill()
            process.wait()
    assert code == 0, f"{case} ended with {code}:\n{errors.read_text('utf-8', 'replace')[-6000:]}"


def answer(functions, asked):
    try:
        return {"result": functions[asked["ask"]](**asked["args"])}
    except Exception as error:  # what went wrong belongs to the case that asked
        return {"error": f"{type(error).__name__}: {error}"}


def net_log_urls(path):
    """Every URL that the browser's network was asked for, and every address it connected to."""
    log = read_net_log(path)
    types = {number: name for name, number in log["constants"]["logEventTypes"].items()}
    urls, addresses = set(), set()
    for event in log["events"]:
        name, params = types.get(event["type"], ""), event.get("params", {})
        if name == "URL_REQUEST_START_JOB" and "url" in params:
            urls.add(params["url"])
        if name == "TCP_CONNECT_ATTEMPT" and "address" in params:
            addresses.add((name, params["address"]))
    return urls, addresses


def read_net_log(path):
    """A browser that is ended leaves the log's last brackets out."""
    text = Path(path).read_text("utf-8", "replace")
    try:
        return json.loads(text)
    except ValueError:
        return json.loads(text.rstrip().rstrip(",") + "]}")
