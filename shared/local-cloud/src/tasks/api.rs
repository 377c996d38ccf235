//! The calls.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{Path, Request, State},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::get,
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use http::{HeaderName, HeaderValue};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    engine::Engine,
    error::ApiError,
    resource::{Queue, Task, duration},
};
use crate::{
    faults::{Action, Faults},
    wire::drop_connection,
};

/// The longest time ahead that a task may be scheduled for, in days.
const FURTHEST_DAYS: i64 = 30;
/// The longest id of a task.
const LONGEST_ID: usize = 500;

type Engines = State<Arc<Engine>>;

pub(super) fn router(engine: Arc<Engine>) -> Router {
    let faults = engine.faults.clone();
    Router::new()
        .route("/v2/projects/{project}/locations/{location}/queues", get(list_queues).post(create_queue))
        .route("/v2/projects/{project}/locations/{location}/queues/{queue}", get(get_queue))
        .route("/v2/projects/{project}/locations/{location}/queues/{queue}/tasks", get(list_tasks).post(create_task))
        .route(
            "/v2/projects/{project}/locations/{location}/queues/{queue}/tasks/{task}",
            get(get_task).delete(delete_task),
        )
        .fallback(unknown)
        .method_not_allowed_fallback(unknown)
        .layer(middleware::from_fn_with_state(faults, inject))
        .with_state(engine)
}

async fn unknown(request: Request) -> ApiError {
    ApiError::not_implemented(format_args!("{} {}", request.method(), request.uri().path()))
}

/// Calls are named by their method: `tasks/POST`, ….
async fn inject(State(faults): State<Faults>, request: Request, next: Next) -> Response {
    match faults.next(&format!("tasks/{}", request.method())) {
        None | Some(Action::Duplicate) => next.run(request).await,
        Some(Action::Delay(delay)) => {
            tokio::time::sleep(delay).await;
            next.run(request).await
        }
        Some(Action::Error { message, .. }) => ApiError::unavailable(message).into_response(),
        Some(Action::ApplyThenFail) => {
            next.run(request).await;
            ApiError::unavailable("injected fault: the answer was lost").into_response()
        }
        Some(Action::DropConnection) => drop_connection(&request).await,
    }
}

async fn create_queue(
    State(engine): Engines,
    Path((project, location)): Path<(String, String)>,
    Json(mut queue): Json<Queue>,
) -> Result<Json<Queue>, ApiError> {
    let below = format!("projects/{project}/locations/{location}/queues/");
    let id = queue.name.strip_prefix(&below).unwrap_or_default();
    let is_id = |char: char| char.is_ascii_alphanumeric() || char == '-';
    if id.is_empty() || id.len() > 100 || !id.chars().all(is_id) {
        return Err(ApiError::invalid(format!("expected a queue's name, {below}QUEUE, found `{}`", queue.name)));
    }
    let retry = &queue.retry_config;
    if duration(&retry.min_backoff).is_none() || duration(&retry.max_backoff).is_none() {
        return Err(ApiError::invalid("expected the queue's back-offs as seconds, e.g. `0.1s`"));
    }
    queue.other.insert("state".to_owned(), json!("RUNNING"));
    engine.create_queue(queue).map(Json)
}

async fn get_queue(
    State(engine): Engines,
    Path((project, location, queue)): Path<(String, String, String)>,
) -> Result<Json<Queue>, ApiError> {
    engine.queue(&format!("projects/{project}/locations/{location}/queues/{queue}")).map(Json)
}

async fn list_queues(State(engine): Engines, Path((project, location)): Path<(String, String)>) -> Json<Value> {
    Json(json!({ "queues": engine.queues(&format!("projects/{project}/locations/{location}")) }))
}

/// What `tasks.create` takes.
#[derive(Deserialize)]
struct CreateTask {
    task: Task,
}

async fn create_task(
    State(engine): Engines,
    Path((project, location, queue)): Path<(String, String, String)>,
    Json(CreateTask { mut task }): Json<CreateTask>,
) -> Result<Json<Task>, ApiError> {
    let queue = format!("projects/{project}/locations/{location}/queues/{queue}");
    let now = Timestamp::now();
    check(&task, now)?;
    if task.name.is_empty() {
        task.name = format!("{queue}/tasks/{}", uuid::Uuid::new_v4().simple());
    }
    let is_id = |id: &str| {
        let is_char = |char: char| char.is_ascii_alphanumeric() || matches!(char, '-' | '_');
        (1..=LONGEST_ID).contains(&id.len()) && id.chars().all(is_char)
    };
    if !task.name.strip_prefix(&format!("{queue}/tasks/")).is_some_and(is_id) {
        return Err(ApiError::invalid(format!(
            "expected a task's name, {queue}/tasks/TASK, TASK being at most {LONGEST_ID} letters, digits, hyphens and \
             underscores; found `{}`",
            task.name
        )));
    }
    task.create_time = Some(now);
    task.schedule_time = Some(task.schedule_time.unwrap_or(now).max(now));
    (task.dispatch_count, task.response_count) = (0, 0);
    engine.create(&queue, task).map(Json)
}

/// Refuses what the service would, and what is not done here.
fn check(task: &Task, now: Timestamp) -> Result<(), ApiError> {
    let request = task.http_request.as_ref();
    let foreign = task.other.keys().chain(request.iter().flat_map(|request| request.other.keys()));
    if let Some(foreign) = foreign.into_iter().find(|name| *name != "view") {
        return Err(ApiError::not_implemented(foreign));
    }
    let Some(request) = request else { return Err(ApiError::invalid("expected an `httpRequest`")) };
    if !request.url.starts_with("http://") && !request.url.starts_with("https://") {
        return Err(ApiError::invalid(format!("expected a URL with http:// or https://, found `{}`", request.url)));
    }
    if request.method().is_none() {
        return Err(ApiError::invalid(format!("expected an HTTP method, found {}", request.http_method)));
    }
    if BASE64_STANDARD.decode(&request.body).is_err() {
        return Err(ApiError::invalid("expected the body as base64"));
    }
    for (name, value) in &request.headers {
        if name.parse::<HeaderName>().is_err() || value.parse::<HeaderValue>().is_err() {
            return Err(ApiError::invalid(format!("`{name}` is no header, or its value none")));
        }
    }
    if let Some(deadline) = &task.dispatch_deadline
        && !duration(deadline).is_some_and(|deadline| (15..=1800).contains(&deadline.as_secs()))
    {
        return Err(ApiError::invalid(format!("expected a dispatchDeadline from 15s to 1800s, found `{deadline}`")));
    }
    let ahead = task.schedule_time.map_or(0, |time| time.duration_since(now).as_secs());
    if ahead > FURTHEST_DAYS * 24 * 60 * 60 {
        return Err(ApiError::invalid(format!("a task is scheduled at most {FURTHEST_DAYS} days ahead")));
    }
    Ok(())
}

async fn list_tasks(
    State(engine): Engines,
    Path((project, location, queue)): Path<(String, String, String)>,
) -> Result<Json<Value>, ApiError> {
    let queue = format!("projects/{project}/locations/{location}/queues/{queue}");
    engine.queue(&queue)?;
    Ok(Json(json!({ "tasks": engine.tasks(&queue) })))
}

type TaskPath = Path<(String, String, String, String)>;

fn named(Path((project, location, queue, task)): TaskPath) -> String {
    format!("projects/{project}/locations/{location}/queues/{queue}/tasks/{task}")
}

async fn get_task(State(engine): Engines, path: TaskPath) -> Result<Json<Task>, ApiError> {
    engine.task(&named(path)).map(Json)
}

async fn delete_task(State(engine): Engines, path: TaskPath) -> Result<Json<Value>, ApiError> {
    let name = named(path);
    if engine.remove(&name)? { Ok(Json(json!({}))) } else { Err(ApiError::not_found(&name)) }
}
