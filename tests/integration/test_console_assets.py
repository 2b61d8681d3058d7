"""The console as mailfused serves it: what a browser gets, and what it may do with it.

What its pages do is test_console.py's, in a browser. A mailfused that was built without it says so.
"""

import re
import subprocess

import pytest

from rig.gate import MAILFUSED, production
from rig.people import ask, http_section

PAGES = ["/", "/batches/B1", "/messages/01JD0", "/environments/production", "/inbox",
         "/inbox/staging", "/audit", "/settings", "/alerts", "/login"]


def versions():
    return subprocess.run([MAILFUSED, "-V"], capture_output=True, text=True, check=True).stdout


BUILT = "console: yes" in versions()
built = pytest.mark.skipif(not BUILT, reason="this mailfused was built without the console")


@pytest.fixture
def serving(gate, tmp_path):
    def start(more=""):
        section = http_section(tmp_path, anna="operator")
        return gate(production(), more=section.replace("http {", f"http {{ {more} "))

    return start


def get(running, path, headers=None):
    status, content, answered = ask(running, "GET", path, headers=headers)
    return status, content, answered


def test_version_and_log_say_whether_it_is_there(serving):
    said = re.search(r"^console: (yes|no)$", versions(), re.M)
    assert said
    assert serving().logged(rf"- ready version=\S+ pid=\d+ console={said[1]}\b")


def test_each_page_is_the_application(serving):
    running = serving()
    for path in PAGES:
        status, content, headers = get(running, path)
        assert status == 200, path
        if BUILT:
            assert headers["Content-Type"] == "text/html; charset=utf-8"
            assert b'<div id="app">' in content
            assert headers["Cache-Control"] == "no-cache"
        else:
            assert headers["Content-Type"].startswith("text/plain")
            assert b"web/build" in content


@built
def test_what_the_page_names_is_there_and_kept(serving):
    running = serving()
    page = get(running, "/")[1].decode()
    named = re.findall(r'(?:href|src)="([^"]+)"', page)
    assert {name.rsplit(".", 1)[1] for name in named} == {"js", "css", "svg"}
    for name in named:
        status, content, headers = get(running, name)
        assert status == 200 and content, name
        assert headers["Cache-Control"] == "public, max-age=31536000, immutable"
        kind = {"js": "text/javascript", "css": "text/css", "svg": "image/svg+xml"}
        assert headers["Content-Type"].startswith(kind[name.rsplit(".", 1)[1]])
        status, content, _ = get(running, name, {"If-None-Match": headers["ETag"]})
        assert status == 304 and not content


@built
def test_the_policy_lets_nothing_from_elsewhere_in(serving):
    running = serving()
    headers = get(running, "/")[2]
    policy = dict(part.strip().split(" ", 1) for part in
                  headers["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == policy["base-uri"] == policy["form-action"] == "'none'"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    page = get(running, "/")[1].decode()
    assert not re.search(r"<script(?![^>]*src=)|<style| style=| on\w+=", page)


@built
def test_the_mail_worker_is_served(serving):
    """Its name stands in the application only."""
    running = serving()
    script = re.search(r'src="([^"]+\.js)"', get(running, "/")[1].decode())[1]
    worker = re.search(r"/mail_worker-[0-9A-Z]{8}\.js", get(running, script)[1].decode())
    assert worker
    assert get(running, worker[0])[0] == 200


def test_what_is_no_page_is_a_problem(serving):
    running = serving()
    for path in ["/nothing", "/batches", "/index.htm", "/app.js", "/../etc/passwd",
                 "/web/dist/assets.c", "/%2e%2e/x", "/audit/x"]:
        status, content, headers = get(running, path)
        assert status in (400, 404), path
        if status == 404:
            assert headers["Content-Type"].startswith("application/problem+json"), path
            assert content["detail"], path


def test_switched_off_it_is_not_there(serving):
    running = serving("console = off")
    status, content, _ = get(running, "/")
    assert status == 404 and "switched off" in content["detail"]
    assert ask(running, "GET", "/livez")[0] == 200
