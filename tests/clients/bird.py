"""The real Thunderbird with a profile of its own, without a window: it subscribes to one calendar, and its own code does what a
user's clicks do. What it shows and what it complains of can be asked."""

import contextlib
import json
import os
import pathlib
import subprocess

from marionette import Marionette, Refused
from tree import PATIENCE, Bad, eventually

# No request leaves this machine: all but loopback goes to a proxy that is not there.
NOWHERE = {"network.proxy.type": 1}
for scheme in ("http", "ssl"):
    NOWHERE |= {f"network.proxy.{scheme}": "127.0.0.1", f"network.proxy.{scheme}_port": 9}
PREFERENCES = {
    **NOWHERE,
    "marionette.port": 0,
    # The corpus has events of today.
    "calendar.alarms.show": False,
    "calendar.alarms.showmissed": False,
    "mailnews.start_page.enabled": False,
    "mail.provider.suppress_dialog_on_startup": True,
    "datareporting.policy.dataSubmissionEnabled": False,
}

# Before each script.
COMMON = """
    const { cal } = ChromeUtils.importESModule("resource:///modules/calendar/calUtils.sys.mjs");
    const main = Services.wm.getMostRecentWindow("mail:3pane");
    const calendar = cal.manager.getCalendars().find(one => one.type == "ics");
    const ALL = Ci.calICalendar.ITEM_FILTER_ALL_ITEMS;
    const found = async uid => {
        const item = await calendar.getItem(uid);
        if (!item) throw new Error("there is no " + uid);
        return item;
    };
    const watching = handlers => new Proxy({ QueryInterface: ChromeUtils.generateQI(["calIObserver"]), ...handlers }, {
        get: (all, name) => all[name] ?? (() => {}),
    });
"""

# Each complaint that a user would see. Marionette turns the storing of passwords off.
LISTEN = """
    Services.prefs.setBoolPref("signon.rememberSignons", true);
    main.complaints = [];
    cal.manager.addCalendarObserver(watching({
        onError: (of, code, message) => main.complaints.push(code.toString(16) + " " + message),
    }));
"""

# As the dialog "New calendar, on the network" does it.
SUBSCRIBE = """
    const [address, user, password, offline] = given;
    const results = await cal.provider.detection.detect(user, password, address, true, [], {});
    const calendars = [...results].filter(([provider]) => provider.type == "ics").flatMap(([, some]) => some);
    if (calendars.length != 1) throw new Error("detected " + calendars.length + " calendars");
    // The password is stored in the meantime; a user's next click comes later.
    for (let tries = 0; !(await Services.logins.searchLoginsAsync({ origin: new URL(address).origin })).length; tries++) {
        if (tries == 200) throw new Error("the password is not stored");
        await new Promise(resolve => main.setTimeout(resolve, 50));
    }
    calendars[0].setProperty("cache.enabled", offline);
    cal.manager.registerCalendar(calendars[0]);
"""

SHOWN = """
    const items = await calendar.getItemsAsArray(ALL, 0, null, null);
    return Object.fromEntries(items.map(item => [item.id, item.title]));
"""

REFRESH = """
    await new Promise(resolve => {
        const observer = watching({
            onLoad: () => { calendar.removeObserver(observer); resolve(); },
        });
        calendar.addObserver(observer);
        calendar.refresh();
    });
"""

STATE = """
    const windows = [...Services.wm.getEnumerator(null)].map(one => one.location.href);
    return {
        complaints: main.complaints,
        windows: windows.filter(one => !one.endsWith("/messenger.xhtml")),
        readOnly: calendar.readOnly,
        disabled: calendar.getProperty("disabled") === true || calendar.getProperty("disabled") === "true",
    };
"""

EDIT = """
    const old = await found(given[0]);
    const item = old.clone();
    item.title = given[1];
    await main.doTransaction("modify", item, calendar, old, null);
"""

# One instance of a series, as "Edit only this occurrence" does it.
EDIT_INSTANCE = """
    const series = await found(given[0]);
    const instance = series.recurrenceInfo.getOccurrenceFor(cal.createDateTime(given[1])).clone();
    instance.title = given[2];
    const item = series.clone();
    item.recurrenceInfo.modifyException(instance, true);
    await main.doTransaction("modify", item, calendar, series, null);
"""

ADD = """
    const { CalEvent } = ChromeUtils.importESModule("resource:///modules/CalEvent.sys.mjs");
    const item = new CalEvent();
    item.id = given[0];
    item.title = given[1];
    item.startDate = cal.createDateTime("20261224T180000Z");
    item.endDate = cal.createDateTime("20261224T190000Z");
    item.calendar = calendar;
    await main.doTransaction("add", item, calendar, null, null);
"""

DELETE = """
    for (const uid of given[0]) {
        await main.doTransaction("delete", await found(uid), calendar, null, null);
    }
"""

UNDO = """
    const { CalTransactionManager } = ChromeUtils.importESModule("resource:///modules/CalTransactionManager.sys.mjs");
    await CalTransactionManager.getInstance().undo();
"""


class Thunderbird:
    """One process at a time over one profile, which outlives it."""

    def __init__(self, directory, program):
        self.home, self.program = pathlib.Path(directory), program
        self.profile = self.home / "profile"
        self.profile.mkdir()
        lines = (f"user_pref({json.dumps(name)}, {json.dumps(value)});\n" for name, value in PREFERENCES.items())
        (self.profile / "user.js").write_text("".join(lines))
        self.process = self.marionette = None

    def start(self):
        told = self.profile / "MarionetteActivePort"
        told.unlink(missing_ok=True)
        command = [self.program, "--headless", "--no-remote", "--profile", str(self.profile), "--marionette",
                   "--remote-allow-system-access"]
        with open(self.home / "thunderbird.log", "ab") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            env={**os.environ, "HOME": str(self.home)})
        eventually("Thunderbird listens", lambda: self.has_ended() or told.exists() and told.read_text())
        if self.has_ended():
            raise Bad(f"Thunderbird ended: {(self.home / 'thunderbird.log').read_text()[-2000:]}")
        self.marionette = Marionette(int(told.read_text()), PATIENCE)
        eventually("Thunderbird has its window", lambda: self.run("return !!main?.doTransaction;"))
        self.run(LISTEN)
        return self

    def has_ended(self):
        return self.process.poll() is not None

    def stop(self):
        """As File, Quit does it."""
        if self.process is None:
            return
        if self.marionette is None:
            self.process.terminate()
        else:
            with contextlib.suppress(Refused, OSError):
                self.marionette.command("Marionette:Quit", flags=["eForceQuit"])
            self.marionette.close()
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = self.marionette = None

    def run(self, script, *arguments):
        try:
            return self.marionette.run(COMMON + script, *arguments)
        except Refused as refused:
            raise Bad(f"Thunderbird: {refused}") from None
        except TimeoutError:
            raise Bad(f"Thunderbird said nothing in {PATIENCE} s") from None


    def subscribe(self, address, user, offline):
        self.run(SUBSCRIBE, address, user, "alice", offline)

    def shown(self):
        """The title of each item, by UID."""
        return self.run(SHOWN)

    def refresh(self):
        self.run(REFRESH)

    def attempt_refresh(self):
        """A refresh that need not come to anything: a calendar that is switched off does not load."""
        self.run("calendar.refresh();")

    def state(self):
        return self.run(STATE)

    def edit(self, uid, title):
        self.run(EDIT, uid, title)

    def edit_instance(self, uid, start, title):
        self.run(EDIT_INSTANCE, uid, start, title)

    def add(self, uid, title):
        self.run(ADD, uid, title)

    def delete(self, *uids):
        self.run(DELETE, list(uids))

    def undo(self):
        self.run(UNDO)

    def attempt_add(self, uid, title):
        self.attempt(ADD, uid, title)

    def attempt_edit(self, uid, title):
        self.attempt(EDIT, uid, title)

    def attempt_delete(self, uid):
        self.attempt(DELETE, [uid])

    def attempt(self, script, *arguments):
        """As `run`, for what may fail or never end: where it could not load a calendar, it waits for good. A save has ended by then."""
        self.run("""
            const act = (async () => { %s })().catch(() => {});
            await Promise.race([act, new Promise(resolve => main.setTimeout(resolve, 3000))]);
        """ % script, *arguments)
