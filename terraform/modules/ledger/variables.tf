variable "project" {
  description = "The project's id."
  type        = string
}

variable "name" {
  description = "The instance's name."
  type        = string
}

variable "region" {
  description = "The instance's region."
  type        = string
}

variable "network" {
  description = "The network that the instance is reached from; private service access must be set up in it."
  type        = string
}

variable "memory_gb" {
  description = "The instance's memory. `pipas check` says how much the catalog's rates need; take a quarter more for snapshots."
  type        = number

  validation {
    condition     = var.memory_gb >= 1 && var.memory_gb <= 300 && floor(var.memory_gb) == var.memory_gb
    error_message = "Expected a whole number from 1 to 300."
  }
}

variable "has_replica" {
  description = "Whether a replica in another zone takes over when the primary fails."
  type        = bool
  default     = true
  nullable    = false
}

variable "redis_version" {
  description = "The version: Redis 7, whose scripts may look at the server's identity."
  type        = string
  default     = "REDIS_7_2"
  nullable    = false

  validation {
    condition     = startswith(var.redis_version, "REDIS_7_")
    error_message = "Expected a version of Redis 7."
  }
}

variable "tls" {
  description = "Whether connections are encrypted and the server shows a certificate."
  type        = bool
  default     = true
  nullable    = false
}

variable "maintenance" {
  description = "When Google may maintain the instance: a weekday, and an hour of UTC."
  type        = object({ day = string, hour = number })
  default     = { day = "SUNDAY", hour = 3 }
  nullable    = false
}

variable "users" {
  description = "Who uses the ledger, by a name for each: IAM members."
  type        = map(string)
  nullable    = false
}

variable "registry_users" {
  description = "Who uses the registry, by a name for each: IAM members."
  type        = map(string)
  nullable    = false
}

variable "has_registry" {
  description = "Whether there is a registry."
  type        = bool
  default     = true
  nullable    = false
}

variable "registry_bucket" {
  description = "The name of the registry's bucket."
  type        = string
}

variable "registry_location" {
  description = "Where the registry's bucket is."
  type        = string
}

variable "deletion_protection" {
  description = "Whether the instance, and a registry that holds anything, cannot be deleted by Terraform."
  type        = bool
  default     = true
  nullable    = false
}

variable "kms_key" {
  description = "The key that the instance, its secrets and the registry are encrypted with; null: Google's."
  type        = string
  default     = null
}

variable "labels" {
  description = "Labels of the instance, its secrets and the bucket."
  type        = map(string)
  default     = {}
  nullable    = false
}
