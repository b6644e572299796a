"""A disk that remembers each write and each flush: a loop device over one file of a small FUSE file system of our own, with
ext4 on it. From what it remembers a disk is made as a power cut would have left it."""

import contextlib
import ctypes
import os
import pathlib
import stat
import struct
import subprocess
import threading

LIBC = ctypes.CDLL(None, use_errno=True)
# What a drive writes in one piece, or not.
BLOCK = 4096
MAX_WRITE = 1 << 17
GETATTR, SETATTR, OPEN, READ, WRITE, STATFS, RELEASE, FSYNC, FLUSH, INIT = 3, 4, 14, 15, 16, 17, 18, 20, 25, 26
FORGET, INTERRUPT, BATCH_FORGET = 2, 36, 42
ENOSYS = 38


class Unavailable(Exception):
    """This machine does not let us: no root, no FUSE, no loop devices."""


class Recorder:
    """A file of the kernel's FUSE protocol whose content is in memory, with the list of what was written to it.

    Its one file is the root of its file system, mounted over a file: there are no names to look up."""

    def __init__(self, place, image):
        self.place, self.content = pathlib.Path(place), bytearray(image)
        # (offset, bytes) for a write, None for a flush; only ever appended to.
        self.log = []
        self.place.touch()
        try:
            self.device = os.open("/dev/fuse", os.O_RDWR)
        except OSError as error:
            raise Unavailable(f"/dev/fuse: {error.strerror}") from None
        options = f"fd={self.device},rootmode={stat.S_IFREG:o},user_id=0,group_id=0"
        if LIBC.mount(b"recorder", os.fsencode(self.place), b"fuse", 0, options.encode()) != 0:
            os.close(self.device)
            raise Unavailable(f"a FUSE mount: {os.strerror(ctypes.get_errno())}")
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def close(self):
        LIBC.umount2(os.fsencode(self.place), 2)
        self.thread.join()
        os.close(self.device)

    def serve(self):
        while True:
            try:
                request = os.read(self.device, MAX_WRITE + (1 << 16))
            except InterruptedError:
                continue
            except OSError:
                # The mount is gone.
                return
            opcode, unique = struct.unpack_from("=4xIQ", request)
            if opcode in (FORGET, INTERRUPT, BATCH_FORGET):
                continue
            error, answer = self.answer(opcode, request[40:])
            with contextlib.suppress(OSError):
                os.write(self.device, struct.pack("=IiQ", 16 + len(answer), -error, unique) + answer)

    def answer(self, opcode, body):
        if opcode == WRITE:
            offset, size = struct.unpack_from("=8xQI", body)
            data = body[40:40 + size]
            self.content[offset:offset + size] = data
            self.log.append((offset, data))
            return 0, struct.pack("=II", size, 0)
        if opcode == FSYNC:
            self.log.append(None)
            return 0, b""
        if opcode == READ:
            offset, size = struct.unpack_from("=8xQI", body)
            return 0, bytes(self.content[offset:offset + size])
        if opcode in (GETATTR, SETATTR):
            return 0, struct.pack("=QII", 3600, 0, 0) + self.attributes()
        if opcode == OPEN:
            return 0, struct.pack("=QII", 1, 0, 0)
        if opcode in (RELEASE, FLUSH):
            return 0, b""
        if opcode == STATFS:
            return 0, struct.pack("=QQQQQIII24x", 1 << 20, 0, 0, 1, 0, BLOCK, 255, BLOCK)
        if opcode == INIT:
            (readahead,) = struct.unpack_from("=8xI", body)
            # Protocol 7.31; no asynchronous reads, no caching of writes: they come in their order.
            return 0, struct.pack("=IIIIHHIIHHI28x", 7, 31, readahead, 0, 16, 12, MAX_WRITE, 1, 0, 0, 0)
        return ENOSYS, b""

    def attributes(self):
        size = len(self.content)
        return struct.pack("=QQQQQQIIIIIIIIII", 1, size, size // 512, 0, 0, 0, 0, 0, 0, stat.S_IFREG | 0o600, 1, 0, 0, 0, BLOCK, 0)


@contextlib.contextmanager
def mounted(image, place):
    """The ext4 in a file, mounted."""
    run("mount", "-t", "ext4", "-o", "loop", str(image), str(place))
    try:
        yield pathlib.Path(place)
    finally:
        run("umount", str(place))


def fresh_ext4(file, megabytes, *options):
    with open(file, "wb") as image:
        image.truncate(megabytes << 20)
    run("mkfs.ext4", "-q", "-E", "lazy_itable_init=0,lazy_journal_init=0", *options, str(file))


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise Unavailable(f"{command[0]}: {done.stderr.strip() or done.returncode}")


def cuts(base, log, draw, each):
    """The disks that power cuts leave, with where in the log each was: after each flush one of which nothing more was written,
    and `each` on which some of the blocks are that were written since."""
    content, since = bytearray(base), []
    for position, entry in enumerate([*log, None]):
        if entry:
            since.append(entry)
            continue
        yield position, bytes(content)
        for _ in range(each if since else 0):
            end, share = draw.randint(0, len(since)), draw.random()
            some = bytearray(content)
            for offset, data in since[:end]:
                for start in range(0, len(data), BLOCK):
                    if draw.random() < share:
                        put(some, offset + start, data[start:start + BLOCK])
            yield position - len(since) + end, some
        for one in since:
            put(content, *one)
        since = []


def put(content, offset, data):
    content[offset:offset + len(data)] = data
