"""A batch as operators see it, through the control API; and gates that hold one."""

from .client import letter
from .gate import PRODUCTION_CLIENT, QUIET, production
from .wait import wait_for

# Holds each message at once, so that nothing leaks and the batch has all of it, in order.
MARKED = f'{QUIET} content "marker" {{ header = Subject match = sale }}'


class Batch:
    """One batch of a gate. Decisions return the answer, or fail the test with the gate's reason."""

    def __init__(self, running, name="B1"):
        self.gate, self.name = running, name

    def post(self, call, **body):
        """(status, answer), whatever it is."""
        keys = {"ids": [self.name], "reason": "checked by hand", **body}
        return self.gate.api("POST", f"/v1/{call}", keys)

    def must(self, call, **body):
        status, answer = self.post(call, **body)
        assert status == 200, answer
        return answer

    def refused(self, call, *words, status=409, **body):
        """It must say no, and why; returns the reason."""
        got, answer = self.post(call, **body)
        assert got == status, (got, answer)
        assert answer["title"] and answer["detail"], answer
        for word in words:
            assert word in answer["detail"], answer
        return answer["detail"]

    def release(self, **body):
        return self.must("release", **body)

    def discard(self, **body):
        return self.must("discard", **body)

    def pause(self, **body):
        return self.must("pause", **body)

    def resume(self, **body):
        return self.must("resume", **body)

    def row(self):
        """As the list of all batches has it: nobody has looked at it by that."""
        return {b["id"]: b for b in self.gate.batches("--all")}[self.name]

    def show(self):
        status, answer = self.gate.api("GET", f"/v1/batches/{self.name}")
        assert status == 200, answer
        return answer

    @property
    def plan(self):
        return self.show()["plan"]

    def wait_plan(self, state, deadline=30.0, **fields):
        """Until the plan is in that state, with these fields; returns it."""
        def reached():
            plan = self.plan
            return plan if plan and plan["state"] == state and all(
                plan[name] == value for name, value in fields.items()) else None

        return wait_for(lambda: f"a plan that is {state} {fields or ''}: {self.plan}", reached,
                        deadline)

    def wait(self, deadline=30.0, **fields):
        """Until the batch has these fields; returns it."""
        def reached():
            shown = self.show()
            return shown if all(shown[n] == v for n, v in fields.items()) else None

        return wait_for(
            lambda: f"{fields} of {({n: self.show()[n] for n in (*fields, 'state', 'plan')})}",
            reached, deadline)

    def deliveries(self):
        """All of it, oldest first."""
        return self.gate.deliveries(batch=self.name)

    def by_state(self):
        """Recipients by state, as a dictionary of sets."""
        found = {}
        for row in self.deliveries():
            found.setdefault(row["state"], set()).add(row["recipient"])
        return found


def marked(keys=""):
    """A production environment that holds every sale."""
    return production(f"{MARKED} {keys}")


def fill(running, count, prefix="c", source=PRODUCTION_CLIENT, subject="Sale today"):
    """One message a recipient, one after another: their order is known. Returns the recipients.

    They have no sender, whom reports would go to.
    """
    names = [f"{prefix}{n}@customers.example" for n in range(count)]
    with running.client(source) as client:
        for name in names:
            _, end = client.mail([name], letter(subject, to=name), sender="")
            assert end[0] == 250, end
    return names


def channel(webhook, keys=""):
    """An alert channel that hears of everything."""
    return (f'alert "ops" {{ type = webhook url = "{webhook.url}" events = {{"*"}} '
            f'{keys} }}\n')
