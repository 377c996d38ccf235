//! `pipas send`: a file of any size, through the receiver.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, IsTerminal, Read},
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::Context;
use bytes::{BufMut, Bytes, BytesMut};
use clap::Args;
use futures::{Stream, StreamExt, TryStreamExt};
use indicatif::{ProgressBar, ProgressStyle};
use tokio::sync::mpsc;

use crate::{
    cli::Global,
    instance::Endpoints,
    post::{Answer, Poster},
};

/// The longest body that a request carries, unless one line is longer.
const BATCH_BYTES: usize = 1 << 20;
/// A line is shorter: with its end this is the largest body that the receiver takes where nothing else is said, and Cloud
/// Run's limit. A message holds less, but a line may be a document that its stream cuts into events.
const LINE_BYTES: usize = 32 << 20;
/// How many requests are under way at once.
const CONCURRENCY: usize = 16;
/// How many refused lines are shown to people.
const SHOWN: usize = 20;

#[derive(Debug, Args)]
pub(crate) struct SendArgs {
    /// A file of one JSON object a line; `-` reads standard input
    file: PathBuf,
    /// The stream that takes the events
    #[arg(long)]
    stream: String,
    /// Events a request
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u16).range(1..=1000))]
    batch: u16,
    /// Events a second; without it as fast as the receiver takes them
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    rate: Option<u32>,
}

/// What became of a file.
#[derive(Debug, Default, serde::Serialize)]
pub(crate) struct Report {
    /// Lines that are on the topic now.
    accepted: usize,
    /// Lines that were refused, by number from 1, with the reason.
    refused: BTreeMap<u64, String>,
    seconds: f64,
    events_per_second: f64,
}

/// Some lines of the file with their numbers.
#[derive(Debug, Clone, Default)]
struct Batch {
    lines: Vec<(u64, Bytes)>,
    /// Lines that no request could carry, with the reason.
    refused: BTreeMap<u64, String>,
    /// What was read of the file.
    bytes: u64,
}

pub(crate) async fn send(global: &Global, args: SendArgs) -> anyhow::Result<ExitCode> {
    let endpoints = Endpoints::find(&global.data_dir)?;
    let poster = Poster::new(&endpoints.receiver, &args.stream)?;
    let (input, length) = open(&args.file)?;
    let progress = progress_bar(length, global.json);
    let started = Instant::now();
    let batches = read_batches(input, usize::from(args.batch));
    let run = uuid::Uuid::new_v4();
    let results = paced(tokio_stream(batches), args.rate)
        .map(|batch| {
            let (poster, run) = (&poster, &run);
            async move {
                let batch = batch?;
                let (bytes, asked) = (batch.bytes, !batch.lines.is_empty());
                anyhow::Ok((post_batch(poster, run, batch).await?, bytes, asked))
            }
        })
        .buffer_unordered(CONCURRENCY);
    let mut results = std::pin::pin!(results);
    let (mut report, mut has_asked) = (Report::default(), false);
    while let Some((part, bytes, asked)) = results.try_next().await? {
        has_asked |= asked;
        report.accepted += part.accepted;
        report.refused.extend(part.refused);
        progress.inc(bytes);
        let rate = report.accepted as f64 / started.elapsed().as_secs_f64();
        progress.set_message(format!("{} events, {rate:.0} events/s", report.accepted));
    }
    if !has_asked {
        // Nothing was there to be sent: that the stream exists was not seen either.
        poster.post(Bytes::new(), "application/x-ndjson", &run.to_string()).await?;
    }
    progress.finish_and_clear();
    report.seconds = started.elapsed().as_secs_f64();
    report.events_per_second = report.accepted as f64 / report.seconds.max(f64::EPSILON);
    print(&report, global.json)?;
    Ok(if report.refused.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn open(file: &Path) -> anyhow::Result<(Box<dyn Read + Send>, Option<u64>)> {
    if file == Path::new("-") {
        return Ok((Box::new(std::io::stdin()), None));
    }
    let opened = std::fs::File::open(file).with_context(|| format!("cannot open {}", file.display()))?;
    let length = opened.metadata().ok().filter(std::fs::Metadata::is_file).map(|metadata| metadata.len());
    Ok((Box::new(opened), length))
}

fn progress_bar(length: Option<u64>, quiet: bool) -> ProgressBar {
    if quiet || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let (bar, template) = match length {
        Some(length) => {
            (ProgressBar::new(length), "{wide_bar} {percent}% {bytes}/{total_bytes} {bytes_per_sec} ETA {eta}  {msg}")
        }
        None => (ProgressBar::new_spinner(), "{spinner} {bytes} {bytes_per_sec}  {msg}"),
    };
    bar.enable_steady_tick(Duration::from_millis(200));
    bar.with_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// Reads lines on a thread of its own, a few batches ahead of the network.
fn read_batches(input: Box<dyn Read + Send>, most_lines: usize) -> mpsc::Receiver<anyhow::Result<Batch>> {
    let (sender, receiver) = mpsc::channel(CONCURRENCY);
    tokio::task::spawn_blocking(move || {
        let mut lines = Lines::new(input);
        let mut batch = Batch::default();
        loop {
            let next = lines.next();
            let ends = match &next {
                Ok(None) | Err(_) => true,
                Ok(Some(line)) => batch.is_full(most_lines) || line.is_long() && !batch.lines.is_empty(),
            };
            if ends && !batch.is_empty() && sender.blocking_send(Ok(std::mem::take(&mut batch))).is_err() {
                return;
            }
            match next {
                Ok(Some(line)) => batch.add(line),
                Ok(None) => return,
                Err(error) => {
                    let _ = sender.blocking_send(Err(error));
                    return;
                }
            }
        }
    });
    receiver
}

impl Batch {
    fn is_empty(&self) -> bool {
        self.lines.is_empty() && self.refused.is_empty()
    }

    fn is_full(&self, most_lines: usize) -> bool {
        self.lines.len() >= most_lines || self.bytes >= BATCH_BYTES as u64
    }

    fn add(&mut self, line: Line) {
        self.bytes += line.bytes;
        match line.text {
            Some(text) if text.is_empty() => {}
            Some(text) => self.lines.push((line.number, text)),
            None => {
                let reason = format!("a line holds less than {LINE_BYTES} bytes, found {}", line.bytes);
                self.refused.insert(line.number, reason);
            }
        }
    }
}

/// The lines of a file, by number.
struct Lines<R> {
    input: BufReader<R>,
    number: u64,
}

/// A line of the file.
struct Line {
    number: u64,
    /// What stands on it without the white space around; `None`: it is too long to be sent, and was passed over.
    text: Option<Bytes>,
    /// How many bytes of the file it is, with its end.
    bytes: u64,
}

impl Line {
    /// Whether it is a request of its own.
    fn is_long(&self) -> bool {
        self.bytes > BATCH_BYTES as u64
    }
}

impl<R: Read> Lines<R> {
    fn new(input: R) -> Self {
        Self { input: BufReader::with_capacity(BATCH_BYTES, input), number: 0 }
    }

    /// The next line; no more of it is held than can be sent.
    fn next(&mut self) -> anyhow::Result<Option<Line>> {
        self.number += 1;
        self.read().with_context(|| format!("cannot read line {}", self.number))
    }

    fn read(&mut self) -> std::io::Result<Option<Line>> {
        let mut text = Vec::new();
        // One byte more than the longest with its end tells a longer one.
        let most = LINE_BYTES as u64 + 1;
        let mut bytes = self.input.by_ref().take(most).read_until(b'\n', &mut text)? as u64;
        if bytes == 0 {
            return Ok(None);
        }
        let is_whole = text.ends_with(b"\n");
        if !is_whole && bytes == most {
            bytes += self.input.skip_until(b'\n')? as u64;
        }
        let text = Bytes::from(text);
        let trimmed = text.slice_ref(text.trim_ascii());
        let fits = text.len() - usize::from(is_whole) < LINE_BYTES;
        Ok(Some(Line { number: self.number, text: fits.then_some(trimmed), bytes }))
    }
}

fn tokio_stream(mut batches: mpsc::Receiver<anyhow::Result<Batch>>) -> impl Stream<Item = anyhow::Result<Batch>> {
    futures::stream::poll_fn(move |context| batches.poll_recv(context))
}

/// The batches, each when its turn has come at `rate` events a second.
fn paced(
    batches: impl Stream<Item = anyhow::Result<Batch>>,
    rate: Option<u32>,
) -> impl Stream<Item = anyhow::Result<Batch>> {
    let (started, mut before) = (tokio::time::Instant::now(), 0_u64);
    batches.then(move |batch| {
        let turn = rate.map(|rate| started + Duration::from_secs_f64(before as f64 / f64::from(rate)));
        before += batch.as_ref().map_or(0, |batch| batch.lines.len() as u64);
        async move {
            if let Some(turn) = turn {
                tokio::time::sleep_until(turn).await;
            }
            batch
        }
    })
}

/// Posts the lines of `batch` that the receiver takes; those that it refuses are left out, and the rest is sent again.
async fn post_batch(poster: &Poster, run: &uuid::Uuid, batch: Batch) -> anyhow::Result<Report> {
    let mut report = Report { refused: batch.refused, ..Report::default() };
    let mut waiting = vec![batch.lines];
    while let Some(mut lines) = waiting.pop() {
        let Some(&(first, _)) = lines.first() else { continue };
        let key = format!("{run}-{first}-{}", lines.len());
        match poster.post(body(&lines), "application/x-ndjson", &key).await? {
            Answer::Accepted(accepted) => report.accepted += accepted,
            Answer::TooLarge { detail } if lines.len() == 1 => {
                report.refused.insert(first, detail);
            }
            Answer::TooLarge { .. } => {
                let rest = lines.split_off(lines.len() / 2);
                waiting.extend([rest, lines]);
            }
            Answer::Refused { detail, errors } => {
                let at_fault: BTreeMap<usize, String> =
                    errors.into_iter().map(|error| (error.line, error.detail)).collect();
                let mut kept = Vec::with_capacity(lines.len());
                for (index, (number, line)) in lines.into_iter().enumerate() {
                    match at_fault.get(&(index + 1)) {
                        Some(reason) => drop(report.refused.insert(number, reason.clone())),
                        None if at_fault.is_empty() => drop(report.refused.insert(number, detail.clone())),
                        None => kept.push((number, line)),
                    }
                }
                waiting.push(kept);
            }
        }
    }
    Ok(report)
}

fn body(lines: &[(u64, Bytes)]) -> Bytes {
    let mut body = BytesMut::with_capacity(lines.iter().map(|(_, line)| line.len() + 1).sum());
    for (_, line) in lines {
        body.put_slice(line);
        body.put_u8(b'\n');
    }
    body.freeze()
}

fn print(report: &Report, json: bool) -> anyhow::Result<()> {
    if json {
        println!("{}", serde_json::to_string(report)?);
        return Ok(());
    }
    for (number, reason) in report.refused.iter().take(SHOWN) {
        println!("line {number}: {reason}");
    }
    if report.refused.len() > SHOWN {
        println!("… and {} more refused lines; --json lists all", report.refused.len() - SHOWN);
    }
    println!(
        "accepted {}, refused {}, in {:.1} s ({:.0} events/s)",
        report.accepted,
        report.refused.len(),
        report.seconds,
        report.events_per_second
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(input: impl Read + Send + 'static, most_lines: usize) -> Vec<Batch> {
        tokio_stream(read_batches(Box::new(input), most_lines)).try_collect().await.expect("lines")
    }

    async fn batches(text: &'static str, most_lines: usize) -> Vec<Vec<(u64, Bytes)>> {
        read(text.as_bytes(), most_lines).await.into_iter().map(|batch| batch.lines).collect()
    }

    #[tokio::test]
    async fn lines_keep_their_numbers_and_blank_ones_are_passed_over() {
        let lines = batches("{}\n\n  {\"a\":1} \r\n{}", 2).await;
        let line = |number, text: &'static str| (number, Bytes::from_static(text.as_bytes()));
        assert_eq!(lines, [vec![line(1, "{}"), line(3, "{\"a\":1}")], vec![line(4, "{}")]]);
    }

    #[tokio::test]
    async fn an_empty_file_has_no_batches() {
        assert!(batches("", 2).await.is_empty());
    }

    #[tokio::test]
    async fn a_line_that_no_request_carries_is_refused_by_number_and_the_rest_goes_on() {
        let of = |byte, length: usize| std::io::repeat(byte).take(length as u64);
        let input = b"{}\n"
            .chain(of(b'x', LINE_BYTES))
            .chain(&b"\n{}\n"[..])
            .chain(of(b'y', LINE_BYTES - 1))
            .chain(&b"\n"[..])
            .chain(of(b'z', 3 * LINE_BYTES));
        let batches = read(input, 500).await;
        let sent: Vec<(u64, usize)> =
            batches.iter().flat_map(|batch| &batch.lines).map(|(number, line)| (*number, line.len())).collect();
        assert_eq!(sent, [(1, 2), (3, 2), (4, LINE_BYTES - 1)]);
        let refused: Vec<(u64, String)> = batches.iter().flat_map(|batch| batch.refused.clone()).collect();
        let reason = |found: usize| format!("a line holds less than {LINE_BYTES} bytes, found {found}");
        assert_eq!(refused, [(2, reason(LINE_BYTES + 1)), (5, reason(3 * LINE_BYTES))]);
        let alone = batches.iter().filter(|batch| batch.lines.iter().any(|(number, _)| *number == 4));
        assert!(
            alone.clone().count() == 1 && alone.clone().all(|batch| batch.lines.len() == 1),
            "a long line goes alone"
        );
        assert_eq!(batches.iter().map(|batch| batch.bytes).sum::<u64>(), 7 + 5 * LINE_BYTES as u64);
    }
}
