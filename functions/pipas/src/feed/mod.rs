//! `pipas feed`: generated events for each example, at a rate.

mod search;
mod shop;
mod transit;

use std::{
    io::Write,
    net::SocketAddr,
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use bytes::{BufMut, Bytes, BytesMut};
use clap::{Args, ValueEnum};
use futures::{StreamExt, TryStreamExt};
use serde::Serialize;

use crate::{
    cli::Global,
    conversations::{Conversations, Line},
    instance::Endpoints,
    post::{Answer, Poster},
};

/// How many requests are under way at once.
const CONCURRENCY: usize = 32;
/// Requests a second, at most: more events a second make larger requests.
const REQUESTS_PER_SECOND: u32 = 20;

/// Send generated events of an example, at a rate; for transit serve a feed that the poller fetches
#[derive(Debug, Args)]
pub(crate) struct FeedArgs {
    /// Which example's events
    #[arg(value_enum)]
    example: Example,
    /// Events a second; for transit, vehicles under way, each of which changes about one stop update a second
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rate: u32,
    /// How long, e.g. `60s` or `5m`
    #[arg(long, default_value = "60s", value_parser = duration)]
    duration: Duration,
    /// The generator's seed: the same seed and rate give the same events; without one they are new
    #[arg(long)]
    seed: Option<u64>,
    /// The stream that takes the events; without it the one that is named like the example
    #[arg(long)]
    stream: Option<String>,
    /// Print the events that would be sent, one a line, and send nothing
    #[arg(long, conflicts_with = "stops")]
    print: bool,
    /// Where transit's feed is served
    #[arg(long, default_value = "127.0.0.1:8099", value_name = "ADDRESS")]
    address: SocketAddr,
    /// Write transit's table of stops to this file, and do nothing else
    #[arg(long, value_name = "FILE")]
    stops: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Example {
    CourierChat,
    Shop,
    Transit,
    Search,
}

impl Example {
    const fn stream(self) -> &'static str {
        match self {
            Self::CourierChat => "courier-chat",
            Self::Shop => "backend-events",
            Self::Transit => "transit",
            Self::Search => "search",
        }
    }
}

/// What was sent.
#[derive(Debug, Serialize)]
struct Report {
    stream: String,
    seed: u64,
    accepted: usize,
    refused: usize,
    seconds: f64,
    events_per_second: f64,
}

/// `90s`, `5m`, `2h`.
fn duration(text: &str) -> Result<Duration, String> {
    let parsed = text.char_indices().last().and_then(|(at, unit)| {
        let seconds = match unit {
            's' => 1,
            'm' => 60,
            'h' => 60 * 60,
            _ => return None,
        };
        text[..at].parse::<u64>().ok()?.checked_mul(seconds)
    });
    parsed
        .filter(|seconds| *seconds > 0)
        .map(Duration::from_secs)
        .ok_or_else(|| "expected a whole number above zero and `s`, `m` or `h`, e.g. `60s`".to_owned())
}

pub(crate) async fn feed(global: &Global, args: FeedArgs) -> anyhow::Result<ExitCode> {
    if let Some(file) = &args.stops {
        std::fs::write(file, transit::stops_csv()).with_context(|| format!("cannot write {}", file.display()))?;
        return Ok(ExitCode::SUCCESS);
    }
    let seed = args.seed.unwrap_or_else(rand::random);
    match args.example {
        Example::Transit if args.print => bail!("transit's events are what its feed becomes: --print has none to show"),
        Example::Transit => transit::serve(args.address, seed, args.rate, args.duration).await,
        Example::CourierChat => {
            let first_order = seed % 1_000_000 * 1_000;
            send(global, &args, seed, Conversations::new(seed, u64::MAX).numbered_from(first_order).flatten()).await
        }
        Example::Shop => send(global, &args, seed, shop::Events::new(seed)).await,
        Example::Search => send(global, &args, seed, search::Events::new(seed)).await,
    }
}

/// Sends `lines` for as long as was asked for, each request when its turn has come.
async fn send(
    global: &Global,
    args: &FeedArgs,
    seed: u64,
    lines: impl Iterator<Item = Line>,
) -> anyhow::Result<ExitCode> {
    let count = u64::from(args.rate) * args.duration.as_secs();
    let lines = lines.take(usize::try_from(count)?);
    if args.print {
        return print(lines);
    }
    let endpoints = Endpoints::find(&global.data_dir)?;
    let stream = args.stream.clone().unwrap_or_else(|| args.example.stream().to_owned());
    let poster = Poster::new(&endpoints.receiver, &stream)?;
    let each = args.rate.div_ceil(REQUESTS_PER_SECOND) as usize;
    let started = Instant::now();
    let batches = Batches { lines, each };
    let sent = futures::stream::iter(batches.enumerate())
        .then(|(number, batch)| async move {
            let turn = (number * each) as f64 / f64::from(args.rate);
            let wait = Duration::from_secs_f64(turn).saturating_sub(started.elapsed());
            tokio::time::sleep(wait).await;
            (number, batch)
        })
        .map(|(number, batch)| {
            let (poster, stream) = (&poster, &stream);
            async move {
                let (key, count) = (format!("{stream}-{seed}-{each}-{number}"), batch.len());
                match poster.post(body(&batch), "application/x-ndjson", &key).await? {
                    Answer::Accepted(accepted) => anyhow::Ok((accepted, 0)),
                    Answer::Refused { detail, errors } => {
                        let detail = errors.into_iter().next().map_or(detail, |error| error.detail);
                        eprintln!("refused: {detail}");
                        Ok((0, count))
                    }
                    Answer::TooLarge { detail } => {
                        eprintln!("refused: {detail}");
                        Ok((0, count))
                    }
                }
            }
        })
        .buffer_unordered(CONCURRENCY)
        .try_fold((0, 0), |(accepted, refused), (more, worse)| async move { Ok((accepted + more, refused + worse)) });
    let (accepted, refused) = sent.await?;
    let seconds = started.elapsed().as_secs_f64();
    let events_per_second = accepted as f64 / seconds.max(f64::EPSILON);
    let report = Report { stream, seed, accepted, refused, seconds, events_per_second };
    if global.json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        println!(
            "{}: accepted {accepted}, refused {refused}, in {seconds:.1} s ({events_per_second:.0} events/s), seed {seed}",
            report.stream
        );
    }
    Ok(if refused == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn print(mut lines: impl Iterator<Item = Line>) -> anyhow::Result<ExitCode> {
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let written = lines.try_for_each(|line| writeln!(out, "{}", line.json)).and_then(|()| out.flush());
    match written {
        // Whoever reads has had enough.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
        written => Ok(written.map(|()| ExitCode::SUCCESS)?),
    }
}

/// So many lines at a time.
struct Batches<I> {
    lines: I,
    each: usize,
}

impl<I: Iterator<Item = Line>> Iterator for Batches<I> {
    type Item = Vec<Line>;

    fn next(&mut self) -> Option<Vec<Line>> {
        let batch: Vec<Line> = self.lines.by_ref().take(self.each).collect();
        (!batch.is_empty()).then_some(batch)
    }
}

fn body(lines: &[Line]) -> Bytes {
    let mut body = BytesMut::new();
    for line in lines {
        body.put_slice(line.json.as_bytes());
        body.put_u8(b'\n');
    }
    body.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read() {
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("5m"), Ok(Duration::from_secs(300)));
        for bad in ["", "s", "0s", "5", "5d", "é", "-1s"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_events() {
        let shop = |seed| shop::Events::new(seed).take(50).collect::<Vec<_>>();
        let search = |seed| search::Events::new(seed).take(500).collect::<Vec<_>>();
        assert_eq!((shop(7), search(7)), (shop(7), search(7)));
        assert_ne!(shop(7), shop(8));
        assert_ne!(search(7), search(8));
    }
}
