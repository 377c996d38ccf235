//! Google's own protobuf definitions as Rust types, with tonic clients and (feature `server`) server traits.
//!
//! Generated from the `.proto` files under `proto/`, which are Google's, unchanged (Apache-2.0). What is generated is kept, so that
//! nobody's build needs the generator; a test of this crate generates it anew, compares, and says how it is written again.
#![allow(missing_docs, clippy::all, unreachable_pub, reason = "generated code; the protos carry the documentation")]

include!("generated/protos.rs");
