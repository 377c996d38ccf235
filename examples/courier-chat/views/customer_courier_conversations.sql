-- One row for each order whose courier or customer wrote at least one message. `city_code` is NULL until the order's own
-- event has arrived. Nothing here depends on the order in which events arrive.
WITH
  -- Equal lines count once: an event sent twice under one idempotency key is one row already, and a line sent twice
  -- without a key is two rows with equal columns. Who sent a message is the first word of the application's name.
  messages AS (
    SELECT DISTINCT
      orderId,
      courierId,
      customerId,
      fromId,
      toId,
      senderAppType,
      chatStartedByMessage,
      orderStage,
      messageSentTime,
      IF(STARTS_WITH(senderAppType, 'Courier'), 'Courier', 'Customer') AS sender
    FROM courier_chat.conversations
    WHERE STARTS_WITH(senderAppType, 'Courier') OR STARTS_WITH(senderAppType, 'Customer')
  ),

  chats AS (
    SELECT
      orderId,
      MIN(IF(sender = 'Courier', messageSentTime, NULL)) AS first_courier_message,
      MIN(IF(sender = 'Customer', messageSentTime, NULL)) AS first_customer_message,
      COUNTIF(sender = 'Courier') AS num_messages_courier,
      COUNTIF(sender = 'Customer') AS num_messages_customer,
      -- Of messages of one second, the one that says that it began the chat comes first; then the courier's.
      ARRAY_AGG(sender ORDER BY messageSentTime, IF(chatStartedByMessage, 0, 1), sender LIMIT 1)[OFFSET(0)]
        AS first_message_by,
      MIN(messageSentTime) AS conversation_started_at,
      MAX(messageSentTime) AS last_message_time,
      ARRAY_AGG(
        orderStage ORDER BY messageSentTime DESC, IF(chatStartedByMessage, 1, 0), sender DESC, orderStage DESC LIMIT 1
      )[OFFSET(0)] AS last_message_order_stage
    FROM messages
    GROUP BY orderId
  ),

  -- An order event sent twice must not double the order.
  cities AS (
    SELECT orderId, MAX(cityCode) AS cityCode
    FROM courier_chat.orders
    GROUP BY orderId
  )

SELECT
  chats.orderId AS order_id,
  cities.cityCode AS city_code,
  chats.first_courier_message,
  chats.first_customer_message,
  chats.num_messages_courier,
  chats.num_messages_customer,
  chats.first_message_by,
  chats.conversation_started_at,
  -- The other side's first message answers the first one; NULL until both have written.
  ABS(TIMESTAMP_DIFF(chats.first_courier_message, chats.first_customer_message, SECOND))
    AS first_responsetime_delay_seconds,
  chats.last_message_time,
  chats.last_message_order_stage
FROM chats
LEFT JOIN cities ON cities.orderId = chats.orderId
