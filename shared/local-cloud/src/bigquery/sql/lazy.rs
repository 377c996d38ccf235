//! AND, OR and CASE that evaluate only what they ask for.
//!
//! People write `x != 0 AND 10 / x > 1`. DataFusion evaluates both sides of AND and OR for the same rows, and turns a CASE of
//! booleans into them. A CASE over anything else is lazy, so a condition that can fail stands in one over INT64.

use arrow::datatypes::DataType;
use datafusion_expr::{Case, Cast, Expr, lit};

use super::{
    data_type::Type,
    scalar::{Scalar, can_fail},
    value::Value,
};

/// What all of `sides` say together.
pub(super) fn and(sides: Vec<Expr>) -> Expr {
    let Parts { plain, risky } = Parts::of(sides);
    let guard = together(plain.iter().filter(|side| !side.is_volatile()).cloned().collect(), Expr::and);
    let guarded = chain(guard, risky, false, Expr::and);
    // The sides that cannot fail stand by themselves too: the optimiser finds keys of joins among them.
    together(plain.into_iter().chain(guarded).collect(), Expr::and).unwrap_or_else(|| lit(true))
}

/// Whether any of `sides` is true.
pub(super) fn or(sides: Vec<Expr>) -> Expr {
    let Parts { plain, risky } = Parts::of(sides);
    let (volatile, plain): (Vec<_>, Vec<_>) = plain.into_iter().partition(Expr::is_volatile);
    let any = match together(plain, Expr::or) {
        Some(plain) if risky.is_empty() => Some(plain),
        guard => chain(guard, risky, true, Expr::or),
    };
    together(any.into_iter().chain(volatile).collect(), Expr::or).unwrap_or_else(|| lit(false))
}

/// CASE of booleans: a result is made for the rows whose condition holds, and a condition for those that no earlier one took.
pub(super) fn case(whens: Vec<Expr>, results: Vec<Expr>, otherwise: Option<Expr>) -> Expr {
    let pairs = whens.into_iter().zip(results).map(|(when, then)| (Box::new(when), Box::new(number(then))));
    truth(Expr::Case(Case {
        expr: None,
        when_then_expr: pairs.collect(),
        else_expr: otherwise.map(|otherwise| Box::new(number(otherwise))),
    }))
}

/// The expression, of which the optimiser sees no inside. It would take a comparison into the results of a CASE, and make AND
/// and OR of its conditions.
pub(super) fn opaque(expr: Expr, ty: &Type) -> Expr {
    Scalar::new("as it is", vec![ty.clone()], ty.clone(), |args| Ok(args[0].clone())).total().call(vec![expr])
}

/// The sides of an AND or OR.
struct Parts {
    /// Those that are evaluated for every row.
    plain: Vec<Expr>,
    /// Those that are not.
    risky: Vec<Expr>,
}

impl Parts {
    fn of(sides: Vec<Expr>) -> Self {
        let mut parts = Self { plain: Vec::new(), risky: Vec::new() };
        let mut last = None;
        for side in sides {
            match (can_fail(&side), side.is_volatile()) {
                (true, false) => parts.risky.push(side),
                // The last side of a chain is the one that is written once.
                (true, true) if last.is_none() => last = Some(side),
                (_, _) => parts.plain.push(side),
            }
        }
        parts.risky.extend(last);
        parts
    }
}

fn together(sides: Vec<Expr>, join: fn(Expr, Expr) -> Expr) -> Option<Expr> {
    sides.into_iter().reduce(join)
}

/// Each side only where `guard` is not what decides, and no earlier side is.
fn chain(guard: Option<Expr>, sides: Vec<Expr>, decides: bool, join: fn(Expr, Expr) -> Expr) -> Option<Expr> {
    let mut sides = sides.into_iter().rev();
    let last = sides.next()?;
    Some(sides.chain(guard).fold(last, |rest, side| {
        let decided = if decides { side.clone().is_true() } else { side.clone().is_false() };
        let both = number(join(side, rest));
        truth(Expr::Case(Case {
            expr: None,
            when_then_expr: vec![(Box::new(decided), Box::new(lit(i64::from(decides))))],
            else_expr: Some(Box::new(both)),
        }))
    }))
}

/// A BOOL as INT64.
fn number(expr: Expr) -> Expr {
    Expr::Cast(Cast::new(Box::new(expr), DataType::Int64))
}

/// And back. (A comparison would be taken into the CASE.)
fn truth(expr: Expr) -> Expr {
    let function = Scalar::new("truth", vec![Type::Int64], Type::Bool, |args| Ok(Value::Bool(args[0].int() != 0)));
    function.total().call(vec![expr])
}
