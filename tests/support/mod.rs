//! What several tests share; each uses a part of it.

#![expect(
    clippy::allow_attributes,
    reason = "an expectation would fail where all is used"
)]
#![allow(dead_code, reason = "no test uses all of it")]

pub(crate) mod nats;
