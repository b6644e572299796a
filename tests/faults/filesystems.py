"""The file systems that are made in a file and mounted over a loop device: how each is made and mounted. Mounting is what recovers
them all."""

import contextlib
import dataclasses
import os
import pathlib
import shutil
import subprocess

from tree import Bad


class Unavailable(Exception):
    """This machine does not let us: no root, no FUSE, no loop devices, not in its kernel, not installed."""


@dataclasses.dataclass(frozen=True)
class FileSystem:
    name: str
    # Of Debian.
    package: str
    # What its mkfs makes no smaller without being told to.
    megabytes: int
    options: tuple[str, ...] = ()
    mount: str = "defaults"

    def fresh(self, file, *options, megabytes=None):
        with open(file, "wb") as image:
            image.truncate((megabytes or self.megabytes) << 20)
        run(self.package, f"mkfs.{self.name}", "-q", *self.options, *options, str(file))

    @contextlib.contextmanager
    def mounted(self, image, place):
        device = run("mount", "losetup", "--find", "--show", str(image)).strip()
        try:
            run("mount", "mount", "-t", self.name, "-o", self.mount, device, str(place))
            try:
                yield pathlib.Path(place)
            finally:
                run("mount", "umount", str(place), failed=Bad)
        finally:
            if self.name == "btrfs":
                # Kernels before 6.8 remember it, and mount no older copy of it over another device.
                subprocess.run(["btrfs", "device", "scan", "--forget", device], capture_output=True, check=False)
            run("mount", "losetup", "--detach", device, failed=Bad)


EXT4 = FileSystem("ext4", "e2fsprogs", 24, ("-E", "lazy_itable_init=0,lazy_journal_init=0"))
XFS = FileSystem("xfs", "xfsprogs", 300)
# What is discarded is written over later, or not: nothing that a power cut is looked for in.
BTRFS = FileSystem("btrfs", "btrfs-progs", 128, mount="nodiscard")
EVERY = (EXT4, XFS, BTRFS)


def run(package, *command, failed=Unavailable):
    """What a program says that a Debian package has."""
    if shutil.which(command[0]) is None:
        missing = f"{command[0]} is missing: install the package {package}"
        raise Bad(missing) if os.environ.get("KALENDS_TEST_ALL") == "1" else Unavailable(missing)
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise failed(f"{command[0]}: {done.stderr.strip() or done.returncode}")
    return done.stdout
