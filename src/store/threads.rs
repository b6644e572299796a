//! Looks at many things on several threads: at files, at items. What there is to see in them is not known here.

use std::thread::Builder;

use crate::error::{Error, Result};

/// What `look` gives for `many`, in their order. Each thread looks at a stretch of them.
pub fn side_by_side<T: Sync, U: Send>(
    many: &[T],
    look: impl Fn(&[T]) -> Result<Vec<U>> + Sync,
) -> Result<Vec<U>> {
    in_stretches(many, &look, Builder::new)
}

fn in_stretches<T: Sync, U: Send>(
    many: &[T],
    look: &(impl Fn(&[T]) -> Result<Vec<U>> + Sync),
    thread: fn() -> Builder,
) -> Result<Vec<U>> {
    /// To look at fewer takes about as long as to start a thread.
    const STRETCH: usize = 500;
    /// One home must not have the whole machine.
    const THREADS: usize = 4;
    if many.len() < 2 * STRETCH {
        return look(many);
    }
    let threads = std::thread::available_parallelism().map_or(1, |cores| cores.get().min(THREADS));
    let stretch = many.len().div_ceil(threads).max(STRETCH);
    std::thread::scope(|scope| {
        let (mine, others) = many.split_at(stretch.min(many.len()));
        let started = |stretch| (stretch, thread().spawn_scoped(scope, move || look(stretch)));
        let others: Vec<_> = others.chunks(stretch).map(started).collect();
        let mut all = look(mine)?;
        for (stretch, other) in others {
            all.extend(match other {
                // A panic is logged where it happens.
                Ok(other) => other.join().unwrap_or(Err(Error::Busy))?,
                // The system has no thread for it; this one is here.
                Err(_) => look(stretch)?,
            });
        }
        Ok(all)
    })
}

/// As [`side_by_side`], for work that cannot fail.
pub fn in_threads<T: Sync, U: Send>(items: &[T], work: impl Fn(&[T]) -> Vec<U> + Sync) -> Vec<U> {
    // Only a panic fails, and it is logged where it happens.
    side_by_side(items, |stretch| Ok(work(stretch))).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_come_back_in_order_and_an_error_stops_it() {
        for len in [0, 1, 999, 1_000, 1_001, 10_000] {
            let many: Vec<usize> = (0..len).collect();
            assert_eq!(side_by_side(&many, |stretch| Ok(stretch.to_vec())).ok(), Some(many.clone()));
            let refuse_the_last = |stretch: &[usize]| match stretch.last() {
                Some(last) if last + 1 == len => Err(Error::NotFound),
                _ => Ok(stretch.to_vec()),
            };
            assert_eq!(side_by_side(&many, refuse_the_last).is_ok(), len == 0, "{len}");
        }
    }

    #[test]
    fn where_no_thread_can_be_started_all_is_looked_at_in_this_one() {
        let many: Vec<usize> = (0..10_000).collect();
        let never = || Builder::new().stack_size(1 << (usize::BITS - 2));
        assert_eq!(in_stretches(&many, &|stretch| Ok(stretch.to_vec()), never).ok(), Some(many.clone()));
    }
}
