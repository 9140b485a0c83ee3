use super::rules::{admit, same_or_taken};
use crate::log::Life;
use callboard::{Answer, Context, Failure, PublishError};
use schemas::{
    UserId,
    users::{GetUser, Register, UnknownUser, User, UserRegistered},
};

/// Registers users and looks them up.
#[derive(Debug)]
pub(super) struct Registry;

impl Registry {
    pub(super) async fn open() -> Result<Self, Failure> {
        Ok(Self)
    }

    pub(super) async fn register(&mut self, register: Register, ctx: &Context) -> Answer<Register> {
        let new = admit(register)?;
        loop {
            let (found, last) = find(&new.user, ctx).await?;
            if let Some(old) = found {
                return Ok(same_or_taken(old, new)?);
            }
            let registered = UserRegistered {
                user: new.user.clone(),
                name: new.name.clone(),
                email: new.email.clone(),
            };
            match ctx.publish(registered).after(last).await {
                // Somebody else was faster: look who.
                Err(PublishError::Conflict { .. }) => {}
                outcome => return Ok(outcome.map(|_| new)?),
            }
        }
    }

    pub(super) async fn get(&mut self, get: GetUser, ctx: &Context) -> Answer<GetUser> {
        let (found, _) = find(&get.user, ctx).await?;
        Ok(found.ok_or(UnknownUser { user: get.user })?)
    }
}

async fn find(user: &UserId, ctx: &Context) -> Result<(Option<User>, u64), Failure> {
    let life = Life::latest(ctx, "users", user.as_str()).await?;
    let found = life
        .find()
        .map(|UserRegistered { user, name, email }| User { user, name, email });
    Ok((found, life.last()))
}
