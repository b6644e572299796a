"""Sample data directories: homes with calendars of so many events, like those that calendar programs write."""

import datetime
import pathlib
import random

WORDS = ("review planning budget customer release travel workshop interview lunch sprint delivery contract quality "
         "training offer roadmap support audit migration design").split()
PEOPLE = ["Anna Berger", "Jiří Novák", "Marie Dubois", "Lars Ødegård", "Zoë Müller", "Paolo Conti"]
PLACES = ["Room 4.12", "Kantine\\, Erdgeschoss", "https://meet.example.org/j/8842", "Büro Wien"]

# As Mozilla's programs send it. The server knows the name, and serves a definition of its own.
BERLIN = """BEGIN:VTIMEZONE
TZID:Europe/Berlin
BEGIN:DAYLIGHT
TZOFFSETFROM:+0100
TZOFFSETTO:+0200
TZNAME:CEST
DTSTART:19700329T020000
RRULE:FREQ=YEARLY;BYDAY=-1SU;BYMONTH=3
END:DAYLIGHT
BEGIN:STANDARD
TZOFFSETFROM:+0200
TZOFFSETTO:+0100
TZNAME:CET
DTSTART:19701025T030000
RRULE:FREQ=YEARLY;BYDAY=-1SU;BYMONTH=10
END:STANDARD
END:VTIMEZONE
"""


def folded(line, width=75):
    """A content line in pieces of at most `width` bytes, never cutting a character (RFC 5545 section 3.1)."""
    pieces, piece, room = [], "", width
    for character in line:
        if len((piece + character).encode()) > room:
            pieces.append(piece)
            piece, room = "", width - 1
        piece += character
    return "\r\n ".join(pieces + [piece])


def event(number):
    """About 700 bytes; the same for the same number."""
    chance = random.Random(number)
    start = datetime.datetime(2024, 1, 1, 8) + datetime.timedelta(hours=7 * number % 9, days=number % 1200)
    stamp = (start - datetime.timedelta(days=chance.randint(1, 90))).strftime("%Y%m%dT%H%M%SZ")
    text = " ".join(chance.choices(WORDS, k=11)).capitalize()
    lines = [
        "BEGIN:VEVENT", f"CREATED:{stamp}", f"LAST-MODIFIED:{stamp}", f"DTSTAMP:{stamp}",
        f"UID:{chance.getrandbits(128):032x}-{number}",
        f"SUMMARY:{' '.join(chance.choices(WORDS, k=4)).capitalize()}",
    ]
    if number % 20 == 0:
        lines.append(f"RRULE:FREQ=WEEKLY;COUNT={chance.randint(3, 40)};BYDAY=MO,WE")
    for person in chance.sample(PEOPLE, 2):
        mail = person.split()[1].encode("ascii", "ignore").decode().lower()
        lines.append(f"ATTENDEE;CN={person};PARTSTAT=ACCEPTED;ROLE=REQ-PARTICIPANT:mailto:{mail}@example.org")
    lines += [
        f"DTSTART;TZID=Europe/Berlin:{start:%Y%m%dT%H%M%S}",
        f"DTEND;TZID=Europe/Berlin:{start + datetime.timedelta(hours=1):%Y%m%dT%H%M%S}",
        f"LOCATION:{chance.choice(PLACES)}", f"DESCRIPTION:{text}\\, {chance.randint(100, 999)}", "SEQUENCE:1",
        "BEGIN:VALARM", "ACTION:DISPLAY", "TRIGGER:-PT15M", "DESCRIPTION:Reminder", "END:VALARM", "END:VEVENT",
    ]
    return "".join(folded(line) + "\r\n" for line in lines)


def item(number):
    head = "BEGIN:VCALENDAR\r\nPRODID:-//Example//Sample 1//EN\r\nVERSION:2.0\r\n"
    return f"{head}{BERLIN.replace(chr(10), chr(13) + chr(10))}{event(number)}END:VCALENDAR\r\n"


def calendar(path, events, first=0):
    path.mkdir(parents=True)
    (path / ".props.json").write_text("{}\n")
    for number in range(first, first + events):
        # The name's order is not the order of the events, as in any real directory.
        name = f"{random.Random(-1 - number).getrandbits(64):016x}"
        (path / f"{name}.ics").write_bytes(item(number).encode())


def tree(root, password_file, calendars, homes=0):
    """A data directory: alice with `calendars` (name to number of events), and `homes` others."""
    root.mkdir()
    (root / "passwd").write_bytes(password_file.read_bytes())
    (root / "kalends.toml").write_text('[auth]\nmethod = "file"\nfile = "passwd"\n')
    for name, events in calendars.items():
        calendar(root / "users" / "alice" / pathlib.Path(name), events)
    for home in range(homes):
        calendar(root / "users" / f"user{home:04}" / "Calendar", 10, first=10 * home)
        calendar(root / "users" / f"user{home:04}" / "Tasks", 0)


def reserialised(text, changed):
    """The calendar as a program writes it that parses and prints: other order, other folds; event `changed` is edited."""
    out, block = [], []
    events = 0
    for line in text.replace("\r\n ", "").split("\r\n"):
        if not line.startswith(("BEGIN:", "END:")):
            block.append(line)
            continue
        if line == "END:VEVENT":
            events += 1
        if line.endswith(":VALARM") and line[0] == "B" and events == changed:
            block = [f"SUMMARY:Changed {random.random()}" if old.startswith("SUMMARY:") else old for old in block]
        out += sorted(block, reverse=line.endswith(("VALARM", "VEVENT"))) + [line]
        block = []
    return "".join(folded(line, 60) + "\r\n" for line in out if line)
