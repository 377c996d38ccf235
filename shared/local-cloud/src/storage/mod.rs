//! Cloud Storage: the JSON API (<https://cloud.google.com/storage/docs/json_api>) over plain files.
//!
//! Objects are what a client sees of the real service: generations and metagenerations, preconditions on every verb,
//! checksums that are verified, uploads in one request and resumable ones. The bytes of an object lie in the data
//! folder under the object's own name. What is not done (batches, versioning, soft delete, access control) is refused by
//! name with 501. Credentials are not looked at.

mod bucket;
mod checksum;
mod content_range;
mod copy;
mod error;
mod file_name;
mod glob;
mod list;
mod multipart;
mod object;
mod objects;
mod params;
mod preconditions;
mod resumable;
mod staging;
mod store;
mod upload;

use std::{convert::Infallible, path::PathBuf, sync::Arc};

use anyhow::Context;
use axum::{
    Router,
    extract::{DefaultBodyLimit, FromRequestParts, Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use http::{StatusCode, header, request::Parts};
use tokio::net::TcpListener;

use self::{error::ApiError, resumable::Sessions, store::Store};
use crate::{
    faults::{Action, Faults},
    wire::{Connection, HttpServer},
};

/// What the handlers share.
#[derive(Clone)]
struct App {
    store: Arc<Store>,
    sessions: Arc<Sessions>,
    faults: Faults,
    /// Where clients on this machine reach the server.
    base: Arc<str>,
}

/// The running server.
pub(crate) struct Server {
    http: HttpServer,
    _ephemeral: Option<tempfile::TempDir>,
}

impl Server {
    /// Accepts no more and lets requests in flight end. Nothing is held back in memory, so nothing else is to be done.
    pub(crate) async fn shutdown(self) -> anyhow::Result<()> {
        self.http.shutdown().await
    }
}

/// Serves the JSON API on `listener`, over the objects in `folder`; without one they last as long as the server.
/// Buckets belong to no project here: every project sees all.
pub(crate) async fn start(
    listener: TcpListener,
    folder: Option<PathBuf>,
    _project: String,
    faults: Faults,
) -> anyhow::Result<Server> {
    let (folder, ephemeral) = match folder {
        Some(folder) => (folder, None),
        None => {
            let ephemeral = tempfile::Builder::new().prefix("pipas-storage-").tempdir()?;
            (ephemeral.path().to_owned(), Some(ephemeral))
        }
    };
    let base = crate::base_url(&listener)?.into();
    let opening = move || {
        let store = Store::open(&folder)?;
        Sessions::sweep(&store)?;
        anyhow::Ok(store)
    };
    let store = tokio::task::spawn_blocking(opening).await?.context("opening the storage folder")?;
    let app = App { store: Arc::new(store), sessions: Arc::default(), faults, base };
    let http = HttpServer::spawn(listener, router(app))?;
    Ok(Server { http, _ephemeral: ephemeral })
}

fn router(app: App) -> Router {
    let object = get(objects::get).patch(objects::patch).put(objects::update).delete(objects::delete);
    let bucket = get(bucket::get).patch(bucket::patch).put(bucket::update).delete(bucket::delete);
    Router::new()
        .route("/storage/v1/b", get(bucket::list).post(bucket::insert))
        .route("/storage/v1/b/{bucket}", bucket)
        .route("/storage/v1/b/{bucket}/o", get(list::list))
        .route("/storage/v1/b/{bucket}/o/{object}", object)
        .route("/storage/v1/b/{bucket}/o/{object}/compose", post(copy::compose))
        .route("/storage/v1/b/{bucket}/o/{object}/copyTo/b/{to}/o/{name}", post(copy::copy))
        .route("/storage/v1/b/{bucket}/o/{object}/rewriteTo/b/{to}/o/{name}", post(copy::rewrite))
        .route("/download/storage/v1/b/{bucket}/o/{object}", get(objects::download))
        .route("/upload/storage/v1/b/{bucket}/o", post(upload::post).put(resumable::put).delete(resumable::cancel))
        .fallback(unknown)
        .method_not_allowed_fallback(unknown)
        .layer(DefaultBodyLimit::disable())
        .layer(axum::middleware::from_fn_with_state(app.faults.clone(), inject))
        .with_state(app)
}

/// The real service has more than is here: what is asked for is named, so that no client takes it for an empty answer.
async fn unknown(request: Request) -> ApiError {
    match request.uri().path() {
        path if path.starts_with("/batch/") => ApiError::not_implemented("batch requests; send the calls one by one"),
        path => ApiError::not_implemented(format_args!("{} {path}", request.method())),
    }
}

/// Calls are named by their method: `storage/GET`, `storage/PUT`, ….
async fn inject(State(faults): State<Faults>, request: Request, next: Next) -> Response {
    let lost =
        || ApiError::backend(StatusCode::SERVICE_UNAVAILABLE, "injected fault: the answer was lost").into_response();
    match faults.next(&format!("storage/{}", request.method())) {
        None | Some(Action::Duplicate) => next.run(request).await,
        Some(Action::Delay(delay)) => {
            tokio::time::sleep(delay).await;
            next.run(request).await
        }
        Some(Action::Error { code, message, .. }) => ApiError::backend(http_status(code), message).into_response(),
        Some(Action::ApplyThenFail) => {
            next.run(request).await;
            lost()
        }
        Some(Action::DropConnection) => match request.extensions().get::<Connection>().cloned() {
            Some(connection) => {
                connection.drop_now();
                std::future::pending().await
            }
            None => lost(),
        },
    }
}

/// The HTTP status of a gRPC code (<https://github.com/googleapis/googleapis/blob/master/google/rpc/code.proto>).
fn http_status(code: tonic::Code) -> StatusCode {
    use tonic::Code;
    match code {
        Code::Ok => StatusCode::OK,
        Code::InvalidArgument | Code::FailedPrecondition | Code::OutOfRange => StatusCode::BAD_REQUEST,
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::Aborted | Code::AlreadyExists => StatusCode::CONFLICT,
        Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        Code::Unimplemented => StatusCode::NOT_IMPLEMENTED,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        Code::Cancelled | Code::Unknown | Code::Internal | Code::DataLoss => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// The URL that links in an answer begin with: as the client named the server, where that can be reached. Some clients
/// leave the port out of `Host`: for them it is the server's own.
struct Base(String);

impl FromRequestParts<App> for Base {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Infallible> {
        let host = parts.headers.get(header::HOST).and_then(|host| host.to_str().ok());
        let authority = host.or_else(|| parts.uri.authority().map(http::uri::Authority::as_str));
        let has_port = |host: &&str| host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        let base = authority.filter(has_port).map_or_else(|| app.base.to_string(), |host| format!("http://{host}"));
        Ok(Self(base))
    }
}
