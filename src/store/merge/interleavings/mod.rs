//! The proof that a save loses nothing: clients of all kinds against the merge, step by step in every order, with a small
//! model beside them that knows what each user did.
//!
//! What must hold after each save, whoever saves and whatever went before:
//! - an item goes only if the user at the saving machine deleted it;
//! - a version is taken only if it was made at the saving machine, and once: no stale copy reverts or revives anything, but
//!   where two machines that only send look like one;
//! - what a user made is here afterwards, or in the history;
//! - a save that is sent twice changes nothing the second time;
//! - a deletion is honoured if no other copy that the client may have explains it.

mod machine;
mod press;
mod world;

use std::rc::Rc;

use machine::{Act, Kind, Role};
use press::Press;
use world::{Counts, Loss, Random, World};

const FULL: Role = Role::Full;

/// Who takes part: what they run, what the server knows them by, what they may.
const CASTS: [&[(Kind, usize, Role)]; 17] = [
    &[(Kind::Kde, 0, FULL)],
    &[(Kind::OneWay, 0, FULL)],
    &[(Kind::Thunderbird, 0, FULL), (Kind::Thunderbird, 1, FULL)],
    &[(Kind::Thunderbird, 0, FULL), (Kind::Kde, 1, FULL)],
    &[(Kind::Kde, 0, FULL), (Kind::Kde, 0, FULL)],
    &[(Kind::Kde, 0, FULL), (Kind::OneWay, 1, FULL)],
    &[(Kind::Kde, 0, FULL), (Kind::OneWay, 0, FULL)],
    &[(Kind::OneWay, 0, FULL), (Kind::OneWay, 0, FULL)],
    &[(Kind::Thunderbird, 0, Role::Masked), (Kind::Kde, 1, FULL)],
    &[(Kind::Kde, 0, Role::Masked), (Kind::Thunderbird, 1, FULL)],
    &[(Kind::Kde, 0, Role::Masked), (Kind::Kde, 0, Role::Masked)],
    &[(Kind::Kde, 0, Role::Contributor), (Kind::Thunderbird, 1, Role::Contributor)],
    &[(Kind::Kde, 0, FULL), (Kind::Kde, 0, FULL), (Kind::Thunderbird, 1, FULL)],
    &[(Kind::Kde, 0, FULL), (Kind::OneWay, 1, FULL), (Kind::OneWay, 1, FULL)],
    &[(Kind::Thunderbird, 0, FULL), (Kind::Thunderbird, 0, FULL)],
    &[(Kind::Kde, 0, FULL), (Kind::Script, 0, FULL)],
    &[(Kind::Kde, 0, FULL), (Kind::Script, 1, FULL)],
];

fn run(world: &mut World, at: usize, act: Act) {
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| world.act(at, act)));
    if let Err(failure) = outcome {
        println!("failed after {:?}", world.done);
        std::panic::resume_unwind(failure);
    }
}

/// Every order of acts of this length. A machine that edits saves at once: what stands between the two changes nothing here.
fn every_order(world: &World, depth: usize, counts: &mut Counts) {
    for at in 0..world.machines.len() {
        for act in world.acts(at) {
            let mut after = world.clone();
            run(&mut after, at, act);
            if !matches!(act, Act::Load | Act::Save | Act::SaveAgain | Act::Replace)
                && after.machines[at].kind != Kind::Thunderbird
            {
                run(&mut after, at, Act::Save);
            }
            if depth > 1 {
                every_order(&after, depth - 1, counts);
            } else {
                counts.add(after.counts);
            }
        }
    }
}

impl Counts {
    fn add(&mut self, other: Counts) {
        self.orders += 1;
        self.saves += other.saves;
        self.honoured += other.honoured;
        self.in_doubt += other.in_doubt;
    }
}

#[test]
fn no_order_of_a_few_acts_loses_reverts_or_revives_anything() {
    let press = Rc::new(Press::new(true));
    for cast in CASTS {
        let mut counts = Counts::default();
        let mut world = World::new(&press, cast);
        for at in 0..cast.len() {
            if world.machines[at].kind != Kind::OneWay {
                run(&mut world, at, Act::Load);
            }
        }
        every_order(&world, [5, 4, 3][cast.len() - 1], &mut counts);
        println!("{cast:?}: {counts:?}");
    }
}

#[test]
fn no_long_run_of_acts_loses_reverts_or_revives_anything() {
    let seeds = std::env::var("KALENDS_SEED").ok().and_then(|seed| seed.parse::<u64>().ok());
    let (first, runs) = seeds.map_or((0, 500), |seed| (seed, 1));
    for stamped in [true, false] {
        let press = Rc::new(Press::new(stamped));
        // Thunderbird stamps all that it edits.
        let takes_part = |kind: Kind| stamped || kind != Kind::Thunderbird;
        for cast in CASTS.into_iter().filter(|cast| cast.iter().all(|(kind, ..)| takes_part(*kind))) {
            let mut counts = Counts::default();
            for seed in first..first + runs {
                let mut random = Random(seed);
                let mut world = World::new(&press, cast);
                const LOSSES: [Loss; 5] =
                    [Loss::Nothing, Loss::Counts, Loss::Newest, Loss::Views, Loss::Clients];
                world.loss = LOSSES[seed as usize % LOSSES.len()];
                for _ in 0..60 {
                    if random.below(8) == 0 {
                        world.lose(&mut random);
                    }
                    if random.below(8) == 0 {
                        world.turn_masks();
                    }
                    let at = random.below(cast.len());
                    let acts = world.acts(at);
                    if let Some(act) = acts.get(random.below(acts.len().max(1))) {
                        let failed = || println!("KALENDS_SEED={seed} stamped={stamped} {cast:?}");
                        let guard = Guard(Some(failed));
                        run(&mut world, at, *act);
                        guard.passed();
                    }
                }
                counts.add(world.counts);
            }
            println!("{cast:?}: {counts:?}");
        }
    }
}

/// Says something if it is dropped before its time.
struct Guard<F: Fn()>(Option<F>);

impl<F: Fn()> Guard<F> {
    fn passed(mut self) {
        self.0 = None;
    }
}

impl<F: Fn()> Drop for Guard<F> {
    fn drop(&mut self) {
        if let Some(say) = &self.0 {
            say();
        }
    }
}
