"""GET /metrics read strictly: the text format 0.0.4, and what Prometheus's own tool says of it."""

import re
import subprocess

from .gate import UnixHTTPConnection

TYPE = "text/plain; version=0.0.4; charset=utf-8"
SAMPLE = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (-?[0-9.]+|\+Inf|NaN)", re.S)
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\\\|\\"|\\n)*)"(,|$)', re.S)
ESCAPES = {"\\\\": "\\", '\\"': '"', "\\n": "\n"}
SUFFIXES = ("_bucket", "_sum", "_count")


class Family:
    def __init__(self, name, kind, text):
        self.name, self.kind, self.help = name, kind, text
        self.samples = {}  # (name, sorted labels) -> value


def labels_of(text):
    found, at = {}, 0
    while at < len(text):
        match = LABEL.match(text, at)
        assert match, f"not a label: {text[at:]!r}"
        assert match[1] not in found, f"twice: {match[1]}"
        found[match[1]] = re.sub(r'\\[\\"n]', lambda m: ESCAPES[m[0]], match[2])
        at = match.end()
    return found


def parse(text):
    """{name: Family}, or an assertion that says where the text is no exposition."""
    families, current = {}, None
    assert text.endswith("\n")
    helps = {}
    for line in text[:-1].split("\n"):
        if line.startswith("# HELP "):
            name, words = line[7:].split(" ", 1)
            assert name not in helps, f"a second HELP: {line}"
            helps[name] = words
        elif line.startswith("# TYPE "):
            name, kind = line[7:].split(" ")
            assert name in helps and name not in families, f"without HELP, or twice: {line}"
            current = families[name] = Family(name, kind, helps[name])
        else:
            match = SAMPLE.fullmatch(line)
            assert match, f"not a sample: {line!r}"
            name = match[1]
            base = name
            if current.kind == "histogram":
                base = next((name[:-len(s)] for s in SUFFIXES if name.endswith(s)), name)
            assert base == current.name, f"outside its family: {line}"
            key = (name, tuple(sorted(labels_of(match[2] or "").items())))
            assert key not in current.samples, f"twice: {line}"
            current.samples[key] = float(match[3])
    return families


class Metrics:
    """One answer. value() of a series that is not there is None."""

    def __init__(self, text):
        self.text = text
        self.families = parse(text)

    def value(self, name, /, **labels):
        key = (name, tuple(sorted(labels.items())))
        for family in self.families.values():
            if key in family.samples:
                return family.samples[key]
        return None

    def series(self, name, /, **labels):
        """{labels: value} of those that have these labels among theirs."""
        wanted = set(labels.items())
        return {key[1]: value for family in self.families.values()
                for key, value in family.samples.items()
                if key[0] == name and wanted <= set(key[1])}

    def total(self, name, /, **labels):
        return sum(self.series(name, **labels).values())


def scrape_text(gate):
    connection = UnixHTTPConnection(gate.control)
    connection.request("GET", "/metrics")
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    assert answer.status == 200, content
    assert answer.headers["Content-Type"] == TYPE
    return content.decode()


def scrape(gate):
    return Metrics(scrape_text(gate))


def promtool(*arguments, **keys):
    return subprocess.run(["promtool", *map(str, arguments)], capture_output=True, text=True,
                          timeout=600, **keys)


def lint(text):
    """What `promtool check metrics` complains about, "" if nothing."""
    done = promtool("check", "metrics", input=text)
    return done.stdout + done.stderr if done.returncode or done.stderr else ""
