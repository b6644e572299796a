"""strace around a command or on a running server: which calls an operation changes files with, and a fault at one of them."""

import collections
import contextlib
import dataclasses
import pathlib
import re
import subprocess
import time

from tree import PATIENCE, Bad

# Calls that change nothing on a disk. Whatever else touches the tree is taken for a change: nothing new is forgotten.
HARMLESS = set(
    "access chdir close dup dup2 dup3 execve exit exit_group faccessat faccessat2 fadvise64 fcntl fgetxattr flistxattr fstat "
    "fstatfs getcwd getdents getdents64 getxattr inotify_add_watch inotify_rm_watch ioctl lgetxattr lseek lstat mmap "
    "newfstatat pread64 preadv preadv2 read readahead readlink readlinkat readv stat statfs statx".split())
# Numbers that staged files have in a server that was started just before.
STAGED = 100
OPENS = {"open", "openat", "openat2"}
ENTRY = re.compile(r"^(\d+) +(\w+)\((.*)$")


@dataclasses.dataclass(frozen=True)
class Point:
    """A call of an operation: the `nth` of its `name` in its thread; the `again`th that does the same to the same."""
    name: str
    nth: int
    label: str
    again: int
    # The last path it names, below the tree's directory.
    path: str = dataclasses.field(compare=False)

    @property
    def same(self):
        """What stays the same when another run makes more or fewer calls before this one."""
        return self.label, self.again


def calls(log, tree):
    """Every call in the order of their beginnings: the point, its line, and whether it changes files of the tree."""
    counts = collections.Counter()
    places = (str(tree.data), str(tree.directory / "cache"))
    for line in pathlib.Path(log).read_text(errors="replace").splitlines():
        if not (entry := ENTRY.match(line)):
            continue
        thread, name, rest = entry.groups()
        counts[thread, name] += 1
        changes = name not in HARMLESS and any(place in rest for place in places)
        if name in OPENS:
            changes = changes and ("O_CREAT" in rest or "O_TRUNC" in rest)
        paths = named(name, rest.replace(f"{tree.directory}/", ""))
        what = " ".join([name, *(re.sub(r"[0-9a-f]*\d[0-9a-f]*", "#", path) for path in paths)])
        counts[thread, what] += 1
        yield Point(name, counts[thread, name], what, counts[thread, what], "".join(paths[-1:])), line, changes


def named(name, rest):
    """The paths that a call names, by descriptor or by text; not what it writes."""
    # What strace says of the call itself: it is not done yet, or strace was told to go before it was.
    rest = re.sub(r"<(unfinished|detached) \.\.\.>", "", rest).partition(") = ")[0]
    found = re.findall(r'<([^>]*)>|"([^"]*)"', rest)
    return [path or text for path, text in found if path or not name.startswith(("write", "pwrite"))]


@contextlib.contextmanager
def attached(tree, log, options):
    """A strace on the running server, for as long as the block lasts."""
    command = ["strace", "-f", "-y", "-s", "64", "-o", str(log), *options, "-p", str(tree.server.pid)]
    tracer = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    said = tracer.stderr.readline()
    if "attached" not in said:
        tracer.wait()
        raise Bad(f"strace may not attach: {said}")
    try:
        yield
    finally:
        # It detaches and ends. Where the server is dead it may wait for ever for threads that are gone.
        tracer.terminate()
        give_up = time.monotonic() + PATIENCE
        while tracer.poll() is None:
            if not tree.runs() or time.monotonic() > give_up:
                time.sleep(0.01)
                tracer.kill()
            time.sleep(0.001)
        tracer.stderr.close()


def traced(tree, subject, n, options):
    """Write `n` of a subject under strace: whether it was acknowledged, and the log."""
    log = tree.directory / "strace"
    if not subject.served:
        done = subject.write(tree, n, ["strace", "-f", "-y", "-s", "64", "-o", str(log), *options])
        return done, log
    with attached(tree, log, options):
        done = subject.write(tree, n)
        tree.settle()
    return done, log


def points(tree, subject, n):
    """The calls with which write `n` changes files; it must succeed."""
    done, log = traced(tree, subject, n, [])
    if not done:
        raise Bad(f"{subject.title} fails when nothing is injected: {tree.said()}")
    return [point for point, _, changes in calls(log, tree) if changes]


def paths(tree, point):
    """How the calls of a server that was started just before name what this one is done to."""
    opens = point.name in OPENS
    if "data/.tmp/" not in point.label:
        return [point.path if opens else f"{tree.directory}/{point.path}"]
    (staging,) = tree.staged()
    return [str(number) if opens else f"{tree.data}/.tmp/{staging}/{number}" for number in range(STAGED)]


def inject(tree, subject, n, point, fault):
    """Write `n` with a fault at a call: whether it was acknowledged, and what was really hit."""
    what = "signal=KILL" if fault == "SIGKILL" else f"error={fault}"
    nth, only = point.nth, []
    if subject.served and (point.name in OPENS or "write" in point.name):
        # Threads read, and write to each other, as they like: what counts is what happens to these paths.
        nth, only = point.again, [word for path in paths(tree, point) for word in ("-P", path)]
    options = [*only, "-e", f"trace={point.name}", "-e", f"inject={point.name}:{what}:when={nth}"]
    done, log = traced(tree, subject, n, options)
    happened = "+++ killed by SIGKILL +++" if fault == "SIGKILL" else "(INJECTED)"
    if happened not in log.read_text(errors="replace"):
        return done, None
    hit = (other.same for other, _, changes in calls(log, tree) if changes and other.nth == nth)
    return done, next(hit, None)
