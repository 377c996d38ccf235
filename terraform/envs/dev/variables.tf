variable "project" {
  description = "The project's id."
  type        = string
}

variable "region" {
  description = "Where the functions and the ledger are."
  type        = string
}

variable "images" {
  description = "The functions' images by function, each by its digest: receiver, loader, compactor, deadletter, replayer, and poller where there are feeds."
  type        = map(string)
  nullable    = false
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

variable "emails" {
  description = "Who is told when something is wrong, by e-mail."
  type        = set(string)
  default     = []
  nullable    = false
}
