"""Power cuts: writes to an ext4 are recorded as its disk sees them; the disk of a cut has all up to a flush and any part of
what came after. Whatever is mounted from it must hold all that was acknowledged by then."""

import contextlib
import random

import disk
import subjects
from tree import Bad, Tree

MEGABYTES = 24
ROUNDS = 2
# How many disks are made for each flush, beside the one of which nothing more was written.
EACH = 2
# Every so many a server is started too, which takes longer than a command.
SERVE = 10


class Written:
    """What a subject came to be: its states in order, and when each was asked for and acknowledged, as positions in the log."""

    def __init__(self, subject):
        self.subject, self.states, self.asked, self.acknowledged = subject, [], [], []

    def now(self, state, asked, acknowledged):
        self.states.append(state)
        self.asked.append(asked)
        self.acknowledged.append(acknowledged)

    def allowed(self, cut):
        """The states that may be there after a cut: from the last one acknowledged to the last one asked for."""
        sure = max(n for n, position in enumerate(self.acknowledged) if n == 0 or position <= cut)
        last = max(n for n, position in enumerate(self.asked) if n == 0 or position <= cut)
        return self.states[sure:last + 1]


def record(binary, directory):
    """Writes each subject a few times on a recorded disk: the disk as it was before, its log, and what was written."""
    image, place, mount = directory / "image", directory / "recorded", directory / "mount"
    mount.mkdir()
    disk.fresh_ext4(image, MEGABYTES)
    with contextlib.ExitStack() as stack:
        recorder = disk.Recorder(place, image.read_bytes())
        stack.callback(recorder.close)
        stack.enter_context(disk.mounted(place, mount))
        tree = Tree(directory, binary)
        stack.callback(tree.close)
        tree.data = mount / "data"
        tree.make().start()
        tree.ask("GET", "/ical/main.ics")
        written = [Written(subject) for subject in (make() for make in subjects.LOOKED_AT)]
        for one in written:
            for n in range(1, ROUNDS + 1 if one.subject.ahead else 2):
                one.subject.prepare(tree, n)
        tree.settle()
        disk.run("sync", "-f", str(mount))
        base, start = bytes(recorder.content), len(recorder.log)
        for n in range(1, ROUNDS + 1):
            for one in written:
                write(tree, one, n, recorder, start)
        return base, recorder.log[start:], written


def write(tree, one, n, recorder, start):
    if not one.subject.ahead:
        step(tree, one, recorder, start, lambda: one.subject.prepare(tree, n))
    step(tree, one, recorder, start, lambda: succeed(tree, one, n))


def step(tree, one, recorder, start, do):
    """Does something that may bring the subject to another state."""
    if not one.states:
        one.now(one.subject.look(tree), 0, 0)
    asked = len(recorder.log) - start
    do()
    acknowledged = len(recorder.log) - start
    tree.settle()
    if (found := one.subject.look(tree)) != one.states[-1]:
        one.now(found, asked, acknowledged)


def succeed(tree, one, n):
    if not one.subject.write(tree, n):
        raise Bad(f"{one.subject.title} fails on a healthy disk: {tree.said()}")


def cut(binary, directory, seed, first=False):
    """How many cuts there were after how many flushes, and which were bad; up to the first bad one if that is enough."""
    base, log, written = record(binary, directory)
    flushes = sum(entry is None for entry in log)
    (directory / "cut").mkdir()
    bad, number = [], 0
    for number, (position, content) in enumerate(disk.cuts(base, log, random.Random(seed), EACH), 1):
        (directory / "image").write_bytes(content)
        with disk.mounted(directory / "image", directory / "cut") as place:
            try:
                recovers(binary, directory, place, position, written, number % SERVE == 0)
            except Bad as error:
                bad.append(f"a cut after {position} of {len(log)} writes and flushes: {error}")
        if first and bad:
            break
    return number, flushes, bad


def recovers(binary, directory, place, position, written, serve):
    tree = Tree(directory, binary)
    tree.data = place / "data"
    try:
        done = tree.run(["acl", "--data", "{data}", "show", "alice"])
        if done.returncode or tree.journals() or tree.staged():
            raise Bad(f"recovery: {done.stderr} {tree.journals()} {tree.staged()}")
        for one in written:
            found, allowed = one.subject.look(tree), one.allowed(position)
            if found not in allowed:
                raise Bad(f"{one.subject.title}: {found} is none of {allowed}")
        if serve:
            tree.checked()
            tree.start()
        works(tree, serve)
    finally:
        tree.close()


def works(tree, served):
    """The next writes."""
    writes = [subjects.Rights(), *([subjects.NewCalendar()] if served else [])]
    for subject in writes:
        if not subject.write(tree, 99) or subject.state(tree, 99) != subjects.NEW:
            raise Bad(f"{subject.title} fails after the cut: {tree.said()}")
