//! `pipas up`: every function in one process, against the local cloud.

use std::{
    fs::{File, TryLockError},
    io::ErrorKind,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, bail};
use catalog::{Catalog, Setting};
use clap::Args;
use comfy_table::{Table, presets::UTF8_FULL_CONDENSED};
use futures::future::try_join_all;
use jiff::Timestamp;
use local_cloud::{Addresses, Faults, LocalCloud};
use service::{App, Env};
use tokio::{
    net::TcpListener,
    task::{JoinHandle, JoinSet},
};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

use crate::{
    account::{self, Accounts, Ledgered},
    cli::Global,
    instance::Endpoints,
    mask_key,
    provision::provision,
};

const PROJECT: &str = "pipas-local";
/// How often the archive's small objects are merged.
const MERGE_EVERY: Duration = Duration::from_secs(60 * 60);
/// How often the janitor looks after the write streams.
const JANITOR_EVERY: Duration = Duration::from_secs(10 * 60);
/// How often the account is written down.
const ACCOUNT_EVERY: Duration = Duration::from_secs(1);

#[derive(Debug, Args)]
pub(crate) struct UpArgs {
    /// The catalog
    #[arg(long, env = "PIPAS_CATALOG", default_value = "pipas.yaml", value_name = "FILE")]
    catalog: PathBuf,
    /// The receiver's port; everything else takes the ports after it. 0: any free ports
    #[arg(long, default_value_t = 8080, value_name = "N")]
    ports_from: u16,
    /// The address to listen on
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    host: IpAddr,
    /// Keep nothing: the data goes into a temporary folder that is removed at the end
    #[arg(long)]
    ephemeral: bool,
    /// The claim ledger's Redis; without one the ledger is kept in this process and in the data directory
    #[arg(long, env = "PIPAS_REDIS_URL", value_name = "URL", hide_env_values = true)]
    redis: Option<String>,
    /// Seconds between two runs of the compactor
    #[arg(long, default_value_t = 60, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    compact_every: u64,
}

pub(crate) async fn up(global: &Global, args: UpArgs) -> anyhow::Result<()> {
    install_logs();
    service::export_telemetry(&Env::from_process())?;
    let catalog = Catalog::load(&args.catalog)?;
    let data = DataDir::take(&global.data_dir, args.ephemeral)?;
    let instance = Instance::start(&args, &catalog, &data).await?;
    let file = instance.endpoints.write(&global.data_dir)?;
    announce(global, &instance.endpoints, &catalog, &data)?;
    tokio::select! {
        () = told_to_stop() => {}
        ended = instance.broke() => return Err(ended),
    }
    if !global.json {
        eprintln!("stopping …");
    }
    // A second Ctrl-C ends the wait; what was answered is on disk already.
    let stopped = tokio::select! {
        stopped = instance.stop(&data) => stopped,
        () = told_to_stop() => bail!("stopped before everything was drained; what was answered is kept"),
    };
    let removed = std::fs::remove_file(&file);
    data.leave()?;
    stopped?;
    match removed {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error).context("cannot remove endpoints.json"),
        _ => Ok(()),
    }
}

/// An instance of its own on free ports, with its data in a temporary folder.
pub(crate) struct Temporary {
    instance: Instance,
    data: DataDir,
}

impl Temporary {
    /// Starts it with the catalog in `file`. `folder` is the caller's, and takes nothing but a lock.
    pub(crate) async fn start(folder: &Path, file: &Path, redis: Option<String>) -> anyhow::Result<Self> {
        let args = UpArgs {
            catalog: file.to_owned(),
            ports_from: 0,
            host: IpAddr::V4(Ipv4Addr::LOCALHOST),
            ephemeral: true,
            redis,
            // Whoever started it triggers the compactor.
            compact_every: u64::from(u32::MAX),
        };
        let data = DataDir::take(folder, true)?;
        let instance = Instance::start(&args, &Catalog::load(file)?, &data).await?;
        Ok(Self { instance, data })
    }

    pub(crate) fn endpoints(&self) -> &Endpoints {
        &self.instance.endpoints
    }

    /// Stops everything, and removes its data.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        self.instance.stop(&self.data).await?;
        self.data.leave()
    }
}

/// Warnings go to standard error; `RUST_LOG` asks for more.
pub(crate) fn install_logs() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
}

/// The data directory, taken by this process alone.
struct DataDir {
    path: PathBuf,
    ephemeral: Option<Ephemeral>,
    /// The folder itself is locked, so that a lock leaves no file.
    _lock: File,
}

/// What an ephemeral instance takes with it.
struct Ephemeral {
    folder: tempfile::TempDir,
    /// The folder of `endpoints.json`, where this instance made it.
    made: Option<PathBuf>,
}

impl DataDir {
    fn take(path: &Path, ephemeral: bool) -> anyhow::Result<Self> {
        let made = (ephemeral && !path.exists()).then(|| path.to_owned());
        std::fs::create_dir_all(path).with_context(|| format!("cannot make {}", path.display()))?;
        let lock = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => bail!(
                "{} is in use by a running instance; stop it, or name another folder with --data-dir",
                path.display()
            ),
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("cannot lock {}", path.display()));
            }
        }
        if !ephemeral {
            return Ok(Self { path: path.to_owned(), ephemeral: None, _lock: lock });
        }
        let folder = tempfile::tempdir()?;
        Ok(Self { path: folder.path().to_owned(), ephemeral: Some(Ephemeral { folder, made }), _lock: lock })
    }

    fn leave(self) -> anyhow::Result<()> {
        let Some(Ephemeral { folder, made }) = self.ephemeral else { return Ok(()) };
        if let Some(made) = made {
            // Whatever somebody else has put there stays.
            let _ = std::fs::remove_dir(made);
        }
        folder.close().context("cannot remove the temporary folder")
    }
}

/// Everything that runs.
struct Instance {
    endpoints: Endpoints,
    cloud: LocalCloud,
    functions: Vec<Function>,
    schedules: JoinSet<()>,
    streams: Vec<String>,
    carried: Accounts,
    stop: CancellationToken,
}

struct Function {
    name: &'static str,
    stop: CancellationToken,
    task: JoinHandle<std::io::Result<()>>,
}

impl Instance {
    async fn start(args: &UpArgs, catalog: &Catalog, data: &DataDir) -> anyhow::Result<Self> {
        let address = |offset: u16| -> anyhow::Result<SocketAddr> {
            let port = if args.ports_from == 0 { Some(0) } else { args.ports_from.checked_add(offset) };
            let port = port.with_context(|| format!("--ports-from {} leaves no room for 11 ports", args.ports_from))?;
            Ok(SocketAddr::new(args.host, port))
        };
        let receiver = listen("receiver", address(0)?).await?;
        let loader = listen("loader", address(1)?).await?;
        let compactor = listen("compactor", address(2)?).await?;
        let deadletter = listen("deadletter", address(7)?).await?;
        let replayer = listen("replayer", address(8)?).await?;
        let poller = listen("poller", address(9)?).await?;
        let cloud = LocalCloud::start(local_cloud::Options {
            data_dir: Some(data.path.clone()),
            project: PROJECT.to_owned(),
            addresses: Addresses {
                pubsub: address(3)?,
                bigquery: address(4)?,
                bigquery_storage: address(5)?,
                storage: address(6)?,
                tasks: address(10)?,
            },
            faults: Faults::default(),
        })
        .await?;
        let endpoints = Endpoints {
            receiver: url(&receiver)?,
            loader: url(&loader)?,
            deadletter: url(&deadletter)?,
            compactor: url(&compactor)?,
            replayer: url(&replayer)?,
            poller: url(&poller)?,
            ..Endpoints::of_cloud(PROJECT, cloud.endpoints())
        };
        let env = environment(args, catalog, &endpoints, data)?;
        provision(catalog, &endpoints).await.context("making what the catalog declares")?;

        let receiver_app = receiver::router(receiver::Receiver::connect(&receiver::Config::from_env(&env)?).await?)?;
        let loads = loader::Loader::connect(&loader::Config::from_env(&env)?).await?;
        let deadletter_app = deadletter::router(deadletter::Deadletter::beside(loads.clone())?)?;
        let loader_app = loader::router(loads);
        let compactor_app =
            compactor::router(compactor::Compactor::connect(&compactor::Config::from_env(&env)?).await?)?;
        let replayer_app = replayer::router(replayer::Replayer::connect(&replayer::Config::from_env(&env)?).await?)?;
        let poller_app = poller::router(poller::Poller::connect(&poller::Config::from_env(&env)?).await?)?;
        let functions = vec![
            Function::start("receiver", receiver, receiver_app),
            Function::start("deadletter", deadletter, deadletter_app),
            Function::start("loader", loader, loader_app),
            Function::start("compactor", compactor, compactor_app),
            Function::start("replayer", replayer, replayer_app),
            Function::start("poller", poller, poller_app),
        ];
        let streams: Vec<String> = catalog.streams.keys().cloned().collect();
        let carried = Ledgered::read(&data.path)?.total;
        let stop = CancellationToken::new();
        let mut instance = Self { endpoints, cloud, functions, schedules: JoinSet::new(), streams, carried, stop };
        instance.write_account(&data.path).await?;
        instance.schedule(args, data);
        if catalog.feeds().next().is_some() {
            instance.poll();
        }
        Ok(instance)
    }

    /// Starts what runs by the clock: the triggers of the compactor and the janitor, and the account.
    fn schedule(&mut self, args: &UpArgs, data: &DataDir) {
        let compactor = format!("{}/compact", self.endpoints.compactor);
        self.trigger("merge", format!("{compactor}?merge=true"), MERGE_EVERY);
        self.trigger("compactor", compactor, Duration::from_secs(args.compact_every));
        self.trigger("janitor", format!("{}/janitor", self.endpoints.loader), JANITOR_EVERY);
        let (endpoints, streams, carried) = (self.endpoints.clone(), self.streams.clone(), self.carried.clone());
        let (path, stop) = (data.path.clone(), self.stop.clone());
        self.schedules.spawn(async move {
            let http = reqwest::Client::new();
            while tick(&stop, ACCOUNT_EVERY).await {
                if let Err(error) = write_account(&http, &endpoints, &streams, &carried, &path).await {
                    tracing::warn!(%error, "the account was not written down");
                }
            }
        });
    }

    /// Posts to `url` by the clock, as Cloud Scheduler does.
    fn trigger(&mut self, name: &'static str, url: String, every: Duration) {
        let stop = self.stop.clone();
        self.schedules.spawn(async move {
            let http = reqwest::Client::new();
            while tick(&stop, every).await {
                // A run may last while messages come; the function ends it when it is stopped itself.
                let answer = tokio::select! {
                    () = stop.cancelled() => return,
                    answer = http.post(&url).send() => answer.and_then(reqwest::Response::error_for_status),
                };
                if let Err(error) = answer {
                    tracing::warn!(%error, "the {name}'s trigger failed");
                }
            }
        });
    }

    /// Posts to the poller at the beginning of each minute, as Cloud Scheduler does; and now, for what is left of this one.
    fn poll(&mut self) {
        const MINUTE: i64 = 60;
        let (url, stop) = (format!("{}/poll", self.endpoints.poller), self.stop.clone());
        self.schedules.spawn(async move {
            let http = reqwest::Client::new();
            loop {
                let minute = Timestamp::now().as_second().div_euclid(MINUTE) * MINUTE;
                let scheduled = Timestamp::from_second(minute).unwrap_or_default().to_string();
                let request = http.post(&url).header("x-cloudscheduler-scheduletime", scheduled);
                let answer = request.send().await.and_then(reqwest::Response::error_for_status);
                if let Err(error) = answer {
                    tracing::warn!(%error, "the poller's trigger failed");
                }
                let next = Timestamp::from_second(minute + MINUTE).unwrap_or(Timestamp::MAX);
                let wait = Duration::try_from(next.duration_since(Timestamp::now())).unwrap_or_default();
                if !tick(&stop, wait).await {
                    return;
                }
            }
        });
    }

    async fn write_account(&self, path: &Path) -> anyhow::Result<()> {
        write_account(&reqwest::Client::new(), &self.endpoints, &self.streams, &self.carried, path).await
    }

    /// Resolves when a function ended that was not told to.
    async fn broke(&self) -> anyhow::Error {
        loop {
            if let Some(function) = self.functions.iter().find(|function| function.task.is_finished()) {
                return anyhow::anyhow!("the {} ended by itself", function.name);
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    /// Stops in the order of the flow, so that each part can hand on what it has taken: what feeds topics, what empties
    /// subscriptions, what they all stand on.
    async fn stop(mut self, data: &DataDir) -> anyhow::Result<()> {
        self.stop.cancel();
        while self.schedules.join_next().await.is_some() {}
        let account = self.write_account(&data.path).await;
        let (feeding, emptying): (Vec<_>, Vec<_>) = self
            .functions
            .into_iter()
            .partition(|function| matches!(function.name, "receiver" | "replayer" | "poller"));
        for together in [feeding, emptying] {
            try_join_all(together.into_iter().map(Function::stop)).await?;
        }
        self.cloud.shutdown().await?;
        account
    }
}

impl Function {
    fn start(name: &'static str, listener: TcpListener, app: App) -> Self {
        let stop = CancellationToken::new();
        let task = tokio::spawn(service::serve(name, listener, app, stop.clone()));
        Self { name, stop, task }
    }

    async fn stop(self) -> anyhow::Result<()> {
        self.stop.cancel();
        Ok(self.task.await.with_context(|| format!("the {}", self.name))??)
    }
}

/// The environment of the functions.
fn environment(args: &UpArgs, catalog: &Catalog, endpoints: &Endpoints, data: &DataDir) -> anyhow::Result<Env> {
    let mut pairs = endpoints.environment(&args.catalog);
    // The data directory is this process's alone, so another owner of a claim is one that died.
    pairs.push(("PIPAS_SUSPECT_AFTER", "10s".to_owned()));
    match &args.redis {
        Some(redis) => pairs.push(("PIPAS_REDIS_URL", redis.clone())),
        None => pairs.push(("PIPAS_LEDGER_JOURNAL", data.path.join("ledger").display().to_string())),
    }
    if catalog.streams.values().any(|stream| stream.payload_mask().hashes()) {
        pairs.push(("PIPAS_MASK_KEY", mask_key::of(&data.path)?));
    }
    // What the catalog's feeds name is this process's own; nothing that they name stands in place of the above.
    let process = Env::from_process();
    let named = catalog.feeds().flat_map(|(_, feed)| feed.headers.values().chain([&feed.url]));
    let of_feeds = named.filter_map(Setting::variable).filter_map(|name| Some((name, process.get(name)?.to_owned())));
    Ok(Env::from_pairs(of_feeds.chain(pairs)))
}

async fn listen(name: &str, address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| {
        format!("the {name} cannot listen on {address}; --ports-from N moves everything to the ports from N")
    })
}

fn url(listener: &TcpListener) -> anyhow::Result<String> {
    let mut address = listener.local_addr()?;
    if address.ip().is_unspecified() {
        address.set_ip(Ipv4Addr::LOCALHOST.into());
    }
    Ok(format!("http://{address}"))
}

/// Waits for the next turn; false once `stop` is cancelled.
async fn tick(stop: &CancellationToken, every: Duration) -> bool {
    tokio::select! {
        () = stop.cancelled() => false,
        () = tokio::time::sleep(every) => true,
    }
}

async fn write_account(
    http: &reqwest::Client,
    endpoints: &Endpoints,
    streams: &[String],
    carried: &Accounts,
    path: &Path,
) -> anyhow::Result<()> {
    let total = account::add(carried, &account::live(http, endpoints, streams).await?);
    Ledgered { carried: carried.clone(), total }.write(path)
}

async fn told_to_stop() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminated) = signal(SignalKind::terminate()) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminated.recv() => {}
    }
}

fn announce(global: &Global, endpoints: &Endpoints, catalog: &Catalog, data: &DataDir) -> anyhow::Result<()> {
    if global.json {
        println!("{}", serde_json::to_string(endpoints)?);
        return Ok(());
    }
    let mut table = Table::new();
    table.load_preset(UTF8_FULL_CONDENSED).set_header(["part", "endpoint", "speaks"]);
    for (part, endpoint, speaks) in endpoints.rows() {
        table.add_row([part, endpoint, speaks]);
    }
    let streams = catalog.streams.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
    let kept = if data.ephemeral.is_some() { ", until the end" } else { "" };
    println!("{table}\nready; streams: {streams}; data in {}{kept}; Ctrl-C stops", data.path.display());
    Ok(())
}
