variable "project" {
  description = "The project's id."
  type        = string
}

variable "name" {
  description = "The bucket's name, which is the world's."
  type        = string
}

variable "location" {
  description = "Where the bucket is: where the tables are, so that BigQuery can read it."
  type        = string
}

variable "writers" {
  description = "Who writes, merges and deletes objects, by a name for each: IAM members."
  type        = map(string)
  nullable    = false
}

variable "replayers" {
  description = "Who reads objects and keeps checkpoints under `_replay/`, by a name for each: IAM members."
  type        = map(string)
  default     = {}
  nullable    = false
}

variable "readers" {
  description = "Who reads objects, by a name for each: IAM members."
  type        = map(string)
  default     = {}
  nullable    = false
}

variable "colder" {
  description = "The age in days at which an object goes to a colder class."
  type        = map(number)
  default     = { NEARLINE = 30, COLDLINE = 90, ARCHIVE = 365 }
  nullable    = false

  validation {
    condition     = alltrue([for class in keys(var.colder) : contains(["NEARLINE", "COLDLINE", "ARCHIVE"], class)])
    error_message = "Expected the classes NEARLINE, COLDLINE and ARCHIVE."
  }
}

variable "delete_after_days" {
  description = "The age in days at which objects are deleted; null: never."
  type        = number
  default     = null
}

variable "versioning" {
  description = "Whether deleted objects are kept as old versions."
  type        = bool
  default     = true
  nullable    = false
}

variable "noncurrent_days" {
  description = "How long old versions are kept."
  type        = number
  default     = 7
  nullable    = false
}

variable "soft_delete_days" {
  description = "How long deleted objects can be restored: 0, or 7 to 90."
  type        = number
  default     = 7
  nullable    = false

  validation {
    condition     = var.soft_delete_days == 0 || (var.soft_delete_days >= 7 && var.soft_delete_days <= 90)
    error_message = "Expected 0, or 7 to 90 days."
  }
}

variable "retention_days" {
  description = "How long no object can be deleted by anyone; null: no such policy. The compactor then leaves merged objects where they are."
  type        = number
  default     = null
}

variable "retention_locked" {
  description = "Whether the retention policy can never be shortened or removed. This cannot be undone."
  type        = bool
  default     = false
  nullable    = false
}

variable "replica_location" {
  description = "The region of a copy of the archive; null: none."
  type        = string
  default     = null
}

variable "deletion_protection" {
  description = "Whether a bucket that holds anything cannot be deleted by Terraform."
  type        = bool
  default     = true
  nullable    = false
}

variable "kms_key" {
  description = "The key that objects are encrypted with; null: Google's."
  type        = string
  default     = null
}

variable "replica_kms_key" {
  description = "The key that the copies are encrypted with, in their region; null: Google's."
  type        = string
  default     = null
}

variable "log_bucket" {
  description = "A bucket for access logs; null: none. Data Access audit logs tell the same and more."
  type        = string
  default     = null
}

variable "labels" {
  description = "Labels of the buckets."
  type        = map(string)
  default     = {}
  nullable    = false
}
