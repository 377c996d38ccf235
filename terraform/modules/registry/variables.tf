variable "project" {
  description = "The project's id."
  type        = string
}

variable "location" {
  description = "The repository's region."
  type        = string
}

variable "name" {
  description = "The repository's name."
  type        = string
  default     = "pipas"
  nullable    = false
}

variable "keep" {
  description = "How many versions of an image are kept, however old they are. A push makes three: the index, the image, and its attestations."
  type        = number
  default     = 100
  nullable    = false
}

variable "delete_after_days" {
  description = "The age at which the others are deleted."
  type        = number
  default     = 90
  nullable    = false
}

variable "readers" {
  description = "Who pulls images, by a name for each: IAM members, e.g. the Cloud Run service agent of another project."
  type        = map(string)
  default     = {}
  nullable    = false
}

variable "writers" {
  description = "Who pushes images, by a name for each: IAM members."
  type        = map(string)
  default     = {}
  nullable    = false
}

variable "kms_key" {
  description = "The key that images are encrypted with; null: Google's."
  type        = string
  default     = null
}

variable "labels" {
  description = "Labels of the repository."
  type        = map(string)
  default     = {}
  nullable    = false
}
