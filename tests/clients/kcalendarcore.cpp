// KDE's own code on a calendar, as its calendar resource (kdepim-runtime, resources/ical) calls it. Reads a command a line,
// and answers each with a line: "ok", or what is wrong.

#include <KCalendarCore/FileStorage>
#include <KCalendarCore/ICalFormat>
#include <KCalendarCore/MemoryCalendar>
#include <QCoreApplication>
#include <iostream>
#include <string>

using namespace KCalendarCore;

static MemoryCalendar::Ptr calendar;

static FileStorage::Ptr file(const QString &path)
{
    return FileStorage::Ptr(new FileStorage(calendar, path, new ICalFormat()));
}

static bool load(const QString &path)
{
    calendar = MemoryCalendar::Ptr(new MemoryCalendar("UTC"));
    return file(path)->load();
}

// What the resource's itemChanged does with an item that another program has edited.
static bool change(const Incidence::Ptr &incidence, const Incidence::Ptr &edited)
{
    incidence->startUpdates();
    *incidence.staticCast<IncidenceBase>().data() = *edited.data();
    incidence->updated();
    incidence->endUpdates();
    return true;
}

// Titles are edited by way of IncidenceChanger, which counts revisions.
static bool retitle(const Incidence::Ptr &incidence, const QString &title)
{
    Incidence::Ptr edited(incidence->clone());
    edited->setSummary(title);
    edited->setRevision(edited->revision() + 1);
    return change(incidence, edited);
}

// It does not count what is the user's own matter, as reminders are.
static bool remind(const Incidence::Ptr &incidence)
{
    Incidence::Ptr edited(incidence->clone());
    const Alarm::Ptr alarm = edited->newAlarm();
    alarm->setDisplayAlarm(QStringLiteral("Remind me"));
    alarm->setStartOffset(Duration(-600));
    alarm->setEnabled(true);
    return change(incidence, edited);
}

static bool add(const QString &uid, const QString &title)
{
    Event::Ptr event(new Event);
    event->setUid(uid);
    event->setSummary(title);
    event->setDtStart(QDateTime(QDate(2026, 11, 25), QTime(9, 0), Qt::UTC));
    event->setDtEnd(QDateTime(QDate(2026, 11, 25), QTime(10, 0), Qt::UTC));
    return calendar->addIncidence(event);
}

static bool run(const QString &verb, const QString &object, const QString &text)
{
    if (verb == QLatin1String("load")) {
        return load(object);
    }
    if (verb == QLatin1String("save")) {
        return file(object)->save();
    }
    if (verb == QLatin1String("add")) {
        return add(object, text);
    }
    Incidence::Ptr incidence = calendar->incidence(object);
    if (!incidence) {
        return false;
    }
    if (verb.endsWith(QLatin1String("-occurrence"))) {
        // The first that is an item of its own.
        incidence = calendar->instances(incidence).value(0);
        if (!incidence) {
            return false;
        }
    }
    if (verb == QLatin1String("remind")) {
        return remind(incidence);
    }
    if (verb.startsWith(QLatin1String("edit"))) {
        return retitle(incidence, text);
    }
    return verb.startsWith(QLatin1String("delete")) && calendar->deleteIncidence(incidence);
}

int main(int argc, char **argv)
{
    QCoreApplication application(argc, argv);
    for (std::string line; std::getline(std::cin, line);) {
        const QString command = QString::fromStdString(line);
        const QChar tab(QLatin1Char('\t'));
        const bool done = run(command.section(tab, 0, 0), command.section(tab, 1, 1), command.section(tab, 2));
        std::cout << (done ? "ok" : "KDE's code refuses: " + line) << std::endl;
    }
    return 0;
}
