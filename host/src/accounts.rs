//! Users and groups by name, as the files of the host list them.
//!
//! Accounts that only a directory service knows are not found; their numbers are accepted instead.

use std::{fs, io};

/// The number of a user, given by name or number.
///
/// # Errors
/// When `/etc/passwd` cannot be read or has no such user.
pub fn user(name: &str) -> io::Result<u32> {
    number("/etc/passwd", name).ok_or_else(|| unknown("user", name))
}

/// The number of a group, given by name or number.
///
/// # Errors
/// When `/etc/group` cannot be read or has no such group.
pub fn group(name: &str) -> io::Result<u32> {
    number("/etc/group", name).ok_or_else(|| unknown("group", name))
}

fn number(file: &str, name: &str) -> Option<u32> {
    // The largest number means "no change" to chown(2).
    match name.parse::<u32>() {
        Ok(number) => (number != u32::MAX).then_some(number),
        Err(_) => in_accounts(&fs::read_to_string(file).ok()?, name),
    }
}

/// The third field of the line whose first is `name`.
fn in_accounts(text: &str, name: &str) -> Option<u32> {
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(name)).then(|| fields.nth(1)?.parse().ok())?
    })
}

fn unknown(kind: &str, name: &str) -> io::Error {
    io::Error::other(format!("there is no {kind} {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_found_by_name_or_number() {
        let text = "root:x:0:0:root:/root:/bin/sh\n#\nlines:x:1200:1300::/:\nbroken:x\n";
        assert_eq!(in_accounts(text, "lines"), Some(1200));
        assert_eq!(in_accounts(text, "line"), None);
        assert_eq!(in_accounts(text, "broken"), None);
        assert_eq!(user("4711").ok(), Some(4711));
        assert_eq!(user("root").ok(), Some(0));
        let error = group("no such group").expect_err("it has a space");
        assert_eq!(error.to_string(), "there is no group no such group");
        assert!(user("4294967295").is_err());
    }
}
