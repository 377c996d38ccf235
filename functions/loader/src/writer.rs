//! Drives a table's machine: carries out what it asks for, and tells it what came of that.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
    time::Instant,
};

use event::{Bytes, Outcome, Rejection, Timestamp};
use exactly_once::{
    Alarm, Answer, AppendReply, BadRow, CallId, DeliveryId, EventKey, Input, Limits, Offer, Output, RequestId, Retry,
    State, Time, Verdict,
};
use futures::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use service::Span;
use storage_write::{AppendError, Appended, SharedDescriptor, StreamWriter, WriteStreamName};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::sleep_until,
};
use tokio_util::sync::CancellationToken;

use crate::{
    calls,
    dead_letters::DeadLetter,
    error::LoaderError,
    fence,
    generation::Whole,
    loader::Services,
    row::{Content, Incoming, Place},
    table::{Purpose, Table},
    version::Offered,
};

/// The task that writes to one table. It owns the machine, the events in hand and the write stream.
pub(crate) struct Driver {
    machine: exactly_once::Writer,
    table: Weak<Table>,
    name: catalog::TableName,
    epoch: i64,
    purpose: Purpose,
    services: Arc<Services>,
    generations: watch::Receiver<Option<Whole>>,
    /// The generation that the machine works under.
    generation: u64,
    start: Instant,
    events: HashMap<EventKey, Incoming>,
    waiting: HashMap<DeliveryId, Waiting>,
    deliveries: u64,
    /// The bytes of the request in flight: encoded once, sent as often as it takes.
    frozen: Option<(RequestId, Sealed)>,
    stream: Option<StreamWriter>,
    calls: FuturesUnordered<BoxFuture<'static, Done>>,
}

/// A request's rows in the wire's form, and what they were encoded with.
#[derive(Clone)]
struct Sealed {
    rows: Vec<Bytes>,
    descriptor: SharedDescriptor,
}

/// A delivery that waits.
struct Waiting {
    answer: oneshot::Sender<Answer>,
    stream: Arc<str>,
    since: Timestamp,
}

/// What came of a call.
pub(crate) enum Done {
    Input(Input),
    Appended {
        call: CallId,
        rows: usize,
        writer: StreamWriter,
        result: Result<Appended, AppendError>,
    },
    /// Nothing that the machine has to know.
    Nothing,
}

/// What an answer means for the push. A conflict is decided by whoever has the event.
pub(crate) fn outcome(answer: Answer) -> Result<Outcome, LoaderError> {
    match answer {
        Answer::Written => Ok(Outcome::Written),
        Answer::Duplicate | Answer::Conflict => Ok(Outcome::Duplicate),
        Answer::DeadLettered => Ok(Outcome::DeadLettered),
        Answer::Retry(Retry::Expired | Retry::Undecided) => Err(LoaderError::Undecided),
        Answer::Retry(Retry::Exhausted) => Err(LoaderError::Exhausted),
        Answer::Retry(Retry::Stopping) => Err(LoaderError::Stopping),
        Answer::Retry(Retry::DeadLetterFailed) => Err(LoaderError::DeadLetter),
        Answer::Retry(Retry::Refused) => Err(LoaderError::Refused),
    }
}

impl Driver {
    pub(crate) fn new(table: &Arc<Table>, epoch: i64, purpose: Purpose, limits: Limits) -> Self {
        Self {
            machine: exactly_once::Writer::new(table.services.owner, limits),
            table: Arc::downgrade(table),
            name: table.name.clone(),
            epoch,
            purpose,
            services: Arc::clone(&table.services),
            generations: table.services.generations.watch(),
            generation: 0,
            start: Instant::now(),
            events: HashMap::new(),
            waiting: HashMap::new(),
            deliveries: 0,
            frozen: None,
            stream: None,
            calls: FuturesUnordered::new(),
        }
    }

    /// Runs until `stop`, and then until what was begun has come to its end.
    pub(crate) async fn run(mut self, mut offers: mpsc::UnboundedReceiver<Offered>, stop: CancellationToken) {
        self.hear();
        let (mut stopping, mut open) = (false, true);
        while !self.machine.is_finished() {
            let wake = self.machine.wake_at().map(|at| (self.start + at.since_start()).into());
            let alarm = wake.unwrap_or_else(tokio::time::Instant::now);
            tokio::select! {
                () = stop.cancelled(), if !stopping => {
                    stopping = true;
                    offers.close();
                    self.feed(Input::Stop);
                }
                offered = offers.recv(), if open => match offered {
                    Some(offered) => self.offer(offered),
                    // Nobody can offer any more: as good as a stop.
                    None => {
                        open = false;
                        stop.cancel();
                    }
                },
                // Its sender lives as long as the services do.
                Ok(()) = self.generations.changed() => self.hear(),
                Some(done) = self.calls.next(), if !self.calls.is_empty() => self.done(done),
                () = sleep_until(alarm), if wake.is_some() => self.feed(Input::Tick),
            }
        }
        tracing::info!(table = %self.name, "writer stopped");
    }

    /// Tells the machine of the generation, where it is known and whole for the table.
    fn hear(&mut self) {
        let found = self.generations.borrow_and_update().as_ref().and_then(|whole| whole.of(&self.name));
        if let Some(generation) = found {
            self.generation = generation;
            self.feed(Input::Generation(generation));
        }
    }

    fn offer(&mut self, offered: Offered) {
        // Nothing is offered before the generation is known, but the machine may not have been told of it.
        if self.generations.has_changed().unwrap_or_default() {
            self.hear();
        }
        let Offered { incoming, answer } = offered;
        let is_known = self.generation > 0 || self.services.registry.is_none();
        if !is_known || incoming.generation.is_some_and(|generation| generation != self.generation) {
            // Whoever waited may have hung up.
            let _ = answer.send(Answer::Retry(Retry::Undecided));
            return;
        }
        self.deliveries += 1;
        let delivery = DeliveryId(self.deliveries);
        let waiting = Waiting { answer, stream: Arc::clone(&incoming.origin.stream), since: incoming.origin.since() };
        self.waiting.insert(delivery, waiting);
        let (key, payload) = (incoming.key, incoming.payload);
        let (size, schema) = (incoming.content.size(), incoming.content.version().map_or(0, |version| version.number));
        let verdict = match &incoming.content {
            Content::Row { .. } | Content::DeadLetter { .. } => Verdict::Row,
            Content::Rejected(rejection) => Verdict::Reject(rejection.clone()),
        };
        if !self.machine.contains(&key) {
            self.events.insert(key, incoming);
        }
        self.feed(Input::Offer(Offer { delivery, key, payload, size, schema, verdict }));
    }

    fn done(&mut self, done: Done) {
        match done {
            Done::Input(input) => self.feed(input),
            Done::Appended { call, rows, writer, result } => {
                // After a fault nobody knows what the connection was told: the next request begins a new one.
                self.stream = result.is_ok().then_some(writer);
                let reply = self.read(rows, result);
                self.feed(Input::Appended { call, reply });
            }
            Done::Nothing => {}
        }
    }

    fn feed(&mut self, input: Input) {
        for output in self.machine.handle(Time::new(self.start.elapsed()), input) {
            self.carry_out(output);
        }
    }

    fn carry_out(&mut self, output: Output) {
        let services = Arc::clone(&self.services);
        match output {
            Output::CreateStream => {
                let (table, name) = (Weak::clone(&self.table), self.name.clone());
                let target = calls::Target { table, name, epoch: self.epoch };
                self.call(calls::create_stream(services, target, self.generation));
            }
            Output::Claim { call, wants, claim, generation } => {
                self.call(calls::claim(services, call, wants, claim, generation));
            }
            Output::Append { call, request, stream, offset, schema: _, rows } => {
                self.append(call, request, &stream, offset, &rows);
            }
            Output::Settle { call, claim, rows, window } => {
                self.call(calls::settle(services, call, claim, rows, window))
            }
            Output::Swap { call, key, expected, new, generation } => {
                self.call(calls::swap(services, call, key, (expected, new), generation));
            }
            Output::Fence { stream, own } => {
                if own && !self.machine.is_stopping() {
                    services.metrics.rotations.inc();
                }
                self.call(fence::fence(services, self.name.clone(), stream, own));
            }
            Output::WriteDeadLetter { key, rejection } => self.write_dead_letter(key, rejection),
            Output::Answer { delivery, answer } => self.answer(delivery, answer),
            Output::Forget { key } => drop(self.events.remove(&key)),
            Output::Alarm(alarm) => self.alarm(&alarm),
        }
    }

    fn call(&mut self, call: impl Future<Output = Done> + Send + 'static) {
        self.calls.push(call.boxed());
    }

    fn append(&mut self, call: CallId, request: RequestId, stream: &Arc<str>, offset: i64, rows: &[EventKey]) {
        let sealed = match &self.frozen {
            Some((frozen, sealed)) if *frozen == request => Ok(sealed.clone()),
            Some(_) | None => self.seal(stream, offset, rows),
        };
        let sealed = match sealed {
            Ok(sealed) => sealed,
            Err(reply) => {
                self.call(async move { Done::Input(Input::Appended { call, reply }) });
                return;
            }
        };
        self.frozen = Some((request, sealed.clone()));
        let spans = self.appending(stream, offset, rows);
        let Sealed { rows, descriptor } = sealed;
        let mut writer = match self.stream.take().filter(|writer| writer.stream().id() == &**stream) {
            Some(mut writer) => {
                writer.set_descriptor(descriptor);
                writer
            }
            None => {
                let name = WriteStreamName::of(&self.services.project, &self.name, stream);
                self.services.storage.stream_writer(name, descriptor)
            }
        };
        self.call(async move {
            let count = rows.len();
            let result = writer.append(offset, rows).await;
            for span in spans {
                span.end(result.as_ref().map(drop).map_err(AppendError::name));
            }
            Done::Appended { call, rows: count, writer, result }
        });
    }

    /// The append, in the trace of each row that is traced.
    fn appending(&self, stream: &Arc<str>, offset: i64, rows: &[EventKey]) -> Vec<Span> {
        let at = Timestamp::now();
        let of_row = |(index, key)| {
            let origin = &self.events.get(key)?.origin;
            let place = Place { write_stream: stream, write_offset: Some(offset + index as i64), at };
            origin.trace.is_sampled().then(|| origin.appending(&self.name, rows.len(), place))
        };
        rows.iter().enumerate().filter_map(of_row).collect()
    }

    /// The request's rows, each with its place in it.
    fn seal(&self, stream: &Arc<str>, offset: i64, rows: &[EventKey]) -> Result<Sealed, AppendReply> {
        let at = Timestamp::now();
        let (mut sealed, mut descriptor) = (Vec::with_capacity(rows.len()), None);
        for (index, key) in rows.iter().enumerate() {
            // The machine forgets no event that is in a request.
            let Some(event) = self.events.get(key) else { return Err(AppendReply::StreamClosed) };
            let place = Place { write_stream: stream, write_offset: Some(offset + index as i64), at };
            match event.content.seal(&event.origin, event.payload, place) {
                Ok(row) => sealed.push(row),
                Err(rejection) => return Err(AppendReply::BadRows(vec![BadRow { index, rejection }])),
            }
            descriptor = event.content.version().map(|version| version.descriptor().clone());
        }
        descriptor.map(|descriptor| Sealed { rows: sealed, descriptor }).ok_or(AppendReply::StreamClosed)
    }

    /// The one table from an append's end to the protocol's classes.
    fn read(&mut self, rows: usize, result: Result<Appended, AppendError>) -> AppendReply {
        let error = match result {
            Ok(Appended { offset, updated_schema }) => {
                self.services.metrics.request_rows.observe(rows as f64);
                let open = self.table.upgrade().and_then(|table| table.opened(self.epoch));
                if let (Some(schema), Some(open)) = (updated_schema, open) {
                    open.learn(&schema);
                }
                return AppendReply::Committed { offset };
            }
            Err(error) => error,
        };
        tracing::warn!(table = %self.name, append.rows = rows, append.result = error.name(), %error, "an append failed");
        match error {
            AppendError::RowErrors(bad) => AppendReply::BadRows(
                bad.iter().map(|row| BadRow { index: row.index, rejection: row.rejection() }).collect(),
            ),
            AppendError::AlreadyExists(_) => AppendReply::AlreadyExists,
            AppendError::Ambiguous { .. } => AppendReply::Unknown,
            AppendError::ResourceExhausted(_) => AppendReply::Exhausted,
            AppendError::SchemaMismatchExtraFields(_) => {
                self.look_again();
                AppendReply::SchemaLags
            }
            AppendError::StreamGone(_) => {
                self.look_again();
                AppendReply::StreamClosed
            }
            AppendError::OutOfRange(_) => AppendReply::OutOfRange,
            // Which row is at fault is not said. Without permission, or with a key that is gone, none is: that may pass.
            AppendError::Permanent(fault) if fault.is_of_the_request() => {
                self.look_again();
                AppendReply::Refused(fault.message)
            }
            AppendError::Permanent(_) => AppendReply::Unknown,
        }
    }

    /// The table may not be what it was.
    fn look_again(&mut self) {
        if let Some(table) = self.table.upgrade() {
            let epoch = self.epoch;
            self.call(async move {
                table.look_again(epoch).await;
                Done::Nothing
            });
        }
    }

    fn write_dead_letter(&mut self, key: EventKey, rejection: Rejection) {
        let (Purpose::Events { dead_letters }, Some(event)) = (&self.purpose, self.events.get(&key)) else {
            self.call(async move { Done::Input(Input::DeadLettered { key, written: false }) });
            return;
        };
        let (dead_letters, origin) = (Arc::clone(dead_letters), Arc::clone(&event.origin));
        let letter = DeadLetter { origin, table: Some(self.name.clone()), rejection, payload: event.payload };
        let generation = Some(self.generation);
        self.call(async move {
            let written = dead_letters.write_in(letter, generation).await.is_ok();
            Done::Input(Input::DeadLettered { key, written })
        });
    }

    fn answer(&mut self, delivery: DeliveryId, answer: Answer) {
        let Some(Waiting { answer: waiting, stream, since }) = self.waiting.remove(&delivery) else { return };
        if answer == Answer::Written && matches!(self.purpose, Purpose::Events { .. }) {
            self.services.metrics.written(&stream, since);
        }
        // Whoever waited may have hung up.
        let _ = waiting.send(answer);
    }

    fn alarm(&self, alarm: &Alarm) {
        // A ledger that lost its newest writes shows claims that were settled; the settling stands.
        if let Alarm::Contradicted { key, found: found @ State::Claimed { .. } } = alarm {
            tracing::warn!(table = %self.name, event.key = %key, ?found, "a settled row's key said that it was claimed");
            return;
        }
        self.services.metrics.alarms.inc();
        tracing::error!(table = %self.name, ?alarm, "the protocol's assumptions do not hold");
    }
}
