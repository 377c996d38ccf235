//! The view of the couriers' conversations, whatever the order its lines come in.

use super::World;

const TABLES: [&str; 2] = [
    "CREATE TABLE courier_chat.conversations (senderAppType STRING, courierId INT64, fromId INT64, toId INT64,
        chatStartedByMessage BOOL, orderId INT64 NOT NULL, orderStage STRING, customerId INT64 NOT NULL,
        messageSentTime TIMESTAMP, ingest STRUCT<event_id STRING, received_at TIMESTAMP>, extra JSON)",
    "CREATE TABLE courier_chat.orders (orderId INT64 NOT NULL, cityCode STRING NOT NULL,
        ingest STRUCT<event_id STRING, received_at TIMESTAMP>, extra JSON)",
];

const MESSAGES: [&str; 5] = [
    "('Courier Android', 45035010, 45035010, 57270753, TRUE, 77656162, 'AWAITING_PICKUP', 57270753, '2024-02-01T10:04:46Z')",
    "('Customer iOS', 45035010, 57270753, 45035010, FALSE, 77656162, 'DELAYED', 57270753, '2024-02-01T10:05:28Z')",
    "('Courier Android', 45035010, 45035010, 57270753, FALSE, 77656162, 'ACCEPTED', 57270753, '2024-02-01T10:05:31Z')",
    "('Customer iOS', 45035010, 57270753, 45035010, FALSE, 77656162, 'DELAYED', 57270753, '2024-02-01T10:06:16Z')",
    "('Courier Android', 45035010, 45035010, 57270753, FALSE, 77656162, 'FAILED', 57270753, '2024-02-01T10:06:35Z')",
];

const VIEW: &str = "
    WITH messages AS (
      SELECT orderId, orderStage, messageSentTime, STARTS_WITH(senderAppType, 'Courier') AS by_courier
      FROM `pipas-local.courier_chat.conversations`
      QUALIFY ROW_NUMBER() OVER (
        PARTITION BY orderId, fromId, toId, messageSentTime, orderStage ORDER BY ingest.received_at) = 1
    ),
    orders AS (SELECT orderId, ANY_VALUE(cityCode) AS cityCode FROM courier_chat.orders GROUP BY orderId)
    SELECT
      orderId AS order_id,
      ANY_VALUE(o.cityCode) AS city_code,
      MIN(IF(by_courier, messageSentTime, NULL)) AS first_courier_message,
      MIN(IF(NOT by_courier, messageSentTime, NULL)) AS first_customer_message,
      COUNTIF(by_courier) AS num_messages_courier,
      COUNTIF(NOT by_courier) AS num_messages_customer,
      ARRAY_AGG(IF(by_courier, 'Courier', 'Customer') ORDER BY messageSentTime LIMIT 1)[OFFSET(0)] AS first_message_by,
      MIN(messageSentTime) AS conversation_started_at,
      ABS(TIMESTAMP_DIFF(
        MIN(IF(by_courier, messageSentTime, NULL)), MIN(IF(NOT by_courier, messageSentTime, NULL)), SECOND))
        AS first_responsetime_delay_seconds,
      MAX(messageSentTime) AS last_message_time,
      ARRAY_AGG(orderStage ORDER BY messageSentTime DESC LIMIT 1)[OFFSET(0)] AS last_message_order_stage
    FROM messages m LEFT JOIN orders o USING (orderId)
    GROUP BY orderId";

const ANSWER: &str = "77656162, ROM, 2024-02-01 10:04:46+00, 2024-02-01 10:05:28+00, 3, 2, Courier, \
    2024-02-01 10:04:46+00, 42, 2024-02-01 10:06:35+00, FAILED";

async fn world(lines: &[usize]) -> std::sync::Arc<World> {
    let world = std::sync::Arc::new(World::default());
    for table in TABLES {
        world.does(table).await;
    }
    for line in lines {
        let insert = match MESSAGES.get(*line) {
            Some(message) => format!(
                "INSERT courier_chat.conversations (senderAppType, courierId, fromId, toId, chatStartedByMessage, \
                 orderId, orderStage, customerId, messageSentTime) VALUES {message}"
            ),
            None => "INSERT courier_chat.orders (orderId, cityCode) VALUES (77656162, 'ROM')".to_owned(),
        };
        world.does(&insert).await;
    }
    world
}

#[tokio::test]
async fn the_view_is_right_in_any_order_and_with_duplicates() {
    for lines in [[0, 5, 1, 2, 3, 4].as_slice(), &[4, 3, 2, 1, 0, 5], &[5, 0, 0, 1, 1, 2, 5, 3, 4, 4]] {
        let world = world(lines).await;
        world.does(&format!("CREATE VIEW courier_chat.customer_courier_conversations AS {VIEW}")).await;
        world.answers(&[("SELECT * FROM courier_chat.customer_courier_conversations", ANSWER)]).await;
    }
}

#[tokio::test]
async fn the_shipped_view_gives_the_same() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../views/customer_courier_conversations.sql");
    let sql = std::fs::read_to_string(path).expect("the repository's view");
    let world = world(&[0, 5, 1, 2, 3, 4]).await;
    world.answers(&[(&sql, ANSWER)]).await;
}
