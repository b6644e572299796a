//! Behaviour, tested against the real server over a copy of `data-example/`.
