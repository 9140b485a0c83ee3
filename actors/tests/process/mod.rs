//! Processes that tests start, listen to and kill.

use callboard::error::BoxError;
use std::{
    io::{self, Read},
    process::Child,
};

/// A process; dropping it kills it.
pub(crate) struct Process(pub(crate) Child);

impl Process {
    /// Ends it as `kill -9` does.
    pub(crate) fn kill(&mut self) -> io::Result<()> {
        self.0.kill()?;
        self.0.wait()?;
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may be gone already.
        self.kill().ok();
    }
}

/// Reads on until a process has said something.
pub(crate) fn until_said(out: &mut impl Read, word: &str) -> Result<String, BoxError> {
    let (mut said, mut byte) = (Vec::new(), [0]);
    while !said.ends_with(word.as_bytes()) {
        if out.read(&mut byte)? == 0 {
            let said = String::from_utf8_lossy(&said);
            return Err(format!("it ended before it said `{word}`: {said}").into());
        }
        said.extend(byte);
    }
    Ok(String::from_utf8_lossy(&said).into_owned())
}
