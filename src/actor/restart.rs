/// When a child that ended is started again, as OTP has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Restart {
    /// Always.
    #[default]
    Permanent,
    /// After a failure, not after it stopped by itself.
    Transient,
    /// Never.
    Temporary,
}
