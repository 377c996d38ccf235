//! One task on its way: at its time, and again until it is done.

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use http::header;
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::{
    engine::Engine,
    resource::{HttpRequest, Task, duration},
};
use crate::{faults::Action, pubsub::Oidc};

/// How long an endpoint may take where the task does not say it.
const DEADLINE: Duration = Duration::from_secs(600);

/// Sends `task` until it is done, or `deleted`.
pub(super) async fn run(engine: Arc<Engine>, mut task: Task, deleted: CancellationToken) {
    let ended = tokio::select! {
        () = deleted.cancelled() => return,
        ended = send_until_done(&engine, &mut task) => ended,
    };
    let removed = engine.remove(&task.name);
    if let Err(error) = ended.and(removed) {
        tracing::error!(error = format!("{error:#}"), task = task.name, "the task was not written");
    }
}

async fn send_until_done(engine: &Engine, task: &mut Task) -> anyhow::Result<()> {
    let mut previous = None;
    loop {
        until(task.schedule_time.unwrap_or(Timestamp::UNIX_EPOCH)).await;
        task.dispatch_count += 1;
        let status = sent(engine, task, previous).await;
        task.response_count += u32::from(status.is_some());
        if status.is_some_and(|status| (200..300).contains(&status)) {
            return Ok(());
        }
        previous = status;
        let queue = task.name.split("/tasks/").next().unwrap_or_default();
        let Ok(queue) = engine.queue(queue) else { return Ok(()) };
        let Some(wait) = queue.retry_config.backoff(task.dispatch_count) else {
            tracing::warn!(task = task.name, attempts = task.dispatch_count, "a task was given up");
            return Ok(());
        };
        task.schedule_time = Some(Timestamp::now().checked_add(wait)?);
        engine.update(task)?;
    }
}

/// Waits for `time`, by the clock on the wall.
async fn until(time: Timestamp) {
    while let Ok(wait) = Duration::try_from(time.duration_since(Timestamp::now()))
        && !wait.is_zero()
    {
        tokio::time::sleep(wait.min(Duration::from_secs(60))).await;
    }
}

/// Sends once; the status of the answer, where there is one.
async fn sent(engine: &Engine, task: &Task, previous: Option<u16>) -> Option<u16> {
    let send = async || match request(engine, task, previous).await {
        Ok(status) => Some(status),
        Err(error) => {
            tracing::debug!(error = format!("{error:#}"), task = task.name, "a task was not answered");
            None
        }
    };
    match engine.faults.next("task") {
        None => send().await,
        Some(Action::Delay(delay)) => {
            tokio::time::sleep(delay).await;
            send().await
        }
        Some(Action::Duplicate) => tokio::join!(send(), send()).0,
        Some(Action::ApplyThenFail) => {
            send().await;
            None
        }
        Some(Action::Error { .. } | Action::DropConnection) => None,
    }
}

async fn request(engine: &Engine, task: &Task, previous: Option<u16>) -> anyhow::Result<u16> {
    let HttpRequest { url, headers, body, oidc_token, .. } = task.http_request.as_ref().context("no HTTP request")?;
    let method = task.http_request.as_ref().and_then(HttpRequest::method).context("no method")?;
    let (queue, id) = task.name.split_once("/tasks/").context("the task has no name")?;
    let deadline = task.dispatch_deadline.as_deref().and_then(duration).unwrap_or(DEADLINE);
    let mut request = engine.http.request(method, url).timeout(deadline);
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let eta = task.schedule_time.map_or(0.0, |time| time.as_microsecond() as f64 / 1e6);
    request = request
        .header("x-cloudtasks-queuename", queue.rsplit('/').next().unwrap_or_default())
        .header("x-cloudtasks-taskname", id)
        .header("x-cloudtasks-taskretrycount", task.dispatch_count.saturating_sub(1))
        .header("x-cloudtasks-taskexecutioncount", task.response_count)
        .header("x-cloudtasks-tasketa", eta.to_string());
    if let Some(status) = previous {
        request = request.header("x-cloudtasks-taskpreviousresponse", status);
    }
    if let Some(token) = oidc_token {
        let audience = if token.audience.is_empty() { url } else { &token.audience };
        let oidc = Oidc { email: token.service_account_email.clone(), audience: audience.clone() };
        request = request.header(header::AUTHORIZATION, &*engine.signer.authorization(&oidc).await?);
    }
    let body = BASE64_STANDARD.decode(body).context("the body is no base64")?;
    if !body.is_empty() && !headers.keys().any(|name| name.eq_ignore_ascii_case("content-type")) {
        request = request.header(header::CONTENT_TYPE, "application/octet-stream");
    }
    let answer = request.body(body).send().await?;
    let status = answer.status().as_u16();
    // A connection is used again only once its answer was read.
    let _ = answer.bytes().await;
    Ok(status)
}
