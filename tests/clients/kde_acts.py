"""What is played with KDE's code. An act's first line is the rule that it holds. `machine` makes one that has fetched the calendar."""

import re
import time

from stage import ADDRESS, COMPONENT, calendar, event, of, retitled, uid_of, unfolded, without
from tree import Bad

# Of each style one, by its UID; the Outlook ones have no LAST-MODIFIED.
MINE, OTHERS, THIRD = "kde-3-4f2c", "kde-7-4f2c", "kde-11-4f2c"
STYLES = (MINE, "g7abcdefghijklmnop@google.com", "00000007-1A2B-4C3D-9E8F-0123456789AB", f"{7:040x}",
          f"{4:08x}-7d1c-4d6e-8c55-112233445566", "task-7@example.org", "series-1@example.org", "series-3@example.org")
SERIES = "series-1@example.org"


def first_save(stage, machine):
    """one edit writes one file, and those that KDE changes though they have no LAST-MODIFIED; the next save writes nothing"""
    odd = {uid_of(found[0]) for found in COMPONENT.finditer(whole(stage))
           if "LAST-MODIFIED" not in found[0] and "X-MS-OLK-SENDER" in found[0]}
    kde = machine().edit(MINE, "Edited in KDE")
    written, added, removed = stage.changed_files()
    if written.keys() != odd | {MINE} or added or removed or len(odd) != 15:
        raise Bad(f"written: {sorted(written)}, added: {sorted(added)}, removed: {sorted(removed)}")
    for _ in range(3):
        kde.save()
        stage.only()


def edits(stage, machine):
    """each edit writes one file, whoever's style it is, and whether or not it counts as a revision"""
    kde = settled(stage, machine)
    for uid in STYLES:
        kde.edit(uid, f"Edited in KDE: {uid}")
        stage.only(written={uid: f"SUMMARY:Edited in KDE: {uid}"})
    # Raises no SEQUENCE, and LAST-MODIFIED is in seconds.
    time.sleep(1.1)
    for uid in STYLES[:2]:
        kde.edit(uid, "", "remind")
        stage.only(written={uid: "Remind me"})
    kde.edit(SERIES, "Only this one", "edit-occurrence")
    stage.only(written={SERIES: "SUMMARY:Only this one"})


def quick_edits(stage, machine):
    """edits within one second are all taken"""
    kde = settled(stage, machine)
    for number in range(9):
        kde.edit(MINE, f"Edit {number}")
        stage.only(written={MINE: f"SUMMARY:Edit {number}"})


def deletions(stage, machine):
    """what is deleted is gone, and all else is untouched"""
    kde = settled(stage, machine)
    for uid in STYLES:
        if uid == SERIES:
            before = stage.files()[uid][3].count("BEGIN:VEVENT")
            kde.delete(uid, "delete-occurrence")
            stage.only(written={uid: "UID:"})
            if stage.files()[uid][3].count("BEGIN:VEVENT") != before - 1:
                raise Bad("the occurrence is there still")
        kde.delete(uid)
        stage.only(removed=[uid])


def additions(stage, machine):
    """what is added is there, and all else is untouched"""
    kde = settled(stage, machine)
    kde.edit("from-kde", "New in KDE", "add")
    stage.only(added={"from-kde": "SUMMARY:New in KDE"})
    kde.edit("from-kde", "Renamed in KDE")
    stage.only(written={"from-kde": "SUMMARY:Renamed in KDE"})
    kde.delete("from-kde")
    stage.only(removed=["from-kde"])


def stale(stage, machine):
    """a stale copy reverts and revives nothing, however much others have edited, deleted and added, over a restart too"""
    kde = settled(stage, machine)
    others = sorted(stage.uids - set(STYLES))
    gone, edited = others[::3], others[1::3]
    stage.somebody_else(lambda text: changed(text, gone, edited))
    stage.somebody_sends(calendar(event("from-curl", "New by curl")))
    stage.only(written={uid: "SUMMARY:Edited by curl" for uid in edited}, added={"from-curl": "SUMMARY:New by curl"}, removed=gone)
    for number, uid in enumerate(STYLES):
        if number == 4:
            stage.restart_server()
        kde.edit(uid, f"Edited in KDE: {uid}")
        stage.only(written={uid: f"SUMMARY:Edited in KDE: {uid}"})
    kde.delete(MINE)
    stage.only(removed=[MINE])
    kde.fetch().edit("from-curl", "Edited after the refresh")
    stage.only(written={"from-curl": "SUMMARY:Edited after the refresh"})


def both_sides(stage, machine):
    """what both sides edited is KDE's, and what others edited and it deletes stays"""
    kde = settled(stage, machine)
    stage.somebody_else(retitled(MINE, "Edited by curl"))
    stage.somebody_else(retitled(OTHERS, "Edited by curl"))
    stage.somebody_else(without(THIRD))
    stage.changed_files()
    kde.edit(MINE, "Edited in KDE")
    stage.only(written={MINE: "SUMMARY:Edited in KDE"})
    kde.delete(OTHERS)
    stage.only()
    kde.edit(THIRD, "Edited though it was deleted")
    stage.only(added={THIRD: "SUMMARY:Edited though it was deleted"})


def two_machines(stage, machine):
    """two machines that look like one lose nothing of each other's"""
    one, other = settled(stage, machine), machine()
    one.edit("from-one", "New on one", "add")
    other.edit(MINE, "Edited on the other")
    one.edit(OTHERS, "Edited on one")
    other.delete(THIRD)
    stage.only(written={MINE: "SUMMARY:Edited on the other", OTHERS: "SUMMARY:Edited on one"},
               added={"from-one": "SUMMARY:New on one"}, removed=[THIRD])


def what_it_has_no_place_for(stage, machine):
    """what KDE has no place for stays whole: other components, a second one of one occurrence, a rich text"""
    stamp = "LAST-MODIFIED:20261124T120000Z\r\n"
    odd = ("BEGIN:VAVAILABILITY\r\nUID:availability\r\nDTSTAMP:20261124T120000Z\r\nEND:VAVAILABILITY\r\n",
           event("twice", "First") + event("twice", "Second"),
           f"BEGIN:VEVENT\r\nUID:day\r\n{stamp}RECURRENCE-ID;VALUE=DATE:20261124\r\nDTSTART;VALUE=DATE:20261124\r\nEND:VEVENT\r\n",
           f"BEGIN:VEVENT\r\nUID:utc\r\n{stamp}DTSTART;TZID=UTC:20261124T100000\r\nGEO:50.123456789;8.1\r\n"
           "RRULE:FREQ=DAILY;UNTIL=20261210\r\nORGANIZER;SENT-BY=\"mailto:a@example.org\":mailto:b@example.org\r\nEND:VEVENT\r\n",
           f"BEGIN:VJOURNAL\r\nUID:journal\r\n{stamp}DESCRIPTION;ALTREP=\"cid:1\":Rich\r\nEND:VJOURNAL\r\n")
    stage.somebody_sends(calendar(*odd))
    kde = settled(stage, machine)
    kde.edit(MINE, "Edited in KDE")
    kde.delete(OTHERS)
    text = unfolded(whole(stage))
    for part in odd:
        if part not in text:
            raise Bad(f"{part} is not there in {text[-3000:]}")


def settled(stage, machine):
    """A machine that has saved once."""
    kde = machine().save()
    stage.changed_files()
    return kde


def whole(stage):
    return stage.tree.ask("GET", ADDRESS, headers={"User-Agent": "a test"})[1]


def changed(text, gone, edited):
    for uid in gone:
        text = without(uid)(text)
    for uid in edited:
        text = of(text, uid, lambda component: re.sub(r"SUMMARY[;:].*?\r\n(?![ \t])", "SUMMARY:Edited by curl\r\n", component,
                                                      flags=re.DOTALL))
    return text


ACTS = (first_save, edits, quick_edits, deletions, additions, stale, both_sides, two_machines, what_it_has_no_place_for)
