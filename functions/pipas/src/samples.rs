//! `pipas check FILE` and `pipas check --all`: whether samples would be loaded, by the code that loads them.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, bail};
use bytes::Bytes;
use catalog::{Catalog, Stream};
use rows::{Checker, Verdict};
use serde::Serialize;
use serde_json::value::RawValue;
use shape::Shape;

use crate::cli::Global;

/// A sample that is not as it must be, or any sample where one file is asked for.
#[derive(Debug, Serialize)]
struct Checked {
    file: PathBuf,
    /// The line that the event begins on.
    line: usize,
    stream: String,
    /// Whether the sample is meant to be refused.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    to_be_refused: bool,
    #[serde(flatten)]
    verdict: Verdict,
}

impl Checked {
    fn is_good(&self) -> bool {
        self.verdict.loaded != self.to_be_refused
    }
}

/// A file of samples.
#[derive(Debug)]
struct Samples<'c> {
    file: PathBuf,
    stream: &'c Stream,
    attributes: BTreeMap<String, String>,
    to_be_refused: bool,
}

/// Checks the events of one file.
pub(crate) fn file(
    global: &Global,
    catalog: &Catalog,
    file: &Path,
    stream: &str,
    attributes: BTreeMap<String, String>,
) -> anyhow::Result<ExitCode> {
    let stream = named(catalog, stream)?;
    let attributes = if attributes.is_empty() { attributes_beside(file)? } else { attributes };
    let samples = Samples { file: file.to_owned(), stream, attributes, to_be_refused: false };
    let mut checkers = BTreeMap::new();
    let checked = check(&samples, &mut checkers)?;
    for checked in &checked {
        if global.json {
            println!("{}", serde_json::to_string(checked)?);
        } else {
            print(checked)?;
        }
    }
    let loaded = checked.iter().filter(|checked| checked.verdict.loaded).count();
    if !global.json {
        println!("{loaded} of {} would be loaded", checked.len());
    }
    Ok(if loaded == checked.len() && loaded > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Checks every sample under `folder`.
pub(crate) fn all(global: &Global, catalog: &Catalog, folder: &Path) -> anyhow::Result<ExitCode> {
    let files = find(catalog, folder)?;
    if files.is_empty() {
        bail!("no samples: expected {}/samples/STREAM/*.json or *.ndjson", folder.display());
    }
    let mut checkers = BTreeMap::new();
    let (mut loaded, mut refused, mut bad) = (0, 0, 0);
    for samples in &files {
        for checked in check(samples, &mut checkers)? {
            match (checked.is_good(), checked.to_be_refused) {
                (true, false) => loaded += 1,
                (true, true) => refused += 1,
                (false, _) => bad += 1,
            }
            if global.json {
                println!("{}", serde_json::to_string(&checked)?);
            } else if !checked.is_good() {
                print(&checked)?;
            }
        }
    }
    if !global.json {
        println!(
            "{} files: {loaded} samples would be loaded, {refused} would be refused and must be, {bad} are not as they must be",
            files.len()
        );
    }
    Ok(if bad == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn named<'c>(catalog: &'c Catalog, stream: &str) -> anyhow::Result<&'c Stream> {
    catalog.streams.get(stream).with_context(|| {
        let known = catalog.streams.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        format!("the catalog has no stream {stream}; it has {known}")
    })
}

/// The sample files under `folder`: `samples/STREAM/*` and, of those that must be refused, `samples/STREAM/refused/*`.
fn find<'c>(catalog: &'c Catalog, folder: &Path) -> anyhow::Result<Vec<Samples<'c>>> {
    let mut found = Vec::new();
    let samples = folder.join("samples");
    for of_stream in entries(&samples)?.into_iter().filter(|path| path.is_dir()) {
        let name = of_stream.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let stream = named(catalog, &name).with_context(|| of_stream.display().to_string())?;
        for (folder, to_be_refused) in [(of_stream.clone(), false), (of_stream.join("refused"), true)] {
            if !folder.is_dir() {
                continue;
            }
            for file in entries(&folder)?.into_iter().filter(|path| is_sample(path)) {
                let attributes = attributes_beside(&file)?;
                found.push(Samples { file, stream, attributes, to_be_refused });
            }
        }
    }
    Ok(found)
}

/// What stands in a folder, in the order of names.
fn entries(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let listed = std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut paths = listed.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

fn is_sample(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.is_file() && (name.ends_with(".json") || name.ends_with(".ndjson")) && !name.ends_with(".attributes.json")
}

/// The attributes in `NAME.attributes.json` beside `NAME.json`.
fn attributes_beside(file: &Path) -> anyhow::Result<BTreeMap<String, String>> {
    let beside = file.with_extension("attributes.json");
    if !beside.is_file() {
        return Ok(BTreeMap::new());
    }
    let text = std::fs::read_to_string(&beside).with_context(|| format!("cannot read {}", beside.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{}: expected an object of texts", beside.display()))
}

fn check<'c>(samples: &Samples<'c>, checkers: &mut BTreeMap<&'c str, Checker>) -> anyhow::Result<Vec<Checked>> {
    let Samples { file, stream, attributes, to_be_refused } = samples;
    let checker = match checkers.entry(stream.name.as_str()) {
        Entry::Occupied(known) => known.into_mut(),
        Entry::Vacant(new) => new.insert(Checker::new(stream)?),
    };
    let bytes = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let is_lines = file.extension().is_some_and(|extension| extension == "ndjson");
    let checked = |line: usize, verdict: Verdict| Checked {
        file: file.clone(),
        line,
        stream: stream.name.clone(),
        to_be_refused: *to_be_refused,
        verdict,
    };
    let shape = Shape::new(stream);
    let checked: Vec<Checked> = events(&bytes, is_lines)
        .into_iter()
        .flat_map(|(line, document)| {
            let shaped = match &shape {
                None => return vec![checked(line, checker.check(document, attributes))],
                Some(shape) => shape.events(&Bytes::copy_from_slice(document), attributes),
            };
            match shaped {
                Ok(shaped) => {
                    shaped.events.iter().map(|event| checked(line, checker.check(event, attributes))).collect()
                }
                Err(fault) => vec![checked(line, Verdict::refused(fault))],
            }
        })
        .collect();
    if checked.is_empty() {
        bail!("{} holds no event", file.display());
    }
    Ok(checked)
}

/// The events of a file with the lines that they begin on. What is no JSON is one event, for the checker to refuse.
pub(crate) fn events(bytes: &[u8], is_lines: bool) -> Vec<(usize, &[u8])> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let line_of = |part: &[u8]| {
        let before = (part.as_ptr() as usize).saturating_sub(bytes.as_ptr() as usize).min(bytes.len());
        1 + bytes[..before].iter().filter(|byte| **byte == b'\n').count()
    };
    let parts: Option<Vec<&[u8]>> = if is_lines {
        Some(bytes.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty()).collect())
    } else if bytes.trim_ascii_start().starts_with(b"[") {
        let elements = serde_json::from_slice::<Vec<&RawValue>>(bytes).ok();
        elements.map(|elements| elements.into_iter().map(|element| element.get().as_bytes()).collect())
    } else {
        let elements = serde_json::Deserializer::from_slice(bytes).into_iter::<&RawValue>();
        elements.map(|element| Some(element.ok()?.get().as_bytes())).collect()
    };
    let whole = bytes.trim_ascii();
    let parts = parts.unwrap_or_else(|| if whole.is_empty() { Vec::new() } else { vec![whole] });
    parts.into_iter().map(|part| (line_of(part), part)).collect()
}

fn print(checked: &Checked) -> anyhow::Result<()> {
    let Checked { file, line, verdict, to_be_refused, .. } = checked;
    let place = format!("{}:{line}", file.display());
    let table = verdict.table.as_deref().unwrap_or("no table");
    match (verdict.loaded, to_be_refused) {
        (true, true) => println!("{place}: would be loaded into {table}, and must be refused"),
        (true, false) => println!("{place}: would be loaded into {table}"),
        (false, _) => println!("{place}: would be refused ({table})"),
    }
    for fault in &verdict.errors {
        let pointer = fault.pointer.as_deref().map(|pointer| format!("{pointer}: ")).unwrap_or_default();
        println!("  {pointer}{}: {}", fault.reason, fault.detail);
    }
    if let Some(row) = &verdict.row {
        println!("  {}", serde_json::to_string(row)?);
    }
    for raw in &verdict.raw {
        println!("  {}: {}", raw.table, serde_json::to_string(&raw.row)?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(text: &str, is_lines: bool) -> Vec<(usize, String)> {
        let events = events(text.as_bytes(), is_lines).into_iter();
        events.map(|(line, event)| (line, String::from_utf8_lossy(event).into_owned())).collect()
    }

    #[test]
    fn files_are_cut_into_events() {
        let two = [(1, r#"{"a":1}"#.to_owned()), (2, r#"{"b":2}"#.to_owned())];
        assert_eq!(cut("{\"a\":1}\n{\"b\":2}\n", false), two);
        assert_eq!(cut("{\"a\":1}\n{\"b\":2}\n", true), two);
        assert_eq!(cut("[{\"a\":1},\n{\"b\":2}]", false), two);
        assert_eq!(cut("{\n\"a\": 1\n}", false), [(1, "{\n\"a\": 1\n}".to_owned())]);
        assert_eq!(cut("{\"a\":1}\nno JSON\n", true)[1], (2, "no JSON".to_owned()));
        assert_eq!(cut(" {\"a\" ", false), [(1, "{\"a\"".to_owned())]);
        assert_eq!(cut(" \n", false), []);
    }
}
