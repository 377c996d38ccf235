variable "project" {
  description = "The project of the keys; best another than that of the data."
  type        = string
}

variable "name" {
  description = "The key ring's name."
  type        = string
}

variable "location" {
  description = "Where the keys are: where the data is."
  type        = string
}

variable "rotation_days" {
  description = "How often there is a new version of the key. What is encrypted stays with its own."
  type        = number
  default     = 90
  nullable    = false

  validation {
    condition     = var.rotation_days >= 1
    error_message = "Expected at least a day."
  }
}

variable "protection_level" {
  description = "`SOFTWARE` or `HSM`."
  type        = string
  default     = "SOFTWARE"
  nullable    = false

  validation {
    condition     = contains(["SOFTWARE", "HSM"], var.protection_level)
    error_message = "Expected SOFTWARE or HSM."
  }
}

variable "agents" {
  description = "The service agents that encrypt with the key, by a name for each: IAM members."
  type        = map(string)
  nullable    = false
}

variable "labels" {
  description = "Labels of the key."
  type        = map(string)
  default     = {}
  nullable    = false
}
