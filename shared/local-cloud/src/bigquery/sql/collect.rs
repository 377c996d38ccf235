//! A GoogleSQL aggregate as DataFusion's aggregate function: it keeps the rows of a group and hands them to one closure.

use std::{
    collections::VecDeque,
    fmt,
    hash::{Hash, Hasher},
    mem::size_of,
    sync::Arc,
};

use arrow::{
    array::{Array, ArrayRef, AsArray, ListArray},
    buffer::OffsetBuffer,
    compute::concat,
    datatypes::{DataType, Field, FieldRef},
};
use datafusion_common::{DataFusionError, ScalarValue};
use datafusion_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Expr, Signature, Volatility,
    expr::AggregateFunction,
    function::{AccumulatorArgs, StateFieldsArgs},
};

use super::{
    SqlError,
    data_type::Type,
    scalar::Answer,
    value::{Value, read},
};

/// The rows of a group, each with the values of the arguments.
pub(super) type Rows<'a> = Vec<Vec<Value<'a>>>;

/// A function of the rows of a group.
pub(super) type GroupKernel = dyn for<'a> Fn(Rows<'a>) -> Answer<'a> + Send + Sync;

/// An aggregate function with its types decided.
#[derive(Clone)]
pub(super) struct Collect {
    /// The name, with all that the kernel captured.
    name: String,
    parameters: Vec<Type>,
    result: Type,
    signature: Signature,
    kernel: Arc<GroupKernel>,
}

impl Collect {
    pub(super) fn new(
        name: impl Into<String>,
        parameters: Vec<Type>,
        result: Type,
        kernel: impl for<'a> Fn(Rows<'a>) -> Answer<'a> + Send + Sync + 'static,
    ) -> Self {
        let signature = Signature::variadic_any(Volatility::Immutable);
        Self { name: name.into(), parameters, result, signature, kernel: Arc::new(kernel) }
    }

    pub(super) fn udaf(self) -> Arc<AggregateUDF> {
        Arc::new(AggregateUDF::from(self))
    }

    pub(super) fn call(self, args: Vec<Expr>) -> Expr {
        Expr::AggregateFunction(AggregateFunction::new_udf(self.udaf(), args, false, None, Vec::new(), None))
    }
}

impl fmt::Debug for Collect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl PartialEq for Collect {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.parameters == other.parameters && self.result == other.result
    }
}

impl Eq for Collect {}

impl Hash for Collect {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.name, &self.parameters, &self.result).hash(state);
    }
}

impl AggregateUDFImpl for Collect {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType, DataFusionError> {
        Ok(self.result.arrow())
    }

    fn accumulator(&self, _: AccumulatorArgs) -> Result<Box<dyn Accumulator>, DataFusionError> {
        Ok(Box::new(Group { function: self.clone(), chunks: VecDeque::new() }))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>, DataFusionError> {
        let fields = self
            .parameters
            .iter()
            .enumerate()
            .map(|(i, ty)| Arc::new(Field::new(format!("{}[{i}]", args.name), ty.clone().array().arrow(), true)));
        Ok(fields.collect())
    }
}

/// The rows of one group, as slices of the batches that they came in.
struct Group {
    function: Collect,
    chunks: VecDeque<Vec<ArrayRef>>,
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} chunks", self.function.name, self.chunks.len())
    }
}

impl Accumulator for Group {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<(), DataFusionError> {
        if values.first().is_some_and(|first| !first.is_empty()) {
            self.chunks.push_back(values.to_vec());
        }
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue, DataFusionError> {
        let mut rows = Vec::new();
        for chunk in &self.chunks {
            for row in 0..chunk[0].len() {
                let cells = chunk.iter().zip(&self.function.parameters);
                rows.push(cells.map(|(array, ty)| read(array.as_ref(), ty, row)).collect());
            }
        }
        match (self.function.kernel)(rows) {
            Ok(value) => value.scalar(&self.function.result),
            Err(message) => Err(DataFusionError::External(Box::new(SqlError::of_kernel(message)))),
        }
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.chunks.len() * size_of::<Vec<ArrayRef>>() * (1 + self.function.parameters.len())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>, DataFusionError> {
        let mut state = Vec::with_capacity(self.function.parameters.len());
        for (i, ty) in self.function.parameters.iter().enumerate() {
            let arrays: Vec<&dyn Array> = self.chunks.iter().map(|chunk| chunk[i].as_ref()).collect();
            let values = match arrays.as_slice() {
                [] => arrow::array::new_empty_array(&ty.arrow()),
                arrays => concat(arrays)?,
            };
            let field = Arc::new(Field::new("item", ty.arrow(), true));
            let list = ListArray::try_new(field, OffsetBuffer::from_lengths([values.len()]), values, None)?;
            state.push(ScalarValue::List(Arc::new(list)));
        }
        Ok(state)
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<(), DataFusionError> {
        let groups = states.first().map_or(0, |state| state.len());
        for row in 0..groups {
            let chunk: Vec<ArrayRef> = states.iter().map(|state| state.as_list::<i32>().value(row)).collect();
            self.update_batch(&chunk)?;
        }
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<(), DataFusionError> {
        let mut leaving = values.first().map_or(0, |first| first.len());
        while leaving > 0 {
            let Some(chunk) = self.chunks.pop_front() else { break };
            let length = chunk[0].len();
            if length > leaving {
                self.chunks.push_front(chunk.iter().map(|a| a.slice(leaving, length - leaving)).collect());
                break;
            }
            leaving -= length;
        }
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }
}
