"""A machine with KDE: its calendar resource with a remote file, fetched and sent as KIO does."""

import subprocess

from stage import ADDRESS
from tree import Bad

# KIO 5.103 and 6.18, as their sources put it together.
KIO = ("Mozilla/5.0 (X11; Linux x86_64) KHTML/5.103.0 (like Gecko) Konqueror/5 KIO/5.103",
       "Mozilla/5.0 (X11; Linux x86_64) KIO/6.18 akonadi_ical_resource_0/6.5.1")


class Resource:
    def __init__(self, stage, program, file, agent=KIO[1]):
        self.stage = stage
        self.file = file
        self.agent = {"User-Agent": agent}
        self.program = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        stderr=subprocess.DEVNULL)

    def stop(self):
        self.program.stdin.close()
        self.program.wait()
        self.program.stdout.close()

    def does(self, *words):
        self.program.stdin.write("\t".join(map(str, words)) + "\n")
        self.program.stdin.flush()
        said = self.program.stdout.readline().strip()
        if said != "ok":
            raise Bad(said or "KDE's code has ended")
        return self

    def fetch(self):
        status, text = self.stage.tree.ask("GET", ADDRESS, headers=self.agent)
        if status != 200:
            raise Bad(f"GET says {status}")
        self.file.write_bytes(text.encode())
        return self.does("load", self.file)

    def save(self):
        self.does("save", self.file)
        status, text = self.stage.tree.ask("PUT", ADDRESS, self.file.read_bytes(), self.agent)
        if status != 204:
            raise Bad(f"PUT says {status}: {text}")
        return self

    def edit(self, uid, title, what="edit"):
        return self.does(what, uid, title).save()

    def delete(self, uid, what="delete"):
        return self.does(what, uid).save()
