//! Which rows go out together, and when.

use std::{collections::VecDeque, sync::Arc};

use futures::{StreamExt, stream::FuturesUnordered};
use tokio::sync::mpsc;

use super::{
    AppenderConfig, QueuedRow,
    delivery::{Batch, Delivery},
};
use rows::{LiveEncoder, SharedDescriptor};

use crate::{client::WriteStreamName, connection::Connection};

pub(super) struct Gatherer {
    delivery: Arc<Delivery>,
    config: AppenderConfig,
    waiting: VecDeque<QueuedRow>,
    waiting_bytes: usize,
}

impl Gatherer {
    pub(super) fn new(
        connection: Connection,
        stream: WriteStreamName,
        encoder: LiveEncoder,
        config: AppenderConfig,
    ) -> Self {
        let delivery = Delivery { connection, stream, encoder, retry_for: config.retry_for };
        Self { delivery: Arc::new(delivery), config, waiting: VecDeque::new(), waiting_bytes: 0 }
    }

    pub(super) async fn run(mut self, mut rows: mpsc::UnboundedReceiver<QueuedRow>) {
        let mut in_flight = FuturesUnordered::new();
        let mut is_closing = false;
        loop {
            while self.should_send(in_flight.len()) {
                let batch = self.take_batch();
                let delivery = Arc::clone(&self.delivery);
                in_flight.push(async move { delivery.deliver(batch).await });
            }
            if is_closing && in_flight.is_empty() {
                break;
            }
            tokio::select! {
                Some(()) = in_flight.next() => {}
                row = rows.recv(), if !is_closing => match row {
                    Some(row) => {
                        self.wait(row);
                        // Whatever came together goes out together.
                        while let Ok(row) = rows.try_recv() {
                            self.wait(row);
                        }
                    }
                    None => is_closing = true,
                },
            }
        }
        drop(in_flight);
        if let Some(delivery) = Arc::into_inner(self.delivery) {
            delivery.connection.close().await;
        }
    }

    fn wait(&mut self, row: QueuedRow) {
        self.waiting_bytes += row.bytes.len();
        self.waiting.push_back(row);
    }

    fn should_send(&self, in_flight: usize) -> bool {
        let is_full = self.waiting.len() >= self.config.max_rows || self.waiting_bytes >= self.config.max_bytes;
        !self.waiting.is_empty() && (in_flight == 0 || is_full && in_flight < self.config.max_in_flight)
    }

    /// The oldest rows that fit an append and one descriptor.
    fn take_batch(&mut self) -> Batch {
        let mut rows = Vec::new();
        let mut bytes = 0;
        let mut descriptor: Option<SharedDescriptor> = None;
        while let Some(row) = self.waiting.front() {
            let fits = rows.is_empty()
                || rows.len() < self.config.max_rows && bytes + row.bytes.len() <= self.config.max_bytes;
            let Some(common) = common(descriptor.as_ref(), &row.descriptor).filter(|_| fits) else { break };
            descriptor = Some(common);
            bytes += row.bytes.len();
            rows.extend(self.waiting.pop_front());
        }
        self.waiting_bytes -= bytes;
        Batch { rows, descriptor }
    }
}

/// A descriptor that rows of both can be sent under.
fn common(so_far: Option<&SharedDescriptor>, next: &SharedDescriptor) -> Option<SharedDescriptor> {
    match so_far {
        None => Some(next.clone()),
        Some(known) if known.extends(next) => Some(known.clone()),
        Some(known) if next.extends(known) => Some(next.clone()),
        Some(_) => None,
    }
}
