//! Several events in one message.
