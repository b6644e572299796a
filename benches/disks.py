"""Disks to measure on: a file system in an image over a loop device, on the disk that is here or behind a flush that takes as long
as it is told. For root. All that is mounted or started for one is ended with its `with`."""

import contextlib
import os
import pathlib
import subprocess
import tempfile
import time

# (package of Debian, options of its mkfs): ext4 is to be whole at once, not made by a thread of the kernel beside what is measured.
FILE_SYSTEMS = {
    "ext4": ("e2fsprogs", ["-F", "-E", "lazy_itable_init=0,lazy_journal_init=0"]),
    "xfs": ("xfsprogs", ["-f"]),
    "btrfs": ("btrfs-progs", ["-f"]),
}
MEMORY = "/dev/shm"
SIZE = 4 << 30


def packages(file_system, slow):
    """The programs that a disk takes, with their Debian packages."""
    found = {"losetup": "mount", f"mkfs.{file_system}": FILE_SYSTEMS[file_system][0]}
    return found | ({"nbdkit": "nbdkit", "nbdfuse": "libnbd-bin", "strace": "strace"} if slow else {})


@contextlib.contextmanager
def here(file_system, directory):
    """On the disk of `directory`, whose own file system does not matter then: the loop device writes past its cache."""
    with tempfile.TemporaryDirectory(prefix="kalends-disk-", dir=directory) as place:
        image = pathlib.Path(place, "image")
        with open(image, "wb") as file:
            os.posix_fallocate(file.fileno(), 0, SIZE)
        make(file_system, image)
        with mounted(image, pathlib.Path(place, "mounted")) as disk:
            yield disk


@contextlib.contextmanager
def slow(file_system, milliseconds):
    """In memory, where writes take next to nothing, as into a disk's cache, and a flush the time that it is told."""
    with tempfile.TemporaryDirectory(prefix="kalends-disk-", dir=MEMORY) as place:
        image = pathlib.Path(place, "image")
        with open(image, "wb") as file:
            file.truncate(SIZE)
        make(file_system, image)
        with flushed(image, pathlib.Path(place, "slow"), milliseconds) as file, mounted(file, pathlib.Path(place, "mounted")) as disk:
            yield disk


def make(file_system, image):
    subprocess.run([f"mkfs.{file_system}", "-q", *FILE_SYSTEMS[file_system][1], str(image)], check=True, stdout=subprocess.DEVNULL)


@contextlib.contextmanager
def flushed(image, place, milliseconds):
    """The image as a file of FUSE whose every fsync takes so much longer. nbdkit's own filters delay writes only, and each of them;
    strace holds the one call that makes a flush, and others go on meanwhile."""
    place.mkdir()
    file = place / "disk"
    delay = f"inject=fdatasync:delay_enter={round(milliseconds * 1000)}"
    command = ["nbdfuse", str(file), "--command", "strace", "-f", "--seccomp-bpf", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync", "-e", delay,
               "nbdkit", "-s", "file", str(image)]
    # In a session of its own, so that Ctrl-C does not take it from under the file system.
    child = subprocess.Popen(command, cwd="/", start_new_session=True, stderr=subprocess.DEVNULL)
    try:
        while not file.exists():
            if child.poll() is not None:
                raise SystemExit("nbdfuse ended at once: is there a /dev/fuse?")
            time.sleep(0.01)
        yield file
    finally:
        # It unmounts itself and hangs up, upon which nbdkit and strace end.
        child.terminate()
        child.wait()


@contextlib.contextmanager
def mounted(image, place):
    place.mkdir()
    attach = ["losetup", "--find", "--show", "--direct-io=on", str(image)]
    device = subprocess.run(attach, check=True, capture_output=True, text=True).stdout.strip()
    try:
        subprocess.run(["mount", device, str(place)], check=True)
        try:
            yield place
        finally:
            subprocess.run(["umount", str(place)], check=True)
    finally:
        subprocess.run(["losetup", "--detach", device], check=True)
