"""Kalends and nginx as child processes on loopback, and wrk against them. Server on one core, wrk on the other."""

import base64
import http.client
import os
import pathlib
import re
import shutil
import socket
import subprocess
import time

HERE = pathlib.Path(__file__).parent
PACKAGES = {"nginx": "nginx-light", "wrk": "wrk", "taskset": "util-linux"}
PIN, CLIENT_PIN = ["taskset", "-c", "0"], ["taskset", "-c", "1"]
LOGIN = "Basic " + base64.b64encode(b"alice:alice").decode()


def missing(packages=PACKAGES):
    """Of Debian packages by their programs, those that are not installed."""
    # A plain user's path has no sbin.
    path = os.environ["PATH"] + ":/usr/sbin:/sbin"
    return [package for program, package in packages.items() if not shutil.which(program, path=path)]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """A child process that listens on a port of 127.0.0.1."""

    def __init__(self, command, port, **options):
        self.port = port
        self.started = time.perf_counter()
        self.child = subprocess.Popen(command, stdout=subprocess.DEVNULL, **options)

    def __enter__(self):
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                return self
            except ConnectionRefusedError:
                if self.child.poll() is not None:
                    raise SystemExit(f"{self.child.args} ended at once")
                time.sleep(0.001)

    def __exit__(self, *_):
        self.child.terminate()
        self.child.wait()

    def connect(self):
        return http.client.HTTPConnection("127.0.0.1", self.port)

    def processor_seconds(self):
        """What it and its children have used so far."""
        children = pathlib.Path(f"/proc/{self.child.pid}/task/{self.child.pid}/children").read_text().split()
        tasks = (task for pid in (self.child.pid, *children) for task in pathlib.Path(f"/proc/{pid}/task").iterdir())
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9

    def memory_mb(self):
        return self.status_mb("VmRSS")

    def peak_mb(self):
        """The most since the start, or since `forget_peak`."""
        return self.status_mb("VmHWM")

    def forget_peak(self):
        pathlib.Path(f"/proc/{self.child.pid}/clear_refs").write_text("5")

    def status_mb(self, name):
        status = pathlib.Path(f"/proc/{self.child.pid}/status").read_text()
        return int(re.search(rf"{name}:\s+(\d+)", status)[1]) / 1024


def kalends(binary, tree, pinned=False, log="warn", **options):
    port = free_port()
    command = [str(binary), "serve", str(tree), "--listen", f"127.0.0.1:{port}"]
    environment = {**os.environ, "KALENDS_LOG": log, "XDG_CACHE_HOME": str(tree) + "-cache"}
    return Server(PIN * pinned + command, port, env=environment, **options)


def nginx(prefix):
    """Serves what is in `prefix`/www."""
    port = free_port()
    text = (HERE / "nginx.conf").read_text().replace("@prefix@", str(prefix)).replace("@port@", str(port))
    if os.geteuid() == 0:
        # The worker would give up root, and cannot enter a private directory then.
        text = "user root;\n" + text
    (prefix / "nginx.conf").write_text(text)
    program = shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin")
    return Server([*PIN, program, "-p", str(prefix), "-c", str(prefix / "nginx.conf"), "-e", str(prefix / "error.log")], port)


def ask(connection, method, path, body=None, headers=None):
    """One request by alice: the answer, its body, and the seconds until it was read."""
    begun = time.perf_counter()
    connection.request(method, path, body, {"Authorization": LOGIN, **(headers or {})})
    answer = connection.getresponse()
    text = answer.read()
    return answer, text, time.perf_counter() - begun


def load(server, path, seconds, headers):
    """Requests a second of 16 connections that ask for `path` over and over, and the server's microseconds for each."""
    command = [*CLIENT_PIN, "wrk", "-t1", "-c16", f"-d{seconds}s"]
    for header in {"Authorization": LOGIN, **headers}.items():
        command += ["-H", ": ".join(header)]
    used = server.processor_seconds()
    out = subprocess.run([*command, f"http://127.0.0.1:{server.port}{path}"], check=True, capture_output=True, text=True)
    if "Non-2xx" in out.stdout or "Socket errors" in out.stdout:
        raise SystemExit(f"{path}: {out.stdout}")
    used = server.processor_seconds() - used
    return float(re.search(r"Requests/sec:\s+([\d.]+)", out.stdout)[1]), 1e6 * used / int(re.search(r"(\d+) requests", out.stdout)[1])
