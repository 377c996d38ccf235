use crate::TableName;

/// A view: a name and its SQL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// The view's name.
    pub name: TableName,
    /// The query, GoogleSQL. Tables are named `dataset.table`.
    pub sql: String,
}
