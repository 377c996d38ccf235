//! Resource names.

use tonic::Status;

/// What stands for the topic of a subscription whose topic is deleted.
pub(super) const DELETED_TOPIC: &str = "_deleted-topic_";

/// The kinds of names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Topic,
    Subscription,
}

impl Kind {
    fn collection(self) -> &'static str {
        match self {
            Self::Topic => "topics",
            Self::Subscription => "subscriptions",
        }
    }
}

/// Checks `projects/{project}/{topics|subscriptions}/{id}`.
pub(super) fn check(kind: Kind, name: &str) -> Result<(), Status> {
    let mut parts = name.split('/');
    let (projects, project, collection, id, rest) =
        (parts.next(), parts.next(), parts.next(), parts.next(), parts.next());
    let well_formed = projects == Some("projects")
        && project.is_some_and(|project| !project.is_empty())
        && collection == Some(kind.collection())
        && id.is_some_and(is_id)
        && rest.is_none();
    if well_formed {
        return Ok(());
    }
    Err(Status::invalid_argument(format!(
        "Invalid resource name given (name={name}). Refer to \
         https://cloud.google.com/pubsub/docs/pubsub-basics#resource_names for more information."
    )))
}

/// 3 to 255 characters of `A-Za-z0-9-._~%+`, a letter first, not beginning with `goog`.
fn is_id(id: &str) -> bool {
    (3..=255).contains(&id.len())
        && id.starts_with(|c: char| c.is_ascii_alphabetic())
        && !id.starts_with("goog")
        && id.bytes().all(|c| c.is_ascii_alphanumeric() || b"-._~%+".contains(&c))
}

/// The project in `projects/{project}`.
pub(super) fn check_project(name: &str) -> Result<(), Status> {
    match name.strip_prefix("projects/") {
        Some(project) if !project.is_empty() && !project.contains('/') => Ok(()),
        _ => Err(Status::invalid_argument(format!("Invalid project name given (name={name})."))),
    }
}

/// The last part of a name.
pub(super) fn id(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

/// The project of a name.
pub(super) fn project(name: &str) -> &str {
    name.split('/').nth(1).unwrap_or_default()
}

pub(super) fn not_found(name: &str) -> Status {
    Status::not_found(format!("Resource not found (resource={}).", id(name)))
}

pub(super) fn already_exists(name: &str) -> Status {
    Status::already_exists(format!("Resource already exists in the project (resource={}).", id(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        assert!(check(Kind::Topic, "projects/p/topics/courier-chat").is_ok());
        assert!(check(Kind::Subscription, "projects/p/subscriptions/a.b_c~d%e+f").is_ok());
        for bad in [
            "courier-chat",
            "projects/p/topics/ab",
            "projects/p/topics/1abc",
            "projects/p/topics/google",
            "projects//topics/abc",
            "projects/p/subscriptions/abc",
            "projects/p/topics/abc/x",
            "projects/p/topics/a bc",
        ] {
            assert!(check(Kind::Topic, bad).is_err(), "{bad}");
        }
        assert!(check_project("projects/p").is_ok());
        assert!(check_project("p").is_err());
    }
}
