"""A fault at every call with which an operation changes files. After each: a restart, and the state is old or new, never less
than acknowledged; nothing half is left; the next write works."""

import concurrent.futures
import dataclasses
import shutil
import tempfile

import subjects
from filesystems import BTRFS, Unavailable
from strace import inject, points
from subjects import NEW, OLD
from tree import Bad, Tree

FAULTS = ["SIGKILL", "ENOSPC", "EDQUOT", "EIO", "EINTR"]
# How often a call is looked for again that another run of the same operation makes as another one of its name.
TRIES = 16


class Tally:
    """What came of an operation's faults, or why it could not be tried."""

    def __init__(self, title):
        self.title, self.calls, self.injected, self.bad, self.untried = title, 0, 0, [], None


class Torment:
    """One operation, over and over."""

    def __init__(self, make, binary, directory):
        self.make, self.binary, self.directory = make, binary, directory
        self.tally = Tally(make().title)
        self.tree = None

    def run(self):
        try:
            first, again = self.points()
            self.tally.calls = len(first) + len(again)
            for fault in FAULTS:
                self.at_each(fault, again)
                self.tree.checked()
            for fault in FAULTS:
                self.at_each(fault, first, self.fresh)
                self.tree.checked()
        except Bad as bad:
            self.tally.bad.append(f"{self.tally.title}: {bad}")
        finally:
            self.clear()
        return self.tally

    def clear(self):
        if self.tree:
            self.tree.close()
            shutil.rmtree(self.tree.directory)

    def fresh(self):
        """A tree to which nothing was written."""
        self.clear()
        self.tree = Tree(tempfile.mkdtemp(dir=self.directory), self.binary).make().start()
        self.tree.ask("GET", "/ical/main.ics")
        self.subject, self.n = self.make(), 0

    def next(self):
        self.n += 1
        self.subject.prepare(self.tree, self.n)
        return self.n

    def points(self):
        """The calls that only the first write of a tree makes, and those of each."""
        self.fresh()
        first = self.all_points()
        self.all_points()
        again = self.all_points()
        each = {point.same for point in again}
        return [point for point in first if point.same not in each], again

    def all_points(self):
        found = points(self.tree, self.subject, self.next())
        self.check(True, "without a fault")
        return found

    def at_each(self, fault, wanted, before=lambda: None):
        """Until each call was hit."""
        missing = wanted
        for turn in range(TRIES):
            missed = []
            for point in missing:
                before()
                # What was written meanwhile may have made one call more.
                point = dataclasses.replace(point, nth=point.nth + turn % 3)
                if point.same != self.at(fault, point):
                    missed.append(point)
            if not missed:
                return
            before()
            now = {point.same: point for point in self.all_points()}
            missing = [now.get(point.same, point) for point in missed]
        # The bases of merges are written by a thread of its own, once a second: not with each write.
        if missed := [point.label for point in missed if not point.path.startswith("cache/")]:
            raise Bad(f"{fault} never hit {missed}")

    def at(self, fault, point):
        if self.subject.served:
            self.tree.start()
        done, hit = inject(self.tree, self.subject, self.next(), point, fault)
        self.check(done, f"{fault} at {point.nth} {point.label}")
        self.tally.injected += hit is not None
        return hit

    def check(self, done, what):
        try:
            self.check_state(done)
            self.check_next()
        except Bad as bad:
            self.tally.bad.append(f"{self.tally.title}, {what}: {bad}")
            self.fresh()

    def check_state(self, done):
        tree, subject = self.tree, self.subject
        # A kill at the very end of a write comes after its answer: whoever answers once more was not hit.
        if subject.served and done is not None and tree.runs() and tree.ask("GET", "/ical/main.ics"):
            # Who was refused is shown the old state, at once.
            self.must(subject.shown(tree, self.n), done, "shows")
        if subject.served:
            tree.start()
        else:
            tree.run(["acl", "--data", "{data}", "show", "alice"]).check_returncode()
        if tree.journals() or len(tree.staged()) != tree.runs():
            raise Bad(f"left behind: {tree.journals()} {tree.staged()}")
        on_disk = subject.state(tree, self.n)
        self.must(on_disk, done, "holds")
        shown = subject.shown(tree, self.n)
        if shown not in (None, on_disk):
            raise Bad(f"the files are the {on_disk} state, what is served is the {shown} one")

    def must(self, state, done, verb):
        if done and state == OLD:
            raise Bad(f"acknowledged, and the tree {verb} the old state")
        if done is False and self.subject.strict and state == NEW and not self.subject.is_same(self.n):
            raise Bad(f"refused, and the tree {verb} the new state")

    def check_next(self):
        if not self.subject.write(self.tree, self.next()):
            raise Bad(f"the next write fails: {self.tree.said()}")
        self.tree.settle()
        if self.subject.state(self.tree, self.n) != NEW:
            raise Bad("the next write is not there")


def on_btrfs(binary, directory):
    """Saves of one file where more is synced for them: what the history keeps, for btrfs keeps no order."""
    place = directory / "btrfs"
    place.mkdir()
    try:
        BTRFS.fresh(directory / "image")
        with BTRFS.mounted(directory / "image", place):
            tallies = torment(subjects.ONE_FILE, binary, place)
    except Unavailable as reason:
        tallies = [Tally("saves")]
        tallies[0].untried = str(reason)
    for tally in tallies:
        tally.title += " on btrfs"
    return tallies


def torment(makes, binary, directory, workers=4):
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        jobs = [pool.submit(Torment(make, binary, directory).run) for make in makes]
        return [job.result() for job in jobs]
