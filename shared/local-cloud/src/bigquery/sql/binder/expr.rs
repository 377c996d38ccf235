//! Expressions.

use datafusion_expr::{Case, Expr, expr::InList};
use sqlparser::ast::{self, BinaryOperator, CeilFloorKind, DateTimeField, Expr as Sql, Value as SqlValue};

use super::{Binder, Bound, Kind, SqlError, Type, Value, operator, place, select::Frame, subquery::Question};
use crate::bigquery::sql::{calendar::Part, cast::cast, function, lazy, literal as text_literal, scalar::can_fail};

impl Binder<'_> {
    /// Binds an expression; an error gets the place of the innermost expression that it is about.
    pub(crate) fn bind_expr(&mut self, frame: &mut Frame, sql: &Sql) -> Result<Bound, SqlError> {
        self.bind_inner(frame, sql).map_err(|error| error.at_span(place(sql)))
    }

    fn bind_inner(&mut self, frame: &mut Frame, sql: &Sql) -> Result<Bound, SqlError> {
        match sql {
            Sql::Identifier(ident) => self.bind_path(frame, std::slice::from_ref(ident)),
            Sql::CompoundIdentifier(idents) => self.bind_path(frame, idents),
            Sql::CompoundFieldAccess { root, access_chain } => self.bind_access(frame, root, access_chain),
            Sql::Nested(inner) => self.bind_expr(frame, inner),
            Sql::Value(value) => self.bind_value(&value.value),
            Sql::UnaryOp { op, expr } => {
                if let (ast::UnaryOperator::Minus, Sql::Value(value)) = (op, expr.as_ref())
                    && let SqlValue::Number(digits, _) = &value.value
                    && digits == "9223372036854775808"
                {
                    return Bound::literal(Value::Int(i64::MIN), Type::Int64);
                }
                let bound = self.bind_expr(frame, expr)?;
                operator::unary(*op, bound)
            }
            Sql::BinaryOp { op: op @ (BinaryOperator::And | BinaryOperator::Or), .. } => {
                let sides = sides(sql, op).into_iter().map(|side| self.bind_expr(frame, side));
                operator::connective(op, sides.collect::<Result<_, _>>()?)
            }
            Sql::BinaryOp { left, op, right } => {
                let left = self.bind_expr(frame, left)?;
                let right = self.bind_expr(frame, right)?;
                operator::binary(op, left, right)
            }
            Sql::IsNull(inner) => self.test(frame, inner, None, Expr::is_null),
            Sql::IsNotNull(inner) => self.test(frame, inner, None, Expr::is_not_null),
            Sql::IsTrue(inner) => self.test(frame, inner, Some("IS TRUE"), Expr::is_true),
            Sql::IsNotTrue(inner) => self.test(frame, inner, Some("IS NOT TRUE"), Expr::is_not_true),
            Sql::IsFalse(inner) => self.test(frame, inner, Some("IS FALSE"), Expr::is_false),
            Sql::IsNotFalse(inner) => self.test(frame, inner, Some("IS NOT FALSE"), Expr::is_not_false),
            Sql::IsUnknown(inner) => self.test(frame, inner, Some("IS UNKNOWN"), Expr::is_unknown),
            Sql::IsNotUnknown(inner) => self.test(frame, inner, Some("IS NOT UNKNOWN"), Expr::is_not_unknown),
            Sql::IsDistinctFrom(left, right) => self.distinct_from(frame, left, right, false),
            Sql::IsNotDistinctFrom(left, right) => self.distinct_from(frame, left, right, true),
            Sql::Between { expr, negated, low, high } => {
                let bound = self.bind_expr(frame, expr)?;
                let low = self.bind_expr(frame, low)?;
                let high = self.bind_expr(frame, high)?;
                once(&bound, "BETWEEN")?;
                let above = operator::binary(&BinaryOperator::GtEq, bound.clone(), low)?;
                let below = operator::binary(&BinaryOperator::LtEq, bound, high)?;
                let within = above.expr.and(below.expr);
                Ok(Bound::new(if *negated { negate(within) } else { within }, Type::Bool))
            }
            Sql::InList { expr, list, negated } => {
                let bound = self.bind_expr(frame, expr)?;
                let within = self.in_list(frame, bound, list)?;
                Ok(Bound::new(if *negated { negate(within) } else { within }, Type::Bool))
            }
            Sql::InUnnest { expr, array_expr, negated } => {
                let bound = self.bind_expr(frame, expr)?;
                let array = self.bind_expr(frame, array_expr)?;
                let within = function::array::contains(bound, array)?;
                Ok(Bound::new(if *negated { negate(within) } else { within }, Type::Bool))
            }
            Sql::InSubquery { expr, subquery, negated } => {
                let bound = self.bind_expr(frame, expr)?;
                let within = self.bind_subquery(frame, subquery, Question::In(bound))?;
                Ok(Bound::new(if *negated { negate(within.expr) } else { within.expr }, Type::Bool))
            }
            Sql::Exists { subquery, negated } => {
                let exists = self.bind_subquery(frame, subquery, Question::Exists)?;
                Ok(Bound::new(if *negated { negate(exists.expr) } else { exists.expr }, Type::Bool))
            }
            Sql::Subquery(subquery) => self.bind_subquery(frame, subquery, Question::Scalar),
            Sql::Like { negated, any: false, expr, pattern, escape_char: None } => {
                let args = vec![self.bind_expr(frame, expr)?, self.bind_expr(frame, pattern)?];
                let like = function::string::like(args)?;
                Ok(Bound::new(if *negated { negate(like.expr) } else { like.expr }, Type::Bool))
            }
            Sql::Like { any: true, .. } => Err(SqlError::not_implemented("LIKE ANY")),
            Sql::Case { operand, conditions, else_result, .. } => {
                self.bind_case(frame, operand.as_deref(), conditions, else_result.as_deref())
            }
            Sql::Cast { kind, expr, data_type, format, array: false } => {
                if format.is_some() {
                    return Err(SqlError::not_implemented("CAST with FORMAT"));
                }
                let safe = match kind {
                    ast::CastKind::Cast => false,
                    ast::CastKind::SafeCast => true,
                    _ => return Err(SqlError::invalid("Syntax error: Unexpected kind of CAST")),
                };
                let bound = self.bind_expr(frame, expr)?;
                let ty = Type::of_sql(data_type)?;
                if matches!(bound.kind, Kind::Null | Kind::EmptyArray) && bound.fits(&ty) {
                    return Ok(Bound::new(bound.coerce(&ty)?, ty));
                }
                Ok(Bound::new(cast(bound.expr, &bound.ty, &ty, safe)?, ty))
            }
            Sql::TypedString(typed) => self.typed_literal(typed),
            Sql::Interval(interval) => {
                let (bound, part) = self.interval(frame, interval)?;
                function::interval::make(bound, part)
            }
            Sql::Extract { field, expr, .. } => {
                let part = part_of(field)?;
                let (value, zone) = match expr.as_ref() {
                    Sql::AtTimeZone { timestamp, time_zone } => (timestamp, Some(time_zone)),
                    _ => (expr, None),
                };
                let value = self.bind_expr(frame, value)?;
                let zone = zone.map(|zone| self.bind_expr(frame, zone)).transpose()?;
                function::part::extract(value, part, zone)
            }
            Sql::Ceil { expr, field: CeilFloorKind::DateTimeField(DateTimeField::NoDateTime) } => {
                self.call_with(frame, "CEIL", &[expr])
            }
            Sql::Floor { expr, field: CeilFloorKind::DateTimeField(DateTimeField::NoDateTime) } => {
                self.call_with(frame, "FLOOR", &[expr])
            }
            Sql::Substring { expr, substring_from: Some(from), substring_for, special: true, .. } => {
                let mut args: Vec<&Sql> = vec![expr, from];
                args.extend(substring_for.as_deref());
                self.call_with(frame, "SUBSTR", &args)
            }
            Sql::Trim { trim_where: None, trim_what: None, expr, trim_characters } => {
                let mut args: Vec<&Sql> = vec![expr];
                args.extend(trim_characters.iter().flatten());
                let args = args.into_iter().map(|sql| self.bind_expr(frame, sql)).collect::<Result<_, _>>()?;
                self.call_bound("TRIM", args, false)
            }
            Sql::Function(function) => self.bind_function(frame, function),
            Sql::Struct { values, fields } => self.bind_struct(frame, values, fields),
            Sql::Tuple(values) => {
                let unnamed: Vec<Sql> = values.iter().map(|v| Sql::Nested(Box::new(v.clone()))).collect();
                self.bind_struct(frame, &unnamed, &[])
            }
            Sql::Array(array) => self.bind_array(frame, &array.elem),
            Sql::Collate { .. } => Err(SqlError::not_implemented("COLLATE")),
            Sql::Lambda(_) => Err(SqlError::not_implemented("A lambda")),
            other => Err(SqlError::invalid(format!("Syntax error: Unexpected expression {other}"))),
        }
    }

    fn test(
        &mut self,
        frame: &mut Frame,
        sql: &Sql,
        of_bool: Option<&str>,
        make: fn(Expr) -> Expr,
    ) -> Result<Bound, SqlError> {
        let bound = self.bind_expr(frame, sql)?;
        let Some(name) = of_bool else { return Ok(Bound::new(make(bound.expr), Type::Bool)) };
        if !bound.fits(&Type::Bool) {
            return Err(SqlError::invalid(format!(
                "No matching signature for operator {name} for argument types: {}",
                bound.ty
            )));
        }
        Ok(Bound::new(make(bound.coerce(&Type::Bool)?), Type::Bool))
    }

    fn distinct_from(&mut self, frame: &mut Frame, left: &Sql, right: &Sql, same: bool) -> Result<Bound, SqlError> {
        let left = self.bind_expr(frame, left)?;
        let right = self.bind_expr(frame, right)?;
        let Some(ty) = Bound::supertype([&left, &right]).filter(Type::is_orderable) else {
            let message = format!("IS DISTINCT FROM is not defined for {} and {}", left.ty, right.ty);
            return Err(SqlError::invalid(message));
        };
        let (l, r) = (operator::group_key(left.coerce(&ty)?, &ty), operator::group_key(right.coerce(&ty)?, &ty));
        let operator =
            if same { datafusion_expr::Operator::IsNotDistinctFrom } else { datafusion_expr::Operator::IsDistinctFrom };
        Ok(Bound::new(datafusion_expr::binary_expr(l, operator, r), Type::Bool))
    }

    fn in_list(&mut self, frame: &mut Frame, bound: Bound, list: &[Sql]) -> Result<Expr, SqlError> {
        let mut items = Vec::with_capacity(list.len());
        for sql in list {
            items.push(self.bind_expr(frame, sql)?);
        }
        let all = std::iter::once(&bound).chain(&items);
        let ty = Bound::supertype(all).filter(|ty| ty.is_orderable() && *ty != Type::Float64);
        if let Some(ty) = ty {
            let expr = bound.coerce(&ty)?;
            let items = items.into_iter().map(|item| item.coerce(&ty)).collect::<Result<_, _>>()?;
            return Ok(Expr::InList(InList::new(Box::new(expr), items, false)));
        }
        let mut any: Option<Expr> = None;
        for item in items {
            let equal = operator::binary(&BinaryOperator::Eq, bound.clone(), item)?.expr;
            any = Some(match any {
                Some(any) => any.or(equal),
                None => equal,
            });
        }
        any.ok_or_else(|| SqlError::invalid("Syntax error: Unexpected \")\" in IN"))
    }

    fn bind_case(
        &mut self,
        frame: &mut Frame,
        operand: Option<&Sql>,
        conditions: &[ast::CaseWhen],
        otherwise: Option<&Sql>,
    ) -> Result<Bound, SqlError> {
        let operand = operand.map(|sql| self.bind_expr(frame, sql)).transpose()?;
        if let (Some(operand), [_, _, ..]) = (&operand, conditions) {
            once(operand, "CASE")?;
        }
        let mut whens = Vec::with_capacity(conditions.len());
        let mut results = Vec::with_capacity(conditions.len() + 1);
        for when in conditions {
            let condition = self.bind_expr(frame, &when.condition)?;
            whens.push(match &operand {
                Some(operand) => operator::binary(&BinaryOperator::Eq, operand.clone(), condition)?.expr,
                None if condition.fits(&Type::Bool) => condition.coerce(&Type::Bool)?,
                None => {
                    let message = format!("CASE WHEN expects a BOOL but has {}", condition.ty);
                    return Err(SqlError::invalid(message).at_span(place(&when.condition)));
                }
            });
            results.push(self.bind_expr(frame, &when.result)?);
        }
        if let Some(otherwise) = otherwise {
            results.push(self.bind_expr(frame, otherwise)?);
        }
        case(whens, results, "CASE")
    }

    fn bind_value(&mut self, value: &SqlValue) -> Result<Bound, SqlError> {
        match value {
            SqlValue::Number(digits, _) => number(digits),
            SqlValue::HexStringLiteral(digits) => {
                let value = i64::from_str_radix(digits, 16);
                let value = value.map_err(|_| SqlError::invalid(format!("Invalid integer literal: 0x{digits}")))?;
                Bound::literal(Value::Int(value), Type::Int64)
            }
            SqlValue::Boolean(value) => Bound::literal(Value::Bool(*value), Type::Bool),
            SqlValue::Null => Bound::null(),
            SqlValue::Placeholder(name) => self.parameter(name),
            other => match text_literal::of_sql(other) {
                Some(Ok(Value::Bytes(bytes))) => Bound::literal(Value::Bytes(bytes), Type::Bytes),
                Some(Ok(value)) => {
                    let kind = Kind::Text(value.str().to_owned());
                    Ok(Bound { kind, ..Bound::literal(value, Type::String)? })
                }
                Some(Err(message)) => Err(SqlError::invalid(message)),
                None => Err(SqlError::invalid(format!("Syntax error: Unexpected literal {other}"))),
            },
        }
    }

    /// `DATE '2024-02-01'` and its kin.
    fn typed_literal(&mut self, typed: &ast::TypedString) -> Result<Bound, SqlError> {
        let ty = Type::of_sql(&typed.data_type)?;
        let Some(Ok(value)) = text_literal::of_sql(&typed.value.value) else {
            return Err(SqlError::invalid(format!("Syntax error: Expected a string literal after {ty}")));
        };
        let content = value.str();
        let invalid = || SqlError::invalid(format!("Invalid {ty} literal"));
        match ty {
            Type::Json => {
                let json = crate::bigquery::sql::json::Json::parse(content).ok_or_else(invalid)?;
                Bound::literal(Value::string(json.sorted().text()), Type::Json)
            }
            Type::Date | Type::Datetime | Type::Time | Type::Timestamp | Type::Numeric | Type::BigNumeric => {
                let value = crate::bigquery::sql::text::to_value(content, &ty).map_err(|_| invalid())?;
                Bound::literal(value, ty)
            }
            _ => Err(invalid()),
        }
    }

    /// The count and the part of `INTERVAL 5 MINUTE`.
    pub(crate) fn interval(&mut self, frame: &mut Frame, interval: &ast::Interval) -> Result<(Bound, Part), SqlError> {
        let Some(field) = &interval.leading_field else {
            return Err(SqlError::invalid("Syntax error: Expected a part after INTERVAL"));
        };
        if interval.last_field.is_some() {
            return Err(SqlError::not_implemented("INTERVAL with TO"));
        }
        let part = part_of(field)?;
        let bound = self.bind_expr(frame, &interval.value)?;
        if !bound.fits(&Type::Int64) {
            return Err(SqlError::invalid(format!("INTERVAL expects INT64 but has {}", bound.ty)));
        }
        let expr = bound.clone().coerce(&Type::Int64)?;
        Ok((Bound::new(expr, Type::Int64), part))
    }

    fn call_with(&mut self, frame: &mut Frame, name: &str, args: &[&Sql]) -> Result<Bound, SqlError> {
        let args = args.iter().map(|sql| self.bind_expr(frame, sql)).collect::<Result<_, _>>()?;
        self.call_bound(name, args, false)
    }

    /// A function of bound arguments.
    pub(crate) fn call_bound(&mut self, name: &str, args: Vec<Bound>, safe: bool) -> Result<Bound, SqlError> {
        function::call(function::Call { name: name.to_owned(), args, safe, now: self.now })
    }
}

/// The sides of a chain of ANDs, or of ORs.
fn sides<'s>(sql: &'s Sql, op: &BinaryOperator) -> Vec<&'s Sql> {
    let (mut sides, mut waiting) = (Vec::new(), vec![sql]);
    while let Some(sql) = waiting.pop() {
        match sql {
            Sql::BinaryOp { left, op: found, right } if found == op => waiting.extend([right.as_ref(), left.as_ref()]),
            Sql::Nested(inner) => waiting.push(inner),
            other => sides.push(other),
        }
    }
    sides
}

/// Refuses what would be evaluated more than once where it is asked for once, and may be different each time.
pub(crate) fn once(bound: &Bound, of: &str) -> Result<(), SqlError> {
    match bound.expr.is_volatile() {
        true => Err(SqlError::not_implemented(format_args!("{of} of a value that differs each time, as RAND() does"))),
        false => Ok(()),
    }
}

/// `NOT expr`.
pub(crate) fn negate(expr: Expr) -> Expr {
    datafusion_expr::not(expr)
}

/// CASE: one result of the common type more than there are conditions, or as many.
pub(crate) fn case(whens: Vec<Expr>, results: Vec<Bound>, name: &str) -> Result<Bound, SqlError> {
    let Some(ty) = Bound::supertype(&results) else {
        let types: Vec<String> = results.iter().map(|b| b.ty.to_string()).collect();
        let message = format!("No matching signature for {name} with result types: {}", types.join(", "));
        return Err(SqlError::invalid(message));
    };
    let all_null = results.iter().all(|b| b.kind == Kind::Null);
    let mut results = results.into_iter().map(|b| b.coerce(&ty)).collect::<Result<Vec<_>, _>>()?;
    let otherwise = (results.len() > whens.len()).then(|| results.pop()).flatten();
    let kind = if all_null { Kind::Null } else { Kind::Plain };
    // What the optimiser may not make AND and OR of: see `lazy`.
    let is_lazy = |expr: &Expr| can_fail(expr) || expr.is_volatile();
    let has_lazy_condition = whens.iter().skip(1).any(is_lazy) || whens.iter().any(Expr::is_volatile);
    if ty == Type::Bool && (has_lazy_condition || results.iter().chain(&otherwise).any(is_lazy)) {
        return Ok(Bound { expr: lazy::case(whens, results, otherwise), ty, kind });
    }
    let pairs = whens.into_iter().zip(results).map(|(when, then)| (Box::new(when), Box::new(then)));
    let expr = Expr::Case(Case { expr: None, when_then_expr: pairs.collect(), else_expr: otherwise.map(Box::new) });
    let expr = if has_lazy_condition { lazy::opaque(expr, &ty) } else { expr };
    Ok(Bound { expr, ty, kind })
}

/// A number literal: INT64, or FLOAT64 with a point or an exponent.
fn number(digits: &str) -> Result<Bound, SqlError> {
    if digits.bytes().all(|b| b.is_ascii_digit()) {
        let value = digits.parse().map_err(|_| SqlError::invalid(format!("Invalid integer literal: {digits}")))?;
        return Bound::literal(Value::Int(value), Type::Int64);
    }
    let value: f64 =
        digits.parse().map_err(|_| SqlError::invalid(format!("Invalid floating point literal: {digits}")))?;
    if value.is_infinite() {
        return Err(SqlError::invalid(format!("Invalid floating point literal: {digits}")));
    }
    Ok(Bound { kind: Kind::Decimal(digits.to_owned()), ..Bound::literal(Value::Float(value), Type::Float64)? })
}

/// The part that EXTRACT or INTERVAL names.
fn part_of(field: &DateTimeField) -> Result<Part, SqlError> {
    let unknown = || SqlError::invalid(format!("A valid date part name is required but found {field}"));
    match field {
        DateTimeField::Week(Some(weekday)) => Part::of_name("WEEK", Some(&weekday.value)).ok_or_else(unknown),
        DateTimeField::Custom(ident) => Part::of_name(&ident.value, None).ok_or_else(unknown),
        other => Part::of_name(&other.to_string(), None).ok_or_else(unknown),
    }
}
