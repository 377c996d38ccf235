//! Which names an expression may use, and what they mean.

use std::sync::Arc;

use datafusion_common::{
    Column,
    tree_node::{Transformed, TreeNode},
};
use datafusion_expr::{Expr, LogicalPlan};
use hashbrown::HashMap;

use super::super::data_type::Type;

/// A named value of a row.
#[derive(Debug, Clone)]
pub(crate) struct Named {
    pub(crate) name: String,
    pub(crate) ty: Type,
    pub(crate) expr: Expr,
}

/// A range variable: a table of FROM, or an element of UNNEST.
#[derive(Debug, Clone)]
pub(crate) struct Variable {
    /// Its alias; none for a derived table without one.
    pub(crate) alias: Option<String>,
    /// The columns that it brings; those of a STRUCT element are the fields.
    pub(crate) columns: Vec<Named>,
    /// The columns that USING merged with others: reached by the alias alone.
    pub(crate) merged: Vec<Named>,
    /// The element itself, where the variable is one of UNNEST.
    pub(crate) element: Option<(Expr, Type)>,
}

/// The names of one FROM clause, and those around it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Scope {
    pub(crate) variables: Vec<Variable>,
    /// The columns that USING made.
    pub(crate) using: Vec<Named>,
    pub(crate) parent: Option<Arc<Parent>>,
}

/// The names around a subquery.
#[derive(Debug, Clone)]
pub(crate) struct Parent {
    pub(crate) scope: Scope,
    /// The plan of the subquery carries the rows around it, so their columns can be used.
    pub(crate) carried: bool,
}

/// The rows around a correlated subquery: its FROM starts with them.
#[derive(Debug, Clone)]
pub(crate) struct Lateral {
    /// The rows, each with a number.
    pub(crate) base: LogicalPlan,
    /// The column of the number.
    pub(crate) row: String,
}

/// Rows, and the names that they can be spoken of by.
#[derive(Debug, Clone)]
pub(crate) struct Relation {
    pub(crate) plan: LogicalPlan,
    pub(crate) scope: Scope,
    pub(crate) lateral: Option<Lateral>,
}

/// What a name was found to be.
pub(crate) enum Found {
    Nothing,
    Ambiguous,
    /// It belongs to rows around the subquery that the plan does not carry.
    Correlated,
    Column(Named),
    Variable(Variable),
}

impl Scope {
    /// Looks a name up, here and then around.
    pub(crate) fn find(&self, name: &str) -> Found {
        let mut variables =
            self.variables.iter().filter(|v| v.alias.as_deref().is_some_and(|a| a.eq_ignore_ascii_case(name)));
        match (variables.next(), variables.next()) {
            (Some(variable), None) => return Found::Variable(variable.clone()),
            (Some(_), Some(_)) => return Found::Ambiguous,
            (None, _) => {}
        }
        let all = self.using.iter().chain(self.variables.iter().flat_map(|v| &v.columns));
        let mut columns = all.filter(|c| c.name.eq_ignore_ascii_case(name));
        match (columns.next(), columns.next(), &self.parent) {
            (Some(column), None, _) => Found::Column(column.clone()),
            (Some(_), Some(_), _) => Found::Ambiguous,
            (None, _, None) => Found::Nothing,
            (None, _, Some(parent)) => match parent.scope.find(name) {
                Found::Column(_) | Found::Variable(_) | Found::Ambiguous if !parent.carried => Found::Correlated,
                found => found,
            },
        }
    }

    /// The columns of `SELECT *`, in order.
    pub(crate) fn star(&self) -> Vec<Named> {
        self.using.iter().chain(self.variables.iter().flat_map(|v| &v.columns)).cloned().collect()
    }

    /// The scope over the same rows in a plan whose columns have other names.
    pub(crate) fn renamed(&self, names: &HashMap<String, String>) -> Self {
        let named = |n: &Named| Named { name: n.name.clone(), ty: n.ty.clone(), expr: rename(&n.expr, names) };
        let variables = self.variables.iter().map(|v| Variable {
            alias: v.alias.clone(),
            columns: v.columns.iter().map(named).collect(),
            merged: v.merged.iter().map(named).collect(),
            element: v.element.as_ref().map(|(expr, ty)| (rename(expr, names), ty.clone())),
        });
        let parent = self.parent.as_ref().map(|parent| {
            let scope = if parent.carried { parent.scope.renamed(names) } else { parent.scope.clone() };
            Arc::new(Parent { scope, carried: parent.carried })
        });
        Self { variables: variables.collect(), using: self.using.iter().map(named).collect(), parent }
    }

    /// The names around, as seen from a query that does not carry their rows.
    pub(crate) fn uncarried(parent: &Option<Arc<Parent>>) -> Option<Arc<Parent>> {
        parent.as_ref().map(|parent| Arc::new(Parent { scope: parent.scope.clone(), carried: false }))
    }
}

/// The expression over columns of other names.
fn rename(expr: &Expr, names: &HashMap<String, String>) -> Expr {
    let renamed = expr.clone().transform(|e| {
        Ok(match &e {
            Expr::Column(column) => match names.get(&column.name) {
                Some(name) => Transformed::yes(Expr::Column(Column::new_unqualified(name.as_str()))),
                None => Transformed::no(e),
            },
            _ => Transformed::no(e),
        })
    });
    renamed.map_or_else(|_| expr.clone(), |t| t.data)
}

/// The expression with each part that is one of `parts` replaced by what stands beside it; the name of the first column
/// that is in no part and not allowed otherwise.
pub(crate) fn replace(expr: Expr, parts: &[(Expr, Expr)], allowed: &dyn Fn(&str) -> bool) -> Result<Expr, String> {
    let mut stranger = None;
    let replaced = expr.transform_down(|e| {
        if let Some((_, by)) = parts.iter().find(|(part, _)| *part == e) {
            return Ok(Transformed::new(by.clone(), true, datafusion_common::tree_node::TreeNodeRecursion::Jump));
        }
        if let Expr::Column(column) = &e
            && !allowed(&column.name)
        {
            stranger.get_or_insert(column.name.clone());
        }
        Ok(Transformed::no(e))
    });
    match (stranger, replaced) {
        (None, Ok(replaced)) => Ok(replaced.data),
        (stranger, _) => Err(stranger.unwrap_or_default()),
    }
}
