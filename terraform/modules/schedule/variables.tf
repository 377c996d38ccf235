variable "project" {
  description = "The project's id."
  type        = string
}

variable "region" {
  description = "The region of the triggers and queues."
  type        = string
}

variable "prefix" {
  description = "What their names begin with."
  type        = string
}

variable "triggers" {
  description = "The triggers by name: when (cron, UTC), what is posted to, as whom, for which audience, and whether it is not posted yet."
  type = map(object({
    description      = string
    schedule         = string
    uri              = string
    caller           = string
    audience         = string
    deadline_seconds = optional(number, 300)
    retries          = optional(number, 2)
    paused           = optional(bool, false)
  }))
  default  = {}
  nullable = false

  validation {
    condition     = alltrue([for trigger in values(var.triggers) : trigger.deadline_seconds >= 15 && trigger.deadline_seconds <= 1800])
    error_message = "Cloud Scheduler waits 15 to 1800 seconds."
  }
}

variable "queues" {
  description = "The queues by name: who puts tasks in, the resource name of the account that tasks show a token of, and how fast they are dispatched."
  type = map(object({
    enqueuer      = string
    caller_id     = string
    per_second    = optional(number, 10)
    at_once       = optional(number, 20)
    attempts      = optional(number, 3)
    retry_seconds = optional(number, 60)
  }))
  default  = {}
  nullable = false
}

variable "paused" {
  description = "Whether nothing is triggered: while something is mended."
  type        = bool
  default     = false
  nullable    = false
}
