use std::{
    collections::HashMap,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

/// Passes connections on to targets by turns.
#[derive(Debug)]
pub(super) struct Relay {
    pub(super) address: SocketAddr,
    targets: Arc<Mutex<Targets>>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Targets {
    live: Vec<SocketAddr>,
    turn: usize,
    /// Cut what is connected to each.
    cuts: HashMap<SocketAddr, CancellationToken>,
}

impl Targets {
    fn next(&mut self) -> Option<(SocketAddr, CancellationToken)> {
        self.turn = self.turn.wrapping_add(1);
        let target = *self.live.get(self.turn % self.live.len().max(1))?;
        Some((target, self.cuts.entry(target).or_default().clone()))
    }
}

impl Relay {
    pub(super) async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let targets: Arc<Mutex<Targets>> = Arc::default();
        let shared = Arc::clone(&targets);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                // Without a target the client's connection closes at once.
                if let Some((target, cut)) = locked(&shared).next() {
                    tokio::spawn(async move {
                        tokio::select! {
                            () = cut.cancelled() => {}
                            () = pass(client, target) => {}
                        }
                    });
                }
            }
        });
        Ok(Self { address, targets, task })
    }

    /// From now on these are the targets. Connections to others stay until an end closes them.
    pub(super) fn set(&self, targets: impl IntoIterator<Item = SocketAddr>) {
        locked(&self.targets).live = targets.into_iter().collect();
    }

    /// Cuts every connection to `target`, which is no target any more.
    pub(super) fn cut(&self, target: SocketAddr) {
        let mut targets = locked(&self.targets);
        targets.live.retain(|live| *live != target);
        if let Some(cut) = targets.cuts.remove(&target) {
            cut.cancel();
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
        locked(&self.targets).cuts.values().for_each(CancellationToken::cancel);
    }
}

async fn pass(mut client: TcpStream, target: SocketAddr) {
    if let Ok(mut server) = TcpStream::connect(target).await {
        let _ = (client.set_nodelay(true), server.set_nodelay(true));
        // Either side may end it in any way.
        let _ = copy_bidirectional(&mut client, &mut server).await;
    }
}

fn locked(targets: &Mutex<Targets>) -> MutexGuard<'_, Targets> {
    targets.lock().unwrap_or_else(PoisonError::into_inner)
}
