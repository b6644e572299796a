"""What is written, and how its states are told apart: each subject has a write number `n`, and knows from the files whether
that write is there whole, not there at all, or something that must never be."""

import json
import os
import re

from tree import Bad

OLD, NEW = "old", "new"
REPLACE = {"Content-Type": "text/calendar", "Kalends-Merge": "replace"}
HASH = re.compile(r"alice:\$argon2id\$v=19\$m=\d+,t=\d+,p=\d+\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}")


def calendar(versions):
    """A calendar of one event for each of `versions`, which it says."""
    events = "".join(
        f"BEGIN:VEVENT\r\nUID:event-{number}\r\nDTSTAMP:20261001T080000Z\r\nDTSTART:20261201T100000Z\r\n"
        f"DTEND:20261201T110000Z\r\nSUMMARY:{version}\r\nLOCATION:Here\r\nEND:VEVENT\r\n"
        for number, version in versions.items())
    return f"BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//Example//Client//EN\r\n{events}END:VCALENDAR\r\n"


def versions_in(text):
    """The version of each event of a calendar, by its number."""
    if text and not text.endswith("END:VCALENDAR\r\n"):
        raise Bad(f"half a calendar: {text[-100:]!r}")
    found = {}
    for event in re.findall(r"BEGIN:VEVENT\r\n(.*?)END:VEVENT\r\n", text, re.S):
        number, version = re.search(r"UID:event-(\d+)\r\n", event), re.search(r"SUMMARY:(\d+)\r\nLOCATION:Here\r\n", event)
        if not (number and version) or int(number[1]) in found:
            raise Bad(f"an event that was never written: {event!r}")
        found[int(number[1])] = int(version[1])
    return found


def versions_on_disk(directory):
    """The same from a calendar's directory; nothing if it is not there."""
    if not directory.is_dir():
        return None
    found = {}
    for name in sorted(os.listdir(directory)):
        if name.endswith(".ics"):
            text = (directory / name).read_bytes().decode()
            one = versions_in(text)
            if len(one) != 1 or found.keys() & one.keys():
                raise Bad(f"{name} is half a file, or one too many: {text!r}")
            found.update(one)
    return found


class Subject:
    """Something that is written again and again. `title` is for the report."""

    # Whether the server does it, or a command.
    served = True
    # Whether who is refused may count on the old state.
    strict = True
    # Whether what a write starts from can be made before the writes ahead of it.
    ahead = False

    def prepare(self, tree, n):
        """Makes what write `n` starts from."""

    def write(self, tree, n, wrapper=()):
        """Whether it was acknowledged; nothing if whoever was to do it ended over it."""
        answer = tree.ask(*self.request(n))
        if answer is None:
            return None
        if answer[0] not in (200, 201, 204, 404, 500, 507):
            raise Bad(f"{self.title}: {answer}")
        return answer[0] < 300

    def state(self, tree, n):
        """`OLD` or `NEW`, from the files."""

    def shown(self, tree, n):
        """The same as the running server tells it."""
        return None

    def look(self, tree):
        """What is there, from the files: something to be compared with what was there at another time."""

    def is_same(self, n):
        """Whether write `n` changes nothing: then the old state is the new one."""
        return False


class Calendar(Subject):
    """A calendar of which each write changes `changed` of its `events` events."""

    def __init__(self, title, name, events, changed):
        self.title, self.events, self.changed = title, events, changed
        self.place, self.address = f"users/alice/{name}", f"/ical/folder/{name}.ics"
        self.now = None

    def wanted(self, n):
        return {number: n if number < self.changed else 0 for number in range(self.events)}

    def prepare(self, tree, n):
        if self.now is None:
            self.now = self.wanted(n - 1)
            status, text = tree.ask("PUT", self.address, calendar(self.now), REPLACE)
            if status not in (201, 204):
                raise Bad(f"{self.title}: {status} {text}")
            tree.settle()

    def request(self, n):
        return "PUT", self.address, calendar(self.wanted(n)), REPLACE

    def is_same(self, n):
        return self.changed == 0 and self.events > 0

    def told(self, found, n):
        if found == self.wanted(n):
            self.now = found
            return NEW
        if found == self.now:
            return OLD
        raise Bad(f"{self.title}: neither {self.now} nor {self.wanted(n)}, but {found}")

    def look(self, tree):
        return versions_on_disk(tree.data / self.place)

    def state(self, tree, n):
        return self.told(self.look(tree), n)

    def kept(self, tree):
        """The versions of the events that the history has, each with the event's number."""
        place = tree.data / self.place
        files = (place.parent / ".history").glob(f"**/{place.name}/*")
        return {one for file in files for one in versions_in(file.read_bytes().decode()).items()}

    def shown(self, tree, n):
        status, text = tree.ask("GET", self.address)
        return self.told(versions_in(text) if status == 200 else status, n)


class NewItem(Calendar):
    """A calendar that gets one more event with each write."""

    def __init__(self, title, name):
        super().__init__(title, name, 0, 0)

    def wanted(self, n):
        # Nothing is taken away, so what is refused comes with the next one.
        return {number: 0 for number in range(n + 1)}


class LeftOut(Calendar):
    """A calendar of two events, of which each write leaves out the second."""

    def __init__(self, title, name):
        super().__init__(title, name, 1, 0)

    def prepare(self, tree, n):
        self.now = {0: 0, 1: n}
        if tree.ask("PUT", self.address, calendar(self.now), REPLACE)[0] not in (201, 204):
            raise Bad("the event that is to be left out cannot be made")
        tree.settle()

    def is_same(self, n):
        return False


class NewCalendar(Subject):
    """A calendar that was not there."""

    title = "PUT of a new calendar"
    events = 3

    def request(self, n):
        return "PUT", f"/ical/folder/New{n}.ics", calendar({number: n for number in range(self.events)}), REPLACE

    def look(self, tree):
        new = sorted((tree.data / "users/alice").glob("New*"))
        return [n for n in (int(place.name[3:]) for place in new) if self.state(tree, n) == NEW]

    def state(self, tree, n):
        return self.told(versions_on_disk(tree.data / f"users/alice/New{n}"), n)

    def told(self, found, n):
        if found is None:
            return OLD
        if found == {number: n for number in range(self.events)}:
            return NEW
        raise Bad(f"half of a new calendar: {found}")

    def shown(self, tree, n):
        status, text = tree.ask("GET", f"/ical/folder/New{n}.ics")
        return self.told(None if status == 404 else versions_in(text), n)


class Removal(Subject):
    """A calendar that goes, into the history."""

    title = "DELETE of a calendar"
    ahead = True
    whole = {number: 0 for number in range(3)}

    def prepare(self, tree, n):
        # One stays: a folder goes with its last calendar.
        for name in (0, n):
            if tree.ask("PUT", f"/ical/folder/Gone/{name}.ics", calendar(self.whole), REPLACE)[0] not in (201, 204):
                raise Bad("the calendar that is to go cannot be made")
            tree.settle()

    def request(self, n):
        return "DELETE", f"/ical/folder/Gone/{n}.ics"

    def look(self, tree):
        kept = (tree.data / "users/alice/.history").glob("removed/*/Gone/*")
        return sorted(n for n in {int(place.name) for place in kept} if self.state(tree, n) == NEW)

    def state(self, tree, n):
        home = tree.data / "users/alice"
        if (home / f"Gone/{n}").is_dir():
            return self.told(versions_on_disk(home / f"Gone/{n}"))
        kept = list((home / ".history").glob(f"removed/*/Gone/{n}"))
        if [versions_on_disk(place) for place in kept] != [self.whole]:
            raise Bad(f"a removed calendar is not in the history, but {kept}")
        return NEW

    def told(self, found):
        if found != self.whole:
            raise Bad(f"half of a removed calendar: {found}")
        return OLD

    def shown(self, tree, n):
        status, text = tree.ask("GET", f"/ical/folder/Gone/{n}.ics")
        return NEW if status == 404 else self.told(versions_in(text))


class FirstLogin(Subject):
    """The home that a user gets; a login without one is good all the same."""

    title = "a first login"
    strict = False

    def request(self, n):
        return "GET", "/ical/main.ics", None, None, f"user{n}"

    def state(self, tree, n):
        home = tree.data / f"users/user{n}"
        made = [(home / name).is_dir() for name in ("Calendar", "Tasks")]
        for props in home.glob("*/.props.json"):
            if props.read_text() != "{}\n":
                raise Bad(f"half a file: {props}")
        # What is half made is finished by the next login.
        return NEW if all(made) else OLD

    def shown(self, tree, n):
        if tree.ask(*self.request(n))[0] != 200:
            raise Bad("a user cannot log in again")
        if self.state(tree, n) == OLD:
            raise Bad("a home stays half made")


class Command(Subject):
    """What a command writes to the tree, beside nobody."""

    served = False
    strict = False
    stdin = ""

    def write(self, tree, n, wrapper=()):
        done = tree.run(self.words(n), wrapper, self.stdin)
        # strace ends by the signal that ended what it traced.
        return None if done.returncode < 0 or done.returncode > 128 else done.returncode == 0


class Rights(Command):
    title = "kalends acl set"
    roles = ["viewer", "contributor", "editor", "master", "freebusy"]

    def words(self, n):
        return ["acl", "--data", "{data}", "set", "alice", "user:carol", self.roles[n % 5]]

    def prepare(self, tree, n):
        tree.run(self.words(n - 1)).check_returncode()

    def look(self, tree):
        text = (tree.data / "users/alice/.acl.json").read_text()
        try:
            return json.loads(text)["user:carol"]
        except (ValueError, KeyError):
            raise Bad(f"half an .acl.json: {text!r}") from None

    def state(self, tree, n):
        role = self.look(tree)
        return NEW if role == self.roles[n % 5] else self.was(role, n)

    def was(self, role, n):
        if role != self.roles[(n - 1) % 5]:
            raise Bad(f"rights of another time: {role}")
        return OLD


def links(tree):
    """The label and the id of each link."""
    found = {}
    for file in sorted((tree.data / "links").glob("*.json")):
        try:
            found[json.loads(file.read_text())["label"]] = file.stem
        except (ValueError, KeyError):
            raise Bad(f"half a link: {file.read_bytes()!r}") from None
    return found


def add_link(label):
    return ["link", "--data", "{data}", "add", "alice", "~alice", "viewer", "--label", label]


class Link(Command):
    title = "kalends link add"

    def words(self, n):
        return add_link(f"added {n}")

    def look(self, tree):
        return sorted(label for label in links(tree) if label.startswith("added"))

    def state(self, tree, n):
        return NEW if f"added {n}" in links(tree) else OLD


class Revocation(Command):
    title = "kalends link revoke"
    ahead = True

    def prepare(self, tree, n):
        tree.run(add_link(f"revoked {n}")).check_returncode()

    def words(self, n):
        return ["link", "--data", "{data}", "revoke", self.ids[f"revoked {n}"]]

    def write(self, tree, n, wrapper=()):
        self.ids = links(tree)
        return super().write(tree, n, wrapper)

    def look(self, tree):
        return sorted(label for label in links(tree) if label.startswith("revoked"))

    def state(self, tree, n):
        return OLD if f"revoked {n}" in links(tree) else NEW


class Password(Command):
    title = "kalends passwd"
    stdin = "alice\n"

    def words(self, n):
        return ["passwd", "{data}/passwd", "alice"]

    def prepare(self, tree, n):
        self.before = (tree.data / "passwd").read_text()

    def look(self, tree):
        return (tree.data / "passwd").read_text()

    def state(self, tree, n):
        text = self.look(tree)
        if text == self.before:
            return OLD
        lines, before = text.splitlines(), self.before.splitlines()
        mine = [line for line in lines if line.startswith("alice:")]
        others = [[line for line in some if not line.startswith("alice:")] for some in (lines, before)]
        if len(mine) != 1 or not HASH.fullmatch(mine[0]) or others[0] != others[1]:
            raise Bad(f"half a password file: {text!r}")
        return NEW


class Restored(Command):
    """A calendar that goes back to what it was before its last save."""

    title = "kalends restore"

    def __init__(self):
        self.calendar, self.back = Calendar("", "Restored", 3, 3), None

    def prepare(self, tree, n):
        if self.back is None:
            self.put(tree, 0)
        self.back = self.look(tree)
        self.put(tree, n)

    def put(self, tree, version):
        if tree.ask(*self.calendar.request(version))[0] not in (201, 204):
            raise Bad("the calendar that is to be restored cannot be made")
        tree.settle()

    def words(self, n):
        return ["restore", "--data", "{data}", "alice/Restored"]

    def look(self, tree):
        return self.calendar.look(tree)

    def state(self, tree, n):
        found = self.look(tree)
        if found not in (self.back, self.calendar.wanted(n)):
            raise Bad(f"neither {self.back} nor what was to be restored over: {found}")
        return NEW if found == self.back else OLD


# What makes each of them: what they remember is of one tree.
ONE_FILE = [
    lambda: Calendar("PUT of one item", "Item", 1, 1),
    lambda: LeftOut("PUT that leaves an item out", "Fewer"),
]
EVERY = [
    *ONE_FILE,
    lambda: NewItem("PUT of a new item", "Items"),
    lambda: Calendar("PUT of a calendar, 0 changes", "Same", 3, 0),
    lambda: Calendar("PUT of a calendar, 1 change", "One", 3, 1),
    lambda: Calendar("PUT of a calendar, 4 changes", "Many", 4, 4),
    NewCalendar,
    Removal,
    FirstLogin,
    Rights,
    Link,
    Revocation,
    Password,
    Restored,
]
# Those that a power cut is looked for in: a large save is made durable in another way than a small one.
LOOKED_AT = [make for make in EVERY if make is not FirstLogin] + [
    lambda: Calendar("PUT of a calendar, 80 changes", "Large", 80, 80),
]
