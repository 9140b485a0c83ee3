use super::{shell::run, support::nats::Server};
use callboard::{Actor, Answer, Bus, Command, Context, Failure, Group, Node, Rejection, Subject};
use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Charge {
    pub(crate) order: String,
    pub(crate) amount: u64,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Receipt {
    order: String,
    charged: u64,
}

#[derive(Debug, Serialize, Deserialize, thiserror::Error)]
pub(crate) enum Declined {
    #[error("over the limit of {limit}")]
    OverLimit { limit: u64 },
}

impl Rejection for Declined {}

impl Command for Charge {
    const SUBJECT: Subject = Subject::new("payments.charge");
    type Outcome = Result<Receipt, Declined>;
}

pub(crate) struct Till;

impl Till {
    async fn open() -> Result<Self, Failure> {
        Ok(Self)
    }

    async fn charge(&mut self, charge: Charge, _: &Context) -> Answer<Charge> {
        if charge.amount > 100 {
            return Err(Declined::OverLimit { limit: 100 }.into());
        }
        assert!(charge.amount != 13, "unlucky");
        Ok(Receipt { order: charge.order, charged: charge.amount })
    }
}

pub(crate) fn payments() -> Group {
    Group::new("payments").child(Actor::new("till", Till::open).answer(Till::charge))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_ends_in_a_reply_a_rejection_or_trouble() {
    let server = Server::start();
    let bus = Bus::nats(server.url()).await.unwrap();
    let node = Node::new("n-1", bus)
        .namespace("shop")
        .group(payments())
        .start()
        .await
        .unwrap();
    let charge = async |json: &str| {
        run(
            &server,
            &["request", "payments.charge", json, "--namespace", "shop"],
        )
        .await
    };
    let reply = charge(r#"{"order":"o-1","amount":42}"#).await.done();
    assert_eq!(reply, "{\"order\":\"o-1\",\"charged\":42}\n");

    let rejected = charge(r#"{"order":"o-1","amount":101}"#).await.failed(3);
    let expected = "callboard: payments.charge was rejected: over the limit of 100\n\
                    {\"OverLimit\":{\"limit\":100}}\n";
    assert_eq!(rejected, expected);

    let malformed = charge(r#"{"order":"o-1"}"#).await.failed(1);
    assert!(
        malformed.contains("400") && malformed.contains("amount"),
        "{malformed}"
    );
    let failed = charge(r#"{"order":"o-1","amount":13}"#).await.failed(1);
    assert!(
        failed.contains("500") && failed.contains("unlucky"),
        "{failed}"
    );
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_and_silence_are_told_apart() {
    let server = Server::start();
    let nobody = run(&server, &["request", "payments.charge", "{}"])
        .await
        .failed(4);
    assert!(
        nobody.contains("nobody answers callboard.cmd.payments.charge"),
        "{nobody}"
    );

    let bus = Bus::nats(server.url()).await.unwrap();
    let silent = bus
        .subscribe("callboard.cmd.payments.charge", None)
        .await
        .unwrap();
    let words = ["request", "payments.charge", "{}", "--timeout", "200ms"];
    let late = run(&server, &words).await.failed(5);
    assert!(
        late.contains("no reply from callboard.cmd.payments.charge within 200ms"),
        "{late}"
    );
    drop(silent);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_makes_no_sense_is_a_usage_error() {
    let server = Server::start();
    for words in [
        &["request", "payments", "{}"][..],
        &["request", "payments.charge", "{"],
        &["request", "payments.charge", "{}", "--timeout", "5"],
        &["request", "payments.charge"],
        &["--namespace", "Shop", "request", "payments.charge", "{}"],
    ] {
        run(&server, words).await.failed(2);
    }
}
