//! The key of masks on this machine.

use std::{
    io::{ErrorKind, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use anyhow::Context;
use rand::Rng;
use rows::MaskKey;

const FILE: &str = "mask-key";

/// What the environment says, else the key that the data directory keeps, which is made where there is none.
pub(crate) fn of(data_dir: &Path) -> anyhow::Result<String> {
    if let Ok(key) = std::env::var("PIPAS_MASK_KEY") {
        return Ok(key);
    }
    let file = data_dir.join(FILE);
    match kept(&file)? {
        Some(key) => Ok(key),
        None => make(&file),
    }
}

/// The same, but none is made: another one than the loader's would give other hashes. `None`: of a project of Google's, of
/// which this machine knows nothing.
pub(crate) fn known(data_dir: Option<&Path>) -> anyhow::Result<Option<MaskKey>> {
    let key = match (std::env::var("PIPAS_MASK_KEY"), data_dir) {
        (Ok(key), _) => Some(key),
        (Err(_), Some(folder)) => kept(&folder.join(FILE))?,
        (Err(_), None) => None,
    };
    key.map(|key| MaskKey::new(&key.into()).context("PIPAS_MASK_KEY")).transpose()
}

fn kept(file: &Path) -> anyhow::Result<Option<String>> {
    match std::fs::read_to_string(file) {
        Ok(key) => Ok(Some(key.trim().to_owned())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", file.display())),
    }
}

fn make(file: &Path) -> anyhow::Result<String> {
    let key = format!("{:032x}{:032x}", rand::rng().random::<u128>(), rand::rng().random::<u128>());
    let mut made = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(file)
        .with_context(|| format!("cannot make {}", file.display()))?;
    writeln!(made, "{key}").with_context(|| format!("cannot write {}", file.display()))?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let key = of(folder.path()).expect("a key");
        assert!(key.len() >= 16);
        assert_eq!(of(folder.path()).expect("a key"), key);
        assert!(known(Some(folder.path())).expect("a key").is_some());
        assert!(known(None).expect("no key").is_none());
    }
}
