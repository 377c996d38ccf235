variable "project" {
  description = "The project's id."
  type        = string
}

variable "location" {
  description = "Where the data is: a region, or `US` or `EU`, which have ten times a region's connections and throughput."
  type        = string
}

variable "datasets" {
  description = "The datasets, as the module `catalog` tells them."
  type        = set(string)
  nullable    = false
}

variable "tables" {
  description = "The tables by `dataset.table`, as the module `catalog` tells them."
  type = map(object({
    stream      = string
    dataset     = string
    table       = string
    schema      = string
    partition   = object({ field = string, type = string })
    cluster     = list(string)
    primary_key = list(string)
  }))
  nullable = false
}

variable "views" {
  description = "The views by `dataset.view`, as the module `catalog` tells them."
  type        = map(object({ dataset = string, view = string, query = string, is_unique = bool }))
  nullable    = false
}

variable "streams" {
  description = "The streams whose archive is shown as a table."
  type        = set(string)
  nullable    = false
}

variable "archive_bucket" {
  description = "The archive's bucket."
  type        = string
}

variable "archive_tables" {
  description = "Whether the archive is shown as tables of pipas_ops."
  type        = bool
  default     = true
  nullable    = false
}

variable "writers" {
  description = "Who writes the tables, by a name for each: IAM members."
  type        = map(string)
  nullable    = false
}

variable "redrivers" {
  description = "Who may publish dead letters again and write that down, by a name for each: IAM members. They read as readers do."
  type        = map(string)
  default     = {}
  nullable    = false
}

variable "readers" {
  description = "Who may read every dataset and run queries, by a name for each: IAM members, e.g. a group of analysts."
  type        = map(string)
  default     = {}
  nullable    = false
}

variable "deletion_protection" {
  description = "Whether tables with data, and datasets with tables of somebody else, cannot be deleted by Terraform."
  type        = bool
  default     = true
  nullable    = false
}

variable "max_time_travel_hours" {
  description = "How far back a table can be read as it was: 48 to 168 hours."
  type        = number
  default     = 168
  nullable    = false
}

variable "storage_billing_model" {
  description = "`LOGICAL` or `PHYSICAL`: whether storage is paid by uncompressed or by compressed bytes."
  type        = string
  default     = "LOGICAL"
  nullable    = false

  validation {
    condition     = contains(["LOGICAL", "PHYSICAL"], var.storage_billing_model)
    error_message = "Expected LOGICAL or PHYSICAL."
  }
}

variable "kms_key" {
  description = "The key that tables are encrypted with; null: Google's."
  type        = string
  default     = null
}

variable "labels" {
  description = "Labels of datasets and tables."
  type        = map(string)
  default     = {}
  nullable    = false
}
