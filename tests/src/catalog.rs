use std::{
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use anyhow::Context;

use crate::World;

/// Writes the shipped catalog into `folder` with `from` replaced by `to`; the answer is its file.
pub fn changed_catalog(folder: &Path, from: &str, to: &str) -> anyhow::Result<PathBuf> {
    let shipped = World::catalog_file();
    let text = std::fs::read_to_string(&shipped)?;
    anyhow::ensure!(text.contains(from), "the shipped catalog has no `{from}`");
    let file = folder.join("pipas.yaml");
    std::fs::write(&file, text.replace(from, to))?;
    for beside in ["schemas", "views"] {
        let link = folder.join(beside);
        if !link.exists() {
            symlink(shipped.with_file_name(beside).canonicalize()?, link).context(beside)?;
        }
    }
    Ok(file)
}
