variable "project" {
  description = "The project's id."
  type        = string
}

variable "name" {
  description = "What the names of the parts are, or begin with."
  type        = string
}

variable "region" {
  description = "The receiver's region."
  type        = string
}

variable "service" {
  description = "The receiver's Cloud Run service."
  type        = string
}

variable "domain" {
  description = "The name under which producers reach the receiver, e.g. events.example.com."
  type        = string
}

variable "requests_per_minute" {
  description = "How many requests one address may send in a minute. Producers behind one address share it."
  type        = number
  default     = 60000
  nullable    = false
}

variable "blocked_ranges" {
  description = "Addresses that are kept out: at most ten ranges."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = length(var.blocked_ranges) <= 10
    error_message = "A rule of Cloud Armor takes at most ten ranges."
  }
}

variable "log_sampling" {
  description = "The share of requests that is logged."
  type        = number
  default     = 0.01
  nullable    = false
}

variable "labels" {
  description = "Labels of the forwarding rule."
  type        = map(string)
  default     = {}
  nullable    = false
}
