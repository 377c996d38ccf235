variable "project" {
  description = "The project's id."
  type        = string
}

variable "name" {
  description = "The stream's name."
  type        = string
}

variable "stream" {
  description = "The stream as the module `catalog` tells it."
  type = object({
    topic                    = string
    loader_subscription      = string
    archive_subscription     = string
    dead_letter_topic        = string
    dead_letter_subscription = string
    is_ordered               = bool
    max_delivery_attempts    = number

    subscriptions = optional(map(object({
      id                   = string
      filter               = string
      ack_deadline_seconds = number
      retention_seconds    = number
    })), {})
  })
}

variable "loader" {
  description = "Where deliveries are pushed to, as whom, and for which audience."
  type        = object({ uri = string, caller = string, audience = string })
}

variable "deadletter" {
  description = "Where messages are pushed to whose deliveries are used up, as whom, and for which audience."
  type        = object({ uri = string, caller = string, audience = string })
}

variable "publishers" {
  description = "Who publishes to the topic, by a name for each: IAM members."
  type        = map(string)
  nullable    = false
}

variable "compactor" {
  description = "Who pulls the archive subscription: an IAM member."
  type        = string
}

variable "subscribers" {
  description = "Who pulls the stream's further subscriptions: by the subscription's name in the catalog, IAM members by a name for each."
  type        = map(map(string))
  default     = {}
  nullable    = false

  validation {
    condition     = length(setsubtract(keys(var.subscribers), keys(var.stream.subscriptions))) == 0
    error_message = "Subscribers are of subscriptions that the catalog's stream has: ${join(", ", keys(var.stream.subscriptions))}."
  }
}

variable "pubsub_agent" {
  description = "Pub/Sub's service agent, as an IAM member."
  type        = string
}

variable "settings" {
  description = "Times and bounds of the subscriptions."
  type = object({
    ack_deadline_seconds = optional(number, 60)
    retention            = optional(string, "604800s")
    archive_retention    = optional(string, "604800s")
    topic_retention      = optional(string)
    minimum_backoff      = optional(string, "1s")
    maximum_backoff      = optional(string, "600s")
  })
  default  = {}
  nullable = false
}

variable "regions" {
  description = "The regions that messages may be stored in; none: Pub/Sub's choice."
  type        = list(string)
  default     = []
  nullable    = false
}

variable "kms_key" {
  description = "The key that messages are encrypted with; null: Google's."
  type        = string
  default     = null
}

variable "labels" {
  description = "Labels of the topics and subscriptions."
  type        = map(string)
  default     = {}
  nullable    = false
}
