#!/usr/bin/python3 -B
"""The manual pages against the programs, both ways; `make check` runs it where they were built.

Each setting of `mailfused --help-config` stands in mailfuse.conf(5) with its type, its default and
whether it takes a restart, each verb of `mailfuse help` and each of its options in mailfuse(1), and
nothing else does. Each event that mailfused logs stands in mailfused(8). What the other pages tell
to type are verbs and options that there are. mandoc has nothing to say of any page.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

MAN = Path(os.environ.get("srcdir", ".")) / "man"
PAGES = sorted(p for p in MAN.iterdir() if re.search(r"\.[1-8]$", p.name))
faults = []


def fault(page, text):
    faults.append(f"man/{page}: {text}")


def run(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


# ---- mailfuse.conf(5)


def settings_of_program():
    """{(section, name): (type, default, restart)}"""
    found = {}
    for line in run("./mailfused", "--help-config").splitlines():
        row = re.match(r"(\S+)\s+(\S+)\s+(.*?)\s+(reload|restart|-)\s+\S", line)
        if not row:
            fault("mailfuse.conf.5", f"cannot read what --help-config says: {line}")
            continue
        section, _, name = row[1].rpartition(".")
        if row[2] != "section":
            # The page has burst and content below environment without saying so again.
            found[section.rpartition(".")[2], name] = row[2], row[3], row[4] == "restart"
    return found


def settings_of_page():
    found = {}
    text = (MAN / "mailfuse.conf.5").read_text()
    items = re.finditer(r'^\.\\" (\S+)\n\.It Ic (\S+)(?: Pq (required|default Ql (.*)))?\n((?:(?!\.It |\.\\" |\.El|\.Ss|\.Sh)'
                        r'.*\n)*)', text, re.M)
    for item in items:
        section = "" if item[1] == "top" else item[1]
        default = "(required)" if item[3] == "required" else item[4] or "-"
        kind = re.match(r"(.{1,20}?): ", " ".join(item[5].split("\n")))
        found[section, item[2]] = (kind[1].lower() if kind else "?", default.strip('"'),
                                   re.search(r"^Restart\.$", item[5], re.M) is not None)
    if len(re.findall(r'^\.\\" \S+$', text, re.M)) != len(found):
        fault("mailfuse.conf.5", "some item is not written as the others are, or there twice")
    return found


def same_default(said, true):
    """The page shows where --prefix=/usr puts it."""
    return said == true or (true.startswith("/") and true.endswith(said) and said.startswith("/var/"))


def check_settings():
    true, said = settings_of_program(), settings_of_page()
    for key in sorted(true.keys() | said.keys()):
        name = ".".join(filter(None, key))
        if key not in said:
            fault("mailfuse.conf.5", f"has no {name}")
            continue
        if key not in true:
            fault("mailfuse.conf.5", f"has {name}, which is no setting")
            continue
        if said[key][0] != true[key][0]:
            fault("mailfuse.conf.5", f"{name} is \"{true[key][0]}\", not \"{said[key][0]}\"")
        if not same_default(said[key][1], true[key][1]):
            fault("mailfuse.conf.5", f"{name} is {true[key][1]} by default, not {said[key][1]}")
        if said[key][2] != true[key][2]:
            fault("mailfuse.conf.5", f"{name} takes {'a' if true[key][2] else 'no'} restart")


# ---- mailfuse(1)


def options_in(text):
    """{name: letter or None} of a help text."""
    return {row[2]: row[1] for row in re.finditer(r"^ +(?:-(\w), )?--([a-z-]+)", text, re.M)}


def verbs_of_program():
    """({verb: its options}, the options of every verb)"""
    verbs, everywhere = {}, {}
    for line in run("./mailfuse", "complete", "").splitlines():
        verb = line.split("\t")[0]
        own, _, common = run("./mailfuse", "help", verb).partition("Options of every verb:")
        verbs[verb], everywhere = options_in(own), options_in(common)
    return verbs, everywhere


def flags(line):
    """What follows Fl in a line of mdoc: its options, without the first dash."""
    words, found = line.split(), []
    for at, word in enumerate(words):
        if word != "Fl":
            continue
        for step in range(at + 1, len(words), 2):
            found.append(words[step])
            if step + 2 >= len(words) or words[step + 1] not in ("|", ",") or not re.match(r"-?[a-z]", words[step + 2]):
                break
    return [f for f in found if re.fullmatch(r"-?[a-zA-Z][a-z-]*", f)]


def verbs_of_page():
    """({verb: flags in the heads of its items}, all flags of the page)"""
    text = re.sub(r" Xo\n(?=\.)", " Xo ", (MAN / "mailfuse.1").read_text())
    heads, inside = [], None
    for line in text.splitlines():
        if line.startswith(".It ") and " Xo" in line:
            inside = [line.replace(" Xo .", " ")]
        elif line.startswith(".It Cm"):
            heads.append(line)
        elif inside is not None:
            inside.append(line)
        if inside is not None and line == ".Xc":
            heads.append(" ".join(row.lstrip(".") for row in inside))
            inside = None
    verbs = {}
    for head in heads:
        for verb in re.match(r"\.?It Cm ([a-z-]+(?: , [a-z-]+)*)", head)[1].split(" , "):
            verbs.setdefault(verb, set()).update(flags(head))
    everything = {flag for line in text.splitlines() for flag in flags(line)}
    # "These options choose a part of what is named, in all four": they have items of their own.
    shared = text.partition(".Ss Deciding")[2].partition("\n.It Xo ")[0]
    for verb in ("release", "discard", "restore", "purge"):
        for line in shared.splitlines():
            verbs.setdefault(verb, set()).update(flags(line) if line.startswith(".It Fl") else ())
    return verbs, everything


def check_verbs():
    true, everywhere = verbs_of_program()
    said, everything = verbs_of_page()
    if len(true) < 20:
        fault("mailfuse.1", f"mailfuse complete lists only {len(true)} verbs")
    for verb in sorted(true.keys() - said.keys() - {"help"}):
        fault("mailfuse.1", f"has no {verb}")
    for verb in sorted(said.keys() - true.keys()):
        fault("mailfuse.1", f"has {verb}, which is no verb")
    for verb in sorted(true.keys() & said.keys()):
        for name, letter in true[verb].items():
            if f"-{name}" not in said[verb]:
                fault("mailfuse.1", f"{verb} takes --{name}, which its head does not say")
            if letter and letter not in everything:
                fault("mailfuse.1", f"has no -{letter} ({verb} --{name})")
        for flag in said[verb]:
            if flag.startswith("-") and flag[1:] not in true[verb] and flag[1:] not in everywhere:
                fault("mailfuse.1", f"{verb} does not take -{flag}")
    known = {f"-{name}" for options in (*true.values(), everywhere) for name in options}
    known |= {letter for options in (*true.values(), everywhere) for letter in options.values() if letter}
    for flag in sorted(everything - known):
        fault("mailfuse.1", f"-{flag} is an option of nothing")
    for name, letter in everywhere.items():
        if f"-{name}" not in everything or (letter and letter not in everything):
            fault("mailfuse.1", f"has no --{name}")
    return true, everywhere


# ---- what the other pages tell to type


def commands(page):
    text = page.read_text().replace("\\e\n", " ").replace("\\&", "")
    for line in re.findall(r"^\$ (mailfuse .*)$", text, re.M):
        yield line
    for line in re.findall(r"^\.Ql (mailfuse [a-z].*?)(?: [,.;:)])?$", text, re.M):
        yield line


def check_commands(verbs, everywhere):
    count = 0
    for page in PAGES:
        for line in commands(page):
            words = shlex.split(line.split(" >")[0])[1:]
            count += 1
            if words[0] not in verbs:
                fault(page.name, f"there is no verb {words[0]}: {line}")
                continue
            for word in words[1:]:
                name = word[2:].split("=")[0]
                if word.startswith("--") and name not in verbs[words[0]] and name not in everywhere:
                    fault(page.name, f"{words[0]} has no {word}: {line}")
    if count < 30:
        fault("mailfuse-operations.7", f"only {count} commands were found")


# ---- mailfused(8)


def events_of_program():
    """{event: a file}, as it stands in log_info() and log_warn(), with %s where it is put together; {file: words in quotes}."""
    found, words = {}, {}
    for path in sorted(p for room in ("base", "mail", "net", "config", "store", "filters", "relay", "alert",
                                      "control", "daemon") for p in (MAN.parent / room).glob("*.c")):
        text = path.read_text()
        words[path.name] = set(re.findall(r'"([a-z.-]+)"', text))
        for call in re.finditer(r'\blog_(?:info|warn)\([^";]*((?:"(?:[^"\\]|\\.)*"|\s|PRI[du]64)+)', text):
            line = "".join(re.findall(r'"((?:[^"\\]|\\.)*)"', re.sub(r"PRI[du]64", '"d"', call[1])))
            event = line.split(" ")[1] if " " in line else line
            found[event] = path.name
    return found, words


def check_events():
    true, words = events_of_program()
    text = (MAN / "mailfused.8").read_text().partition("\n.Sh DIAGNOSTICS")[2].partition("\n.Sh")[0]
    said = [name for head in re.findall(r"^\.It Ic (.*)$", text, re.M) for name in head.split(" , ")]
    if len(true) < 90:
        fault("mailfused.8", f"only {len(true)} events were found in the source")
    for name in sorted(n for n in set(said) if said.count(n) > 1):
        fault("mailfused.8", f"has {name} twice")
    # What is put in may come from another room; where it is all there is, its own file names it.
    made = {event: (re.compile(re.escape(event).replace("%s", "([a-z.-]+)")),
                    words[file] if event == "%s" else set().union(*words.values()))
            for event, file in true.items() if "%s" in event}
    for event in sorted(true.keys() - set(said)):
        if event not in made:
            fault("mailfused.8", f"has no {event} ({true[event]})")
        elif not any(made[event][0].fullmatch(name) for name in said):
            fault("mailfused.8", f"has none of {event} ({true[event]})")
    for name in sorted(set(said) - true.keys()):
        if not any(match[1] in known for pattern, known in made.values() if (match := pattern.fullmatch(name))):
            fault("mailfused.8", f"has {name}, which is never logged")


def check_lint():
    if not shutil.which("mandoc"):
        print("mandoc is not here: the pages were not linted")
        return
    done = subprocess.run(["mandoc", "-T", "lint", "-W", "style", *map(str, PAGES)], capture_output=True,
                          text=True, timeout=60)
    # Whether other pages are installed says nothing of ours.
    faults.extend(line for line in done.stdout.splitlines() + done.stderr.splitlines()
                  if "referenced manual not found" not in line and "outdated mandoc.db" not in line)


if __name__ == "__main__":
    check_settings()
    check_commands(*check_verbs())
    check_events()
    check_lint()
    print("\n".join(faults) if faults else f"{len(PAGES)} manual pages say what is")
    sys.exit(bool(faults))
