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

/// A body and its room, which is free again when this is dropped.
#[derive(Debug)]
pub struct Body {
    pub bytes: Bytes,
    _room: Option<OwnedSemaphorePermit>,
}

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
        let room = self.room(announced.unwrap_or(cap)).await?;
        let reading = timeout(WHOLE, collect(payload, announced, cap)).await;
        let bytes = reading.map_err(|_| Error::BadRequest("the body takes too long".to_owned()))??;
        Ok(Body { bytes, _room: room })
    }

    async fn room(&self, bytes: usize) -> Result<Option<OwnedSemaphorePermit>> {
        let kilobytes = u32::try_from(bytes.div_ceil(1024)).map_err(|_| Error::Busy)?;
        if kilobytes == 0 {
            return Ok(None);
        }
        match timeout(PATIENCE, self.kilobytes.clone().acquire_many_owned(kilobytes)).await {
            Ok(Ok(permit)) => Ok(Some(permit)),
            _ => Err(Error::Busy),
        }
    }
}

fn too_large(cap: usize) -> Error {
    Error::TooLarge(format!("a body of more than {cap} bytes"))
}

async fn collect(mut payload: Payload, announced: Option<usize>, cap: usize) -> Result<Bytes> {
    let mut bytes = BytesMut::with_capacity(announced.unwrap_or(0));
    loop {
        let next = timeout(SILENCE, payload.next()).await;
        match next.map_err(|_| Error::BadRequest("the body stopped coming".to_owned()))? {
            None => return Ok(bytes.freeze()),
            Some(Ok(chunk)) if bytes.len() + chunk.len() > cap => {
                drop(chunk);
                return Err(too_large(cap));
            }
            Some(Ok(chunk)) => bytes.extend_from_slice(&chunk),
            Some(Err(error)) => return Err(Error::BadRequest(format!("the body cannot be read: {error}"))),
        }
    }
}
