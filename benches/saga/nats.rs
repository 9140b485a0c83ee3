//! By hand with the plain client of NATS.

use crate::{
    by_hand::{Hand, PENDING, Place, Script, Waiting, other_streams},
    shop::{Buy, id, is_declined},
    support::{
        Outcome,
        child::until_dismissed,
        raw::{command_headers, connect},
    },
};
use async_nats::{HeaderMap, Request, jetstream};
use callboard::{
    Bus, Command,
    bus::Stored,
    message::{codec, headers},
};
use futures_util::StreamExt;
use std::{rc::Rc, time::Duration};
use tokio::task::{LocalSet, spawn_local};
use uuid::Uuid;

const RAW: &str = "bench.raw.buy";

pub(crate) struct OnNats {
    client: async_nats::Client,
    context: jetstream::Context,
    script: Script,
    waiting: Waiting,
}

pub(crate) async fn buy_raw(client: async_nats::Client, at: u64) {
    let declined = is_declined(at);
    let buy = Buy { order: id(at), declined };
    let request = Request::new()
        .headers(command_headers())
        .payload(codec::encode(&buy).expect("it is small"));
    let reply = client.send_request(RAW, request).await;
    let reply = reply.expect("somebody answers");
    let bought: bool = codec::decode(&reply.payload).expect("yes or no");
    assert_eq!(bought, !declined);
}

/// Takes orders from one side, and what is queued from the other.
pub(crate) async fn assist_raw(bus: Bus, url: &str, from: u64) -> Outcome {
    let script = Script::read(&bus, from).await?;
    other_streams(&bus).await?;
    let client = connect(url).await?;
    let context = jetstream::new(client.clone());
    let stream = context.get_stream_no_info("bench_RUN_raw").await?;
    let config = jetstream::consumer::pull::Config {
        durable_name: Some("runners".to_owned()),
        filter_subject: "bench.run.raw.*".to_owned(),
        ack_wait: Duration::from_secs(8),
        max_ack_pending: i64::try_from(PENDING)?,
        ..Default::default()
    };
    let mut queued = stream.create_consumer(config).await?.messages().await?;
    let mut orders = client.queue_subscribe(RAW, "checkout".into()).await?;
    let raw = OnNats { client, context, script, waiting: Waiting::default() };
    let raw = Rc::new(raw);
    let serve = async {
        loop {
            tokio::select! {
                Some(request) = orders.next() => {
                    let raw = Rc::clone(&raw);
                    spawn_local(async move {
                        let buy: Buy = codec::decode(&request.payload).expect("an order");
                        let bought = raw.order(buy.order).await;
                        let bought = codec::encode(&bought).expect("yes or no");
                        let reply = request.reply.expect("it is a request");
                        raw.client.publish(reply, bought).await.expect("there is a connection");
                    });
                }
                Some(Ok(message)) = queued.next() => {
                    let raw = Rc::clone(&raw);
                    spawn_local(async move {
                        let order = message.subject.rsplit('.').next().unwrap_or_default();
                        raw.run(order).await;
                        message.ack().await.expect("there is a connection");
                    });
                }
                else => return,
            }
        }
    };
    let local = LocalSet::new();
    tokio::select! {
        () = local.run_until(serve) => {}
        () = until_dismissed() => {}
    }
    Ok(())
}

impl Hand for OnNats {
    fn script(&self) -> &Script {
        &self.script
    }

    fn waiting(&self) -> &Waiting {
        &self.waiting
    }

    async fn append(&self, at: Place<'_>, like: &Stored) -> u64 {
        let mut said = HeaderMap::new();
        for (name, value) in like.headers.iter() {
            said.insert(name, value);
        }
        said.insert(headers::MSG_ID, Uuid::now_v7().to_string());
        let mut message = jetstream::message::PublishMessage::build()
            .payload(like.payload.clone())
            .headers(said);
        if let Some(after) = at.after() {
            message = message.expected_last_subject_sequence(after);
        }
        self.context
            .send_publish(at.subject(), message)
            .await
            .expect("there is a connection")
            .await
            .expect("nobody else writes")
            .sequence
    }

    async fn call<C: Command>(&self, command: C) -> bool {
        let mut said = command_headers();
        said.insert(headers::CB_CORRELATION, Uuid::now_v7().to_string());
        said.insert(headers::CB_CAUSATION, Uuid::now_v7().to_string());
        let payload = codec::encode(&command).expect("it is small");
        let request = Request::new().headers(said).payload(payload);
        let subject = format!("bench.cmd.{}", C::SUBJECT);
        let reply = self.client.send_request(subject, request).await;
        let reply = reply.expect("somebody answers");
        let refused = reply
            .headers
            .is_some_and(|said| said.get("Nats-Service-Error").is_some());
        !refused
    }
}
