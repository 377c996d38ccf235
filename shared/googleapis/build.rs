//! Compiles the vendored Google protos into client stubs, and into server stubs for the local cloud.

use std::{env, error::Error, path::PathBuf};

const ROOTS: &[&str] = &[
    "google/cloud/bigquery/storage/v1/storage.proto",
    "google/pubsub/v1/pubsub.proto",
    "google/rpc/error_details.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let files = protox::compile(ROOTS, ["proto"])?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    tonic_prost_build::configure()
        .build_server(env::var_os("CARGO_FEATURE_SERVER").is_some())
        .bytes(".")
        .include_file("protos.rs")
        .out_dir(out)
        .compile_fds(files)?;
    Ok(())
}
