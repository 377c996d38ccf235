//! DataFusion, as far as it is used: it optimises and runs the plans that the binder makes.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, RecordBatch, RecordBatchOptions},
    datatypes::{Field, Schema, SchemaRef},
};
use datafusion_common::{
    Column, DataFusionError,
    config::ConfigOptions,
    tree_node::{Transformed, TreeNode},
};
use datafusion_execution::TaskContext;
use datafusion_expr::{
    Expr, LogicalPlan, LogicalPlanBuilder,
    logical_plan::Filter,
    utils::{conjunction, split_conjunction_owned},
};
use datafusion_optimizer::{Analyzer, Optimizer, OptimizerContext};
use datafusion_physical_plan::collect;
use tokio::runtime::Handle;

use super::{Reason, SqlError, lazy, planner::Planner, rows::Rows, scalar::can_fail, value::conform};

/// Runs plans to their end, on the calling thread.
pub(super) struct Engine {
    analyzer: Analyzer,
    optimizer: Optimizer,
    /// What is done once conditions stand where they stay: see [`in_order`].
    finish: Optimizer,
    options: Arc<ConfigOptions>,
    handle: Handle,
    /// No row is read: every table is empty.
    dry: bool,
}

/// The name of the table that a scan reads; its columns are renamed at once, so one name serves all.
const SCAN: &str = "scan";

impl Engine {
    /// An engine on the runtime of `handle`. Plans are run on a thread that is none of the runtime's workers.
    pub(super) fn new(handle: Handle, dry: bool) -> Self {
        let options = Arc::new(ConfigOptions::new());
        // A value that two conditions share must not be made before the condition that guards both.
        let (shared, rules): (Vec<_>, Vec<_>) =
            Optimizer::new().rules.into_iter().partition(|rule| rule.name() == "common_sub_expression_eliminate");
        let clean = rules.iter().filter(|rule| rule.name() == "optimize_projections").cloned();
        let finish = Optimizer::with_rules(shared.into_iter().chain(clean).collect());
        Self { analyzer: Analyzer::new(), optimizer: Optimizer::with_rules(rules), finish, options, handle, dry }
    }

    /// Nothing is run.
    pub(super) fn is_dry(&self) -> bool {
        self.dry
    }

    /// The rows of the plan, in its order.
    pub(super) fn run(&self, plan: &LogicalPlan) -> Result<Vec<RecordBatch>, SqlError> {
        let schema = nullable(plan);
        if self.dry {
            return Ok(vec![RecordBatch::new_empty(schema)]);
        }
        let batches = self.collect(plan).map_err(of_datafusion)?;
        batches.iter().map(|batch| with_schema(batch, &schema).map_err(|e| of_datafusion(e.into()))).collect()
    }

    fn collect(&self, plan: &LogicalPlan) -> Result<Vec<RecordBatch>, DataFusionError> {
        let plan = self.analyzer.execute_and_check(plan.clone(), &self.options, |_, _| ())?;
        let context = OptimizerContext::new_with_config_options(Arc::clone(&self.options));
        let plan = self.optimizer.optimize(plan, &context, |_, _| ())?;
        let plan = self.finish.optimize(in_order(plan)?, &context, |_, _| ())?;
        let plan = Planner::default().plan(&plan)?;
        self.handle.block_on(collect(plan, Arc::new(TaskContext::default())))
    }

    /// The plan that reads what the plan answers, which is run once and now.
    pub(super) fn materialise(&self, plan: &LogicalPlan) -> Result<Source, SqlError> {
        Ok(Source { schema: nullable(plan), batches: self.run(plan)? })
    }
}

/// The plan in which a condition that can fail sees only the rows that the others let through. The optimiser moves conditions
/// to where they cost least and joins them by AND, of which both sides are evaluated.
fn in_order(plan: LogicalPlan) -> Result<LogicalPlan, DataFusionError> {
    let ordered = plan.transform_up(|node| {
        Ok(match node {
            LogicalPlan::Filter(Filter { predicate, input, .. }) => {
                let (risky, plain): (Vec<_>, Vec<_>) =
                    split_conjunction_owned(predicate).into_iter().partition(can_fail);
                // An outer condition comes first where two were joined.
                let filters = conjunction(plain).into_iter().chain(risky.into_iter().rev());
                let filtered = filters.into_iter().try_fold(input, |input, predicate| {
                    Ok::<_, DataFusionError>(Arc::new(LogicalPlan::Filter(Filter::try_new(predicate, input)?)))
                });
                Transformed::yes(Arc::unwrap_or_clone(filtered?))
            }
            LogicalPlan::Join(mut join) => {
                join.filter = join.filter.take().map(|filter| lazy::and(split_conjunction_owned(filter)));
                Transformed::yes(LogicalPlan::Join(join))
            }
            other => Transformed::no(other),
        })
    });
    Ok(ordered?.data)
}

/// Rows in memory.
#[derive(Clone)]
pub(super) struct Source {
    pub(super) schema: SchemaRef,
    pub(super) batches: Vec<RecordBatch>,
}

impl Source {
    /// The plan that reads them; the columns get these names, in order.
    pub(super) fn scan(&self, names: &[String]) -> Result<LogicalPlan, SqlError> {
        let rows = Rows::new(Arc::clone(&self.schema), self.batches.clone());
        let columns = self
            .schema
            .fields()
            .iter()
            .zip(names)
            .map(|(field, name)| Expr::Column(Column::new(Some(SCAN), field.name().as_str())).alias(name.as_str()));
        LogicalPlanBuilder::scan(SCAN, Arc::new(rows), None)
            .and_then(|scan| scan.project(columns.collect::<Vec<_>>()))
            .and_then(LogicalPlanBuilder::build)
            .map_err(of_datafusion)
    }
}

/// The plan's schema with every column nullable.
fn nullable(plan: &LogicalPlan) -> SchemaRef {
    let fields = plan.schema().fields().iter().map(|f| Field::new(f.name(), f.data_type().clone(), true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// The batch under a schema that differs in names, nullability and metadata alone.
pub(super) fn with_schema(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, arrow::error::ArrowError> {
    let columns = batch.columns().iter().zip(schema.fields()).map(|(column, field)| conform(column, field.data_type()));
    let columns: Vec<ArrayRef> = columns.collect::<Result<_, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)
}

/// What BigQuery would say: our own kernels' errors as they are, the engine's as its own failure.
pub(super) fn of_datafusion(error: DataFusionError) -> SqlError {
    fn own(error: &(dyn std::error::Error + 'static)) -> Option<SqlError> {
        if let Some(own) = error.downcast_ref::<SqlError>() {
            return Some(own.clone());
        }
        if let Some(shared) = error.downcast_ref::<Arc<DataFusionError>>() {
            return own_of(shared);
        }
        match error.downcast_ref::<DataFusionError>() {
            Some(inner) => own_of(inner),
            None => error.source().and_then(own),
        }
    }
    fn own_of(error: &DataFusionError) -> Option<SqlError> {
        match error {
            DataFusionError::External(inner) => own(inner.as_ref()),
            DataFusionError::Context(_, inner) => own_of(inner),
            DataFusionError::Shared(inner) => own_of(inner),
            DataFusionError::Collection(all) => all.iter().find_map(own_of),
            DataFusionError::ArrowError(inner, _) => own(inner.as_ref()),
            other => std::error::Error::source(other).and_then(own),
        }
    }
    own_of(&error).unwrap_or_else(|| {
        let message = error.strip_backtrace();
        let reason = match error.find_root() {
            DataFusionError::NotImplemented(_) => Reason::NotImplemented,
            _ => Reason::InternalError,
        };
        SqlError { reason, message: format!("The local engine failed: {message}"), line: None, column: None }
    })
}
