"""Power cuts: writes to a file system are recorded as its disk sees them; the disk of a cut has all up to a flush and any part
of what came after. Whatever is mounted from it must hold all that was acknowledged by then."""

import concurrent.futures
import contextlib
import random

import disk
import filesystems
import subjects
from calls import Tally
from filesystems import Unavailable
from tree import Bad, Tree

ROUNDS = 2
# How many disks are made for each flush, beside the one of which nothing more was written. Most have ext4.
EACH = {"ext4": 2, "xfs": 1, "btrfs": 1}
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

    def must_be_kept(self, found):
        """What of the states before this one is no more, by the numbers of the events."""
        before = self.states[:self.states.index(found)]
        events = {event for state in before for event in (state or {}).items()}
        return {(number, version) for number, version in events if found.get(number) != version}


def record(filesystem, binary, directory):
    """Writes each subject a few times on a recorded disk: the disk as it was before, its log, and what was written."""
    image, place, mount = directory / "image", directory / "recorded", directory / "mount"
    mount.mkdir()
    filesystem.fresh(image)
    with contextlib.ExitStack() as stack:
        recorder = disk.Recorder(place, image)
        stack.callback(recorder.close)
        stack.enter_context(filesystem.mounted(place, mount))
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
        filesystems.run("coreutils", "sync", "-f", str(mount))
        base, start = recorder.now()
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


def cuts(binary, directory, seed, first=False):
    """A tally of the cuts on each file system, all at once: what a mount takes is mostly waiting."""
    places = {filesystem: directory / filesystem.name for filesystem in filesystems.EVERY}
    # Not threads: what one of them starts would, for a moment, hold open the files of the others, which then cannot unmount.
    with concurrent.futures.ProcessPoolExecutor(len(places)) as pool:
        jobs = [pool.submit(cut, filesystem, binary, place, seed, first) for filesystem, place in places.items()]
        return [job.result() for job in jobs]


def cut(filesystem, binary, directory, seed, first):
    """The cuts on one file system; up to the first bad one if that is enough."""
    tally = Tally(filesystem.name)
    directory.mkdir()
    try:
        base, log, written = record(filesystem, binary, directory)
    except Unavailable as reason:
        tally.untried = str(reason)
        return tally
    except Bad as error:
        tally.bad.append(f"{filesystem.name}: {error}")
        return tally
    tally.calls = sum(entry is None for entry in log)
    (directory / "cut").mkdir()
    for position, content in disk.cuts(base, log, random.Random(seed), EACH[filesystem.name]):
        tally.injected += 1
        disk.lay(directory / "image", filesystem.megabytes, content)
        try:
            with filesystem.mounted(directory / "image", directory / "cut") as place:
                recovers(binary, directory, place, position, written, tally.injected % SERVE == 0)
        except (Bad, Unavailable) as error:
            # What could be mounted before the cut must be after it.
            tally.bad.append(f"{filesystem.name}, a cut after {position} of {len(log)} writes and flushes: {error}")
        if first and tally.bad:
            break
    return tally


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
            if isinstance(one.subject, subjects.Calendar) and (lost := one.must_be_kept(found) - one.subject.kept(tree)):
                raise Bad(f"{one.subject.title}: not in the history: {sorted(lost)}")
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
