variable "project" {
  description = "The project's id."
  type        = string
}

variable "region" {
  description = "The job's region."
  type        = string
}

variable "name" {
  description = "The job's name."
  type        = string
}

variable "image" {
  description = "The image, by its digest."
  type        = string

  validation {
    condition     = can(regex("@sha256:[0-9a-f]{64}$", var.image))
    error_message = "Expected an image by its digest: …@sha256:<64 hexadecimal digits>."
  }
}

variable "args" {
  description = "The program's arguments."
  type        = list(string)
  nullable    = false
}

variable "env" {
  description = "The environment."
  type        = map(string)
  default     = {}
  nullable    = false
}

variable "service_account" {
  description = "The e-mail address of the account that the job runs as."
  type        = string
}

variable "caller" {
  description = "Who starts it: the account's e-mail address and its IAM member."
  type        = object({ email = string, member = string })
}

variable "schedule" {
  description = "When it runs, as cron says it, in UTC; null: when somebody starts it."
  type        = string
  default     = null
}

variable "timeout_seconds" {
  description = "How long a run may take."
  type        = number
  default     = 3600
  nullable    = false
}

variable "retries" {
  description = "How often a run that failed is tried again."
  type        = number
  default     = 0
  nullable    = false
}

variable "cpu" {
  description = "Processors of a run."
  type        = string
  default     = "1"
  nullable    = false
}

variable "memory" {
  description = "Memory of a run."
  type        = string
  default     = "2Gi"
  nullable    = false
}

variable "network" {
  description = "The network that everything is sent through; null: none."
  type        = string
  default     = null
}

variable "subnetwork" {
  description = "The subnet that runs take their addresses from; null: none."
  type        = string
  default     = null
}

variable "binary_authorization" {
  description = "Whether only an image runs that the project's Binary Authorization policy takes."
  type        = bool
  default     = false
  nullable    = false
}

variable "kms_key" {
  description = "The key that the image is encrypted with; null: Google's."
  type        = string
  default     = null
}

variable "labels" {
  description = "Labels of the job."
  type        = map(string)
  default     = {}
  nullable    = false
}
