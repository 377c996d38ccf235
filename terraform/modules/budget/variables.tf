variable "billing_account" {
  description = "The billing account's id."
  type        = string
}

variable "project_number" {
  description = "The project's number."
  type        = string
}

variable "name" {
  description = "The budget's name."
  type        = string
}

variable "amount" {
  description = "What a month may cost, in whole units of the currency."
  type        = number
}

variable "currency" {
  description = "The billing account's currency; null: whatever it is."
  type        = string
  default     = null
}

variable "thresholds" {
  description = "The shares of the amount at which people are told."
  type        = list(number)
  default     = [0.5, 0.9, 1.0]
  nullable    = false
}

variable "topic" {
  description = "A topic that the month's cost is published to several times a day, for programs: projects/P/topics/T; null: none. Google's budget service must be let publish there."
  type        = string
  default     = null
}

variable "channels" {
  description = "The notification channels, at most five; none: the billing account's administrators."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = length(var.channels) <= 5
    error_message = "A budget takes at most five channels."
  }
}
