"""Debian's Prometheus: scrapes a gate over TCP with a token, evaluates rules, answers PromQL."""

import http.client
import json
import shutil
import subprocess
import urllib.parse
from pathlib import Path

from .maildir import free_ports
from .people import Token, port
from .wait import DEADLINE, wait_for


class Prometheus:
    """`rules` is a file of rules. All is asked each second, so that a test has samples soon."""

    def __init__(self, directory, gate, viewer, rules):
        self.directory, self.gate = Path(directory), gate
        self.port = free_ports(["web"])["web"]
        self.process = None
        (self.directory / "token").write_text(Token(gate, viewer).token)
        (self.directory / "prometheus.yml").write_text(json.dumps({
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s",
                       "evaluation_interval": "1s"},
            "rule_files": [str(rules)],
            "scrape_configs": [{
                "job_name": "mailfuse",
                "authorization": {"credentials_file": str(self.directory / "token")},
                "static_configs": [{"targets": [f"127.0.0.1:{port(gate)}"]}]}]}))

    def start(self):
        log = open(self.directory / "log", "wb")
        self.process = subprocess.Popen(
            [shutil.which("prometheus"), f"--config.file={self.directory}/prometheus.yml",
             f"--storage.tsdb.path={self.directory}/data", "--log.level=warn",
             f"--web.listen-address=127.0.0.1:{self.port}"], stdout=log, stderr=log)
        log.close()
        wait_for(self.log, lambda: self.value("up") == 1, 3 * DEADLINE)
        return self

    def stop(self):
        if self.process:
            self.process.terminate()
            self.process.wait(60)

    def log(self):
        return "Prometheus: " + (self.directory / "log").read_text()

    def get(self, path, **query):
        """`data` of the answer; None while there is no server yet."""
        if self.process.poll() is not None:
            raise AssertionError(self.log())
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request("GET", f"/api/v1/{path}?{urllib.parse.urlencode(query)}")
            answer = connection.getresponse()
            content = answer.read()
        except ConnectionError:
            return None
        finally:
            connection.close()
        if answer.status == 503:
            return None
        value = json.loads(content)
        assert answer.status == 200 and value["status"] == "success", (query, value)
        assert not value.get("warnings"), (query, value)
        return value["data"]

    def query(self, expression):
        """[(labels, value)], or None."""
        data = self.get("query", query=expression)
        if data is None:
            return None
        assert data["resultType"] == "vector", (expression, data)
        return [(row["metric"], float(row["value"][1])) for row in data["result"]]

    def value(self, expression):
        """Of the one series it has; else None."""
        found = self.query(expression) or []
        return found[0][1] if len(found) == 1 else None

    def alerts(self):
        """{(name, environment or ""): state} of those that fire or are pending."""
        return {(a["labels"]["alertname"], a["labels"].get("environment", "")): a["state"]
                for a in self.get("alerts")["alerts"]}
