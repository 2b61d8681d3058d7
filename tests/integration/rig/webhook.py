"""A recording webhook receiver that can fail, be slow, or be away for a while."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from .wait import wait_for


class Webhook:
    """`status` is what it answers (a number, or a function of the attempt's number from 1)."""

    def __init__(self):
        self.status = 200
        self.delay = 0.0
        self.attempts = []  # every body that came
        self.alerts = []  # those it answered with 2xx
        self.server = None
        self.port = 0
        self.start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/alert"

    def start(self):
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                alert = json.loads(body)
                hook.attempts.append((alert, dict(self.headers)))
                status = hook.status
                if callable(status):
                    status = status(len(hook.attempts))
                if hook.delay:
                    time.sleep(hook.delay)
                if 200 <= status < 300:
                    hook.alerts.append(alert)
                try:
                    self.send_response(status)
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                except OSError:
                    pass

            def log_message(self, *_):
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False
            request_queue_size = 64

        self.server = Server(("127.0.0.1", self.port), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def stop(self):
        server, self.server = self.server, None
        if server:
            server.shutdown()
            server.server_close()

    def events(self, event):
        return [a for a in list(self.alerts) if a["event"] == event]

    def wait(self, event, count=1, deadline=30.0):
        """Until `count` alerts of that event were taken; returns them."""
        return wait_for(
            f"{count} alert(s) {event} at the webhook (came: {[a['event'] for a in self.alerts]})",
            lambda: len(self.events(event)) >= count and self.events(event),
            deadline,
        )
