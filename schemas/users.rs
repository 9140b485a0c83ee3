//! Who buys: registration and lookup.

use crate::UserId;
use callboard::{Command, Event, Rejection, Subject};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// A new user exists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UserRegistered {
    /// The user.
    pub user: UserId,
    /// The name as the user wrote it.
    pub name: String,
    /// Where the user gets mail.
    pub email: String,
}

impl Event for UserRegistered {
    const SUBJECT: Subject = Subject::new("users.registered");

    fn key(&self) -> Cow<'_, str> {
        self.user.as_str().into()
    }
}

/// Registers a user; the same name and address again is the same user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Register {
    /// The name: 3 to 30 letters and digits.
    pub name: String,
    /// Where the user gets mail.
    pub email: String,
}

impl Register {
    /// Returns the id that the user gets: the name in lower case.
    pub fn user(&self) -> UserId {
        UserId::new(self.name.to_lowercase())
    }
}

impl Command for Register {
    const SUBJECT: Subject = Subject::new("users.register");
    type Outcome = Result<User, RegisterRejected>;

    fn key(&self) -> Cow<'_, str> {
        self.name.to_lowercase().into()
    }
}

/// Looks a user up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GetUser {
    /// The user.
    pub user: UserId,
}

impl Command for GetUser {
    const SUBJECT: Subject = Subject::new("users.get");
    const READ_ONLY: bool = true;
    type Outcome = Result<User, UnknownUser>;

    fn key(&self) -> Cow<'_, str> {
        self.user.as_str().into()
    }
}

/// A user of the shop.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct User {
    /// The user's id.
    pub user: UserId,
    /// The name as the user wrote it.
    pub name: String,
    /// Where the user gets mail.
    pub email: String,
}

/// Why nobody was registered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum RegisterRejected {
    /// The name is not 3 to 30 letters and digits.
    #[error("`{name}` is no name: use 3 to 30 letters and digits")]
    BadName {
        /// The name.
        name: String,
    },
    /// The address cannot receive mail.
    #[error("`{email}` is no e-mail address")]
    BadEmail {
        /// The address.
        email: String,
    },
    /// Another user has the name.
    #[error("the name `{name}` is taken")]
    NameTaken {
        /// The name.
        name: String,
    },
}

impl Rejection for RegisterRejected {}

/// There is no such user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, thiserror::Error)]
#[error("there is no user `{user}`")]
pub struct UnknownUser {
    /// Who was asked for.
    pub user: UserId,
}

impl Rejection for UnknownUser {}
