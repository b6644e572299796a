"""Recovery under faults: a start over a tree in which a journal waits, as often as one likes. It is made once and copied."""

import shutil
import tempfile

from calls import Tally
from strace import inject, points
from subjects import NEW, Calendar, Command
from tree import Bad, Tree

FILES = 4
# Of the calls at which a second recovery is killed after the first one, every so many.
SECOND = 8


class Recovery(Command):
    """What a command does first: it finishes the save that a kill has left when `placed` of its files were in place."""

    def __init__(self, placed):
        self.title = f"recovery, {placed} of {FILES} files in place"
        self.placed, self.pending = placed, None
        self.calendar = Calendar("", "Many", FILES, FILES)

    def prepare(self, tree, n):
        if self.pending is None:
            self.pending = tree.directory / "pending"
            self.kill_a_save(tree)
            shutil.copytree(tree.data, self.pending)
        tree.stop()
        shutil.rmtree(tree.data)
        shutil.copytree(self.pending, tree.data)
        self.calendar.now = self.calendar.wanted(0)

    def kill_a_save(self, tree):
        self.calendar.prepare(tree, 1)
        # The journal's own rename is the first, then come the files'. Before it each directory is tried.
        renames = [point for point in points(tree, self.calendar, 1) if point.name.startswith("rename")]
        renames = [point for point in renames if not point.path.endswith(".kalends-try")]
        self.calendar.now = self.calendar.wanted(0)
        tree.ask(*self.calendar.request(0))
        tree.settle()
        inject(tree, self.calendar, 1, renames[1 + self.placed], "SIGKILL")
        if len(tree.journals()) != 1:
            raise Bad(f"{self.title}: no journal waits, but {tree.journals()}")

    def words(self, n):
        return ["acl", "--data", "{data}", "show", "alice"]

    def state(self, tree, n):
        # The journal was durable: there is no way back.
        if self.calendar.state(tree, 1) != NEW:
            raise Bad("a journal was lost")
        return NEW


def again_and_again(binary, directory):
    """Kills recovery at each of its calls, and the one after that at every eighth of its own."""
    tally = Tally("recovery killed again and again")
    tree = Tree(tempfile.mkdtemp(dir=directory), binary).make().start()
    try:
        tree.ask("GET", "/ical/main.ics")
        recovery = Recovery(1)
        recovery.prepare(tree, 1)
        found = points(tree, recovery, 1)
        tally.calls = len(found)
        for number, first in enumerate(found):
            for second in found[number % SECOND::SECOND]:
                recovery.prepare(tree, 1)
                for point in (first, second):
                    tally.injected += inject(tree, recovery, 1, point, "SIGKILL")[1] is not None
                if not recovery.write(tree, 1) or tree.journals() or tree.staged():
                    raise Bad(f"killed at {first.label} and {second.label}: {tree.journals()} {tree.staged()}")
                recovery.state(tree, 1)
        tree.checked()
    except Bad as bad:
        tally.bad.append(f"{tally.title}: {bad}")
    finally:
        tree.close()
    return tally
