//! `src/generated` is what the schema gives.

use std::{
    env,
    error::Error,
    fs,
    path::{Path, PathBuf},
};

use prost::Message;

const KEPT: [&str; 2] = ["transit_realtime.rs", "descriptors.bin"];

/// Written again by `PIPAS_WRITE_GENERATED=1 cargo test -p gtfs-realtime`.
#[test]
fn what_is_kept_is_what_the_schema_gives() -> Result<(), Box<dyn Error>> {
    let crate_dir = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let kept = crate_dir.join("src/generated");
    if env::var_os("PIPAS_WRITE_GENERATED").is_some() {
        generate(&crate_dir.join("proto"), &kept)?;
    }
    let anew = tempfile::tempdir()?;
    generate(&crate_dir.join("proto"), anew.path())?;
    for name in KEPT {
        let is_same = fs::read(kept.join(name))? == fs::read(anew.path().join(name))?;
        assert!(is_same, "src/generated/{name} is not what the schema gives: set PIPAS_WRITE_GENERATED=1");
    }
    Ok(())
}

/// The types, and the description of the schema that the JSON form needs.
fn generate(protos: &Path, to: &Path) -> Result<(), Box<dyn Error>> {
    let files = protox::Compiler::new([protos])?
        .include_imports(true)
        .include_source_info(false)
        .open_file("gtfs-realtime.proto")?
        .file_descriptor_set();
    fs::write(to.join("descriptors.bin"), files.encode_to_vec())?;
    tonic_prost_build::configure().build_client(false).build_server(false).out_dir(to).compile_fds(files)?;
    Ok(())
}
