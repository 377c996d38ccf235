//! From the start of a function's process to its first 200 on /readyz, beside a bare axum server's, in turns on one machine.
//!
//! ```sh
//! cargo build --profile dist $(scripts/functions | sed 's/^/-p/') && cargo build --profile dist -p service --example bare
//! cargo run -p tests --bin startup -- --binaries target/dist
//! ```
//!
//! What readiness asks is there: the ledger is a real Redis (`PIPAS_TEST_REDIS_URL`), Cloud Storage the local one. What it does not ask is
//! Google's, so that every client sets up its TLS as in a deployment; nothing is sent to it.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use clap::Parser;
use nix::sys::{
    resource::{UsageWho, getrusage},
    time::TimeValLike,
};
use tests::{Setup, World};

/// Measures how long functions take to be ready.
#[derive(Debug, Parser)]
struct Args {
    /// The folder of the binaries that are measured; the bare server lies in `examples` below it
    #[arg(long, default_value = "target/dist", value_name = "DIR")]
    binaries: PathBuf,
    /// Starts of each
    #[arg(long, default_value_t = 40, value_name = "N")]
    runs: usize,
    /// Only these
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
}

/// A binary and what its starts took.
struct Contender {
    name: String,
    binary: PathBuf,
    ready_ms: Vec<f64>,
    cpu_ms: Vec<f64>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let world = World::start(Setup::default()).await?;
    let mut env = world.endpoints.environment(&World::catalog_file());
    env.push(("PIPAS_REDIS_URL", World::redis_url()?));
    // As deployed, but for the keys, which are fetched with the first push.
    let not_asked =
        ["PIPAS_PUBSUB_ENDPOINT", "PIPAS_BIGQUERY_ENDPOINT", "PIPAS_BIGQUERY_STORAGE_ENDPOINT", "PIPAS_PUSH_AUTH"];
    env.retain(|(name, _)| !not_asked.contains(name));
    // An image has one file of authorities, and a platform whose metadata server answers at once: here it refuses at once.
    env.push(("SSL_CERT_FILE", "/etc/ssl/certs/ca-certificates.crt".to_owned()));
    env.push(("GCE_METADATA_HOST", "127.0.0.1:1".to_owned()));
    env.push(("PIPAS_TASKS_QUEUE", "projects/p/locations/l/queues/polls".to_owned()));
    env.push(("PIPAS_POLLER_URL", "https://poller".to_owned()));
    env.push(("PIPAS_PUSH_AUDIENCE", "https://loader".to_owned()));
    env.push(("PIPAS_PUSH_SERVICE_ACCOUNT", "push@pipas-local.iam.gserviceaccount.com".to_owned()));
    let mut contenders = contenders(&args)?;
    for _ in 0..args.runs {
        for contender in &mut contenders {
            let (ready, cpu) = start(&contender.binary, &env).with_context(|| contender.name.clone())?;
            contender.ready_ms.push(ready.as_secs_f64() * 1000.0);
            contender.cpu_ms.push(cpu.as_secs_f64() * 1000.0);
        }
    }
    println!("{:<12} {:>9} {:>9} {:>9} {:>9}", "", "p50 ms", "p90 ms", "max ms", "CPU ms");
    for contender in &mut contenders {
        let Contender { name, ready_ms, cpu_ms, .. } = contender;
        let [p50, p90, max] = [0.5, 0.9, 1.0].map(|share| quantile(ready_ms, share));
        println!("{name:<12} {p50:>9.1} {p90:>9.1} {max:>9.1} {:>9.1}", quantile(cpu_ms, 0.5));
    }
    world.stop().await
}

/// The functions whose binaries are there, and the bare server.
fn contenders(args: &Args) -> anyhow::Result<Vec<Contender>> {
    let functions = Path::new(env!("CARGO_MANIFEST_DIR")).join("../functions");
    let mut names = std::fs::read_dir(functions)?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<std::io::Result<Vec<_>>>()?;
    names.retain(|name| name != "pipas" && (args.only.is_empty() || args.only.contains(name)));
    names.sort();
    let mut found: Vec<(String, PathBuf)> =
        names.into_iter().map(|name| (name.clone(), args.binaries.join(name))).collect();
    found.insert(0, ("bare axum".to_owned(), args.binaries.join("examples/bare")));
    if let Some((_, absent)) = found.iter().find(|(_, binary)| !binary.exists()) {
        bail!("{} is not built: see the head of {}", absent.display(), file!());
    }
    let contender = |(name, binary)| Contender { name, binary, ready_ms: Vec::new(), cpu_ms: Vec::new() };
    Ok(found.into_iter().map(contender).collect())
}

/// Starts it once: the time to its first 200, and the processor's time until then.
fn start(binary: &Path, env: &[(&'static str, String)]) -> anyhow::Result<(Duration, Duration)> {
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
    let before = processor()?;
    let started = Instant::now();
    let mut child = Command::new(binary)
        .env_clear()
        .env("PORT", port.to_string())
        .envs(env.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()?;
    let ready = loop {
        if is_ready(port) {
            break Ok(started.elapsed());
        }
        if let Some(status) = child.try_wait()? {
            break Err(anyhow::anyhow!("it ended with {status}"));
        }
        if started.elapsed() > Duration::from_secs(20) {
            break Err(anyhow::anyhow!("it is not ready after 20 s"));
        }
        std::thread::sleep(Duration::from_micros(200));
    };
    // Nobody waits for a measured process to end well, and what it would do then is not its start.
    let _ = child.kill();
    child.wait()?;
    Ok((ready?, processor()?.saturating_sub(before)))
}

fn is_ready(port: u16) -> bool {
    let asked = || -> std::io::Result<Vec<u8>> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
        stream.set_read_timeout(Some(Duration::from_secs(3)))?;
        stream.write_all(b"GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
        let mut head = vec![0; 12];
        stream.read_exact(&mut head)?;
        Ok(head)
    };
    asked().is_ok_and(|head| head == b"HTTP/1.1 200")
}

/// The processor's time of the children that have ended.
fn processor() -> anyhow::Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let microseconds = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Ok(Duration::from_micros(u64::try_from(microseconds)?))
}

fn quantile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let last = values.len().saturating_sub(1);
    values.get((last as f64 * share).round() as usize).copied().unwrap_or(f64::NAN)
}
