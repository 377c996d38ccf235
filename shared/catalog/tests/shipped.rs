//! The catalog at the repository's root.

use std::{collections::BTreeMap, path::Path};

use catalog::{Catalog, Mode, Probe, TableName};

fn shipped() -> Catalog {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../pipas.yaml");
    Catalog::load(&file).unwrap_or_else(|error| panic!("{error}"))
}

fn table_of(stream: &str, json: &str) -> Option<String> {
    let catalog = shipped();
    let stream = &catalog.streams[stream];
    let event = Probe::new(stream).scan(json.as_bytes()).expect("an event");
    event.route(stream, &BTreeMap::new()).map(|table| table.name.to_string())
}

#[test]
fn it_loads() {
    let catalog = shipped();
    assert_eq!(catalog.streams.keys().collect::<Vec<_>>(), ["courier-chat", "events"]);
    let tables: Vec<_> = catalog.tables().map(|(_, table)| table.name.to_string()).collect();
    assert_eq!(tables, ["courier_chat.orders", "courier_chat.conversations", "events.events"]);
    let view = TableName { dataset: "courier_chat".into(), table: "customer_courier_conversations".into() };
    assert!(catalog.views[&view].sql.contains("first_responsetime_delay_seconds"));
}

#[test]
fn orders_and_messages_of_one_stream_part() {
    let order = r#"{"orderId": 77656162, "cityCode": "ROM"}"#;
    let message = r#"{"senderAppType": "Courier Android", "courierId": 45035010, "fromId": 45035010, "toId": 57270753,
        "chatStartedByMessage": true, "orderId": 77656162, "orderStage": "AWAITING_PICKUP", "customerId": 57270753,
        "messageSentTime": "2024-02-01T10:04:46Z"}"#;
    assert_eq!(table_of("courier-chat", order).as_deref(), Some("courier_chat.orders"));
    assert_eq!(table_of("courier-chat", message).as_deref(), Some("courier_chat.conversations"));
    let with_city = message.replacen('{', r#"{"cityCode": "ROM", "#, 1);
    assert_eq!(table_of("courier-chat", &with_city).as_deref(), Some("courier_chat.conversations"));
    let with_customer = order.replacen('{', r#"{"customerId": 57270753, "#, 1);
    assert_eq!(table_of("courier-chat", &with_customer).as_deref(), Some("courier_chat.orders"));
    assert_eq!(table_of("courier-chat", r#"{"orderId": 1, "cityCode": null}"#), None);
}

#[test]
fn the_columns_that_the_rules_ask_for_are_those_that_every_row_has() {
    let catalog = shipped();
    let required = |table: &str| -> Vec<String> {
        let (_, table) = catalog.tables().find(|(_, known)| known.key == table).expect("a table");
        table
            .schema
            .fields
            .iter()
            .filter(|field| field.mode == Mode::Required)
            .map(|field| field.name.clone())
            .collect()
    };
    assert_eq!(required("orders"), ["orderId", "cityCode"]);
    assert_eq!(required("conversations"), ["senderAppType", "customerId", "fromId", "orderId", "messageSentTime"]);
    assert_eq!(required("events"), ["event_id", "timestamp"]);
}

#[test]
fn an_envelope_tells_its_own_id() {
    let catalog = shipped();
    let stream = &catalog.streams["events"];
    let json = br#"{"event_id": "e-1", "timestamp": "2024-02-01T10:04:46Z", "data": {}, "metadata": {"source": "a", "version": "1"}}"#;
    let event = Probe::new(stream).scan(json).expect("an event");
    let id = stream.event_id(&event, None).expect("a pointer").expect("an id");
    assert_eq!(id.as_str(), "e-1");
}
