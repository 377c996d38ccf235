//! `pipas dead-letters show`.

use anyhow::bail;
use base64::{Engine, engine::general_purpose::STANDARD};
use catalog::{dead_letters_table, redrives_table};
use clap::Args;
use comfy_table::{ContentArrangement, Table, presets::NOTHING};
use event::DeadLetterId;
use serde_json::{Map, Value, json};

use super::source::Source;
use crate::{
    cli::Global,
    warehouse::{ResultSet, Warehouse},
};

#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// The dead letter's id, as `list` tells it
    id: DeadLetterId,
}

pub(super) async fn show(global: &Global, source: &Source, args: &ShowArgs) -> anyhow::Result<()> {
    let warehouse = source.warehouse().await?;
    let letter = one(&warehouse, &args.id).await?;
    let sql = format!(
        "SELECT redriven_at, message_id, patch, redriven_by FROM `{}` WHERE dead_letter_id = '{}' ORDER BY 1, 2",
        redrives_table().name,
        args.id
    );
    let redrives = objects(&warehouse.query(&sql).await?)?;
    if global.json {
        let mut letter = letter;
        letter.insert("redrives".into(), redrives.into_iter().map(Value::Object).collect());
        println!("{}", serde_json::to_string_pretty(&letter)?);
        return Ok(());
    }
    println!("{}", lines(&letter));
    for redrive in redrives {
        println!("published again\n{}", lines(&redrive));
    }
    Ok(())
}

/// The dead letter, with its event as text, or as JSON where it is.
async fn one(warehouse: &Warehouse, id: &DeadLetterId) -> anyhow::Result<Map<String, Value>> {
    let sql = format!("SELECT * FROM `{}` WHERE dead_letter_id = '{id}'", dead_letters_table().name);
    let Some(mut letter) = objects(&warehouse.query(&sql).await?)?.into_iter().next() else {
        bail!("there is no dead letter {id}");
    };
    let payload = letter.get("payload").and_then(Value::as_str).map(|payload| STANDARD.decode(payload)).transpose()?;
    let payload = payload.unwrap_or_default();
    let shown = match (serde_json::from_slice(&payload), String::from_utf8(payload)) {
        (Ok(Value::Object(event)), _) => json!(event),
        (_, Ok(text)) => json!(text),
        // Not even text: as BigQuery writes bytes.
        (_, Err(_)) => letter.get("payload").cloned().unwrap_or_default(),
    };
    letter.insert("payload".into(), shown);
    Ok(letter)
}

fn objects(result: &ResultSet) -> anyhow::Result<Vec<Map<String, Value>>> {
    let names = || result.columns.iter().map(|column| column.name.clone());
    let object = |row: &Vec<crate::cell::Cell>| {
        let values = row.iter().map(serde_json::to_value);
        names().zip(values).map(|(name, value)| Ok((name, value?))).collect()
    };
    result.rows.iter().map(object).collect()
}

/// A line for each value that is there.
fn lines(object: &Map<String, Value>) -> String {
    let mut table = Table::new();
    table.load_preset(NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    for (name, value) in object.iter().filter(|(_, value)| !value.is_null()) {
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Object(_) => format!("{value:#}"),
            other => other.to_string(),
        };
        table.add_row([name.as_str(), text.as_str()]);
    }
    table.to_string()
}
