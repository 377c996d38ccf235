use googleapis::google::pubsub::v1 as pb;
use tonic::Status;

use super::subscription::Subscription;

/// Names one delivery: subscription, message, lease.
pub(super) fn format(subscription: &Subscription, sequence: u64, lease: u64) -> String {
    format!("{:x}-{sequence:x}-{lease:x}", subscription.id)
}

/// Message and lease of an ack id of this subscription.
pub(super) fn parse(subscription: &Subscription, ack_id: &str) -> Result<(u64, u64), Status> {
    let mut parts = ack_id.split('-').map(|part| u64::from_str_radix(part, 16).ok());
    match (parts.next().flatten(), parts.next().flatten(), parts.next().flatten(), parts.next()) {
        (Some(id), Some(sequence), Some(lease), None) if id == subscription.id => Ok((sequence, lease)),
        _ => Err(Status::invalid_argument(format!(
            "You have passed an invalid ack ID to the service (ack_id={ack_id})."
        ))),
    }
}

/// As [`parse`], of several.
pub(super) fn parse_all(subscription: &Subscription, ack_ids: &[String]) -> Result<Vec<(u64, u64)>, Status> {
    ack_ids.iter().map(|ack_id| parse(subscription, ack_id)).collect()
}

/// The delivery as pull and streaming pull give it.
pub(super) fn received(
    subscription: &Subscription,
    config: &pb::Subscription,
    delivery: &super::backlog::Delivery,
) -> Option<pb::ReceivedMessage> {
    let message = subscription.shared().body(&delivery.message)?;
    let attempt = if config.dead_letter_policy.is_some() { delivery.attempt } else { 0 };
    Some(pb::ReceivedMessage {
        ack_id: format(subscription, delivery.message.sequence, delivery.lease),
        message: Some(pb::PubsubMessage::clone(&message)),
        delivery_attempt: i32::try_from(attempt).unwrap_or(i32::MAX),
    })
}
