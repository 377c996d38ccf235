//! `pipas check FILE` and `pipas check --all`: whether samples would be loaded, by the code that loads them.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, bail};
use bytes::Bytes;
use catalog::{Catalog, Stream};
use event::Rejection;
use rows::{Checker, Verdict};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use shape::{LeftOut, Part, Shape};

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
    /// Why it would not be published: `filter`, or `lookup NAME`.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "as_text")]
    left_out: Option<LeftOut>,
    /// The values that lookups did not find, by lookup.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    not_found: BTreeMap<String, String>,
    #[serde(flatten)]
    verdict: Verdict,
}

fn as_text<S: Serializer>(left_out: &Option<LeftOut>, serializer: S) -> Result<S::Ok, S::Error> {
    left_out.as_ref().map(ToString::to_string).serialize(serializer)
}

impl Checked {
    /// What is left out is neither loaded nor refused: the stream says so.
    fn is_good(&self) -> bool {
        self.left_out.is_some() || self.verdict.loaded != self.to_be_refused
    }
}

/// How many samples came to which end.
#[derive(Debug, Default)]
struct Counts {
    loaded: usize,
    refused: usize,
    filtered: usize,
    dropped: usize,
    /// By lookup, how many values it did not find.
    not_found: BTreeMap<String, usize>,
}

impl Counts {
    fn add(&mut self, checked: &Checked) {
        match (&checked.left_out, checked.verdict.loaded) {
            (Some(LeftOut::Filter), _) => {
                self.filtered += 1;
                // What the filter leaves out is not missed.
                return;
            }
            (Some(LeftOut::Lookup(_)), _) => self.dropped += 1,
            (None, true) => self.loaded += 1,
            (None, false) => self.refused += 1,
        }
        checked.not_found.keys().for_each(|lookup| *self.not_found.entry(lookup.clone()).or_default() += 1);
    }

    /// What there is to say beside how many would be loaded; begins with a comma where there is something.
    fn rest(&self) -> String {
        let not_found =
            self.not_found.iter().map(|(lookup, count)| (*count, format!("without a row of the lookup `{lookup}`")));
        let rest = [
            (self.filtered, "left out by the filter".to_owned()),
            (self.dropped, "left out as a lookup does not find them".to_owned()),
        ];
        let told = rest.into_iter().chain(not_found).filter(|(count, _)| *count > 0);
        told.map(|(count, what)| format!(", {count} {what}")).collect()
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
    let mut counts = Counts::default();
    for checked in &checked {
        counts.add(checked);
        if global.json {
            println!("{}", serde_json::to_string(checked)?);
        } else {
            print(checked)?;
        }
    }
    if !global.json {
        println!("{} of {} would be loaded{}", counts.loaded, checked.len(), counts.rest());
    }
    Ok(if counts.refused == 0 && counts.loaded > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Checks every sample under `folder`.
pub(crate) fn all(global: &Global, catalog: &Catalog, folder: &Path) -> anyhow::Result<ExitCode> {
    let files = find(catalog, folder)?;
    if files.is_empty() {
        bail!("no samples: expected {}/samples/STREAM/*.json or *.ndjson", folder.display());
    }
    let mut checkers = BTreeMap::new();
    let (mut good, mut bad) = (Counts::default(), 0);
    for samples in &files {
        for checked in check(samples, &mut checkers)? {
            if checked.is_good() {
                good.add(&checked);
            } else {
                bad += 1;
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
            "{} files: {} samples would be loaded, {} would be refused and must be, {bad} are not as they must be{}",
            files.len(),
            good.loaded,
            good.refused,
            good.rest()
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
pub(crate) fn attributes_beside(file: &Path) -> anyhow::Result<BTreeMap<String, String>> {
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
    let shape = Shape::new(stream);
    let checked: Vec<Checked> = shaped(file, shape.as_ref(), attributes)?
        .into_iter()
        .map(|(line, sample)| {
            let (verdict, left_out, not_found) = match sample {
                Ok(Part { event, missing, left_out: None }) => (checker.check(&event, attributes), None, missing),
                Ok(Part { missing, left_out, .. }) => (Verdict::default(), left_out, missing),
                Err(fault) => (Verdict::refused(fault), None, BTreeMap::new()),
            };
            let (file, stream) = (file.clone(), stream.name.clone());
            Checked { file, line, stream, to_be_refused: *to_be_refused, left_out, not_found, verdict }
        })
        .collect();
    Ok(checked)
}

/// The events of a file as their stream shapes them, with the lines that their documents begin on; those that are left out too.
/// Of a document that is bad in one part nothing but its faults, as the receiver refuses it.
pub(crate) fn shaped(
    file: &Path,
    shape: Option<&Shape>,
    attributes: &BTreeMap<String, String>,
) -> anyhow::Result<Vec<(usize, Result<Part, Rejection>)>> {
    let bytes = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let is_lines = file.extension().is_some_and(|extension| extension == "ndjson");
    let documents = events(&bytes, is_lines);
    if documents.is_empty() {
        bail!("{} holds no event", file.display());
    }
    let mut samples = Vec::new();
    for (line, document) in documents {
        let document = Bytes::copy_from_slice(document);
        let Some(shape) = shape else {
            samples.push((line, Ok(Part::from(document))));
            continue;
        };
        match shape.parts(&document, attributes) {
            Ok(shaped) if shaped.faults.count == 0 => {
                samples.extend(shaped.parts.into_iter().map(|part| (line, Ok(part))));
            }
            Ok(shaped) => samples.extend(shaped.faults.told.into_iter().map(|fault| (line, Err(fault)))),
            Err(fault) => samples.push((line, Err(fault))),
        }
    }
    Ok(samples)
}

/// The events of a file with the lines that they begin on. What is no JSON is one event, for the checker to refuse.
fn events(bytes: &[u8], is_lines: bool) -> Vec<(usize, &[u8])> {
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
    let Checked { file, line, verdict, to_be_refused, left_out, not_found, .. } = checked;
    let place = format!("{}:{line}", file.display());
    let table = verdict.table.as_deref().unwrap_or("no table");
    match (left_out, verdict.loaded, to_be_refused) {
        (Some(why), ..) => println!("{place}: would not be loaded: left out by the stream's {why}"),
        (None, true, true) => println!("{place}: would be loaded into {table}, and must be refused"),
        (None, true, false) => println!("{place}: would be loaded into {table}"),
        (None, false, _) => println!("{place}: would be refused ({table})"),
    }
    for (lookup, value) in not_found {
        println!("  the lookup `{lookup}` does not find `{value}`");
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

    /// The counts of the samples in `text`, whose stream keeps what has a time and looks up stops.
    fn counts(text: &str, more: &str) -> (Vec<Checked>, Counts) {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("a file");
        write("s.json", r#"[{"name": "n", "type": "INT64"}]"#);
        write("stops.csv", "stop_id,name\nA1,One\n");
        write(
            "pipas.yaml",
            &format!(
                "streams:\n  transit:\n    flatten: {{ at: /stops/* }}\n    filter: {{ has: [/n] }}\n    lookup: {{ stops: {{ file: \
                 stops.csv, key: stop_id, from: /stop_id, columns: [name]{more} }} }}\n    tables: {{ t: {{ table: d.t, schema: \
                 s.json }} }}\n"
            ),
        );
        write("sample.json", text);
        let catalog = Catalog::load(&folder.path().join("pipas.yaml")).unwrap_or_else(|error| panic!("{error}"));
        let samples = Samples {
            file: folder.path().join("sample.json"),
            stream: &catalog.streams["transit"],
            attributes: BTreeMap::new(),
            to_be_refused: false,
        };
        let checked = check(&samples, &mut BTreeMap::new()).expect("samples");
        let mut counts = Counts::default();
        checked.iter().for_each(|checked| counts.add(checked));
        (checked, counts)
    }

    #[test]
    fn what_is_left_out_is_told_and_is_no_failure() {
        let (checked, found) =
            counts(r#"{"stops":[{"n":1,"stop_id":"A1"},{"n":2,"stop_id":"B2"},{"stop_id":"A1"}]}"#, "");
        assert_eq!((found.loaded, found.refused, found.filtered), (2, 0, 1), "{found:?}");
        assert_eq!(found.rest(), ", 1 left out by the filter, 1 without a row of the lookup `stops`");
        assert!(!checked[2].verdict.loaded && checked[2].is_good(), "{:?}", checked[2]);
        let json = serde_json::to_value(&checked[2]).expect("JSON");
        assert_eq!((&json["left_out"], &json["loaded"]), (&serde_json::json!("filter"), &serde_json::json!(false)));
        let (checked, found) = counts(r#"{"stops":[{"stop_id":"A1"}]}"#, "");
        assert_eq!((found.loaded, found.refused, found.filtered), (0, 0, 1), "a file of nothing else: {checked:?}");
        let (_, found) = counts(r#"{"stops":[{"n":1,"stop_id":"B2"}]}"#, ", missing: drop");
        assert_eq!((found.loaded, found.dropped), (0, 1), "{found:?}");
    }

    #[test]
    fn a_document_that_is_bad_in_one_part_is_refused_as_the_receiver_does() {
        let (checked, found) = counts(r#"{"stops":[{"n":1},7]}"#, "");
        assert_eq!((found.loaded, found.refused), (0, 1), "{checked:?}");
        assert_eq!(checked[0].verdict.errors[0].pointer.as_deref(), Some("/stops/1"));
    }
}
