//! A big body, handed to actix piece by piece.
//!
//! actix copies what it is handed into its connection's write buffer and keeps that buffer at its size. Whole calendars of
//! megabytes would stay in memory once more for each connection, and fall out of the processor's cache on the way.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use actix_web::body::{BodySize, MessageBody};
use actix_web::web::Bytes;

/// In bytes. Most calendars fit in one, which is one call into the kernel.
const PIECE: usize = 256 << 10;

/// What is left of a body.
pub struct Pieces(Bytes);

impl Pieces {
    pub fn of(body: Bytes) -> Pieces {
        Pieces(body)
    }
}

impl MessageBody for Pieces {
    type Error = Infallible;

    fn size(&self) -> BodySize {
        BodySize::Sized(self.0.len() as u64)
    }

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Bytes, Infallible>>> {
        let rest = &mut self.get_mut().0;
        let piece = rest.split_to(rest.len().min(PIECE));
        Poll::Ready((!piece.is_empty()).then_some(Ok(piece)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::body::to_bytes;

    #[test]
    fn a_body_in_pieces_is_the_same_body() {
        for len in [0, 1, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE + 7] {
            let body: Bytes = (0..len).map(|at| at as u8).collect::<Vec<u8>>().into();
            let pieces = Pieces::of(body.clone());
            assert_eq!(pieces.size(), BodySize::Sized(len as u64));
            let sent = actix_web::rt::System::new().block_on(to_bytes(pieces));
            assert!(sent == Ok(body), "{len} bytes");
        }
    }
}
