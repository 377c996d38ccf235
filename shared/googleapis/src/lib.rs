//! Google's own protobuf definitions as Rust types, with tonic clients and (feature `server`) server traits.
//!
//! Generated at build time from the `.proto` files under `proto/`, which are Google's, unchanged (Apache-2.0).
#![allow(missing_docs, clippy::all, unreachable_pub, reason = "generated code; the protos carry the documentation")]

include!(concat!(env!("OUT_DIR"), "/protos.rs"));
