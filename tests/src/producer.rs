use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::Context;
use serde_json::json;
use tokio::{sync::watch, task::JoinSet};

/// A producer of the stream `events` that never pauses: whatever is not answered with 200 it sends again, as it is.
#[derive(Debug)]
pub struct Producer {
    receiver: watch::Sender<String>,
    stopping: Arc<AtomicBool>,
    senders: JoinSet<anyhow::Result<Vec<String>>>,
}

impl Producer {
    /// Starts to send to `receiver` with so many requests in flight.
    pub fn start(receiver: &str, in_flight: usize) -> Self {
        let (receiver, url) = watch::channel(receiver.to_owned());
        let stopping = Arc::new(AtomicBool::new(false));
        let mut senders = JoinSet::new();
        for sender in 0..in_flight {
            senders.spawn(send(sender, url.clone(), Arc::clone(&stopping)));
        }
        Self { receiver, stopping, senders }
    }

    /// The receiver is elsewhere from now on.
    pub fn moved(&self, receiver: &str) {
        self.receiver.send_replace(receiver.to_owned());
    }

    /// Stops; the ids of the events that were answered with 200, which are all that were sent.
    pub async fn stop(mut self) -> anyhow::Result<Vec<String>> {
        self.stopping.store(true, Ordering::SeqCst);
        let mut answered = Vec::new();
        while let Some(sender) = self.senders.join_next().await {
            answered.extend(sender??);
        }
        Ok(answered)
    }
}

async fn send(sender: usize, url: watch::Receiver<String>, stopping: Arc<AtomicBool>) -> anyhow::Result<Vec<String>> {
    let http = reqwest::Client::builder().timeout(Duration::from_secs(15)).build()?;
    let mut answered = Vec::new();
    while !stopping.load(Ordering::SeqCst) {
        let id = format!("{sender}-{}", answered.len());
        let event = json!({
            "event_id": id,
            "timestamp": "2024-02-01T10:00:00Z",
            "data": { "sender": sender },
            "metadata": { "source": "test", "version": "1" },
        });
        loop {
            let path = format!("{}/v1/streams/events/events", *url.borrow());
            match http.post(path).body(event.to_string()).send().await {
                Ok(answer) if answer.status() == 200 => break,
                Ok(answer) if answer.status().is_client_error() => {
                    let status = answer.status();
                    return Err(anyhow::anyhow!(answer.text().await?)).with_context(|| status.to_string());
                }
                // It stops, or is gone: a moment later the next one is there.
                Ok(_) | Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
        answered.push(id);
    }
    Ok(answered)
}
