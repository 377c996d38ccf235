//! Objects made of objects: copy, rewrite, compose.

use axum::{
    Json,
    body::Bytes,
    extract::{Path, Query, State},
};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;

use super::{
    App, Base,
    bucket::json_body,
    checksum::Claimed,
    error::{ApiError, ApiResult},
    object::{Attributes, Object, check_name},
    params::Params,
    preconditions::Preconditions,
    staging::Staged,
    store::NewObject,
};

/// How many objects a compose takes, as the real service has it.
const MAX_COMPONENTS: usize = 32;

/// Source bucket and name, destination bucket and name.
type Way = (String, String, String, String);

pub(crate) async fn copy(
    State(app): State<App>,
    Base(base): Base,
    Path(way): Path<Way>,
    Query(params): Query<Params>,
    body: Bytes,
) -> ApiResult<Json<Value>> {
    Ok(Json(duplicate(&app, way, &params, &body).await?.resource(&base)))
}

/// A rewrite, which the real service may do in several calls, is always done in one.
pub(crate) async fn rewrite(
    State(app): State<App>,
    Base(base): Base,
    Path(way): Path<Way>,
    Query(params): Query<Params>,
    body: Bytes,
) -> ApiResult<Json<Value>> {
    let object = duplicate(&app, way, &params, &body).await?;
    Ok(Json(json!({
        "kind": "storage#rewriteResponse",
        "totalBytesRewritten": object.size.to_string(),
        "objectSize": object.size.to_string(),
        "done": true,
        "resource": object.resource(&base),
    })))
}

async fn duplicate(app: &App, way: Way, params: &Params, body: &[u8]) -> ApiResult<Object> {
    let (from_bucket, from_name, bucket, name) = way;
    check_name(&name)?;
    let preconditions = Preconditions::of(params)?;
    app.store.check_put(&bucket, &name, &preconditions)?;
    let (source, file) = app.store.open_object(&from_bucket, &from_name, params.number("sourceGeneration")?)?;
    Preconditions::of_source(params)?.check_write(Some(&source))?;
    let resource = json_body(body)?;
    let asked = Attributes::from_resource(&resource)?;
    let attributes = if asked == Attributes::default() {
        source.attributes.clone()
    } else {
        asked.or_content_type(source.attributes.content_type.as_deref())
    };
    let mut staged = Staged::create(&app.store).await?;
    append(&mut staged, file).await?;
    let checksums = staged.finish().await?;
    let bytes = staged.path().to_owned();
    let component_count = source.component_count;
    app.store.put(NewObject { bucket, name, bytes, checksums, component_count, attributes }, &preconditions)
}

pub(crate) async fn compose(
    State(app): State<App>,
    Base(base): Base,
    Path((bucket, name)): Path<(String, String)>,
    Query(params): Query<Params>,
    body: Bytes,
) -> ApiResult<Json<Value>> {
    let request = json_body(&body)?;
    let sources = request.get("sourceObjects").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    if sources.is_empty() || sources.len() > MAX_COMPONENTS {
        return Err(ApiError::invalid(format!(
            "The number of source components provided ({}) is not between 1 and {MAX_COMPONENTS}.",
            sources.len()
        )));
    }
    check_name(&name)?;
    let preconditions = Preconditions::of(&params)?;
    app.store.check_put(&bucket, &name, &preconditions)?;
    let mut staged = Staged::create(&app.store).await?;
    let mut components = 0;
    let mut content_type = None;
    for source in sources {
        let from = source.get("name").and_then(Value::as_str).ok_or_else(|| ApiError::required("Required"))?;
        let generation = number(source.get("generation"))?;
        let (object, file) = app.store.open_object(&bucket, from, generation)?;
        let wanted = number(source.pointer("/objectPreconditions/ifGenerationMatch"))?;
        if wanted.is_some_and(|wanted| wanted != object.generation) {
            return Err(ApiError::precondition("If-Match"));
        }
        components += object.component_count.unwrap_or(1);
        content_type = content_type.or(object.attributes.content_type);
        append(&mut staged, file).await?;
    }
    let destination = request.get("destination").cloned().unwrap_or_else(|| json!({}));
    let attributes = Attributes::from_resource(&destination)?.or_content_type(content_type.as_deref());
    let checksums = staged.finish().await?;
    Claimed::from_resource(&destination).verify(&checksums)?;
    let bytes = staged.path().to_owned();
    let new = NewObject { bucket, name, bytes, checksums, component_count: Some(components), attributes };
    Ok(Json(app.store.put(new, &preconditions)?.resource(&base)))
}

/// A 64-bit number, which JSON clients may write as a string.
fn number(value: Option<&Value>) -> ApiResult<Option<i64>> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(value) => {
            let number = value.as_i64().or_else(|| value.as_str().and_then(|text| text.parse().ok()));
            number.map(Some).ok_or_else(|| ApiError::invalid(format!("Invalid value {value} for a 64-bit number.")))
        }
    }
}

async fn append(staged: &mut Staged, file: std::fs::File) -> ApiResult<()> {
    let mut file = tokio::fs::File::from_std(file);
    let mut buffer = vec![0; 256 << 10];
    loop {
        match file.read(&mut buffer).await? {
            0 => return Ok(()),
            count => staged.write(&buffer[..count]).await?,
        }
    }
}
