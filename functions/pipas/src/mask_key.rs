//! The key of masks on this machine.

use std::{io::Write, os::unix::fs::OpenOptionsExt, path::Path};

use anyhow::Context;
use rand::Rng;

/// What the environment says, else the key that the data directory keeps, which is made where there is none.
pub(crate) fn of(data_dir: &Path) -> anyhow::Result<String> {
    if let Ok(key) = std::env::var("PIPAS_MASK_KEY") {
        return Ok(key);
    }
    let file = data_dir.join("mask-key");
    match std::fs::read_to_string(&file) {
        Ok(key) => return Ok(key.trim().to_owned()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", file.display())),
    }
    let key = format!("{:032x}{:032x}", rand::rng().random::<u128>(), rand::rng().random::<u128>());
    let mut made = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&file)
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
    }
}
