variable "project" {
  description = "The project's id."
  type        = string
}

variable "prefix" {
  description = "What the accounts' names begin with."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,13}$", var.prefix))
    error_message = "Expected 1 to 14 lower-case letters, digits and hyphens, a letter first: an account's id has at most 30."
  }
}

variable "functions" {
  description = "The functions, each of which runs as an account of its own."
  type        = set(string)
  nullable    = false
}

variable "called" {
  description = "The functions that are called by Pub/Sub, Cloud Scheduler or Cloud Tasks."
  type        = set(string)
  nullable    = false
}

variable "pushed" {
  description = "Those of them that Pub/Sub pushes to."
  type        = set(string)
  nullable    = false
}

variable "pubsub_agent" {
  description = "Pub/Sub's service agent, as an IAM member."
  type        = string
}
