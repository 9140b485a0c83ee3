//! What several tests share; each uses a part of it.

#![allow(
    clippy::allow_attributes,
    reason = "an expectation fails where all is used"
)]
#![allow(dead_code, reason = "no test uses all of it")]

pub(crate) mod cable;
pub(crate) mod folder;
pub(crate) mod log;
pub(crate) mod nats;
pub(crate) mod raw;
pub(crate) mod way;
