variable "project" {
  description = "The project's id."
  type        = string
}

variable "region" {
  description = "Where the functions and the ledger are."
  type        = string
}

variable "prefix" {
  description = "What the names of everything begin with, but those of streams and datasets, which are the catalog's."
  type        = string
  default     = "pipas"
  nullable    = false
}

variable "images" {
  description = "The functions' images by function, each by its digest: receiver, loader, compactor, deadletter, replayer, and poller where there are feeds."
  type        = map(string)
  nullable    = false
}

variable "collector_image" {
  description = "The collector beside each function, by its digest, as Cloud Build copies it into the registry; null: Google's, by its tag."
  type        = string
  default     = null
}

variable "producers" {
  description = "Who may send events, by a name for each: IAM members, e.g. the service account of a producer."
  type        = map(string)
  default     = {}
  nullable    = false
}

variable "readers" {
  description = "Who may read the tables, by a name for each: IAM members, e.g. a group of analysts."
  type        = map(string)
  default     = {}
  nullable    = false
}

variable "mask_key" {
  description = "The secret that holds the key of hashed columns, and its version: needed where the catalog masks by hash."
  type        = object({ secret = string, version = string })
  default     = null
}

variable "schedules" {
  description = "When what runs by the clock runs, as cron says it, in UTC; and whether none of it does. Feeds are somebody else's servers: they are deployed paused, until `feeds_paused = false`. The janitor's queries read a column of every table whole: its price grows with the tables, so it runs once a day."
  type = object({
    compact      = optional(string, "*/5 * * * *")
    merge        = optional(string, "17 * * * *")
    janitor      = optional(string, "40 1 * * *")
    paused       = optional(bool, false)
    feeds_paused = optional(bool, true)
  })
  default  = {}
  nullable = false
}

variable "telemetry" {
  description = "Whether functions hand traces and metrics to a collector beside them, and what share of requests is traced."
  type = object({
    is_on           = optional(bool, true)
    trace_share     = optional(number, 0.01)
    collector_image = optional(string)
  })
  default  = {}
  nullable = false
}

variable "emails" {
  description = "Who is told when something is wrong, by e-mail."
  type        = set(string)
  default     = []
  nullable    = false
}
