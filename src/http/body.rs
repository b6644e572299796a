//! Request bodies: streamed under a cap, and all of those in flight under one budget, of which nobody gets more than half.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE};
use actix_web::web::{Bytes, BytesMut, Payload};
use futures_util::StreamExt;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::header;
use crate::acl::Principal;
use crate::error::{Error, Result};

/// The largest calendar, in bytes.
pub const MAX_CALENDAR: usize = 64 << 20;
/// All bodies in flight, in bytes.
const BUDGET: usize = 256 << 20;
/// All bodies in flight of one who asks, in bytes: a few slow ones must leave room for the others'.
const SHARE: usize = BUDGET / 2;
/// Bodies up to this size, in bytes, need no room.
const SMALL: usize = 64 << 10;
/// A fourth of what an item takes in memory beside its text, in bytes: a body takes a fourth of all that is made of it.
const ITEM: usize = 300;
/// How much room a body takes at a time, in kilobytes.
const STEP: usize = 1024;
/// How long a body waits for room before it is told to come again.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a client may be silent in the midst of its body.
const SILENCE: Duration = Duration::from_secs(30);
/// How long a body may take in all: a slow one must not keep its room for good.
const WHOLE: Duration = Duration::from_secs(300);

/// The room for bodies in flight.
#[derive(Debug)]
pub struct Bodies {
    /// In kilobytes.
    room: Arc<Semaphore>,
    /// What is left of the share of each who holds any of it, in kilobytes; guards the map only.
    shares: Mutex<HashMap<String, Arc<Semaphore>>>,
}

/// A body, and the room that it takes.
#[derive(Debug)]
pub struct Body {
    pub bytes: Bytes,
    /// To be held for as long as anything is in memory that was made of the body.
    pub room: Room,
}

/// The room that a body has taken, free again when this is dropped.
#[derive(Debug, Default)]
pub struct Room(Option<Held>);

#[derive(Debug)]
struct Held {
    of_share: OwnedSemaphorePermit,
    of_all: OwnedSemaphorePermit,
}

impl Default for Bodies {
    fn default() -> Bodies {
        Bodies { room: Arc::new(Semaphore::new(BUDGET >> 10)), shares: Mutex::default() }
    }
}

impl Bodies {
    /// Reads a request's body of at most `cap` bytes, which `who` sends.
    ///
    /// # Errors
    /// `ContentEncoding`; `TooLarge`, by its Content-Length before a byte is read; `Busy` when there is no room for it;
    /// `BadRequest` when it is a part of something, ends early or takes too long.
    pub async fn read(
        &self,
        who: &Principal,
        request: &HttpRequest,
        payload: Payload,
        cap: usize,
    ) -> Result<Body> {
        if header(request, CONTENT_ENCODING.as_str())
            .is_some_and(|coding| !coding.eq_ignore_ascii_case("identity"))
        {
            return Err(Error::ContentEncoding);
        }
        // Taken for the whole, a part would remove the rest (RFC 9110 §14.5).
        if header(request, CONTENT_RANGE.as_str()).is_some() {
            return Err(Error::BadRequest("Content-Range: a part of something cannot be saved".to_owned()));
        }
        let announced =
            header(request, CONTENT_LENGTH.as_str()).and_then(|length| length.trim().parse::<usize>().ok());
        if announced.is_some_and(|length| length > cap) {
            return Err(too_large(cap));
        }
        let reading = timeout(WHOLE, self.collect(who, payload, announced.unwrap_or(0), cap)).await;
        reading.map_err(|_| Error::BadRequest("the body takes too long".to_owned()))?
    }

    async fn collect(
        &self,
        who: &Principal,
        mut payload: Payload,
        announced: usize,
        cap: usize,
    ) -> Result<Body> {
        let mut bytes = BytesMut::with_capacity(announced.min(SMALL));
        let mut room = Room::default();
        loop {
            let next = timeout(SILENCE, payload.next()).await;
            match next.map_err(|_| Error::BadRequest("the body stopped coming".to_owned()))? {
                None => return Ok(Body { bytes: bytes.freeze(), room }),
                Some(Ok(chunk)) if bytes.len() + chunk.len() > cap => return Err(too_large(cap)),
                Some(Ok(chunk)) => {
                    self.grow(&mut room, who, bytes.len() + chunk.len()).await?;
                    bytes.extend_from_slice(&chunk);
                }
                Some(Err(error)) => {
                    return Err(Error::BadRequest(format!("the body cannot be read: {error}")));
                }
            }
        }
    }

    /// Takes more room as a body comes, so that who announces much and sends little holds little.
    async fn grow(&self, room: &mut Room, who: &Principal, bytes: usize) -> Result<()> {
        let held = room.0.as_ref().map_or(0, |held| held.of_all.num_permits() << 10);
        if bytes <= held.max(SMALL) {
            return Ok(());
        }
        let more = u32::try_from(((bytes - held) >> 10).max(STEP)).map_err(|_| Error::Busy)?;
        let share = match &room.0 {
            Some(held) => held.of_share.semaphore().clone(),
            None => self.share(who),
        };
        let taking = async {
            // In this order: who has used up a share must not keep others waiting.
            let of_share = share.acquire_many_owned(more).await?;
            Ok(Held { of_share, of_all: self.room.clone().acquire_many_owned(more).await? })
        };
        let taken: Result<Held, AcquireError> = timeout(PATIENCE, taking).await.map_err(|_| Error::Busy)?;
        let taken = taken.map_err(|_| Error::Busy)?;
        match &mut room.0 {
            Some(held) => {
                held.of_share.merge(taken.of_share);
                held.of_all.merge(taken.of_all);
            }
            None => room.0 = Some(taken),
        }
        Ok(())
    }

    /// Waits for the room that a body of `bytes` bytes takes in all, now that it is known to hold so many items. Not on an
    /// async thread, but on one that an async thread has started.
    ///
    /// # Errors
    /// `Busy`.
    pub fn widen(&self, room: &mut Room, who: &Principal, bytes: usize, items: usize) -> Result<()> {
        Handle::current().block_on(self.grow(room, who, bytes + items * ITEM))
    }

    fn share(&self, who: &Principal) -> Arc<Semaphore> {
        let mut shares = self.shares.lock();
        shares.retain(|_, share| Arc::strong_count(share) > 1);
        let share = shares.entry(who.to_string());
        share.or_insert_with(|| Arc::new(Semaphore::new(SHARE >> 10))).clone()
    }
}

fn too_large(cap: usize) -> Error {
    Error::TooLarge(format!("a body of more than {cap} bytes"))
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;
    use crate::acl::Groups;

    #[test]
    fn who_sends_many_large_bodies_leaves_room_for_others() {
        let user = |name: &str| Principal::User { name: name.to_owned(), groups: Groups::Known(Vec::new()) };
        let (alice, bob) = (user("alice"), user("bob"));
        let bodies = Bodies::default();
        let take = |who: &Principal| {
            let mut room = Room::default();
            let taken = bodies.grow(&mut room, who, MAX_CALENDAR).now_or_never();
            taken.map(|taken| taken.map(|()| room).expect("room"))
        };
        actix_web::rt::System::new().block_on(async {
            let first = take(&alice);
            let second = take(&alice);
            assert!(first.is_some() && second.is_some() && take(&alice).is_none());
            assert!(take(&bob).is_some());
            drop(first);
            assert!(take(&alice).is_some());
            drop(second);
            assert!(take(&bob).is_some());
            assert_eq!(bodies.room.available_permits(), BUDGET >> 10);
        });
    }

    #[test]
    fn many_small_items_take_more_room_than_their_text() {
        let (bodies, who) = (Arc::new(Bodies::default()), Principal::Nobody);
        actix_web::rt::System::new().block_on(async {
            let (shared, mut room) = (bodies.clone(), Room::default());
            let widened = actix_web::rt::task::spawn_blocking(move || {
                shared.widen(&mut room, &who, 10 << 20, 100_000).map(|()| room)
            });
            let _room = widened.await.expect("no panic").expect("room");
            let taken = (BUDGET >> 10) - bodies.room.available_permits();
            assert!(taken > 38 << 10, "{taken} kB");
        });
    }
}
