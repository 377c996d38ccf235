//! A [`World`] for the system tests: the local cloud in this process, and the functions as the real binaries beside it.

mod catalog;
pub mod chaos;
mod example;
mod feed_server;
mod process;
mod producer;
mod python;
mod recorder;
mod up;
mod world;

pub use catalog::changed_catalog;
pub use example::{Example, said};
pub use feed_server::{FeedServer, FeedState};
pub use process::Process;
pub use producer::Producer;
pub use python::python;
pub use recorder::Recorder;
pub use up::{Up, pipas};
pub use world::{Setup, World, eventually};
