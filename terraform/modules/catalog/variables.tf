variable "file" {
  description = "The path of pipas.yaml. Schemas and views are read relative to its folder."
  type        = string
}
