//! From an optimised logical plan to one that runs, on one thread over rows in memory.
//!
//! DataFusion's own planner knows files, partitions and catalogs; it stands in a crate that builds all of them. Here each
//! node of the binder's plans has one way to run.

use std::sync::Arc;

use datafusion_common::{DFSchema, Result, ScalarValue, exec_err, internal_datafusion_err, not_impl_err};
use datafusion_expr::{
    Expr, FetchType, GroupingSet, JoinType, LogicalPlan, SkipType,
    execution_props::ExecutionProps,
    expr::{Alias, NullTreatment, WindowFunction, physical_name},
    logical_plan::{Aggregate, Join, Limit, TableScan, Unnest, Window},
    physical_planning_context::PhysicalPlanningContext,
};
use datafusion_physical_expr::{
    LexOrdering, PhysicalExpr, aggregate::LoweredAggregateBuilder, create_physical_expr, create_physical_exprs,
    create_physical_sort_exprs, expressions::Literal,
};
use datafusion_physical_plan::{
    ChildrenPropertiesMode, ExecutionPlan, ExecutionPlanProperties, InputOrderMode, ReplaceChildrenOptions, WindowExpr,
    aggregates::{AggregateExec, AggregateMode, PhysicalGroupBy},
    coalesce_partitions::CoalescePartitionsExec,
    empty::EmptyExec,
    filter::FilterExec,
    joins::{CrossJoinExec, HashJoinExec, NestedLoopJoinExec, PartitionMode, utils::JoinFilter},
    limit::GlobalLimitExec,
    placeholder_row::PlaceholderRowExec,
    projection::{ProjectionExec, ProjectionExpr},
    sorts::sort::SortExec,
    union::UnionExec,
    unnest::{ListUnnest, UnnestExec},
    windows::{BoundedWindowAggExec, WindowAggExec, create_window_expr},
};

use super::rows::Rows;

type Plan = Arc<dyn ExecutionPlan>;
type Named = (Arc<dyn PhysicalExpr>, String);

/// Makes plans that run.
#[derive(Default)]
pub(super) struct Planner {
    props: ExecutionProps,
    context: PhysicalPlanningContext,
}

impl Planner {
    /// The plan that runs `node`: one partition, each input in the order that its reader needs.
    pub(super) fn plan(&self, node: &LogicalPlan) -> Result<Plan> {
        let plan: Plan = match node {
            LogicalPlan::TableScan(scan) => self.scan(scan)?,
            LogicalPlan::EmptyRelation(empty) => {
                let schema = Arc::clone(empty.schema.inner());
                if empty.produce_one_row {
                    Arc::new(PlaceholderRowExec::new(schema))
                } else {
                    Arc::new(EmptyExec::new(schema))
                }
            }
            LogicalPlan::SubqueryAlias(alias) => self.plan(&alias.input)?,
            LogicalPlan::Projection(projection) => {
                let input = self.plan(&projection.input)?;
                let exprs = projection.expr.iter().map(|expr| self.projected(expr, projection.input.schema(), &input));
                Arc::new(ProjectionExec::try_new(exprs.collect::<Result<Vec<_>>>()?, input)?)
            }
            LogicalPlan::Filter(filter) => {
                let condition = self.expr(&filter.predicate, filter.input.schema())?;
                Arc::new(FilterExec::try_new(condition, self.plan(&filter.input)?)?)
            }
            LogicalPlan::Sort(sort) => {
                let order = create_physical_sort_exprs(&sort.expr, sort.input.schema(), &self.props, &self.context)?;
                let input = self.plan(&sort.input)?;
                match LexOrdering::new(order) {
                    Some(order) => Arc::new(SortExec::new(order, input).with_fetch(sort.fetch)),
                    None => input,
                }
            }
            LogicalPlan::Limit(limit) => self.limit(limit)?,
            LogicalPlan::Union(union) => {
                let inputs = union.inputs.iter().map(|input| self.plan(input)).collect::<Result<Vec<_>>>()?;
                UnionExec::try_new(inputs)?
            }
            LogicalPlan::Unnest(unnest) => self.unnest(unnest)?,
            LogicalPlan::Aggregate(aggregate) => self.aggregate(aggregate)?,
            LogicalPlan::Window(window) => self.window(window, node.schema())?,
            LogicalPlan::Join(join) => self.join(join)?,
            other => return not_impl_err!("the plan's node {}", other.display()),
        };
        in_order(plan)
    }

    fn expr(&self, expr: &Expr, input: &DFSchema) -> Result<Arc<dyn PhysicalExpr>> {
        create_physical_expr(expr, input, &self.props, &self.context)
    }

    fn named(&self, expr: &Expr, input: &DFSchema) -> Result<Named> {
        Ok((self.expr(expr, input)?, physical_name(expr)?))
    }

    fn scan(&self, scan: &TableScan) -> Result<Plan> {
        let Some(rows) = scan.source.downcast_ref::<Rows>() else {
            return exec_err!("{} is no table in memory", scan.table_name);
        };
        if !scan.filters.is_empty() {
            return not_impl_err!("filters inside of a scan");
        }
        let rows: Plan = Arc::new(rows.leaf(scan.projection.as_deref())?);
        Ok(match scan.fetch {
            Some(fetch) => Arc::new(GlobalLimitExec::new(rows, 0, Some(fetch))),
            None => rows,
        })
    }

    /// A column keeps the name that it has in the plan that runs: the logical one may be qualified.
    fn projected(&self, expr: &Expr, schema: &DFSchema, input: &Plan) -> Result<ProjectionExpr> {
        let name = match expr {
            Expr::Column(column) => input.schema().field(schema.index_of_column(column)?).name().clone(),
            _ => physical_name(expr)?,
        };
        Ok(ProjectionExpr { expr: self.expr(expr, schema)?, alias: name })
    }

    fn limit(&self, limit: &Limit) -> Result<Plan> {
        let SkipType::Literal(skip) = limit.get_skip_type()? else {
            return not_impl_err!("an OFFSET that is no number");
        };
        let FetchType::Literal(fetch) = limit.get_fetch_type()? else {
            return not_impl_err!("a LIMIT that is no number");
        };
        Ok(Arc::new(GlobalLimitExec::new(self.plan(&limit.input)?, skip, fetch)))
    }

    fn unnest(&self, unnest: &Unnest) -> Result<Plan> {
        let lists = unnest
            .list_type_columns
            .iter()
            .map(|(index, list)| ListUnnest { index_in_input_schema: *index, depth: list.depth });
        Ok(Arc::new(UnnestExec::new(
            self.plan(&unnest.input)?,
            lists.collect(),
            unnest.struct_type_columns.clone(),
            Arc::clone(unnest.schema.inner()),
            unnest.options.clone(),
        )?))
    }

    fn aggregate(&self, aggregate: &Aggregate) -> Result<Plan> {
        let logical = aggregate.input.schema();
        let input = self.plan(&aggregate.input)?;
        let schema = input.schema();
        let groups = match aggregate.group_expr.as_slice() {
            [Expr::GroupingSet(GroupingSet::GroupingSets(sets))] => self.grouping_sets(sets, logical)?,
            [Expr::GroupingSet(_)] => return not_impl_err!("ROLLUP and CUBE that were not spelled out"),
            by => PhysicalGroupBy::new_single(
                by.iter().map(|expr| self.named(expr, logical)).collect::<Result<Vec<_>>>()?,
            ),
        };
        let (mut calls, mut filters) = (Vec::new(), Vec::new());
        for expr in &aggregate.aggr_expr {
            let call = LoweredAggregateBuilder::new(expr, logical, &schema, &self.props, &self.context).build()?;
            calls.push(call.aggregate);
            filters.push(call.filter);
        }
        Ok(Arc::new(AggregateExec::try_new(AggregateMode::Single, groups, calls, filters, input, schema)?))
    }

    /// Every key of any set; in each set those that it lacks are NULL.
    fn grouping_sets(&self, sets: &[Vec<Expr>], input: &DFSchema) -> Result<PhysicalGroupBy> {
        let mut all: Vec<&Expr> = Vec::new();
        for key in sets.iter().flatten() {
            if !all.contains(&key) {
                all.push(key);
            }
        }
        let keys = all.iter().map(|key| self.named(key, input)).collect::<Result<Vec<_>>>()?;
        let nulls = keys.iter().map(|(key, name)| {
            let null = ScalarValue::try_from(&key.data_type(input.as_arrow())?)?;
            Ok((Arc::new(Literal::new(null)) as Arc<dyn PhysicalExpr>, name.clone()))
        });
        let nulls = nulls.collect::<Result<Vec<_>>>()?;
        let lacking = sets.iter().map(|set| all.iter().map(|key| !set.contains(key)).collect()).collect();
        Ok(PhysicalGroupBy::new(keys, nulls, lacking, true))
    }

    fn window(&self, window: &Window, schema: &DFSchema) -> Result<Plan> {
        let input = self.plan(&window.input)?;
        let calls = window.window_expr.iter().map(|call| self.window_call(call, schema));
        let calls = calls.collect::<Result<Vec<_>>>()?;
        Ok(match calls.iter().all(|call| call.uses_bounded_memory()) {
            true => Arc::new(BoundedWindowAggExec::try_new(calls, input, InputOrderMode::Sorted, false)?),
            false => Arc::new(WindowAggExec::try_new(calls, input, false)?),
        })
    }

    fn window_call(&self, expr: &Expr, schema: &DFSchema) -> Result<Arc<dyn WindowExpr>> {
        let (call, name) = match expr {
            Expr::Alias(Alias { expr, name, .. }) => (expr.as_ref(), name.clone()),
            _ => (expr, expr.schema_name().to_string()),
        };
        let Expr::WindowFunction(call) = call else {
            return Err(internal_datafusion_err!("{call} is no call over a window"));
        };
        let WindowFunction { fun, params } = call.as_ref();
        let exprs = |exprs| create_physical_exprs(exprs, schema, &self.props, &self.context);
        create_window_expr(
            fun,
            name,
            &exprs(&params.args)?,
            &exprs(&params.partition_by)?,
            &create_physical_sort_exprs(&params.order_by, schema, &self.props, &self.context)?,
            Arc::new(params.window_frame.clone()),
            Arc::clone(schema.inner()),
            params.null_treatment == Some(NullTreatment::IgnoreNulls),
            params.distinct,
            params.filter.as_ref().map(|filter| self.expr(filter, schema)).transpose()?,
        )
    }

    fn join(&self, join: &Join) -> Result<Plan> {
        let (left, right) = (self.plan(&join.left)?, self.plan(&join.right)?);
        let (l, r) = (join.left.schema(), join.right.schema());
        let filter =
            join.filter.as_ref().map(|filter| self.join_filter(filter, (l, &left), (r, &right))).transpose()?;
        if join.on.is_empty() {
            return Ok(match (filter, join.join_type) {
                (None, JoinType::Inner) => Arc::new(CrossJoinExec::new(left, right)),
                (filter, kind) => Arc::new(NestedLoopJoinExec::try_new(left, right, filter, &kind, None)?),
            });
        }
        let keys = join.on.iter().map(|(a, b)| Ok((self.expr(a, l)?, self.expr(b, r)?)));
        Ok(Arc::new(HashJoinExec::try_new(
            left,
            right,
            keys.collect::<Result<Vec<_>>>()?,
            filter,
            &join.join_type,
            None,
            PartitionMode::CollectLeft,
            join.null_equality,
            join.null_aware,
        )?))
    }

    /// The condition over the columns that it names, those of the left side first.
    fn join_filter(&self, filter: &Expr, left: (&DFSchema, &Plan), right: (&DFSchema, &Plan)) -> Result<JoinFilter> {
        let columns = filter.column_refs();
        let indices = |schema: &DFSchema| {
            let mut found: Vec<usize> = columns.iter().filter_map(|c| schema.maybe_index_of_column(c)).collect();
            found.sort_unstable();
            found
        };
        let sides = [(left, indices(left.0)), (right, indices(right.0))];
        let (mut logical, mut physical) = (Vec::new(), Vec::new());
        for ((schema, plan), indices) in &sides {
            for &index in indices {
                let (qualifier, field) = schema.qualified_field(index);
                logical.push((qualifier.cloned(), Arc::clone(field)));
                physical.push(plan.schema().field(index).clone());
            }
        }
        let schema = DFSchema::new_with_metadata(logical, Default::default())?;
        let [(_, left), (_, right)] = sides;
        Ok(JoinFilter::new(
            self.expr(filter, &schema)?,
            JoinFilter::build_column_indices(left, right),
            Arc::new(arrow::datatypes::Schema::new(physical)),
        ))
    }
}

/// The plan over inputs of one partition each, sorted as it needs them.
fn in_order(plan: Plan) -> Result<Plan> {
    let needs = plan.required_input_ordering();
    let mut children = Vec::with_capacity(needs.len());
    let mut changed = false;
    for (child, need) in plan.children().into_iter().zip(needs) {
        let mut child = Arc::clone(child);
        if child.output_partitioning().partition_count() > 1 {
            (child, changed) = (Arc::new(CoalescePartitionsExec::new(child)), true);
        }
        if let Some(need) = need {
            let need = need.into_single();
            if !child.equivalence_properties().ordering_satisfy_requirement(need.clone())? {
                (child, changed) = (Arc::new(SortExec::new(LexOrdering::from(need), child)), true);
            }
        }
        children.push(child);
    }
    match changed {
        true => plan.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute)),
        false => Ok(plan),
    }
}
