"""docs/openapi.json: valid OpenAPI 3.1, and what a running gate answers is what it says.

The last test calls every call of it on a gate with held mail, plans and a drill; a call that nobody
called with success, and with at least one error, fails it.
"""

import base64
import http.client
import json
import os
import re
import signal
import socket
import subprocess
from urllib.parse import quote

import pytest
from jsonschema import Draft202012Validator

from rig import openapi
from rig.batch import MARKED, Batch, channel, fill
from rig.client import letter
from rig.gate import PRODUCTION_CLIENT, STAGING_CLIENT, listener, production, staging, upstream
from rig.openapi import DOCUMENT, resolve
from rig.people import Token, ask, http_section, port, url
from rig.wait import wait_for

METHODS = {"get", "put", "post", "delete", "options", "head", "patch", "trace"}


def operations():
    for path, item in DOCUMENT["paths"].items():
        for method in METHODS & item.keys():
            yield method, path, item[method]


# ---- the file

TEXT = {"type": "string", "minLength": 1}
REF = {"type": "object", "required": ["$ref"], "additionalProperties": False,
       "properties": {"$ref": {"type": "string", "pattern": "^#/components/"}}}


def exact(required, optional=None, pattern=None):
    """An object with just these fields; x-... may stand anywhere."""
    return {"type": "object", "required": sorted(required), "additionalProperties": False,
            "properties": {**required, **(optional or {})},
            "patternProperties": {"^x-": True, **(pattern or {})}}


def or_ref(schema):
    """The object, or a reference to one; errors say which of the two it is not."""
    return {"if": {"required": ["$ref"]}, "then": REF, "else": schema}


SCHEMA = {"type": ["object", "boolean"]}  # each is held against its own meta-schema
MEDIA = exact({"schema": SCHEMA}, {"example": True})
CONTENT = {"type": "object", "minProperties": 1, "patternProperties": {r"^[\w.+-]+/[\w.+-]+$": MEDIA},
           "additionalProperties": False}
PARAMETER = exact({"name": TEXT, "in": {"enum": ["query", "path", "header", "cookie"]}, "schema": SCHEMA},
                  {"description": TEXT, "required": {"type": "boolean"}})
PARAMETER["if"] = {"properties": {"in": {"const": "path"}}}
PARAMETER["then"] = {"required": ["required"], "properties": {"required": {"const": True}}}
HEADER = exact({"schema": SCHEMA}, {"description": TEXT})
RESPONSE = exact({"description": TEXT},
                 {"content": CONTENT, "headers": {"type": "object", "additionalProperties": HEADER}})
SECURITY = {"type": "array", "items": {"type": "object", "additionalProperties": {
    "type": "array", "items": TEXT}}}
OPERATION = exact(
    {"operationId": {"type": "string", "pattern": r"^[a-z][A-Za-z]*$"}, "summary": TEXT,
     "tags": {"type": "array", "items": TEXT, "minItems": 1},
     "responses": {"type": "object", "minProperties": 1, "additionalProperties": False,
                   "patternProperties": {"^[1-5][0-9][0-9]$": or_ref(RESPONSE)}}},
    {"description": TEXT, "security": SECURITY,
     "parameters": {"type": "array", "items": or_ref(PARAMETER)},
     "requestBody": exact({"content": CONTENT}, {"required": {"type": "boolean"}, "description": TEXT})})
SCHEME = {"type": "object", "required": ["type"],
          "properties": {"type": {"enum": ["apiKey", "http", "mutualTLS", "oauth2", "openIdConnect"]}},
          "allOf": [
              {"if": {"properties": {"type": {"const": "apiKey"}}},
               "then": {"required": ["name", "in"], "properties": {
                   "in": {"enum": ["query", "header", "cookie"]}}}},
              {"if": {"properties": {"type": {"const": "http"}}}, "then": {"required": ["scheme"]}}]}


def named(schema):
    return {"type": "object", "additionalProperties": False,
            "patternProperties": {r"^[a-zA-Z0-9._-]+$": schema}}


# What the OpenAPI specification 3.1.0, section 4.8, says of the objects that the file has.
META = exact(
    {"openapi": {"const": "3.1.0"},
     "info": exact({"title": TEXT, "version": TEXT}, {
         "description": TEXT, "summary": TEXT, "license": exact({"name": TEXT}, {"url": TEXT})}),
     "paths": {"type": "object", "additionalProperties": False, "patternProperties": {
         "^/": {"type": "object", "additionalProperties": False, "minProperties": 1,
                "properties": {method: OPERATION for method in METHODS}}}}},
    {"servers": {"type": "array", "items": exact({"url": TEXT}, {"description": TEXT})},
     "security": SECURITY,
     "tags": {"type": "array", "items": exact({"name": TEXT}, {"description": TEXT})},
     "components": exact({}, {"schemas": named(SCHEMA), "responses": named(RESPONSE),
                              "parameters": named(PARAMETER), "securitySchemes": named(SCHEME)})})


def walk(node, place="#"):
    yield place, node
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for name, value in items:
        yield from walk(value, f"{place}/{name}")


def schemas():
    """(place, schema) of every one that stands in the file."""
    for name, schema in DOCUMENT["components"]["schemas"].items():
        yield f"#/components/schemas/{name}", schema
    for place, node in walk({k: DOCUMENT[k] for k in ("paths", "components")}):
        if place.endswith("/schema") and "/schemas/" not in place:
            yield place, node


def test_the_file_is_openapi_3_1():
    wrong = [f"{list(e.absolute_path)}: {e.message[:200]}"
             for e in Draft202012Validator(META).iter_errors(DOCUMENT)]
    assert not wrong, "\n".join(wrong)


def test_each_schema_is_one():
    for place, schema in schemas():
        Draft202012Validator.check_schema(schema)
        for inner, node in walk(schema, place):
            if not isinstance(node, dict) or "properties" not in node or inner.endswith("/properties"):
                continue
            missing = set(node.get("required", ())) - node["properties"].keys()
            assert not missing, f"{inner} requires {missing}, which it does not have"
            assert node.get("additionalProperties") is False, f"{inner} is open"
            for value in node.get("examples", ()):
                assert not openapi.faults(node, value), inner


def test_references_lead_somewhere_and_all_is_used():
    used = set()
    for place, node in walk(DOCUMENT):
        if isinstance(node, dict) and isinstance(node.get("$ref"), str):
            assert isinstance(resolve(node), dict), f"{place}: {node['$ref']}"
            used.add(node["$ref"])
    for kind in ("schemas", "responses", "parameters"):
        for name in DOCUMENT["components"][kind]:
            assert f"#/components/{kind}/{name}" in used, f"nothing names the {kind} {name}"


def test_operations_are_whole():
    tags = {tag["name"] for tag in DOCUMENT["tags"]}
    seen, schemes = set(), DOCUMENT["components"]["securitySchemes"].keys()
    for method, path, operation in operations():
        call = f"{method} {path}"
        assert operation["operationId"] not in seen, call
        seen.add(operation["operationId"])
        assert set(operation["tags"]) <= tags, call
        parameters = [resolve(p) for p in operation.get("parameters", [])]
        names = [(p["in"], p["name"]) for p in parameters]
        assert len(names) == len(set(names)), call
        assert {n for where, n in names if where == "path"} == set(re.findall(r"{(\w+)}", path)), call
        for needed in operation.get("security", DOCUMENT["security"]):
            assert needed.keys() <= schemes, call
        for status, response in operation["responses"].items():
            content = resolve(response).get("content", {})
            if int(status) >= 400:
                assert list(content) == ["application/problem+json"], f"{call} {status}"
        assert (method == "post") == ("requestBody" in operation), call


def test_the_checks_can_fail():
    """An answer with a field more, one less, of another type, or with a status that is unknown."""
    good = {"changed": True}
    openapi.check("POST", "/v1/unhold", 200, "application/json", good)
    for bad in ({}, {"changed": 1}, {"changed": True, "more": 1}, [], None):
        with pytest.raises(AssertionError):
            openapi.check("POST", "/v1/unhold", 200, "application/json", bad)
    for status, kind in ((204, "application/json"), (200, "text/html")):
        with pytest.raises(AssertionError):
            openapi.check("POST", "/v1/unhold", status, kind, good)
    with pytest.raises(AssertionError):
        openapi.check("GET", "/v1/nothing", 200, "application/json", good)
    with pytest.raises(AssertionError):
        openapi.check_body("POST", "/v1/unhold", {"scope": "everything", "reason": "why", "more": 1})
    with pytest.raises(AssertionError):
        openapi.check_query("GET", "/v1/batches?stat=held")


# ---- the gate


class Caller:
    """Calls as somebody; checks each answer, and keeps which calls were answered how."""

    def __init__(self, gate):
        self.gate = gate
        self.answered = {}  # (method, path of the description) -> statuses

    def note(self, method, path, status):
        key = method.lower(), openapi.find_path(path)
        self.answered.setdefault(key, set()).add(status)

    def call(self, method, path, body=None, headers=None, status=200):
        got, value, sent = ask(self.gate, method, path, body, headers)
        assert got == status, f"{method} {path}: wanted {status}, got {got}: {value!r}"[:1000]
        openapi.check(method, path, got, sent.get("Content-Type", ""), value)
        if got < 300:
            openapi.check_query(method, path)
            if body is not None:
                openapi.check_body(method, path, body)
        self.note(method, path, got)
        return value


class As(Caller):
    """The same with a token, into the same notes."""

    def __init__(self, caller, name):
        super().__init__(caller.gate)
        self.answered = caller.answered
        self.token = Token(caller.gate, name)

    def call(self, method, path, body=None, headers=None, status=200):
        return super().call(method, path, body, {**self.token.headers(), **(headers or {})}, status)

    def get(self, path, status=200):
        return self.call("GET", path, None, None, status)

    def post(self, path, body, status=200):
        return self.call("POST", path, body, None, status)


RULES = """burst "mail" { limit = "1000/1h" per = {source, subject} head = "900/10s" settle = "2s"
        declared = "1000/1d" }
    burst "watch" { limit = "1000/1h" per = {environment} action = alert }
    content "body" { part = body match = "{{" above = "500/1h" per = {source} }"""


def send_import(who, status=200, **message):
    content = base64.b64encode(letter("Sale again", to="i@customers.example")).decode()
    return who.post("/v1/import", {
        "batch": None, "open": {"environment": "production", "rule": "burst \"volume\""},
        "message": {"id": None, "environment": "production", "source": "app", "sender": "",
                    "accepted_at": None, "content_base64": content, **message},
        "deliveries": [{"number": 1, "recipient": "i@customers.example", "state": "held"}],
        "reason": "brought back"}, status)


@pytest.fixture
def peopled(make_gate, sink, webhook, tmp_path):
    """A gate with two held batches, and callers: of all roles, of another person, of a viewer."""
    section = http_section(tmp_path, ann="viewer,operator,approver", ben="approver", eve="viewer")
    gate = make_gate(
        listener() + upstream(sink) + production(f"{MARKED} {RULES}")
        + staging('allow = {"@shop.example"} others = rewrite rewrite_to = "box@shop.example" '
                  'subject_prefix = "[staging] " burst "few" { limit = "1/1h" per = {environment} }')
        + "approval { above = 20 approvers = 2 expires = \"1h\" }\n" + section + channel(webhook)).start()
    fill(gate, 39)
    gate.send(letter("Sale page", body="<p><b>Hi</b>", extra="Content-Type: text/html\r\n"),
              ["page@customers.example"], PRODUCTION_CLIENT, sender="")
    for n in range(3):
        gate.send(letter("Report", to="dev@elsewhere.example"), ["dev@elsewhere.example", "me@shop.example"],
                  STAGING_CLIENT)
    gate.send(letter("Hello", to="x@customers.example"), ["x@customers.example"], PRODUCTION_CLIENT)
    gate.stop()  # which writes the minute of traffic that is not over yet
    gate.start()
    caller = Caller(gate)
    return gate, caller, As(caller, "ann"), As(caller, "ben"), As(caller, "eve")


def read_to_the_end(who, path):
    """Page by page, two at a time: each item once, and all of them."""
    whole = who.get(f"{path}?limit=1000")
    assert whole["next"] is None and len(whole["items"]) > 2, (path, len(whole["items"]))
    items, after = [], ""
    while len(items) <= len(whole["items"]):
        page = who.get(f"{path}?limit=2{after}")
        items += page["items"]
        if page["next"] is None:
            break
        after = f"&after={quote(str(page['next']), safe='')}"
    assert len(items) == len(whole["items"]), path


def read_html(ann):
    page = [d for d in ann.get("/v1/deliveries?batch=B1&limit=1000")["items"] if d["subject"] == "Sale page"]
    assert b"<b>Hi</b>" in ann.get(f"/v1/messages/{page[0]['message']}/html")


def read_events(caller, ann):
    """The stream begins at once and does not end, so it is read by hand."""
    connection = http.client.HTTPConnection("127.0.0.1", port(caller.gate), timeout=60)
    connection.request("GET", "/v1/events", headers=ann.token.headers())
    answer = connection.getresponse()
    openapi.check("GET", "/v1/events", answer.status, answer.headers["Content-Type"], b"")
    caller.note("GET", "/v1/events", answer.status)
    kinds = {}
    while not kinds.keys() >= {"status"}:
        line = answer.readline().decode()
        assert line, "the stream ended"
        if line.startswith("event: "):
            kinds[line[7:].strip()] = json.loads(answer.readline()[len("data: "):])
    connection.close()


def sessions(caller, ann):
    """A browser's way: a session for a token, its cookie, its end."""
    token = {"token": ann.token.token}
    page = {"Content-Type": "application/json", "Origin": url(caller.gate)}
    caller.call("POST", "/v1/session", {"token": "mf_" + "y" * 43}, page, status=401)
    caller.call("POST", "/v1/session", token, {**page, "Origin": "http://evil.example"}, status=403)
    caller.call("POST", "/v1/session", {**token, "more": 1}, page, status=400)
    status, answer, headers = ask(caller.gate, "POST", "/v1/session", token, page)
    openapi.check("POST", "/v1/session", status, headers["Content-Type"], answer)
    openapi.check_body("POST", "/v1/session", token)
    assert status == 200 and answer["name"] == "ann", answer
    caller.note("POST", "/v1/session", status)
    cookie = {**page, "Cookie": headers["Set-Cookie"].split(";")[0]}
    assert caller.call("GET", "/v1/session", None, cookie)["csrf"] == answer["csrf"]
    body = {"ids": ["B1"], "reason": "by cookie", "dry_run": True}  # B1 is discarded by now
    caller.call("POST", "/v1/restore", body, cookie, status=403)
    cookie["X-Mailfuse-Csrf"] = answer["csrf"]
    caller.call("POST", "/v1/restore", body, cookie)
    caller.call("DELETE", "/v1/session", None, {**cookie, "X-Mailfuse-Csrf": "x"}, status=403)
    caller.call("DELETE", "/v1/session", None, cookie)
    caller.call("GET", "/v1/session", None, cookie, status=401)


def look(caller, ann, eve):
    """Every GET that only looks."""
    batch = ann.get("/v1/batches?limit=1")
    assert batch["items"] and batch["next"]
    ann.get(f"/v1/batches?all=1&after={batch['next']}")
    ann.get("/v1/batches?state=held")
    shown = ann.get("/v1/batches/B1")
    message = shown["story"]["first_messages"][0]["message"]
    wait_for("an alert delivered", lambda: any(
        a["fate"] == "delivered" for a in ann.get("/v1/batches/B1/alerts?limit=5")["items"]))
    ann.get("/v1/batches/B1/story?names=1")
    ann.get("/v1/deliveries?batch=B1&state=held&environment=production&limit=3")
    assert len(ann.get(f"/v1/deliveries?message={message}")["items"]) == 1
    ann.get(f"/v1/messages/{message}")
    assert b"Sale today" in ann.get(f"/v1/messages/{message}/raw")
    for path in ("/v1/status", "/v1/queue", "/v1/log?last=5", "/v1/log?after=1&limit=2&object=B1",
                 "/v1/audit?before=5&last=2", "/v1/traffic?since=1d&environment=production&limit=10",
                 "/v1/environments/production", "/v1/environments/staging", "/v1/rules?environment=staging",
                 "/v1/alerts?limit=3", "/v1/deliveries?batch=B1&q=sale&order=newest", "/metrics"):
        eve.get(path)
    for path in ("/v1/environments", "/v1/rules", "/v1/settings", "/v1/alerts", "/v1/deliveries"):
        read_to_the_end(eve, path)
    read_html(ann)
    read_events(caller, ann)
    assert eve.get("/v1/traffic")["items"]
    assert eve.get("/v1/openapi.json") == DOCUMENT
    return message


def mistakes(caller, ann, eve, message):
    """Each call once with what it does not take: 400, 401, 403, 404, 409, 413, 421."""
    for method, path, operation in operations():
        if operation.get("security") is not None:
            continue  # looked at by sessions() and health()
        real = path.replace("{batch}", "B1").replace("{message}", message)
        real = re.sub(r"{\w+}", "production", real)
        body = {"nonsense": 1} if "requestBody" in operation else None
        call = method.upper()
        if "requestBody" in operation:
            ann.call(call, real, body, status=400)
        elif method == "get":
            ann.call(call, real + "?nonsense=1", status=400)
        caller.call(call, real, body, status=401)
        caller.call(call, real, body, {"Authorization": "Bearer mf_" + "x" * 43, "Host": "evil.example"},
                    status=421)
        if operation.get("x-role") in ("operator", "approver"):
            eve.call(call, real, body, status=403)
        if "{" in path:
            missing = re.sub(r"{batch}", "B999", path)
            missing = re.sub(r"{message}", message[:-2] + "00", missing)
            ann.call(call, re.sub(r"{\w+}", "nowhere", missing), body, status=404)


def decide(gate, ann, ben):
    """All decisions, dry and real, refused and asked; B1 has 40 recipients, approval is above 20."""
    why = {"reason": "checked by hand"}
    one = {"ids": ["B1"], **why}
    seen = {k: ann.get("/v1/batches/B1")[k] for k in ("state", "held", "released", "discarded")}
    ann.post("/v1/release", {**one, "seen": dict(seen, held=7)}, status=409)
    dry = ann.post("/v1/release", {**one, "first": 2, "dry_run": True, "seen": dict(seen, plan=None, ring=None)})
    assert dry["plan"] is None and dry["recipients"] == 2
    ann.post("/v1/release", {**one, "percent": 10, "rate": "1/30d", "to": "*@customers.example", "subject": "Sale*"})
    Batch(gate).wait_plan("running")
    ann.post("/v1/release", {**one, "rings": [1, "all"]}, status=409)
    ann.post("/v1/pause", one)
    ann.post("/v1/resume", {**one, "rate": "100/1s"})
    Batch(gate).wait_plan("done")
    ann.post("/v1/pause", one, status=409)
    ann.post("/v1/resume", one, status=409)
    asked = ann.post("/v1/release", {**one, "rings": [1, 2, "all"], "wait": "10m", "stop_on": 2.5, "stream": "1h"})
    assert asked["state"] == "asked" and asked["asked"] == ["B1"] and asked["expires_at"]
    ann.get("/v1/status")
    ann.post("/v1/approve", {"ids": ["B1"]}, status=409)
    ben.post("/v1/approve", {"ids": ["B1"], "plan": asked["plan"]["id"], "dry_run": True})
    approved = ben.post("/v1/approve", {"ids": ["B1"], "reason": "four eyes", "plan": asked["plan"]["id"]})
    assert approved["state"] == "running", approved
    ann.get("/v1/batches/B1")
    ann.post("/v1/pause", {**one, "dry_run": True})
    ann.post("/v1/pause", one)
    ann.post("/v1/discard", one)
    ann.post("/v1/purge", {**one, "first": 1})
    ann.post("/v1/restore", one)
    ann.post("/v1/discard", {**one, "stream": "1h", "percent": 100})
    ann.post("/v1/purge", {**one, "seen": {"held": 3}}, status=409)
    ann.post("/v1/release", {"ids": ["B999"], **why}, status=404)
    ann.post("/v1/discard", {"ids": ["B999"], **why}, status=404)
    ann.get("/v1/batches/B1/story")


def drill(ann):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    ann.post("/v1/drill", {"environment": "nowhere", "sink_port": port}, status=404)
    begun = ann.post("/v1/drill", {"environment": "production", "sink_port": port, "listener": "apps"})
    assert begun["domain"] and begun["rules"]
    ann.post("/v1/drill", {"environment": "production", "sink_port": port}, status=409)
    ann.get("/v1/status")
    step = {"step": "blast", "passed": True, "text": "it was held"}
    ann.post("/v1/drill/end", {"environment": "production", "passed": True, "steps": [step]})
    ann.post("/v1/drill/end", {"environment": "production", "passed": True, "steps": [step]}, status=409)
    assert ann.get("/v1/status")["last_drill"]["passed"] is True


def health(caller):
    for path in ("/livez", "/readyz"):
        caller.call("GET", path)
        caller.call("GET", path, None, {"Host": "evil.example"}, status=421)


def others(ann, tmp_path):
    hold = {"scope": "environment", "name": "production", "reason": "panic"}
    ann.post("/v1/hold", {**hold, "name": "nowhere"}, status=404)
    assert ann.post("/v1/hold", hold)["changed"] is True
    assert ann.get("/v1/status")["holds"]
    ann.post("/v1/unhold", hold)
    ann.post("/v1/explain", {"client": PRODUCTION_CLIENT, "from": "<>", "to": ["a@b.example", "c@d.example"],
                             "message": "Subject: sale\r\n\r\n{{name}}"})
    told = ann.post("/v1/explain", {"client": STAGING_CLIENT, "to": ["a@b.example"], "helo": "app",
                                    "message_base64": base64.b64encode(b"X-Audience: many\r\n\r\n").decode()})
    assert told["recipients"][0]["verdict"] in ("rewrite", "hold"), told
    copy = str(tmp_path / "copy.db")
    assert ann.post("/v1/backup", {"path": copy, "reason": "before the change"})["audit"]["hash"]
    ann.post("/v1/backup", {"path": copy}, status=409)
    assert send_import(ann)["added"] == 1
    send_import(ann, environment="nowhere", status=409)
    ann.post("/v1/alerts/test", {"channel": "nobody"}, status=404)
    assert ann.post("/v1/alerts/test", {"channel": "ops"})["ok"] is True


def test_every_call_answers_as_it_says(peopled, tmp_path):
    gate, caller, ann, ben, eve = peopled
    message = look(caller, ann, eve)
    mistakes(caller, ann, eve, message)
    decide(gate, ann, ben)
    drill(ann)
    others(ann, tmp_path)
    sessions(caller, ann)
    health(caller)
    for method, path, _ in operations():
        statuses = caller.answered.get((method, path), set())
        assert any(s < 300 for s in statuses), f"{method} {path} was never called with success"
        assert any(s >= 400 for s in statuses), f"{method} {path} was never called in vain"


def test_the_file_is_served_on_the_socket_too(gate):
    running = gate(production())
    status, document = running.api("GET", "/v1/openapi.json")
    assert (status, document) == (200, DOCUMENT)
    assert json.dumps(document) == json.dumps(DOCUMENT)  # in the same order: the file itself


def test_answers_over_tcp_are_held_against_the_file(peopled, monkeypatch):
    """Those of other tests, too, whoever asks."""
    gate, _, ann, _, _ = peopled
    seen = []
    monkeypatch.setattr(type(gate), "watch", lambda *answer: seen.append(answer))
    ann.token.api("GET", "/v1/queue")
    ann.token.api("GET", "/v1/batches/B999")
    assert [answer[:4] for answer in seen] == [
        ("GET", "/v1/queue", 200, "application/json"),
        ("GET", "/v1/batches/B999", 404, "application/problem+json")]


# ---- mailfuse-api(7)


def examples():
    page = (openapi.FILE.parents[1] / "man" / "mailfuse-api.7").read_text()
    section = page.partition(".Sh EXAMPLES")[2].partition(".Sh ")[0]
    return [block.replace("\\e\n", "\\\n") for block in
            re.findall(r"\.Bd -literal.*?\n(.*?)\.Ed", section, re.S)]


def test_the_examples_of_the_manual(peopled, tmp_path):
    """As they stand there, but for where the gate is and how many the batch holds."""
    gate, _, ann, _, _ = peopled
    (tmp_path / "token.txt").write_text(f"Authorization: Bearer {ann.token.token}\n")
    blocks = examples()
    assert len(blocks) == 5
    outputs = []
    for block in blocks:
        script = (block.replace("/run/mailfuse/control.sock", gate.control).replace("B17", "B1")
                  .replace("http://127.0.0.1:8025", url(gate)).replace('"held":312', '"held":40'))
        running = subprocess.Popen(["bash", "-euc", script], cwd=tmp_path, stdout=subprocess.PIPE,
                                   text=True, start_new_session=True)
        if "events" in block:  # it has no end
            outputs.append(running.stdout.readline())
            os.killpg(running.pid, signal.SIGKILL)
            running.wait()
        else:
            outputs.append(running.communicate(timeout=60)[0])
            assert running.returncode == 0, block
    over_socket, over_tcp, released, listed, event = outputs
    assert [b["id"] for b in json.loads(over_socket)["items"]] == [b["id"] for b in json.loads(over_tcp)["items"]]
    dry, end = json.JSONDecoder().raw_decode(released)
    done = json.loads(released[end:])
    assert (dry["dry_run"], done["dry_run"], done["recipients"]) == (True, False, 10), released
    assert len(listed.splitlines()) == 40 and all(json.loads(row)["batch"] == "B1" for row in listed.splitlines())
    assert event.startswith(("event: ", ":", "retry: ")), event
