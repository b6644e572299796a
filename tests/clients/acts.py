"""What is played with Thunderbird. An act's first line is the rule that it holds."""

import http.server
import threading

from stage import calendar, event, retitled, without
from tree import Bad, eventually

# Of the corpus: events without attendees, whose edits ask nothing.
MINE, OTHERS, THIRD = "kde-3-4f2c", "kde-7-4f2c", "kde-11-4f2c"
SERIES, INSTANCE = "series-4@example.org", "20260126T080000Z"


def one_edit(scene):
    """one edit writes one file"""
    scene.bird.edit(MINE, "Edited in Thunderbird")
    scene.only(written={MINE: "SUMMARY:Edited in Thunderbird"})
    scene.content()
    scene.refreshed({MINE: "Edited in Thunderbird"})


def one_occurrence(scene):
    """an edit of one occurrence writes the file of its series"""
    scene.bird.edit_instance(SERIES, INSTANCE, "Only this one")
    scene.only(written={SERIES: "SUMMARY:Only this one"})
    scene.content()


def addition(scene):
    """what is added is there, and all else is untouched"""
    scene.bird.add("from-thunderbird", "New in Thunderbird")
    scene.only(added={"from-thunderbird": "SUMMARY:New in Thunderbird"})
    scene.bird.edit("from-thunderbird", "Renamed in Thunderbird")
    scene.only(written={"from-thunderbird": "SUMMARY:Renamed in Thunderbird"})
    scene.content()
    scene.refreshed({"from-thunderbird": "Renamed in Thunderbird"})


def deletion(scene):
    """what is deleted is gone, and all else is untouched"""
    scene.bird.delete(MINE)
    scene.only(removed=[MINE])
    scene.content()
    scene.refreshed()


def undone_deletion(scene):
    """a deletion that is undone brings the event back"""
    scene.bird.delete(MINE)
    scene.only(removed=[MINE])
    scene.bird.undo()
    scene.only(added={MINE: "UID:"})
    scene.content()
    scene.refreshed()


def selected_deletion(scene):
    """several that are selected and deleted are gone, and all else is untouched"""
    scene.bird.delete(MINE, OTHERS, SERIES)
    scene.only(removed=[MINE, OTHERS, SERIES])
    scene.content()
    scene.refreshed()


def both_sides(scene):
    """both sides' edits and additions survive, before a refresh and after it"""
    scene.somebody_else(retitled(OTHERS, "Edited by curl"))
    scene.somebody_sends(calendar(event("from-curl", "New by curl")))
    scene.only(written={OTHERS: "SUMMARY:Edited by curl"}, added={"from-curl": "SUMMARY:New by curl"})
    # Two saves: the second is guarded by what the first one's answer said.
    for title in ("Edited in Thunderbird", "Edited again"):
        scene.bird.edit(MINE, title)
        scene.only(written={MINE: f"SUMMARY:{title}"})
    scene.bird.add("from-thunderbird", "New in Thunderbird")
    scene.only(added={"from-thunderbird": "SUMMARY:New in Thunderbird"})
    scene.content()
    scene.refreshed({MINE: "Edited again", OTHERS: "Edited by curl", "from-curl": "New by curl"})
    scene.bird.edit("from-curl", "Edited after the refresh")
    scene.only(written={"from-curl": "SUMMARY:Edited after the refresh"})
    scene.content()


def deleted_by_others(scene):
    """what others delete does not come back with an edit of something else"""
    scene.somebody_else(without(OTHERS))
    scene.only(removed=[OTHERS])
    scene.bird.edit(MINE, "Edited in Thunderbird")
    scene.bird.add("from-thunderbird", "New in Thunderbird")
    scene.only(written={MINE: "SUMMARY:Edited in Thunderbird"}, added={"from-thunderbird": "SUMMARY:New in Thunderbird"})
    scene.content()
    # Its own copy on disk goes on showing the event after the addition (seen with 153); what it sends brings nothing back.
    if not scene.offline:
        scene.refreshed()


def same_event(scene):
    """of two edits of one event the later is there, and the other in the history"""
    scene.somebody_else(retitled(MINE, "Edited by curl"))
    scene.bird.edit(MINE, "Edited in Thunderbird")
    scene.only(written={MINE: "SUMMARY:Edited in Thunderbird"})
    kept = (scene.tree.data / "users/alice/.history").rglob("*.ics~*")
    if not any("SUMMARY:Edited by curl" in file.read_bytes().decode() for file in kept):
        raise Bad("somebody else's edit is not in the history")
    scene.content()
    scene.refreshed({MINE: "Edited in Thunderbird"})


def edited_and_deleted(scene):
    """what others have edited stays when Thunderbird deletes the version before, and its next edit of others' deleted event is taken"""
    scene.somebody_else(retitled(MINE, "Edited by curl"))
    scene.somebody_else(without(OTHERS))
    scene.only(written={MINE: "SUMMARY:Edited by curl"}, removed=[OTHERS])
    scene.bird.delete(MINE)
    scene.bird.edit(OTHERS, "Edited in Thunderbird")
    scene.only(added={OTHERS: "SUMMARY:Edited in Thunderbird"})
    scene.content()
    scene.refreshed({MINE: "Edited by curl", OTHERS: "Edited in Thunderbird"})


def restarted_server(scene):
    """a server that is stopped and started between saves takes the next ones, with others' changes"""
    scene.bird.edit(MINE, "Before the restart")
    scene.only(written={MINE: "SUMMARY:Before the restart"})
    scene.restart_server()
    scene.somebody_else(retitled(OTHERS, "Edited by curl"))
    scene.somebody_else(without(THIRD))
    scene.only(written={OTHERS: "SUMMARY:Edited by curl"}, removed=[THIRD])
    scene.bird.edit(MINE, "After the restart")
    scene.only(written={MINE: "SUMMARY:After the restart"})
    scene.restart_server()
    scene.bird.delete(MINE)
    scene.only(removed=[MINE])
    scene.content()
    scene.refreshed({OTHERS: "Edited by curl"})


def edit_while_down(scene):
    """an edit that the server was down for comes with the next one, and nothing is lost"""
    scene.stop_server()
    scene.bird.edit(MINE, "While it was down")
    scene.start_server()
    scene.only()
    scene.bird.edit(OTHERS, "When it was up again")
    scene.only(written={MINE: "SUMMARY:While it was down", OTHERS: "SUMMARY:When it was up again"})
    scene.content()
    scene.refreshed({MINE: "While it was down", OTHERS: "When it was up again"})


def down_at_start(scene):
    """a start while the server is down, and saves once it is up: nothing is removed"""
    scene.bird.stop()
    scene.stop_server()
    scene.bird.start()
    scene.bird.attempt_refresh()
    scene.start_server()
    # Seen of Thunderbird 153: it waits for the load that failed, for good, and sends nothing until it is started again.
    saves_blindly(scene)
    starts_again(scene)


def refused_at_start(scene):
    """a start while the server answers 503, and saves once it does not: what is added is there, nothing is removed"""
    scene.bird.stop()
    scene.stop_server()
    with unavailable(scene.tree.address):
        scene.bird.start()
        eventually("the calendar is switched off", lambda: scene.bird.state()["disabled"])
    scene.start_server()
    # All of the calendar that it has in mind is what it adds.
    if saves_blindly(scene) != ["blind"]:
        raise Bad("what is added is not there")
    scene.content(disabled=True)
    # Of what it has on disk it shows all, but can save none.
    if scene.offline:
        scene.bird.attempt_edit(MINE, "Edited blindly")
        scene.bird.attempt_delete(OTHERS)
        scene.only()
    starts_again(scene)


def saves_blindly(scene):
    """Two additions, of which one is deleted again. The UIDs that come to be there."""
    scene.bird.attempt_add("blind", "Added blindly")
    scene.bird.attempt_add("blind-too", "Added and deleted")
    scene.bird.attempt_delete("blind-too")
    written, added, removed = scene.changed_files()
    if written or removed or added.keys() - {"blind"}:
        raise Bad(f"written {sorted(written)}, added {sorted(added)}, removed {sorted(removed)}")
    return sorted(added)


def starts_again(scene):
    scene.bird.stop()
    scene.bird.start()
    scene.refreshed()


class unavailable:
    """A server that says 503 at an address, as a proxy does whose server is away."""

    def __init__(self, address):
        self.server = http.server.ThreadingHTTPServer(address, Unavailable)

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


class Unavailable(http.server.BaseHTTPRequestHandler):
    def answer(self):
        self.send_response(503)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_HEAD = do_PUT = do_OPTIONS = do_PROPFIND = answer

    def log_message(self, *_):
        pass


ACTS = [one_edit, one_occurrence, addition, deletion, undone_deletion, selected_deletion, both_sides, deleted_by_others,
        same_event, edited_and_deleted, restarted_server, edit_while_down, down_at_start, refused_at_start]
