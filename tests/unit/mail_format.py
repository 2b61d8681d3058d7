#!/usr/bin/python3 -B
"""What mail/dsn.c and mail/seven.c write, read by Python's parser; `make check` runs it.

mail_tool (see mail_tool.c) stands between: values and messages in, mail out.
"""

import itertools
import os
import random
import subprocess
import unittest
from email import message_from_bytes, policy
from email.message import EmailMessage

TOOL = os.environ.get("MAIL_TOOL", "tests/unit/mail_tool")
DSN = ["gate.example", "01ID", "01ABOUT", "app@shop.example", ""]
RECIPIENT = ["failed", "bob@example.com", "", "550 5.1.1 no such user", "mx.example.com"]
HEADER = b"From: app@shop.example\r\nSubject: x\r\n\ty\r\n"

HOSTILE = [
    "a\r\nAction: delivered\r\n\r\nbody", "\r\n\r\n--=_01ID/0--\r\n", "=_01ID/0", "\n", "\r", "\t",
    "", "\x01\x1b[31m\x7f\x85", "j\u00f6rg@example.com", "\u202e\u2028", b"\xff\xc3", "<>\"\\;,:@()",
    '"a b\\" c"@example.com', "rfc822;x+0D+0AStatus:+202.0.0", "x" * 100_000, "x y " * 25_000,
    "550 5.7.1 " + "\u00e9" * 30_000, "=?utf-8?q?a=0D=0A?=", "Content-Type: text/html\r\n\r\n<b>",
]
MESSAGE_FIELDS = {"reporting-mta", "arrival-date", "original-envelope-id", "x-mailfuse-id"}
RECIPIENT_FIELDS = {"original-recipient", "final-recipient", "action", "status", "remote-mta",
                    "diagnostic-code", "last-attempt-date"}


def run(arguments, data):
    done = subprocess.run([TOOL, *arguments], input=data, capture_output=True, timeout=300)
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    return done.stdout, done.stderr.decode().strip()


def defects(message):
    return [d for part in message.walk()
            for d in part.defects + [d for v in part.values() for d in getattr(v, "defects", [])]]


def blocks(part):
    """The groups of fields of a delivery status; Python takes the global form for text."""
    if part.get_content_type() == "message/delivery-status":
        return part.get_payload()
    text = part.get_payload(0).as_bytes() if part.is_multipart() else part.get_payload(decode=True)
    return [message_from_bytes(b) for b in text.replace(b"\r\n", b"\n").strip().split(b"\n\n")]


class Notification(unittest.TestCase):
    def build(self, values=DSN, recipients=(RECIPIENT,), header=HEADER):
        arguments = [a for values in (values, *recipients) for a in values]
        raw, kind = run(["dsn", *arguments], header)
        message = message_from_bytes(raw, policy=policy.default)
        self.assertEqual(message.get_content_type(), "multipart/report")
        self.assertEqual(message.get_param("report-type"), "delivery-status")
        parts = message.get_payload()
        self.assertEqual(len(parts), 3)
        for part in (message, *parts):
            self.assertEqual(part.defects, [])
        self.assertEqual(parts[0].get_content_type(), "text/plain")
        groups = blocks(parts[1])
        self.assertEqual(len(groups), 1 + len(recipients))
        self.assertLessEqual({k.lower() for k in groups[0].keys()}, MESSAGE_FIELDS)
        for group in groups[1:]:
            self.assertLessEqual({k.lower() for k in group.keys()}, RECIPIENT_FIELDS)
            self.assertEqual(len(group.get_all("Final-Recipient")), 1)
        longest = max(len(line) for line in raw.split(b"\r\n"))
        self.assertLessEqual(longest, 998)
        self.assertNotRegex(raw, rb"[^\r]\n|\r[^\n]|\0")
        self.assertEqual(kind == "7bit", raw.isascii())
        return message, groups

    def test_parts(self):
        message, (about, bob) = self.build()
        self.assertEqual(defects(message), [])
        self.assertEqual(message["From"], "Mail Delivery System <MAILER-DAEMON@gate.example>")
        self.assertEqual(message["To"].addresses[0].addr_spec, "app@shop.example")
        self.assertEqual(message["Auto-Submitted"], "auto-replied")
        human, status, header = message.get_payload()
        self.assertIn("550 5.1.1 no such user", human.get_content())
        self.assertEqual(status.get_content_type(), "message/delivery-status")
        self.assertEqual(about["Reporting-MTA"], "dns; gate.example")
        self.assertEqual(bob["Final-Recipient"], "rfc822; bob@example.com")
        self.assertEqual(bob["Action"], "failed")
        self.assertEqual(bob["Status"], "5.1.1")
        self.assertEqual(bob["Remote-MTA"], "dns; mx.example.com")
        self.assertEqual(bob["Diagnostic-Code"], "smtp; 550 5.1.1 no such user")
        self.assertEqual(header.get_content_type(), "text/rfc822-headers")
        original = message_from_bytes(header.get_payload(decode=True), policy=policy.default)
        self.assertEqual(original["Subject"], "x\ty")

    def test_global_parts(self):
        recipient = ["failed", "j\u00f6rg@example.com", "utf-8;j\u00f6rg@example.com", "550 no", ""]
        message, (_, group) = self.build(recipients=[recipient],
                                         header="Subject: \u00f6\r\n".encode())
        self.assertEqual(defects(message), [])
        types = [part.get_content_type() for part in message.get_payload()]
        self.assertEqual(types, ["text/plain", "message/global-delivery-status",
                                 "message/global-headers"])
        self.assertIn("<j\u00f6rg@example.com>", message.get_payload(0).get_content())
        for part in message.get_payload():
            self.assertEqual(part["Content-Transfer-Encoding"], "8bit")

    def test_many_recipients(self):
        recipients = [["failed" if i % 2 else "relayed", f"u{i}@example.com", "", "", ""]
                      for i in range(500)]
        message, groups = self.build(recipients=recipients)
        self.assertEqual(defects(message), [])
        self.assertEqual([g["Action"] for g in groups[1:]], [r[0] for r in recipients])

    def test_hostile_values(self):
        for value in HOSTILE:
            for place in range(len(DSN)):
                self.build(values=DSN[:place] + [value] + DSN[place + 1:])
            for place in range(1, len(RECIPIENT)):
                self.build(recipients=[RECIPIENT[:place] + [value] + RECIPIENT[place + 1:],
                                       RECIPIENT])

    def test_hostile_headers(self):
        for value in HOSTILE:
            data = value if isinstance(value, bytes) else value.encode()
            self.build(header=b"Subject: x" + data + b"\0\r\nTo: y\r\n")


def sample(random_, depth=0):
    """A message of random parts in 8 bits, some of them nested."""
    words = ["h\u00e9llo", "w\u00f6rld", "--b", "--", ".", "From ", "=3D", "\u4f60\u597d", " ", "x" * 90,
             "\t"]
    message = EmailMessage(policy=policy.SMTP.clone(cte_type="8bit"))
    message["Subject"] = "sample"

    def text():
        return "\n".join(" ".join(random_.choices(words, k=random_.randrange(8)))
                         for _ in range(random_.randrange(6)))

    cte = random_.choice(["8bit", "quoted-printable", "base64"])
    message.set_content(text() + "\u00e4\n", cte=cte)
    for _ in range(random_.randrange(4) if depth < 3 else 0):
        kind = random_.randrange(3)
        if kind == 0:
            message.add_attachment(random_.randbytes(random_.randrange(200)), "application", "pdf",
                                   cte=random_.choice(["base64", "quoted-printable"]))
        elif kind == 1:
            message.add_attachment(sample(random_, depth + 1), cte="8bit")
        else:
            message.add_attachment(text() + "\u00e4", cte="8bit", subtype="html")
    return message


def leaves(message):
    """(type, content) of all that has a content of its own, after decoding."""
    return [(part.get_content_type(), part.get_payload(decode=True))
            for part in message.walk() if not part.is_multipart()]


class SevenBits(unittest.TestCase):
    def check(self, raw):
        outputs = {run(["seven", piece], raw)[0] for piece in ("1", "1000000")}
        self.assertEqual(len(outputs), 1)
        out = outputs.pop()
        # The default policy would decode some of it itself; this one hands over the bytes.
        before, after = (message_from_bytes(m, policy=policy.compat32) for m in (raw, out))
        self.assertEqual(leaves(before), leaves(after))
        self.assertEqual(defects(after), defects(before))
        self.assertEqual([p.get_content_type() for p in before.walk()],
                         [p.get_content_type() for p in after.walk()])
        for a, b in zip(before.walk(), after.walk()):
            fields = [[(k, v) for k, v in p.items() if k.lower() != "content-transfer-encoding"]
                      for p in (a, b)]
            self.assertEqual(fields[0], fields[1])
        self.assertTrue(out.isascii())
        # Lines that were longer before and had to stay are none of these samples.
        self.assertLessEqual(max(len(line) for line in out.split(b"\r\n")), 998)
        return out

    def test_random_messages(self):
        random_ = random.Random(1)
        changed = 0
        for _ in range(60):
            raw = sample(random_).as_bytes()
            changed += self.check(raw) != raw
        self.assertGreater(changed, 30)

    def test_raw_bytes(self):
        """Leaves of any bytes, as text and as not, with every end of theirs."""
        random_ = random.Random(2)
        ends = [b"", b"\r\n", b" ", b"\t\r\n", b"\r\n\r\n", b" \r\n \r\n"]
        types = ["text/plain; charset=iso-8859-1", "application/octet-stream", "text/html"]
        for end, type_, label in itertools.product(ends, types, ["8bit", "binary"]):
            data = bytes(random_.choices([b for b in range(1, 256) if b not in b"\r\n"], k=300))
            head = (f"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n"
                    f"Content-Type: {type_}\r\nContent-Transfer-Encoding: {label}\r\n\r\n")
            self.check(head.encode() + data + end + b"\r\n--b--\r\n")

    def test_large_parts(self):
        line = "Stra\u00dfe, M\u00fcnchen und anderswo\r\n".encode()
        for type_ in ("text/plain; charset=utf-8", "application/x-data"):
            head = (f"MIME-Version: 1.0\r\nContent-Type: {type_}\r\n"
                    "Content-Transfer-Encoding: 8bit\r\n\r\n")
            out = run(["seven", "65536"], head.encode() + line * 100_000)[0]
            self.assertEqual(message_from_bytes(out).get_payload(decode=True), line * 100_000)


if __name__ == "__main__":
    unittest.main()
