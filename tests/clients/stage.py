"""The stage of an act: a server over the corpus as one calendar, and somebody else, who edits beside."""

import re
import signal

from tree import Bad, Tree

PLACE, ADDRESS = "users/alice/Corpus", "/ical/folder/Corpus.ics"
# Somebody else's program, which saves without a guard what it has fetched.
CURL = {"User-Agent": "curl/8.5.0", "Content-Type": "text/calendar"}
COMPONENT = re.compile(r"BEGIN:(VEVENT|VTODO)\r\n.*?END:\1\r\n", re.DOTALL)


def event(uid, title):
    return (f"BEGIN:VEVENT\r\nUID:{uid}\r\nDTSTAMP:20261124T120000Z\r\nLAST-MODIFIED:20261124T120000Z\r\n"
            f"DTSTART:20261125T090000Z\r\nDTEND:20261125T100000Z\r\nSUMMARY:{title}\r\nEND:VEVENT\r\n")


def calendar(*components):
    return f"BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//curl//EN\r\n{''.join(components)}END:VCALENDAR\r\n"


def unfolded(text):
    return re.sub(r"\r\n[ \t]", "", text)


def uid_of(component):
    return re.search(r"^UID:(.*?)\r?$", unfolded(component), re.MULTILINE)[1]


class Stage:
    def __init__(self, directory, binary, corpus):
        self.tree = Tree(directory, binary).make().start()
        if self.tree.ask("PUT", ADDRESS, corpus.encode(), CURL)[0] != 201:
            raise Bad(f"the corpus is not taken: {self.tree.said()}")
        self.uids = {uid_of(component[0]) for component in COMPONENT.finditer(corpus)}
        self.before = self.files()

    def close(self):
        self.tree.close()

    def restart_server(self):
        self.stop_server()
        self.start_server()

    def stop_server(self):
        # As a service is stopped: what it remembers of its clients is on the disk then.
        self.tree.stop(signal.SIGTERM)

    def start_server(self):
        self.tree.start(self.tree.address[1])

    def files(self):
        """What tells whether a file was written, and its text, by UID."""
        self.tree.settle()
        found = {}
        for file in (self.tree.data / PLACE).glob("*.ics"):
            stat, text = file.stat(), file.read_bytes().decode()
            uid = uid_of(text)
            if uid in found:
                raise Bad(f"{uid} is there twice")
            found[uid] = (file.name, stat.st_ino, stat.st_mtime_ns, text)
        return found

    def changed_files(self):
        """The UIDs of the files that were written, added and removed since this was asked last, each with its text."""
        before, self.before = self.before, self.files()
        written = {uid: now[3] for uid, now in self.before.items() if uid in before and now != before[uid]}
        added = {uid: now[3] for uid, now in self.before.items() if uid not in before}
        return written, added, before.keys() - self.before.keys()

    def only(self, written=(), added=(), removed=()):
        """That these files were written, each with these words in it, these added, these removed, and none else touched."""
        now = self.changed_files()
        for what, wanted, found in zip(("written", "added", "removed"), (written, added, removed), now):
            if set(wanted) != set(found):
                raise Bad(f"{what}: {sorted(found)[:9]} ({len(found)}), not {sorted(wanted)}")
        for wanted, found in zip((written, added), now):
            for uid, words in dict(wanted).items():
                if words not in unfolded(found[uid]):
                    raise Bad(f"{words!r} is not in {found[uid]}")

    def somebody_else(self, edit):
        """Fetches the calendar, and saves what `edit` makes of its text."""
        status, text = self.tree.ask("GET", ADDRESS, headers=CURL)
        if status != 200:
            raise Bad(f"GET says {status}")
        self.somebody_sends(edit(text))

    def somebody_sends(self, text):
        status, _ = self.tree.ask("PUT", ADDRESS, text.encode(), CURL)
        if status != 204:
            raise Bad(f"somebody else's PUT says {status}")


def retitled(uid, title):
    """The edit that gives an event another title, without a stamp, as an editor would."""
    def edit(text):
        return of(text, uid, lambda component: re.sub(r"SUMMARY:.*?\r\n(?![ \t])", f"SUMMARY:{title}\r\n", component,
                                                      flags=re.DOTALL))
    return edit


def without(uid):
    return lambda text: of(text, uid, lambda component: "")


def of(text, uid, change):
    """The text with the components of one UID changed."""
    def one(found):
        return change(found[0]) if uid_of(found[0]) == uid else found[0]
    after = COMPONENT.sub(one, text)
    if after == text:
        raise Bad(f"{uid} is not in the calendar")
    return after
