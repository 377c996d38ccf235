//! BigQuery's REST API, version 2: under `/bigquery/v2/`, and without that prefix for clients whose base URL lacks it.

mod datasets;
mod decode;
mod error;
mod jobs;
mod json;
mod request;
mod rows;
mod schema;
mod tabledata;
mod tables;

use std::{collections::HashMap, sync::Arc};

use axum::{
    Router,
    extract::{DefaultBodyLimit, FromRequestParts, Path, Query, Request, State},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use http::{Method, request::Parts};

use self::{error::ApiError, request::Parameters};
use super::store::Store;
use crate::{
    faults::{Action, Faults},
    wire,
};
pub(crate) use jobs::Jobs;

/// A request body holds at most so many bytes.
const LARGEST_BODY: usize = 64 << 20;

/// What every call works on.
#[derive(Debug, Clone)]
struct Api {
    store: Arc<Store>,
    project: Arc<str>,
    jobs: Arc<Jobs>,
}

/// The API as a router, and the jobs that it runs.
pub(super) fn router(store: Arc<Store>, project: Arc<str>, faults: Faults) -> anyhow::Result<(Router, Arc<Jobs>)> {
    let jobs = Arc::new(Jobs::new(Arc::clone(&store), Arc::clone(&project))?);
    let api = Api { store, project, jobs: Arc::clone(&jobs) };
    let routes = Router::new()
        .route("/projects/{project}/datasets", get(datasets::list).post(datasets::insert))
        .route(
            "/projects/{project}/datasets/{dataset}",
            get(datasets::get).patch(datasets::patch).put(datasets::update).delete(datasets::delete),
        )
        .route("/projects/{project}/datasets/{dataset}/tables", get(tables::list).post(tables::insert))
        .route(
            "/projects/{project}/datasets/{dataset}/tables/{table}",
            get(tables::get).patch(tables::patch).put(tables::update).delete(tables::delete),
        )
        .route("/projects/{project}/datasets/{dataset}/tables/{table}/data", get(tabledata::list))
        .route("/projects/{project}/datasets/{dataset}/tables/{table}/insertAll", post(tabledata::insert_all))
        .route("/projects/{project}/queries", post(jobs::query))
        .route("/projects/{project}/queries/{job}", get(jobs::get_query_results))
        .route("/projects/{project}/jobs", get(jobs::list).post(jobs::insert))
        .route("/projects/{project}/jobs/{job}", get(jobs::get))
        .route("/projects/{project}/jobs/{job}/cancel", post(jobs::cancel));
    let router = Router::new()
        .nest("/bigquery/v2", routes.clone())
        .route("/upload/bigquery/v2/projects/{project}/jobs", post(jobs::upload))
        .route("/resumable/upload/bigquery/v2/projects/{project}/jobs", post(jobs::upload))
        .merge(routes)
        .fallback(no_such_method)
        .method_not_allowed_fallback(no_such_method)
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .layer(middleware::from_fn(decode::decoded))
        .layer(middleware::from_fn_with_state(faults, inject))
        .with_state(api);
    Ok((router, jobs))
}

/// The project, dataset, table or job of a path, after the project was checked.
#[derive(Debug)]
struct Names(HashMap<String, String>);

impl Names {
    fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }
}

impl FromRequestParts<Api> for Names {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, ApiError> {
        let path = Path::<HashMap<String, String>>::from_request_parts(parts, api).await;
        let Path(names) = path.map_err(|error| ApiError::invalid(error.to_string()))?;
        let names = Self(names);
        let project = names.get("project");
        if project != &*api.project {
            let message = format!("Not found: Project {project}: this server serves {}", api.project);
            return Err(ApiError::not_found(message));
        }
        Ok(names)
    }
}

impl FromRequestParts<Api> for Parameters {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, ApiError> {
        let query = Query::<HashMap<String, String>>::from_request_parts(parts, api).await;
        let Query(parameters) = query.map_err(|error| ApiError::invalid(error.to_string()))?;
        Ok(Self(parameters))
    }
}

async fn no_such_method(request: Request) -> ApiError {
    ApiError::not_found(format!("{} {} is no method of the local BigQuery", request.method(), request.uri().path()))
}

/// Faults of calls named as in the API's reference: `bigquery/jobs.query`, `bigquery/tables.get`, …; those of one table have its
/// name behind it too: `bigquery/tables.get/dataset.table`.
async fn inject(State(faults): State<Faults>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let Some(call) = call_name(request.method(), path) else { return next.run(request).await };
    let of_table = || table_name(path).and_then(|table| faults.next(&format!("{call}/{table}")));
    match faults.next(call).or_else(of_table) {
        None | Some(Action::Duplicate) => next.run(request).await,
        Some(Action::Delay(delay)) => {
            tokio::time::sleep(delay).await;
            next.run(request).await
        }
        Some(Action::Error { code, message, .. }) => ApiError::of_code(code, message).into_response(),
        Some(Action::ApplyThenFail) => {
            next.run(request).await;
            ApiError::of_code(tonic::Code::Unavailable, "injected fault: the answer was lost".into()).into_response()
        }
        Some(Action::DropConnection) => wire::drop_connection(&request).await,
    }
}

/// What comes behind `projects/{project}`.
fn pieces(path: &str) -> Vec<&str> {
    let path = path.strip_prefix("/bigquery/v2").unwrap_or(path);
    path.split('/').filter(|piece| !piece.is_empty()).skip(2).collect()
}

fn table_name(path: &str) -> Option<String> {
    match pieces(path).as_slice() {
        ["datasets", dataset, "tables", table, ..] => Some(format!("{dataset}.{table}")),
        _ => None,
    }
}

fn call_name(method: &Method, path: &str) -> Option<&'static str> {
    Some(match (method.as_str(), pieces(path).as_slice()) {
        ("GET", ["datasets"]) => "bigquery/datasets.list",
        ("POST", ["datasets"]) => "bigquery/datasets.insert",
        ("GET", ["datasets", _]) => "bigquery/datasets.get",
        ("PATCH", ["datasets", _]) => "bigquery/datasets.patch",
        ("PUT", ["datasets", _]) => "bigquery/datasets.update",
        ("DELETE", ["datasets", _]) => "bigquery/datasets.delete",
        ("GET", ["datasets", _, "tables"]) => "bigquery/tables.list",
        ("POST", ["datasets", _, "tables"]) => "bigquery/tables.insert",
        ("GET", ["datasets", _, "tables", _]) => "bigquery/tables.get",
        ("PATCH", ["datasets", _, "tables", _]) => "bigquery/tables.patch",
        ("PUT", ["datasets", _, "tables", _]) => "bigquery/tables.update",
        ("DELETE", ["datasets", _, "tables", _]) => "bigquery/tables.delete",
        ("GET", ["datasets", _, "tables", _, "data"]) => "bigquery/tabledata.list",
        ("POST", ["datasets", _, "tables", _, "insertAll"]) => "bigquery/tabledata.insertAll",
        ("POST", ["queries"]) => "bigquery/jobs.query",
        ("GET", ["queries", _]) => "bigquery/jobs.getQueryResults",
        ("POST", ["jobs"]) => "bigquery/jobs.insert",
        ("GET", ["jobs"]) => "bigquery/jobs.list",
        ("GET", ["jobs", _]) => "bigquery/jobs.get",
        ("POST", ["jobs", _, "cancel"]) => "bigquery/jobs.cancel",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_have_the_names_of_the_reference() {
        for (method, path, name) in [
            (Method::POST, "/bigquery/v2/projects/p/queries", Some("bigquery/jobs.query")),
            (Method::POST, "/projects/p/datasets/d/tables/t/insertAll", Some("bigquery/tabledata.insertAll")),
            (Method::GET, "/projects/p/queries/job", Some("bigquery/jobs.getQueryResults")),
            (Method::GET, "/favicon.ico", None),
        ] {
            assert_eq!(call_name(&method, path), name, "{method} {path}");
        }
    }
}
