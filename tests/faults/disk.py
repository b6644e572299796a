"""A disk that remembers each write and each flush: a loop device over one file of a small FUSE file system of our own. From what
it remembers a disk is made as a power cut would have left it."""

import contextlib
import ctypes
import os
import pathlib
import stat
import struct
import threading

from filesystems import Unavailable

LIBC = ctypes.CDLL(None, use_errno=True)
# What a drive writes in one piece, or not.
BLOCK = 4096
MAX_WRITE = 1 << 17
GETATTR, SETATTR, OPEN, READ, WRITE, STATFS, RELEASE, FSYNC, FLUSH, INIT = 3, 4, 14, 15, 16, 17, 18, 20, 25, 26
FORGET, INTERRUPT, BATCH_FORGET = 2, 36, 42
ENOSYS = 38
NOTHING = bytes(BLOCK)


class Recorder:
    """A file of the kernel's FUSE protocol that stands for an image, with the list of what was written to it.

    Its one file is the root of its file system, mounted over a file: there are no names to look up."""

    def __init__(self, place, image):
        self.place, self.image = pathlib.Path(place), open(image, "r+b", buffering=0)
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
        self.image.close()

    def now(self):
        """The blocks of the image, and where in the log that is."""
        while True:
            position, content = len(self.log), blocks(self.image.name)
            if position == len(self.log):
                return content, position

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
            os.pwrite(self.image.fileno(), data, offset)
            self.log.append((offset, data))
            return 0, struct.pack("=II", size, 0)
        if opcode == FSYNC:
            self.log.append(None)
            return 0, b""
        if opcode == READ:
            offset, size = struct.unpack_from("=8xQI", body)
            return 0, os.pread(self.image.fileno(), size, offset)
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
        size = os.fstat(self.image.fileno()).st_size
        return struct.pack("=QQQQQQIIIIIIIIII", 1, size, size // 512, 0, 0, 0, 0, 0, 0, stat.S_IFREG | 0o600, 1, 0, 0, 0, BLOCK, 0)


def blocks(image):
    """The blocks of an image that are not empty, by their numbers."""
    with open(image, "rb") as file:
        return {number: block for number, block in enumerate(iter(lambda: file.read(BLOCK), b"")) if block != NOTHING}


def lay(image, megabytes, content):
    """The image of such blocks."""
    with open(image, "wb", buffering=0) as file:
        file.truncate(megabytes << 20)
        for number, block in content.items():
            os.pwrite(file.fileno(), block, number * BLOCK)


def cuts(base, log, draw, each):
    """The disks that power cuts leave, with where in the log each was: after each flush one of which nothing more was written,
    and `each` on which some of the blocks are that were written since."""
    content, since = dict(base), []
    for position, entry in enumerate([*log, None]):
        if entry:
            since.append(list(pieces(*entry)))
            continue
        yield position, content
        for _ in range(each if since else 0):
            end, share = draw.randint(0, len(since)), draw.random()
            some = dict(content)
            for piece in (piece for write in since[:end] for piece in write):
                if draw.random() < share:
                    put(some, *piece)
            yield position - len(since) + end, some
        for piece in (piece for write in since for piece in write):
            put(content, *piece)
        since = []


def pieces(offset, data):
    """A write as the blocks that it is to: the number of each, where in it, and what."""
    while data:
        number, start = divmod(offset, BLOCK)
        part = data[:BLOCK - start]
        yield number, start, part
        offset, data = offset + len(part), data[len(part):]


def put(content, number, start, part):
    block = content.get(number, NOTHING)
    content[number] = block[:start] + part + block[start + len(part):]
