"""The stage of an act with Thunderbird, which has subscribed to the calendar."""

import time

from bird import Thunderbird
from stage import ADDRESS, Stage
from tree import PATIENCE, Bad


class Scene(Stage):
    def __init__(self, directory, binary, program, corpus, offline):
        """`offline`: whether Thunderbird keeps the calendar for work without a network, as its dialog proposes."""
        super().__init__(directory, binary, corpus)
        self.bird = Thunderbird(directory, program)
        self.offline = offline

    def subscribe(self):
        host, port = self.tree.address
        self.bird.start().subscribe(f"http://{host}:{port}{ADDRESS}", "alice", self.offline)
        self.shows(self.uids)
        return self

    def close(self):
        self.bird.stop()
        super().close()

    def shows(self, uids, titles=None, by_refresh=False):
        """That Thunderbird comes to show just these items, some with these titles."""
        begun = time.monotonic()
        while True:
            if by_refresh:
                self.bird.refresh()
            shown = self.bird.shown()
            missing, more = set(uids) - shown.keys(), shown.keys() - set(uids)
            other = {uid: shown.get(uid) for uid, title in (titles or {}).items() if shown.get(uid) != title}
            if not (missing or more or other):
                return
            if time.monotonic() - begun > PATIENCE:
                raise Bad(f"Thunderbird shows {len(shown)} items: missing {sorted(missing)[:5]}, too many {sorted(more)[:5]}, "
                          f"with other titles {other}")
            time.sleep(0.2)

    def refreshed(self, titles=None):
        """That Thunderbird shows after a refresh what is on the server, with these titles. After several, where it keeps a copy: a
        refresh while the copy is still being made after a save makes no new one."""
        self.shows(self.files(), titles, by_refresh=True)

    def content(self, disabled=False):
        """That Thunderbird has no complaint and may still write."""
        state = self.bird.state()
        if state != {"complaints": [], "windows": [], "readOnly": False, "disabled": disabled}:
            raise Bad(f"Thunderbird complains: {state}")
