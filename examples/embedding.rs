//! Embedding: a tokio program of its own, here a line-based TCP server, hosts a
//! group beside its other work and ends together with it.
//!
//! ```text
//! $ cargo run --example embedding
//! a visitor sends: to be or not to be
//! the program answers: 6 words so far
//! a visitor sends: that is the question
//! the program answers: 10 words so far
//! ```

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use callboard::{Actor, Answer, Bus, Client, Command, Context, Group, Infallible, Node, Subject};
use serde::{Deserialize, Serialize};
use std::{error::Error, io, net::SocketAddr};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let tally = Actor::new("tally", async || Ok(Tally(0))).answer(Tally::add);
    let group = Group::new("words").child(tally);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    // The node has a thread of its own; the program keeps its runtime.
    let node = Node::new("node-1", Bus::embedded()).group(group);
    let mut node = node.start().await?;
    let client = node.client();
    tokio::select! {
        served = serve(listener, &client) => served?,
        visited = visit(address) => visited?,
        () = node.ended() => {}
    }
    node.stop().await?;
    Ok(())
}

async fn serve(listener: TcpListener, client: &Client) -> Result<(), Box<dyn Error>> {
    loop {
        let (mut stream, _) = listener.accept().await?;
        let mut line = String::new();
        BufReader::new(&mut stream).read_line(&mut line).await?;
        let sum = client.call(Add(line)).await?;
        stream
            .write_all(format!("{sum} words so far").as_bytes())
            .await?;
    }
}

async fn visit(address: SocketAddr) -> io::Result<()> {
    for text in ["to be or not to be", "that is the question"] {
        let mut stream = TcpStream::connect(address).await?;
        println!("a visitor sends: {text}");
        stream.write_all(format!("{text}\n").as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        println!("the program answers: {answer}");
    }
    Ok(())
}

#[derive(Debug, Serialize, Deserialize)]
struct Add(String);

impl Command for Add {
    const SUBJECT: Subject = Subject::new("words.add");
    type Outcome = Result<usize, Infallible>;
}

struct Tally(usize);

impl Tally {
    async fn add(&mut self, add: Add, _: &Context) -> Answer<Add> {
        self.0 += add.0.split_whitespace().count();
        Ok(self.0)
    }
}
