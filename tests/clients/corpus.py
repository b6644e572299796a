"""The items of tests/it/rewriting, and its simulation of programs."""

import os
import pathlib
import subprocess
import tempfile

from tree import REPOSITORY


def items():
    """The items, as one calendar."""
    with tempfile.TemporaryDirectory(prefix="kalends-corpus-") as directory:
        file = pathlib.Path(directory) / "corpus.ics"
        test("corpus_as_a_file", file).check_returncode()
        return file.read_bytes().decode()


def simulates(text, directory):
    """Whether the simulation of KDE makes of the items what KDE made of them."""
    file = pathlib.Path(directory) / "kde.ics"
    file.write_bytes(text)
    done = test("the_simulation_does_what_kde_does", file)
    print(f"  {'did not hold' if done.returncode else 'held'}: the simulation in tests/it/rewriting does what KDE's code does", flush=True)
    if done.returncode:
        print(done.stdout[-2000:])
    return done.returncode == 0


def test(name, file):
    """Runs one of the tests that need a file."""
    command = ["cargo", "test", "--quiet", "--locked", "--test", "it", "--", "--exact", f"rewriting::{name}", "--ignored"]
    return subprocess.run(command, cwd=REPOSITORY, env={**os.environ, "KALENDS_CORPUS": str(file)}, stdout=subprocess.PIPE,
                          text=True)
