use schemas::users::{Register, RegisterRejected, User};

/// Returns the user that a registration makes, if nobody has the name.
pub(super) fn admit(register: Register) -> Result<User, RegisterRejected> {
    if !is_name(&register.name) {
        return Err(RegisterRejected::BadName { name: register.name });
    }
    if !is_email(&register.email) {
        return Err(RegisterRejected::BadEmail { email: register.email });
    }
    let user = register.user();
    Ok(User { user, name: register.name, email: register.email })
}

/// Returns who was there before if it is the same user.
pub(super) fn same_or_taken(old: User, new: User) -> Result<User, RegisterRejected> {
    if old.email == new.email {
        return Ok(old);
    }
    Err(RegisterRejected::NameTaken { name: new.name })
}

fn is_name(name: &str) -> bool {
    (3..=30).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// Whether mail could be sent there: one `@`, something plain before it, and a
/// host of two or more labels after it.
fn is_email(email: &str) -> bool {
    let Some((mailbox, host)) = email.split_once('@') else {
        return false;
    };
    let is_label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    let is_atom = |atom: &str| {
        !atom.is_empty()
            && atom
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&byte))
    };
    email.len() <= 254
        && mailbox.len() <= 64
        && mailbox.split('.').all(is_atom)
        && host.contains('.')
        && host.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use super::{admit, is_email, is_name};
    use schemas::users::Register;

    #[test]
    fn a_name_is_3_to_30_letters_and_digits() {
        for good in ["ada", "Ada1815", "a".repeat(30).as_str()] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", "ab", "a b c", "ada_l", "ädä", "a".repeat(31).as_str()] {
            assert!(!is_name(bad), "{bad}");
        }
    }

    #[test]
    fn an_address_has_a_mailbox_and_a_host_with_a_dot() {
        for good in ["ada@example.com", "a.b+c@mail.example.org", "x_1@a-b.de"] {
            assert!(is_email(good), "{good}");
        }
        for bad in [
            "",
            "ada",
            "@example.com",
            "ada@",
            "ada@example",
            "ada@@example.com",
            "a da@example.com",
            "ada@exa mple.com",
            ".ada@example.com",
            "ada@example..com",
            "ada@-example.com",
            "ada@example.com\r\n",
        ] {
            assert!(!is_email(bad), "{bad:?}");
        }
    }

    #[test]
    fn a_user_is_known_by_the_name_in_lower_case() {
        let register = Register { name: "Ada".into(), email: "ada@example.com".into() };
        let user = admit(register).map(|user| (user.user.to_string(), user.name));
        assert_eq!(user, Ok(("ada".into(), "Ada".into())));
    }
}
