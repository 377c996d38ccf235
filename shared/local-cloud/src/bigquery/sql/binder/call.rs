//! Function calls as they are written: which of their arguments are parts, intervals or subqueries.

use sqlparser::ast::{Expr as Sql, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList, FunctionArguments};

use super::{Binder, Bound, SqlError, place, select::Frame, subquery::Question};
use crate::bigquery::sql::{calendar::Part, function};

impl Binder<'_> {
    pub(crate) fn bind_function(&mut self, frame: &mut Frame, call: &Function) -> Result<Bound, SqlError> {
        let full = call.name.to_string().replace('`', "").to_uppercase();
        let (name, safe) = match full.strip_prefix("SAFE.") {
            Some(name) => (name.to_owned(), true),
            None => (full, false),
        };
        if call.uses_odbc_syntax
            || call.filter.is_some()
            || !call.within_group.is_empty()
            || !matches!(call.parameters, FunctionArguments::None)
        {
            return Err(SqlError::invalid(format!("Syntax error: Unexpected clause after {name}(…)")));
        }
        let empty = FunctionArgumentList { duplicate_treatment: None, args: Vec::new(), clauses: Vec::new() };
        let list = match &call.args {
            FunctionArguments::Subquery(query) if name == "ARRAY" => {
                return self.bind_subquery(frame, query, Question::Array);
            }
            FunctionArguments::Subquery(_) => {
                return Err(SqlError::invalid(format!("Syntax error: Unexpected subquery as argument of {name}")));
            }
            FunctionArguments::None => &empty,
            FunctionArguments::List(list) => list,
        };
        if let Some(over) = &call.over {
            if safe {
                return Err(SqlError::not_implemented("SAFE. before an analytic function"));
            }
            return self.bind_window(frame, &name, call, list, over);
        }
        if super::aggregate::is_name(&name) {
            if safe {
                return Err(SqlError::not_implemented("SAFE. before an aggregate function"));
            }
            return self.bind_aggregate(frame, &name, call, list);
        }
        if super::window::is_name(&name) {
            return Err(SqlError::invalid(format!("Analytic function {name} cannot be called without an OVER clause")));
        }
        if list.duplicate_treatment.is_some() || !list.clauses.is_empty() || call.null_treatment.is_some() {
            return Err(SqlError::invalid(format!(
                "Function {name} does not support DISTINCT, ORDER BY, LIMIT or NULLS in arguments"
            )));
        }
        let args = plain(&name, list)?;
        if let Some(bound) = self.bind_part_function(frame, &name, &args, safe)? {
            return Ok(bound);
        }
        let args = args.into_iter().map(|sql| self.bind_expr(frame, sql)).collect::<Result<Vec<_>, _>>()?;
        self.call_bound(&name, args, safe)
    }

    /// The functions whose arguments are parts or intervals; `None` where it is none of them.
    fn bind_part_function(
        &mut self,
        frame: &mut Frame,
        name: &str,
        args: &[&Sql],
        safe: bool,
    ) -> Result<Option<Bound>, SqlError> {
        let Some((kind, operation)) = name.split_once('_') else { return Ok(None) };
        if name == "LAST_DAY" {
            let [value, rest @ ..] = args else { return Err(wrong_count(name)) };
            let part = match rest {
                [] => Part::Month,
                [part] => part_argument(part)?,
                _ => return Err(wrong_count(name)),
            };
            let value = self.bind_expr(frame, value)?;
            return function::part::last_day(value, part, safe).map(Some);
        }
        if matches!(name, "GENERATE_DATE_ARRAY" | "GENERATE_TIMESTAMP_ARRAY") {
            return self.generate(frame, name, args, safe).map(Some);
        }
        if !matches!(kind, "DATE" | "DATETIME" | "TIME" | "TIMESTAMP") {
            return Ok(None);
        }
        match operation {
            "DIFF" => {
                let [a, b, part] = args else { return Err(wrong_count(name)) };
                let part = part_argument(part)?;
                let (a, b) = (self.bind_expr(frame, a)?, self.bind_expr(frame, b)?);
                function::part::difference(name, a, b, part, safe).map(Some)
            }
            "TRUNC" => {
                let (value, part, zone) = match args {
                    [value, part] => (value, part, None),
                    [value, part, zone] => (value, part, Some(zone)),
                    _ => return Err(wrong_count(name)),
                };
                let part = part_argument(part)?;
                let value = self.bind_expr(frame, value)?;
                let zone = zone.map(|zone| self.bind_expr(frame, zone)).transpose()?;
                function::part::truncate(name, value, part, zone, safe).map(Some)
            }
            "ADD" | "SUB" => {
                let [value, Sql::Interval(interval)] = args else {
                    let message =
                        format!("No matching signature for function {name}: it expects a value and an INTERVAL");
                    return Err(SqlError::invalid(message));
                };
                let value = self.bind_expr(frame, value)?;
                let (count, part) = self.interval(frame, interval)?;
                function::part::add(name, value, count, part, safe).map(Some)
            }
            _ => Ok(None),
        }
    }

    fn generate(&mut self, frame: &mut Frame, name: &str, args: &[&Sql], safe: bool) -> Result<Bound, SqlError> {
        let (start, end, step) = match args {
            [start, end] => (start, end, None),
            [start, end, Sql::Interval(interval)] => (start, end, Some(interval)),
            _ => return Err(wrong_count(name)),
        };
        let (start, end) = (self.bind_expr(frame, start)?, self.bind_expr(frame, end)?);
        let step = step.map(|interval| self.interval(frame, interval)).transpose()?;
        function::array::generate_times(name, start, end, step, safe)
    }
}

/// The expressions of an argument list.
pub(crate) fn plain<'s>(name: &str, list: &'s FunctionArgumentList) -> Result<Vec<&'s Sql>, SqlError> {
    let args = list.args.iter().map(|arg| match arg {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(sql)) => Ok(sql),
        FunctionArg::Unnamed(_) => Err(SqlError::invalid(format!("Argument * is not supported by function {name}"))),
        _ => Err(SqlError::not_implemented(format_args!("A named argument of FUNCTION {name}"))),
    });
    args.collect()
}

fn wrong_count(name: &str) -> SqlError {
    SqlError::invalid(format!("Number of arguments does not match for function {name}"))
}

/// `MONTH`, `WEEK(MONDAY)`.
fn part_argument(sql: &Sql) -> Result<Part, SqlError> {
    let part = match sql {
        Sql::Identifier(ident) => Part::of_name(&ident.value, None),
        Sql::Function(function) => match &function.args {
            FunctionArguments::List(list) => match list.args.as_slice() {
                [FunctionArg::Unnamed(FunctionArgExpr::Expr(Sql::Identifier(weekday)))] => {
                    Part::of_name(&function.name.to_string(), Some(&weekday.value))
                }
                _ => None,
            },
            _ => Part::of_name(&function.name.to_string(), None),
        },
        _ => None,
    };
    part.ok_or_else(|| {
        SqlError::invalid(format!("A valid date part name is required but found {sql}")).at_span(place(sql))
    })
}
