//! A GoogleSQL function as DataFusion's scalar function: one closure over the values of a row.

use std::{
    any::Any,
    fmt,
    hash::{Hash, Hasher},
    sync::Arc,
};

use arrow::{
    array::{Array, ArrayRef},
    datatypes::{DataType, FieldRef},
};
use datafusion_common::{DataFusionError, ScalarValue, tree_node::TreeNode};
use datafusion_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
    expr::ScalarFunction,
};

use super::{
    SqlError,
    data_type::Type,
    value::{Value, build, read},
};

/// What a kernel answers: the value, or what BigQuery would say is wrong.
pub(super) type Answer<'a> = Result<Value<'a>, String>;

/// A function of the values of one row.
pub(super) type Kernel = dyn for<'a> Fn(&[Value<'a>]) -> Answer<'a> + Send + Sync;

/// A scalar function with its types decided.
#[derive(Clone)]
pub(super) struct Scalar {
    /// The name, with all that the kernel captured: two of the same name and types are the same function.
    name: String,
    parameters: Vec<Type>,
    result: Type,
    /// NULL in any argument is NULL, without a call.
    strict: bool,
    /// An error is NULL.
    safe: bool,
    /// No value is an error.
    total: bool,
    signature: Signature,
    kernel: Arc<Kernel>,
}

impl Scalar {
    pub(super) fn new(
        name: impl Into<String>,
        parameters: Vec<Type>,
        result: Type,
        kernel: impl for<'a> Fn(&[Value<'a>]) -> Answer<'a> + Send + Sync + 'static,
    ) -> Self {
        let signature = signature(&parameters, Volatility::Immutable);
        Self {
            name: name.into(),
            parameters,
            result,
            strict: true,
            safe: false,
            total: false,
            signature,
            kernel: Arc::new(kernel),
        }
    }

    /// The kernel is called for NULLs, too.
    pub(super) fn with_nulls(mut self) -> Self {
        self.strict = false;
        self
    }

    /// Errors are NULL.
    pub(super) fn safe(mut self, safe: bool) -> Self {
        self.safe = safe;
        self
    }

    /// The kernel has an answer for every value.
    pub(super) fn total(mut self) -> Self {
        self.total = true;
        self
    }

    /// Each call may answer something else.
    pub(super) fn volatile(mut self) -> Self {
        self.signature = signature(&self.parameters, Volatility::Volatile);
        self
    }

    pub(super) fn call(self, args: Vec<Expr>) -> Expr {
        Expr::ScalarFunction(ScalarFunction::new_udf(Arc::new(ScalarUDF::from(self)), args))
    }

    fn row<'a>(&self, args: &[Value<'a>]) -> Result<Value<'a>, DataFusionError> {
        if self.strict && args.iter().any(Value::is_null) {
            return Ok(Value::Null);
        }
        match (self.kernel)(args) {
            Ok(value) => Ok(value),
            Err(_) if self.safe => Ok(Value::Null),
            Err(message) => Err(DataFusionError::External(Box::new(SqlError::of_kernel(message)))),
        }
    }
}

/// Whether the expression may be an error for some values, so that it must not be evaluated where it is not asked for.
pub(super) fn can_fail(expr: &Expr) -> bool {
    let fails = |expr: &Expr| {
        let Expr::ScalarFunction(call) = expr else { return Ok(false) };
        let function: &dyn Any = call.func.inner().as_ref();
        Ok(function.downcast_ref::<Scalar>().is_some_and(|scalar| !scalar.total && !scalar.safe))
    };
    expr.exists(fails).unwrap_or(true)
}

fn signature(parameters: &[Type], volatility: Volatility) -> Signature {
    match parameters {
        [] => Signature::nullary(volatility),
        _ => Signature::variadic_any(volatility),
    }
}

impl fmt::Debug for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl PartialEq for Scalar {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
            && self.safe == other.safe
            && self.parameters == other.parameters
            && self.result == other.result
    }
}

impl Eq for Scalar {}

impl Hash for Scalar {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.name, self.safe, &self.parameters, &self.result).hash(state);
    }
}

impl ScalarUDFImpl for Scalar {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType, DataFusionError> {
        Ok(self.result.arrow())
    }

    fn return_field_from_args(&self, _: ReturnFieldArgs) -> Result<FieldRef, DataFusionError> {
        Ok(Arc::new(arrow::datatypes::Field::new(&self.name, self.result.arrow(), true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue, DataFusionError> {
        let constant = !args.args.is_empty() && args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { args.number_rows };
        let mut arrays: Vec<ArrayRef> = Vec::with_capacity(args.args.len());
        for arg in args.args {
            arrays.push(match arg {
                ColumnarValue::Array(array) => array,
                ColumnarValue::Scalar(scalar) => scalar.to_array_of_size(1)?,
            });
        }
        let mut results = Vec::with_capacity(rows);
        let mut values = Vec::with_capacity(arrays.len());
        for row in 0..rows {
            values.clear();
            for (array, ty) in arrays.iter().zip(&self.parameters) {
                let at = if array.len() == 1 { 0 } else { row };
                values.push(read(array.as_ref(), ty, at));
            }
            results.push(self.row(&values)?);
        }
        let array = build(&self.result, results)?;
        if constant {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0)?));
        }
        Ok(ColumnarValue::Array(array))
    }
}

/// A field of a STRUCT by its number, a column at a time.
#[derive(Debug, PartialEq, Eq, Hash)]
struct FieldAt {
    name: String,
    index: usize,
    result: DataType,
    signature: Signature,
}

/// The field `index` of a STRUCT.
pub(super) fn field_at(of: Expr, index: usize, ty: &Type) -> Expr {
    let name = format!("field{index}");
    let signature = Signature::variadic_any(Volatility::Immutable);
    let function = FieldAt { name, index, result: ty.arrow(), signature };
    Expr::ScalarFunction(ScalarFunction::new_udf(Arc::new(ScalarUDF::from(function)), vec![of]))
}

impl ScalarUDFImpl for FieldAt {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType, DataFusionError> {
        Ok(self.result.clone())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue, DataFusionError> {
        let constant = matches!(args.args.first(), Some(ColumnarValue::Scalar(_)));
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let of = datafusion_common::cast::as_struct_array(&arrays[0])?;
        let column = of.column(self.index);
        let column = match of.nulls() {
            Some(_) => arrow::compute::nullif(column, &arrow::compute::is_null(&arrays[0])?)?,
            None => Arc::clone(column),
        };
        if constant {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&column, 0)?));
        }
        Ok(ColumnarValue::Array(column))
    }
}
