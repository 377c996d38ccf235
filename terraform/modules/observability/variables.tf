variable "project" {
  description = "The project's id."
  type        = string
}

variable "prefix" {
  description = "What the names of functions, triggers and jobs begin with."
  type        = string
}

variable "emails" {
  description = "Who is told by e-mail."
  type        = set(string)
  default     = []
  nullable    = false
}

variable "channels" {
  description = "Notification channels that are there already, e.g. of a pager."
  type        = list(string)
  default     = []
  nullable    = false
}

variable "services" {
  description = "The names of the Cloud Run services that alerts single out."
  type        = object({ receiver = string, loader = string })
}

variable "max_instances" {
  description = "The most instances of each Cloud Run service, by its name."
  type        = map(number)
  nullable    = false
}

variable "quotas" {
  description = "BigQuery's quotas, as the module `catalog` tells them."
  type        = object({ share = number })
}

variable "audit_jobs" {
  description = "The names of the jobs that audit, as a regular expression; null: there are none."
  type        = string
  default     = null
}

variable "uptime_host" {
  description = "The host under which the receiver is looked at from outside; null: it is not."
  type        = string
  default     = null
}

variable "uptime_with_token" {
  description = "Whether the look shows a token of Cloud Monitoring's: for a receiver that is not open to everyone."
  type        = bool
  default     = true
  nullable    = false
}

variable "thresholds" {
  description = "When somebody is told."
  type = object({
    unacked_seconds     = optional(number, 300)
    undelivered         = optional(number, 1000000)
    unarchived_seconds  = optional(number, 7200)
    refused_share       = optional(number, 0.2)
    dead_letters        = optional(number, 0)
    append_errors_share = optional(number, 0.05)
    ledger_memory_share = optional(number, 0.8)
    ledger_connections  = optional(number, 50000)
    edge_errors_share   = optional(number, 0.01)
    quota_share         = optional(number, 0.7)
  })
  default  = {}
  nullable = false
}

variable "objectives" {
  description = "What is promised over 28 days: of requests, that they are answered (availability), and within latency_ms (latency); of minutes, that no event waits longer than backlog_seconds (freshness). That same share of events is a row within freshness_seconds, or the alert `late` says so."
  type = object({
    availability      = optional(number, 0.999)
    latency           = optional(number, 0.99)
    latency_ms        = optional(number, 500)
    freshness         = optional(number, 0.99)
    freshness_seconds = optional(number, 1)
    backlog_seconds   = optional(number, 60)
  })
  default  = {}
  nullable = false
}

variable "labels" {
  description = "Labels of the alerts."
  type        = map(string)
  default     = {}
  nullable    = false
}
