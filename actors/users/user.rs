use super::rules::{admit, same_or_taken};
use crate::is_key;
use callboard::{Context, Decision, Refusal};
use schemas::users::{self, GetUser, Register, RegisterRejected, UnknownUser, UserRegistered};

/// Somebody, once registered.
#[derive(Clone, Debug, Default)]
pub(super) struct User(Option<users::User>);

/// Returns the user that a registration makes, if nobody has the name.
pub(super) async fn new(
    register: &Register,
    _: &Context,
) -> Result<users::User, Refusal<RegisterRejected>> {
    Ok(admit(register.clone())?)
}

/// Finds out that nobody can have the name.
pub(super) async fn is_name(get: &GetUser, _: &Context) -> Result<(), Refusal<UnknownUser>> {
    if !is_key(get.user.as_str()) {
        return Err(UnknownUser { user: get.user.clone() }.into());
    }
    Ok(())
}

impl User {
    pub(super) fn register(
        &self,
        _: Register,
        new: users::User,
    ) -> Result<Decision<users::User>, RegisterRejected> {
        if let Some(old) = &self.0 {
            return Ok(Decision::nothing().reply(same_or_taken(old.clone(), new)?));
        }
        let users::User { user, name, email } = new.clone();
        Ok((UserRegistered { user, name, email }, new).into())
    }

    pub(super) fn get(&self, get: GetUser, (): ()) -> Result<Decision<users::User>, UnknownUser> {
        let found = self.0.clone().ok_or(UnknownUser { user: get.user })?;
        Ok(Decision::nothing().reply(found))
    }

    pub(super) fn registered(&mut self, registered: &UserRegistered) {
        let UserRegistered { user, name, email } = registered.clone();
        self.0 = Some(users::User { user, name, email });
    }
}
