//! A publisher that keeps to the protocol and to nothing else.

use std::{
    error::Error,
    io::{BufRead, BufReader, Write},
    net::TcpStream,
    time::Duration,
};

/// Header blocks that are no text, no headers or no NATS: each breaks the client that reads it.
pub(crate) const UNREADABLE: [(&str, &[u8]); 9] = [
    ("a bare carriage return", b"NATS/1.0\r\nx: a\rb\r\n\r\n"),
    (
        "a value that is not UTF-8",
        b"NATS/1.0\r\nx: caf\xE9\r\n\r\n",
    ),
    (
        "a line without a colon",
        b"NATS/1.0\r\nno colon here\r\n\r\n",
    ),
    ("a name with a space", b"NATS/1.0\r\na name: x\r\n\r\n"),
    (
        "a name that is not ASCII",
        b"NATS/1.0\r\n\xC3\xA9: x\r\n\r\n",
    ),
    ("a bare line feed", b"NATS/1.0\r\nx: a\nb\r\n\r\n"),
    ("a version of tomorrow", b"NATS/2.0\r\nx: a\r\n\r\n"),
    ("a status that is no number", b"NATS/1.0 abc\nx: a\n\n"),
    (
        "a carriage return at the end",
        b"NATS/1.0\r\nx: a\r\r\n\r\n",
    ),
];

/// A connection past every client's checks.
#[derive(Debug)]
pub(crate) struct Raw {
    server: BufReader<TcpStream>,
}

impl Raw {
    pub(crate) fn connect(url: &str) -> Result<Self, Box<dyn Error>> {
        let server = TcpStream::connect(url.trim_start_matches("nats://"))?;
        server.set_read_timeout(Some(Duration::from_secs(5)))?;
        let mut raw = Self { server: BufReader::new(server) };
        write!(
            raw.server.get_mut(),
            "CONNECT {{\"headers\":true,\"verbose\":false}}\r\n"
        )?;
        raw.sync()?;
        Ok(raw)
    }

    /// Publishes without waiting.
    pub(crate) fn publish(
        &mut self,
        subject: &str,
        block: &[u8],
        payload: &[u8],
    ) -> Result<(), Box<dyn Error>> {
        let (head, all) = (block.len(), block.len() + payload.len());
        let mut bytes = format!("HPUB {subject} {head} {all}\r\n").into_bytes();
        bytes.extend_from_slice(block);
        bytes.extend_from_slice(payload);
        bytes.extend_from_slice(b"\r\n");
        Ok(self.server.get_mut().write_all(&bytes)?)
    }

    /// Waits until the server has taken all, and returns what it said.
    pub(crate) fn sync(&mut self) -> Result<String, Box<dyn Error>> {
        write!(self.server.get_mut(), "PING\r\n")?;
        let mut said = String::new();
        loop {
            let mut line = String::new();
            if self.server.read_line(&mut line)? == 0 {
                return Err(format!("the server hung up: {said}").into());
            }
            match line.trim_end() {
                "PONG" => return Ok(said),
                "PING" => write!(self.server.get_mut(), "PONG\r\n")?,
                _ => said.push_str(&line),
            }
        }
    }
}
