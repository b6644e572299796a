"""A disk that is really full, of blocks or of inodes, or a quota that is used up, with room for the first part of each kind of
write and not for the rest."""

import contextlib
import errno
import os
import pathlib
import re
import tempfile

import subjects
from calls import Tally
from filesystems import BTRFS, EXT4, Unavailable, run
from tree import Bad, Tree

# How many pieces (blocks of 4096 bytes, or inodes) are left for the write.
ROOM = (0, 1, 2, 3, 5, 8)
PIECE = 4096
# What btrfs sets aside of a quota for each change of names.
RESERVED = 64 * 1024


@contextlib.contextmanager
def tmpfs(directory, options):
    (directory / "disk").mkdir()
    run("mount", "mount", "-t", "tmpfs", "-o", options, "tmpfs", str(directory / "disk"))
    try:
        yield directory / "disk"
    finally:
        run("mount", "umount", str(directory / "disk"), failed=Bad)


@contextlib.contextmanager
def ext4(directory, *options):
    (directory / "disk").mkdir()
    EXT4.fresh(directory / "image", "-m", "0", *options, megabytes=12)
    with EXT4.mounted(directory / "image", directory / "disk") as place:
        yield place


@contextlib.contextmanager
def btrfs_quota(directory):
    (directory / "disk").mkdir()
    BTRFS.fresh(directory / "image")
    with BTRFS.mounted(directory / "image", directory / "disk") as place:
        btrfs("quota", "enable", place)
        btrfs("subvolume", "create", place / "limited")
        yield place / "limited"


def use_up(place, room):
    """Lowers the quota to what is used and so much more; gives what lifts it again."""
    run("coreutils", "sync", "-f", str(place))
    shown = re.search(r"^(\d+/\d+) +(\d+) ", btrfs("qgroup", "show", "--raw", "-f", place), re.M)
    # Through the directory above, which the quota is not of: from within, a quota that is used up lets nobody lift it.
    limit = lambda most: btrfs("qgroup", "limit", most, shown[1], place.parent)
    limit(int(shown[2]) + room * RESERVED)
    return lambda: limit("none")


def btrfs(*words):
    return run("btrfs-progs", "btrfs", *map(str, words))


def fill_blocks(place, room):
    """Takes all blocks but so many; gives what frees them again."""
    filler = place / "filler"
    with open(filler, "wb", buffering=0) as file:
        with full():
            while True:
                file.write(bytes(1 << 16))
        with full():
            while True:
                file.write(bytes(PIECE))
        os.fsync(file.fileno())
        file.truncate(max(0, file.tell() - room * PIECE))
        os.fsync(file.fileno())
    return filler.unlink


def fill_inodes(place, room):
    made = []
    with full():
        while True:
            made.append(place / f"filler{len(made)}")
            made[-1].touch()
    made.pop()
    for _ in range(min(room, len(made))):
        made.pop().unlink()
    return lambda: [file.unlink() for file in made]


@contextlib.contextmanager
def full():
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise


DISKS = {
    "a tmpfs without blocks": (lambda directory: tmpfs(directory, "size=3m"), fill_blocks),
    "a tmpfs without inodes": (lambda directory: tmpfs(directory, "size=8m,nr_inodes=400"), fill_inodes),
    "an ext4 without blocks": (ext4, fill_blocks),
    "an ext4 without inodes": (lambda directory: ext4(directory, "-N", "512"), fill_inodes),
    "a quota of a btrfs": (btrfs_quota, use_up),
}


def disks(binary, directory):
    return [on(title, binary, directory) for title in DISKS]


def on(title, binary, directory):
    tally = Tally(title)
    make, fill = DISKS[title]
    for subject in (make() for make in subjects.EVERY):
        with tempfile.TemporaryDirectory(dir=directory) as own:
            try:
                with make(pathlib.Path(own)) as place:
                    fullness(tally, subject, fill, place, Tree(own, binary))
            except Unavailable as reason:
                tally.untried = str(reason)
                return tally
            except Bad as bad:
                tally.bad.append(f"{title}, {subject.title}: {bad}")
    return tally


def fullness(tally, subject, fill, place, tree):
    tree.data = place / "data"
    tree.make().start()
    try:
        tree.ask("GET", "/ical/main.ics")
        n = 0
        for room in ROOM:
            n += 1
            subject.prepare(tree, n)
            tree.settle()
            empty = fill(place, room)
            try:
                refused = subject.write(tree, n) is False
                is_told(tree, subject, refused)
            finally:
                empty()
            finish(tree, subject)
            tally.calls += 1
            tally.injected += refused
            state = subject.state(tree, n)
            if state != subjects.OLD and refused and subject.strict and not subject.is_same(n):
                raise Bad(f"room for {room}: refused, and done")
            if state != subjects.NEW and not refused and type(subject) is not subjects.FirstLogin:
                raise Bad(f"room for {room}: acknowledged, and not done")
            n += 1
            subject.prepare(tree, n)
            if not subject.write(tree, n) or subject.state(tree, n) != subjects.NEW:
                raise Bad(f"room for {room}: the next write fails: {tree.said()}")
            tree.settle()
    finally:
        tree.close()


def finish(tree, subject):
    """A command that could not put in place what its journal has made leaves that to whoever comes next."""
    if not subject.served:
        tree.run(["acl", "--data", "{data}", "show", "alice"]).check_returncode()
    tree.settle()


def is_told(tree, subject, refused):
    """A client is told that the disk is full, in the one status for it (RFC 4918 section 11.5)."""
    if refused and subject.strict and tree.status != 507:
        raise Bad(f"a full disk is a {tree.status}")
