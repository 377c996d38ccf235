//! The task that owns a connection's stream and what is in flight on it.

use std::{collections::VecDeque, time::Duration};

use googleapis::google::cloud::bigquery::storage::v1::{AppendRowsResponse, append_rows_response::Response};
use tokio::{sync::mpsc, time::Instant};

use super::{
    Appended, Command, Pending,
    open::{Broken, Open},
};
use crate::{client::Client, error::AppendError, schema_update};

pub(super) struct Actor {
    client: Client,
    commands: mpsc::UnboundedReceiver<Command>,
    open: Option<Open>,
    /// Sent and not answered, the oldest first.
    in_flight: VecDeque<Sent>,
    /// Taken, but to be sent over a new call, once this one is empty.
    held: Option<Pending>,
}

struct Sent {
    pending: Pending,
    at: Instant,
}

impl Actor {
    pub(super) fn new(client: Client, commands: mpsc::UnboundedReceiver<Command>) -> Self {
        Self { client, commands, open: None, in_flight: VecDeque::new(), held: None }
    }

    pub(super) async fn run(mut self) {
        let mut is_closing = false;
        loop {
            if let Some(pending) = self.held.take() {
                self.offer(pending);
            }
            if is_closing && self.in_flight.is_empty() && self.held.is_none() {
                return;
            }
            let timeout = self.client.config.reply_timeout;
            let deadline = self.in_flight.front().map(|oldest| oldest.at + timeout);
            tokio::select! {
                answer = next(&mut self.open) => match answer {
                    Ok(response) => self.answered(response),
                    Err(broken) => self.broke(&broken),
                },
                () = until(deadline) => self.fell_silent(timeout),
                command = self.commands.recv(), if self.held.is_none() && !is_closing => match command {
                    Some(Command::Append(pending)) => self.held = Some(pending),
                    Some(Command::Reset) => self.break_off("the connection was reset"),
                    None => is_closing = true,
                },
            }
        }
    }

    /// Sends `pending`, or holds it until the call that cannot take it is empty.
    fn offer(&mut self, pending: Pending) {
        if self.open.as_ref().is_some_and(|open| !open.takes(&pending.request)) {
            if !self.in_flight.is_empty() {
                self.held = Some(pending);
                return;
            }
            self.open = None;
        }
        let client = &self.client;
        let open = self.open.get_or_insert_with(|| Open::new(client, &pending.request.stream));
        open.send(&pending.request);
        self.client.metrics.in_flight.add(pending.bytes as i64);
        self.in_flight.push_back(Sent { pending, at: Instant::now() });
    }

    fn answered(&mut self, response: AppendRowsResponse) {
        let Some(sent) = self.in_flight.pop_front() else {
            tracing::warn!("an answer came that belongs to no request; the stream is closed");
            self.open = None;
            return;
        };
        let result = match response.response {
            _ if !response.row_errors.is_empty() => {
                Err(AppendError::in_answer(&Default::default(), &response.row_errors))
            }
            Some(Response::AppendResult(result)) => {
                let updated_schema = response.updated_schema.as_ref().and_then(schema_update::table_schema);
                Ok(Appended { offset: result.offset, updated_schema })
            }
            Some(Response::Error(error)) => Err(AppendError::in_answer(&error, &[])),
            None => Err(AppendError::unknown("an answer that says neither result nor error")),
        };
        // Rows are judged by their schema: it was accepted, whatever became of them.
        if matches!(result, Ok(_) | Err(AppendError::RowErrors(_)))
            && let Some(open) = &mut self.open
        {
            open.accepted(&sent.pending.request.stream);
        }
        self.settle(sent, result);
    }

    fn broke(&mut self, broken: &Broken) {
        self.open = None;
        if let Some(first) = self.in_flight.pop_front() {
            self.settle(first, Err(broken.error()));
        }
        while let Some(sent) = self.in_flight.pop_front() {
            self.settle(sent, Err(broken.error_of_followers()));
        }
    }

    fn fell_silent(&mut self, timeout: Duration) {
        self.break_off(&format!("no answer in {} ms", timeout.as_millis()));
    }

    fn break_off(&mut self, why: &str) {
        self.open = None;
        while let Some(sent) = self.in_flight.pop_front() {
            self.settle(sent, Err(AppendError::unknown(why)));
        }
    }

    fn settle(&self, sent: Sent, result: Result<Appended, AppendError>) {
        let Pending { request, bytes, permit, reply } = sent.pending;
        let metrics = &self.client.metrics;
        metrics.in_flight.sub(bytes as i64);
        let outcome = result.as_ref().map_or_else(AppendError::name, |_| "ok");
        metrics.answered(outcome, request.rows.len(), bytes, sent.at.elapsed());
        drop(permit);
        // Whoever does not wait any more does not need to know.
        let _ = reply.send(result);
    }
}

async fn next(open: &mut Option<Open>) -> Result<AppendRowsResponse, Broken> {
    match open {
        Some(open) => open.next().await,
        None => std::future::pending().await,
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
