//! How `pipas.yaml` and the files beside it are read: every problem is gathered, and reading goes on.

mod archive;
mod cors;
mod cursor;
mod delivery;
mod document;
mod event_id;
mod feeds;
mod file;
mod lookup;
mod name;
mod quotas;
mod raw;
mod rules;
mod schema;
mod shaping;
mod stream;
mod subscriptions;
mod table;
mod when;

pub(crate) use file::{asked, read};
pub(crate) use schema::parse as parse_schema;
