"""docs/openapi.json as tests need it: what a call may answer, and whether an answer is that.

check() takes one answer as it came. Items of long lists are looked at up to `most` of them, since
the validator takes a tenth of a millisecond a field.
"""

import functools
import json
import re
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from jsonschema import Draft202012Validator, RefResolver

FILE = Path(__file__).resolve().parents[3] / "docs" / "openapi.json"
DOCUMENT = json.loads(FILE.read_text())
RESOLVER = RefResolver("", DOCUMENT)


def resolve(node):
    """The node itself, or what its $ref names."""
    while "$ref" in node:
        node = RESOLVER.resolve(node["$ref"])[1]
    return node


@functools.cache
def patterns():
    """[(regular expression, path)], those with fewer parameters first."""
    def expression(path):
        return re.compile(re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(path)) + r"\Z")

    return [(expression(path), path) for path in sorted(DOCUMENT["paths"], key=lambda p: p.count("{"))]


def find_path(path):
    """The path of the description that this one is, or None."""
    plain = urlsplit(path).path
    return next((name for fits, name in patterns() if fits.match(plain)), None)


def find_operation(method, path):
    name = find_path(path)
    return DOCUMENT["paths"][name].get(method.lower()) if name else None


def validator(schema):
    return Draft202012Validator(schema, resolver=RESOLVER)


def faults(schema, value):
    """What is wrong with a value, a line each."""
    def name(error):
        return "$" + "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in error.absolute_path)

    found = sorted(validator(schema).iter_errors(value), key=lambda e: list(map(str, e.absolute_path)))
    return [f"{name(error)}: {error.message[:300]}" for error in found]


def cut(value, most):
    if isinstance(value, dict) and isinstance(value.get("items"), list):
        return dict(value, items=value["items"][:most])
    return value


def check(method, path, status, kind, value, most=20):
    """Fails if the description does not know this answer. `value` is the object, or the bytes."""
    operation = find_operation(method, path)
    call = f"{method} {path} -> {status}"
    assert operation, f"{call}: docs/openapi.json does not describe this call"
    assert str(status) in operation["responses"], (
        f"{call}: docs/openapi.json has only {list(operation['responses'])}: {value!r}"[:600])
    response = resolve(operation["responses"][str(status)])
    content = response.get("content", {})
    plain = kind.split(";")[0].strip()
    if not content:
        assert not value, f"{call}: docs/openapi.json has no content for it: {value!r}"[:600]
        return
    assert plain in content, f"{call}: {kind}, where docs/openapi.json has {list(content)}"
    if "json" not in plain:
        return
    wrong = faults(content[plain]["schema"], cut(value, most))
    assert not wrong, f"{call}: not as docs/openapi.json has it:\n" + "\n".join(wrong[:20])


def check_body(method, path, body):
    """Fails if a body that was taken is not what the description takes."""
    request = (find_operation(method, path) or {}).get("requestBody")
    assert request, f"{method} {path}: docs/openapi.json has no body for this call"
    wrong = faults(request["content"]["application/json"]["schema"], body)
    assert not wrong, f"{method} {path}: a body that docs/openapi.json does not have:\n" + "\n".join(wrong[:20])


def check_query(method, path):
    """Fails if a parameter that was taken is not described, or not with that value."""
    operation = find_operation(method, path)
    known = {p["name"]: p["schema"] for p in map(resolve, operation.get("parameters", []))
             if p["in"] == "query"}
    for name, text in parse_qsl(urlsplit(path).query):
        assert name in known, f"{method} {path}: docs/openapi.json has no parameter {name}"
        schema = resolve(known[name])
        value = int(text) if schema.get("type") == "integer" else text
        wrong = faults(known[name], value)
        assert not wrong, f"{method} {path}: {name}: {wrong}"


class Watch:
    """Answers that other tests get: the first few of each kind, then one of a hundred."""

    def __init__(self):
        self.seen = {}

    def __call__(self, method, path, status, kind, value):
        key = method, find_path(path), status
        if not find_operation(method, path):
            return  # a call that there is not, asked for in vain
        self.seen[key] = self.seen.get(key, 0) + 1
        if self.seen[key] <= 3 or self.seen[key] % 100 == 0:
            check(method, path, status, kind, value, most=3)
