//! What a server says of its connections: how many messages each sent.

use super::{Outcome, servers::nats::Server};
use serde::Deserialize;
use std::{
    collections::HashMap,
    io::{Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
};

/// A server that tells.
pub(crate) struct Telling {
    pub(crate) server: Server,
    port: u16,
}

#[derive(Deserialize)]
struct Connections {
    connections: Vec<Connection>,
}

#[derive(Deserialize)]
struct Connection {
    cid: u64,
    in_msgs: u64,
}

impl Telling {
    pub(crate) fn start() -> Outcome<Self> {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
            .local_addr()?
            .port();
        let server = Server::with(&format!("http: \"127.0.0.1:{port}\""));
        Ok(Self { server, port })
    }

    /// Returns how many messages each connection sent, by its number.
    pub(crate) fn sent(&self) -> Outcome<HashMap<u64, u64>> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?;
        stream.write_all(b"GET /connz HTTP/1.0\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let body = answer.split_once("\r\n\r\n").ok_or("no answer")?.1;
        let found: Connections = serde_json::from_str(body)?;
        let found = found.connections.into_iter();
        Ok(found.map(|one| (one.cid, one.in_msgs)).collect())
    }
}
