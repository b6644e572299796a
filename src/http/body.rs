//! Request bodies: streamed under a cap, and all of those in flight under one budget.

use std::sync::Arc;
use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use actix_web::web::{Bytes, BytesMut, Payload};
use futures_util::StreamExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::header;
use crate::error::{Error, Result};

/// The largest calendar, in bytes.
pub const MAX_CALENDAR: usize = 64 << 20;
/// All bodies in flight, in bytes.
const BUDGET: usize = 256 << 20;
/// Bodies up to this size, in bytes, need no room.
const SMALL: usize = 64 << 10;
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
    kilobytes: Arc<Semaphore>,
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
pub struct Room(Option<OwnedSemaphorePermit>);

impl Default for Bodies {
    fn default() -> Bodies {
        Bodies { kilobytes: Arc::new(Semaphore::new(BUDGET >> 10)) }
    }
}

impl Bodies {
    /// Reads a request's body of at most `cap` bytes.
    ///
    /// # Errors
    /// `ContentEncoding`; `TooLarge`, by its Content-Length before a byte is read; `Busy` when there is no room for it;
    /// `BadRequest` when it ends early or takes too long.
    pub async fn read(&self, request: &HttpRequest, payload: Payload, cap: usize) -> Result<Body> {
        if header(request, CONTENT_ENCODING.as_str())
            .is_some_and(|coding| !coding.eq_ignore_ascii_case("identity"))
        {
            return Err(Error::ContentEncoding);
        }
        let announced =
            header(request, CONTENT_LENGTH.as_str()).and_then(|length| length.trim().parse::<usize>().ok());
        if announced.is_some_and(|length| length > cap) {
            return Err(too_large(cap));
        }
        let reading = timeout(WHOLE, self.collect(payload, announced.unwrap_or(0), cap)).await;
        reading.map_err(|_| Error::BadRequest("the body takes too long".to_owned()))?
    }

    async fn collect(&self, mut payload: Payload, announced: usize, cap: usize) -> Result<Body> {
        let mut bytes = BytesMut::with_capacity(announced.min(SMALL));
        let mut room = Room::default();
        loop {
            let next = timeout(SILENCE, payload.next()).await;
            match next.map_err(|_| Error::BadRequest("the body stopped coming".to_owned()))? {
                None => return Ok(Body { bytes: bytes.freeze(), room }),
                Some(Ok(chunk)) if bytes.len() + chunk.len() > cap => return Err(too_large(cap)),
                Some(Ok(chunk)) => {
                    self.grow(&mut room, bytes.len() + chunk.len()).await?;
                    bytes.extend_from_slice(&chunk);
                }
                Some(Err(error)) => {
                    return Err(Error::BadRequest(format!("the body cannot be read: {error}")));
                }
            }
        }
    }

    /// Takes more room as a body comes, so that who announces much and sends little holds little.
    async fn grow(&self, room: &mut Room, bytes: usize) -> Result<()> {
        let held = room.0.as_ref().map_or(0, |permit| permit.num_permits() << 10);
        if bytes <= held.max(SMALL) {
            return Ok(());
        }
        let more = u32::try_from(((bytes - held) >> 10).max(STEP)).map_err(|_| Error::Busy)?;
        let Ok(Ok(permit)) = timeout(PATIENCE, self.kilobytes.clone().acquire_many_owned(more)).await else {
            return Err(Error::Busy);
        };
        match &mut room.0 {
            Some(held) => held.merge(permit),
            None => room.0 = Some(permit),
        }
        Ok(())
    }
}

fn too_large(cap: usize) -> Error {
    Error::TooLarge(format!("a body of more than {cap} bytes"))
}
