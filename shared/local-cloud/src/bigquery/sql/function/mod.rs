//! The functions. What is not here is refused by name: BigQuery may have it, the local engine does not.

pub(crate) mod aggregates;
pub(crate) mod array;
mod bytes;
mod conditional;
mod conversion;
mod fingerprint;
mod format;
pub(crate) mod interval;
mod json;
mod math;
pub(crate) mod order;
pub(crate) mod part;
mod regexp;
mod statistics;
pub(crate) mod string;
mod time;

use super::{
    SqlError,
    binder::Bound,
    data_type::Type,
    scalar::{Answer, Scalar},
    value::Value,
};

/// A call of a scalar function with bound arguments.
pub(crate) struct Call {
    /// The name, in upper case.
    pub(crate) name: String,
    pub(crate) args: Vec<Bound>,
    /// `SAFE.` stands before it: an error is NULL.
    pub(crate) safe: bool,
    /// The instant of the statement.
    pub(crate) now: i64,
}

/// Functions that have an answer for every value of their types. The others are evaluated only where they are asked for; to be
/// left out here costs time and nothing else.
const TOTAL: [&str; 24] = [
    "ARRAY_LENGTH",
    "BYTE_LENGTH",
    "CHARACTER_LENGTH",
    "CHAR_LENGTH",
    "ENDS_WITH",
    "GREATEST",
    "INITCAP",
    "IS_INF",
    "IS_NAN",
    "JSON_EXTRACT",
    "JSON_EXTRACT_SCALAR",
    "JSON_QUERY",
    "JSON_QUERY_ARRAY",
    "JSON_VALUE",
    "JSON_VALUE_ARRAY",
    "LEAST",
    "LENGTH",
    "LOWER",
    "OCTET_LENGTH",
    "REPLACE",
    "REVERSE",
    "STARTS_WITH",
    "STRPOS",
    "UPPER",
];

type Topic = fn(&Call) -> Option<Result<Bound, SqlError>>;

/// Each answers for the functions that it has; `None` where it has none of the name that takes so many arguments.
const TOPICS: [Topic; 10] = [
    conditional::call,
    math::call,
    string::call,
    regexp::call,
    bytes::call,
    time::call,
    format::call,
    conversion::call,
    json::call,
    array::call,
];

/// Binds a call.
pub(crate) fn call(call: Call) -> Result<Bound, SqlError> {
    if let Some(answer) = TOPICS.iter().find_map(|topic| topic(&call)) {
        return answer;
    }
    Err(if is_known(&call)? { call.no_match() } else { SqlError::no_function(&call.name) })
}

/// Whether a function of the name takes any other number or kind of arguments.
fn is_known(call: &Call) -> Result<bool, SqlError> {
    let array = Bound::literal(Value::Array(Vec::new()), Type::String.array())?;
    for first in [Bound::null()?, array] {
        for count in 0..=6 {
            let probe = Call { name: call.name.clone(), args: vec![first.clone(); count], safe: false, now: call.now };
            if TOPICS.iter().any(|topic| topic(&probe).is_some()) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

impl Call {
    /// The arguments may be used as these types.
    pub(crate) fn fits(&self, types: &[Type]) -> bool {
        self.args.len() == types.len() && self.args.iter().zip(types).all(|(arg, ty)| arg.fits(ty))
    }

    /// The first argument is of the type, and not by coercion.
    pub(crate) fn starts_with(&self, ty: &Type) -> bool {
        self.args.first().is_some_and(|arg| arg.ty == *ty)
    }

    /// No overload takes such arguments.
    pub(crate) fn no_match(&self) -> SqlError {
        let types: Vec<String> = self.args.iter().map(|arg| arg.ty.to_string()).collect();
        match types.is_empty() {
            true => SqlError::invalid(format!("No matching signature for function {} with no arguments", self.name)),
            false => SqlError::invalid(format!(
                "No matching signature for function {} for argument types: {}",
                self.name,
                types.join(", ")
            )),
        }
    }

    /// The call of a kernel that is never given a NULL.
    pub(crate) fn strict(
        &self,
        types: &[Type],
        result: Type,
        kernel: impl for<'a> Fn(&[Value<'a>]) -> Answer<'a> + Send + Sync + 'static,
    ) -> Result<Bound, SqlError> {
        self.apply(Scalar::new(self.name.clone(), types.to_vec(), result.clone(), kernel), types, result)
    }

    /// The call of a function of these types.
    pub(crate) fn apply(&self, function: Scalar, types: &[Type], result: Type) -> Result<Bound, SqlError> {
        if !self.fits(types) {
            return Err(self.no_match());
        }
        let args = self.args.iter().zip(types).map(|(arg, ty)| arg.clone().coerce(ty));
        let args = args.collect::<Result<Vec<_>, _>>()?;
        let function = if TOTAL.contains(&self.name.as_str()) { function.total() } else { function };
        Ok(Bound::new(function.safe(self.safe).call(args), result))
    }

    /// Refuses the prefix `SAFE.`.
    pub(crate) fn unsafe_only(&self) -> Result<(), SqlError> {
        match self.safe {
            true => Err(SqlError::not_implemented(format_args!("SAFE. before {}", self.name))),
            false => Ok(()),
        }
    }

    /// The text of an argument that is a literal.
    pub(crate) fn text(&self, index: usize) -> Option<String> {
        let arg = self.args.get(index)?;
        match arg.constant() {
            Some(Value::Str(text)) if arg.ty == Type::String => Some(text.into_owned()),
            _ => None,
        }
    }
}
