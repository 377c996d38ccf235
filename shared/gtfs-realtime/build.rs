//! Compiles the vendored schema of GTFS-Realtime, without protoc, and keeps its description for the JSON form.

use std::{env, error::Error, fs, path::PathBuf};

use prost::Message;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let files = protox::compile(["gtfs-realtime.proto"], ["proto"])?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("descriptors.bin"), files.encode_to_vec())?;
    tonic_prost_build::configure().build_client(false).build_server(false).out_dir(out).compile_fds(files)?;
    Ok(())
}
