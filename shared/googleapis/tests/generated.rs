//! `src/generated` is what the protos give.

use std::{
    collections::BTreeMap,
    env,
    error::Error,
    fs,
    path::{Path, PathBuf},
};

const ROOTS: &[&str] = &[
    "google/cloud/bigquery/storage/v1/storage.proto",
    "google/pubsub/v1/pubsub.proto",
    "google/rpc/error_details.proto",
];

/// Written again by `PIPAS_WRITE_GENERATED=1 cargo test -p googleapis`.
#[test]
fn what_is_kept_is_what_the_protos_give() -> Result<(), Box<dyn Error>> {
    let crate_dir = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let kept = crate_dir.join("src/generated");
    if env::var_os("PIPAS_WRITE_GENERATED").is_some() {
        generate(&crate_dir.join("proto"), &kept)?;
    }
    let anew = tempfile::tempdir()?;
    generate(&crate_dir.join("proto"), anew.path())?;
    let (kept, anew) = (files(&kept)?, files(anew.path())?);
    assert!(kept.keys().eq(anew.keys()), "other files are kept than are made: {:?}", anew.keys());
    for (name, text) in anew {
        assert!(kept[&name] == text, "src/generated/{name} is not what the protos give: set PIPAS_WRITE_GENERATED=1");
    }
    Ok(())
}

fn generate(protos: &Path, to: &Path) -> Result<(), Box<dyn Error>> {
    let mut protos = protox::Compiler::new([protos])?;
    let files = protos.include_imports(true).include_source_info(false).open_files(ROOTS)?.file_descriptor_set();
    tonic_prost_build::configure()
        .server_mod_attribute(".", "#[cfg(feature = \"server\")]")
        .bytes(".")
        .include_file("protos.rs")
        .out_dir(to)
        .compile_fds(files)?;
    Ok(())
}

fn files(folder: &Path) -> Result<BTreeMap<String, String>, Box<dyn Error>> {
    let file =
        |entry: fs::DirEntry| Ok((entry.file_name().to_string_lossy().into_owned(), fs::read_to_string(entry.path())?));
    fs::read_dir(folder)?.map(|entry| file(entry?)).collect()
}
