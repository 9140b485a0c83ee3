//! The one place that writes to the terminal: results out, trouble beside them.

use std::io::{self, BufWriter, IsTerminal, Write};

/// Standard output, buffered.
pub(super) struct Out {
    results: BufWriter<Box<dyn Write + Send>>,
    colours: bool,
}

impl Out {
    pub(super) fn stdout() -> Self {
        let stdout = io::stdout();
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let colours = stdout.is_terminal() && !plain;
        Self { results: BufWriter::new(Box::new(stdout)), colours }
    }

    /// Whether results may be coloured.
    pub(super) const fn colours(&self) -> bool {
        self.colours
    }

    /// Writes one line of the result; it may stay in the buffer.
    pub(super) fn line(&mut self, line: &str) -> io::Result<()> {
        self.results.write_all(line.as_bytes())?;
        self.results.write_all(b"\n")
    }

    /// Writes a text that has its line breaks.
    pub(super) fn text(&mut self, text: &[u8]) -> io::Result<()> {
        self.results.write_all(text)
    }

    /// Shows what was written so far.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.results.flush()
    }
}

/// Says something to the person that is not the result.
pub(super) fn warn(text: &str) {
    // Nobody is left to be told that standard error is closed.
    writeln!(io::stderr().lock(), "callboard: {}", safe(text)).ok();
}

/// Says what there is to know of a result, where it does not get in its way.
pub(super) fn note(text: &str) {
    // Nobody is left to be told that standard error is closed.
    writeln!(io::stderr().lock(), "{}", safe(text)).ok();
}

/// Writes a text of others so that it cannot command the terminal; its line
/// breaks stay.
fn safe(text: &str) -> String {
    text.lines().map(plain).collect::<Vec<_>>().join("\n")
}

/// Escapes what would not be seen, or would command the terminal.
pub(super) fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() || is_invisible(c) {
            plain.extend(c.escape_unicode());
        } else {
            plain.push(c);
        }
    }
    plain
}

/// Whether a character turns the direction of a line, or ends it.
pub(super) const fn is_invisible(c: char) -> bool {
    matches!(c, '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{2069}' | '\u{FEFF}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_others_cannot_command_the_terminal() {
        assert_eq!(
            plain("a\u{1b}[2Jb\u{9b}c\nd"),
            "a\\u{1b}[2Jb\\u{9b}c\\u{a}d"
        );
        assert_eq!(plain("\u{202e}ab"), "\\u{202e}ab");
        assert_eq!(safe("grün\nzwei"), "grün\nzwei");
    }
}
