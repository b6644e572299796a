"""A data directory of the harness's own, and the real program over it: the server as a child process, commands, requests."""

import base64
import contextlib
import http.client
import os
import pathlib
import re
import shutil
import signal
import subprocess
import time

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent.parent
# How many users there are beside alice; their homes are made as they log in.
USERS = 1000
# How long anything may take before the harness calls it hung.
PATIENCE = 30


class Bad(Exception):
    """The program broke its word."""


class Tree:
    """A data directory and what runs over it."""

    def __init__(self, directory, binary):
        self.directory = pathlib.Path(directory)
        self.binary = str(binary)
        self.data = self.directory / "data"
        self.server = None
        self.address = None
        # Of the last answer.
        self.status = None
        self.log = open(self.directory / "log", "ab")

    def make(self):
        """The directory as an admin makes it: the configuration and the passwords, with alice's for all users."""
        self.data.mkdir(exist_ok=True)
        self.data.chmod(0o2770)
        example = REPOSITORY / "data-example"
        for name in ("kalends.toml", "groups"):
            shutil.copy(example / name, self.data / name)
        password = next(line for line in (example / "passwd").read_text().splitlines() if line.startswith("alice:"))
        others = (password.replace("alice:", f"user{number}:") for number in range(USERS))
        (self.data / "passwd").write_text("".join(f"{line}\n" for line in (password, *others)))
        return self

    @property
    def environment(self):
        return {**os.environ, "XDG_CACHE_HOME": str(self.directory / "cache"), "KALENDS_LOG": "warn"}

    def start(self, port=0):
        self.stop()
        command = [self.binary, "serve", str(self.data), "--listen", f"127.0.0.1:{port}"]
        self.server = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self.log,
                                       env=self.environment)
        for line in self.server.stdout:
            if found := re.search(rb"http://127.0.0.1:(\d+)", line):
                self.address = ("127.0.0.1", int(found[1]))
                return self
        raise Bad(f"the server did not start over {self.data}: {self.said()}")

    def stop(self, how=signal.SIGKILL):
        if self.server is not None:
            if self.server.poll() is None:
                self.server.send_signal(how)
            self.server.wait()
            self.server.stdout.close()
            self.server = None

    def runs(self):
        """Whether the server has not ended. One that a tracer still holds has ended too."""
        with contextlib.suppress(OSError, AttributeError):
            stat = pathlib.Path(f"/proc/{self.server.pid}/stat").read_text()
            return stat.rpartition(") ")[2][0] not in "ZX"
        return False

    def said(self):
        return (self.directory / "log").read_bytes().decode(errors="replace")[-2000:]

    def ask(self, method, path, body=None, headers=None, user="alice"):
        """Status and text of the answer, or nothing if the server ended over it."""
        connection = http.client.HTTPConnection(*self.address, timeout=PATIENCE)
        try:
            connection.request(method, path, body, {"Authorization": login(user), **(headers or {})})
            answer = connection.getresponse()
            self.status = answer.status
            return answer.status, answer.read().decode()
        except TimeoutError:
            raise Bad(f"{method} {path} was not answered in {PATIENCE} s") from None
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()

    def run(self, words, wrapper=(), stdin=""):
        """A command over the tree. `{data}` in its words is the data directory."""
        words = [word.replace("{data}", str(self.data)) for word in words]
        # A session of its own: what it traces must not outlive it.
        child = subprocess.Popen([*wrapper, self.binary, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                 stderr=subprocess.PIPE, text=True, env=self.environment, start_new_session=True)
        try:
            said = child.communicate(stdin, PATIENCE)
        except subprocess.TimeoutExpired:
            doing = doings(child.pid)
            os.killpg(child.pid, signal.SIGKILL)
            child.communicate()
            raise Bad(f"{words} did not end in {PATIENCE} s: {doing}") from None
        return subprocess.CompletedProcess(words, child.returncode, *said)

    def checked(self):
        """That `kalends check` finds nothing."""
        done = self.run(["check", "--quiet", "{data}"])
        if done.returncode:
            raise Bad(f"kalends check: {done.stdout} {done.stderr}")

    def settle(self):
        """Waits until what was acknowledged is applied; nothing where the server ended meanwhile."""
        eventually("the journal is applied", lambda: not self.journals() or not self.runs())

    def journals(self):
        with contextlib.suppress(FileNotFoundError):
            return sorted(os.listdir(self.data / ".journal"))
        return []

    def staged(self):
        """The staging directories that are there: each living process has one."""
        with contextlib.suppress(FileNotFoundError):
            return sorted(os.listdir(self.data / ".tmp"))
        return []

    def close(self):
        self.stop()
        self.log.close()


def doings(session):
    """The state of each process of a session, and where in the kernel it waits. A T is one that somebody has stopped."""
    found = []
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            name, _, rest = (process / "stat").read_text().partition(") ")
            state, _, _, of = rest.split()[:4]
            if int(of) == session:
                found.append(f"{name}) is {state} in {(process / 'wchan').read_text()}")
    return ", ".join(found)


def login(user):
    return "Basic " + base64.b64encode(f"{user}:alice".encode()).decode()


def eventually(what, condition):
    start = time.monotonic()
    while not condition():
        if time.monotonic() - start > PATIENCE:
            raise Bad(f"not in {PATIENCE} s: {what}")
        time.sleep(0.002)
