//! A [`World`] for the system tests: the local cloud in this process, and the functions as the real binaries beside it.

pub mod chaos;
mod process;
mod python;
mod world;

pub use process::Process;
pub use python::python;
pub use world::{Setup, World, eventually};
