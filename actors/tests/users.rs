//! Users as their callers see them.

use callboard::{CallError, Replay, ReplayError};
use schemas::users::{GetUser, Register, RegisterRejected, UnknownUser, User, UserRegistered};

fn register(name: &str, email: &str) -> Register {
    Register { name: name.into(), email: email.into() }
}

fn ada() -> User {
    User { user: "ada".into(), name: "Ada".into(), email: "ada@example.com".into() }
}

#[tokio::test]
async fn a_registered_user_can_be_looked_up() -> Result<(), ReplayError> {
    let mut heard = Replay::of(shop::users::group())
        .ask(register("Ada", "ada@example.com"))
        .ask(GetUser { user: "ada".into() })
        .settle()
        .await?;
    assert!(matches!(&heard.answers::<Register>()[..], [Ok(user)] if *user == ada()));
    assert!(matches!(&heard.answers::<GetUser>()[..], [Ok(user)] if *user == ada()));
    assert_eq!(heard.events::<UserRegistered>().len(), 1);
    Ok(())
}

#[tokio::test]
async fn registering_again_is_the_same_user_and_no_second_event() -> Result<(), ReplayError> {
    let mut heard = Replay::of(shop::users::group())
        .ask(register("Ada", "ada@example.com"))
        .ask(register("ADA", "ada@example.com"))
        .settle()
        .await?;
    let answers = heard.answers::<Register>();
    assert!(matches!(&answers[..], [Ok(first), Ok(again)] if first == again));
    assert_eq!(heard.events::<UserRegistered>().len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_name_belongs_to_whoever_registered_it_first() -> Result<(), ReplayError> {
    let first =
        UserRegistered { user: "ada".into(), name: "Ada".into(), email: "ada@example.com".into() };
    // As a node finds it that knows nothing but the stream.
    let mut heard = Replay::of(shop::users::group())
        .given(first)
        .ask(register("ada", "eve@example.com"))
        .settle()
        .await?;
    let taken = RegisterRejected::NameTaken { name: "ada".into() };
    let answers = heard.answers::<Register>();
    assert!(matches!(&answers[..], [Err(CallError::Rejected(why))] if *why == taken));
    assert!(heard.events::<UserRegistered>().is_empty());
    Ok(())
}

#[tokio::test]
async fn bad_names_and_addresses_are_refused_and_nothing_is_published() -> Result<(), ReplayError> {
    let mut heard = Replay::of(shop::users::group())
        .ask(register("a.b", "ada@example.com"))
        .ask(register("Ada", "not mail"))
        .settle()
        .await?;
    let answers = heard.answers::<Register>();
    assert!(matches!(
        &answers[..],
        [
            Err(CallError::Rejected(RegisterRejected::BadName { .. })),
            Err(CallError::Rejected(RegisterRejected::BadEmail { .. })),
        ]
    ));
    assert!(heard.kinds().is_empty());
    Ok(())
}

#[tokio::test]
async fn nobody_is_found_under_a_name_that_is_no_name() -> Result<(), ReplayError> {
    let long = "x".repeat(300);
    let mut heard = Replay::of(shop::users::group())
        .ask(GetUser { user: "".into() })
        .ask(GetUser { user: ". * >\n".into() })
        .ask(GetUser { user: long.as_str().into() })
        .settle()
        .await?;
    let answers = heard.answers::<GetUser>();
    assert_eq!(answers.len(), 3);
    for answer in answers {
        assert!(matches!(
            answer,
            Err(CallError::Rejected(UnknownUser { .. }))
        ));
    }
    Ok(())
}
