//! Programs that tell by stamps what was edited: their writing alone changes more than a comparison by meaning forgives.

/// Whose save it is, as far as that decides anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    Mozilla,
    Kde,
    Other,
}

impl Program {
    /// A calendar with this PRODID came from a client with this User-Agent. Both must be the program's: a script may send what it
    /// wrote, edited without new stamps.
    pub fn of(prodid: &str, agent: &str) -> Program {
        const PROGRAMS: [(Program, &str, &[&str]); 2] = [
            (Program::Mozilla, "Mozilla", &["Thunderbird", "Gecko", "Lightning"]),
            // KIO sends for all of KDE's programs, long under the name of a browser.
            (Program::Kde, "K Desktop Environment", &["KIO/", "Konqueror"]),
        ];
        let is_its = |(_, maker, names): &&(Program, &str, &[&str])| {
            prodid.contains(maker) && names.iter().any(|name| agent.contains(name))
        };
        PROGRAMS.iter().find(is_its).map_or(Program::Other, |(program, ..)| *program)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_wrote_what_it_sends() {
        const MOZILLA: &str = "-//Mozilla.org/NONSGML Mozilla Calendar V1.1//EN";
        const KDE: &str = "-//K Desktop Environment//NONSGML libkcal 4.3//EN";
        for (prodid, agent, program) in [
            (MOZILLA, "Mozilla/5.0 (X11; rv:153.0) Gecko/20100101 Thunderbird/153.0", Program::Mozilla),
            (MOZILLA, "curl/8.14.1", Program::Other),
            (KDE, "Mozilla/5.0 (X11; Linux x86_64) KIO/6.18 akonadi_ical_resource_0/6.5.1", Program::Kde),
            (
                KDE,
                "Mozilla/5.0 (X11; Linux x86_64) KHTML/5.103.0 (like Gecko) Konqueror/5 KIO/5.103",
                Program::Kde,
            ),
            (KDE, "Mozilla/5.0 (X11; Linux) KHTML/4.14.2 (like Gecko) Konqueror/4.14", Program::Kde),
            (KDE, "curl/8.14.1", Program::Other),
            ("-//Example//EN", "Mozilla/5.0 (X11; Linux x86_64) KIO/6.18 kate/25.8", Program::Other),
        ] {
            assert_eq!(Program::of(prodid, agent), program, "{prodid} {agent}");
        }
    }
}
