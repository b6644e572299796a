"""Builds that are broken on purpose: what catches none of them proves nothing."""

import os
import pathlib
import shutil
import subprocess

import power
import subjects
from calls import Torment
from disk import Unavailable
from tree import REPOSITORY, Bad

FAULTS = ["no-file-sync", "no-directory-sync", "in-place"]
# Kills see what is half done; what is done and not on the disk, only power cuts see.
SEEN_BY_KILLS = {"in-place"}


def build(fault, directory):
    """Another build of this crate only: where it lies it must not stay."""
    environment = {**os.environ, **({"KALENDS_BROKEN": fault} if fault else {})}
    command = ["cargo", "build", "--quiet", "--locked", "--bin", "kalends", "--message-format", "short"]
    subprocess.run(command, cwd=REPOSITORY, env=environment, check=True)
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", REPOSITORY / "target"))
    return shutil.copy(target / "debug" / "kalends", directory / f"kalends-{fault}")


def builds(directory):
    """For each fault: what caught it, nothing if nothing did, or why it could not be tried."""
    try:
        binaries = {fault: build(fault, directory) for fault in FAULTS}
    finally:
        build(None, directory)
    for fault, binary in binaries.items():
        version = subprocess.run([binary, "--version"], capture_output=True, text=True, check=True).stdout
        assert f"BROKEN ON PURPOSE: {fault}" in version, version
        yield fault, *caught(fault, binary, directory)


def caught(fault, binary, directory):
    if fault in SEEN_BY_KILLS:
        torment = Torment(subjects.EVERY[0], binary, directory)
        bad = torment.run().bad
        if bad:
            return bad[0], None
    own = directory / fault
    own.mkdir()
    try:
        _, _, bad = power.cut(binary, own, 1, first=True)
    except Bad as error:
        bad = [str(error)]
    except Unavailable as reason:
        return None, str(reason)
    return (bad[0] if bad else None), None
