"""Builds that are broken on purpose: what catches none of them proves nothing."""

import os
import pathlib
import shutil
import subprocess

import power
import subjects
from calls import Torment
from tree import REPOSITORY

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
    """For each fault: the tallies of all that must catch it, wherever that can be tried."""
    try:
        binaries = {fault: build(fault, directory) for fault in FAULTS}
    finally:
        build(None, directory)
    for fault, binary in binaries.items():
        version = subprocess.run([binary, "--version"], capture_output=True, text=True, check=True).stdout
        assert f"BROKEN ON PURPOSE: {fault}" in version, version
        own = directory / fault
        own.mkdir()
        kills = [Torment(subjects.EVERY[0], binary, own).run()] if fault in SEEN_BY_KILLS else []
        yield fault, kills + power.cuts(binary, own, 1, first=True)
