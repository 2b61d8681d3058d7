"""The other people in ./demo: a smarthost and a chat room's webhook that write down what comes, and
applications that send mail. Uses what the end-to-end tests are made of.

    demo.py peers DIR                      runs both until its standard input ends
    demo.py mail PORT SOURCE FROM TO SUBJECT TEXT
    demo.py blast PORT SOURCE COUNT SUBJECT
    demo.py newsletter PORT SOURCE COUNT DECLARED
"""

import json
import smtplib
import sys
import threading
import time
from email.message import EmailMessage
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "integration"))

from rig.client import Blast  # noqa: E402
from rig.sink import Sink  # noqa: E402
from rig.webhook import Webhook  # noqa: E402


def peers(directory):
    """Files: `ports` first, then mail/NNNNN.eml per message and alerts/NN.json per alert."""
    base = Path(directory)
    for name in ("mail", "alerts"):
        (base / name).mkdir()
    sink, webhook = Sink(), Webhook()
    (base / "ports.new").write_text(f"sink={sink.address}\nwebhook={webhook.url}\n")
    (base / "ports.new").rename(base / "ports")
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    mails = alerts = 0
    while not ended.is_set():
        for message in sink.messages[mails:]:
            mails += 1
            envelope = f"MAIL FROM:<{message.sender}>\n"
            envelope += "".join(f"RCPT TO:<{r}>\n" for r in message.recipients)
            text = message.data.decode("utf-8", "replace").replace("\r\n", "\n")
            (base / "mail" / f"{mails:05}.eml").write_text(f"{envelope}\n{text}")
        for alert in webhook.alerts[alerts:]:
            alerts += 1
            (base / "alerts" / f"{alerts:02}.json").write_text(json.dumps(alert, indent=2) + "\n")
        time.sleep(0.05)


def mail(port, source, sender, to, subject, text):
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = sender, to, subject
    message.set_content(text)
    with smtplib.SMTP("127.0.0.1", int(port), source_address=(source, 0)) as smtp:
        smtp.send_message(message)


def blast(port, source, count, subject):
    run = Blast(("127.0.0.1", int(port)), int(count), source, subject=subject).run()
    print(f"{len(run.accepted)} accepted, {len(run.refused)} refused")


def newsletter(port, source, count, declared):
    message = EmailMessage()
    message["From"], message["To"] = "news@shop.example", "readers@shop.example"
    message["Subject"] = "Spring news"
    message["X-Mailfuse-Campaign"], message["X-Mailfuse-Audience"] = "spring", declared
    message.set_content("It is spring.")
    readers = [f"reader{n}@customers.example" for n in range(int(count))]
    with smtplib.SMTP("127.0.0.1", int(port), source_address=(source, 0)) as smtp:
        smtp.send_message(message, to_addrs=readers)


if __name__ == "__main__":
    {"peers": peers, "mail": mail, "blast": blast,
     "newsletter": newsletter}[sys.argv[1]](*sys.argv[2:])
