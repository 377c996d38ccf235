//! The visible rows of a table in memory: a list of segments, merged as they grow many.

use std::ops::Range;

use arrow::array::RecordBatch;

use super::{Definition, change};

/// So many segments at least are merged into one.
const FEWEST: usize = 16;
/// Segments of so many rows stay as they are.
const LARGE: usize = 65_536;

/// Rows that lie together.
#[derive(Debug, Clone)]
pub(super) struct Segment {
    pub(super) batch: RecordBatch,
    /// The sequence numbers of the records on disk that hold these rows, ascending.
    pub(super) records: Vec<u64>,
}

/// The segments of a table in the order in which the rows came.
#[derive(Debug, Default)]
pub(super) struct Rows {
    pub(super) segments: Vec<Segment>,
    pub(super) next_record: u64,
    pub(super) count: u64,
    /// How often rows that were there were taken away.
    pub(super) rewrites: u64,
    /// The table was deleted: nothing is appended any more.
    pub(super) dropped: bool,
}

impl Rows {
    /// Puts rows at the end; says whether segments should be merged.
    pub(super) fn push(&mut self, batch: RecordBatch, records: Vec<u64>) -> bool {
        self.count += batch.num_rows() as u64;
        self.segments.push(Segment { batch, records });
        self.to_merge().is_some()
    }

    /// Whether rows took the place of others.
    pub(super) fn has_changes(&self, definition: &Definition) -> bool {
        self.segments.iter().any(|segment| change::has_changes(definition, &segment.batch))
    }

    /// The segments at the end that should become one: the fewest, 16 at least, of which the largest holds at most an
    /// eighth of the rows.
    ///
    /// So a row is copied only into a segment at least eight times as large, and n appends leave O(log n) segments,
    /// plus those that are large enough.
    pub(super) fn to_merge(&self) -> Option<Range<usize>> {
        let end = self.segments.len();
        let (mut total, mut largest) = (0, 0);
        for (start, segment) in self.segments.iter().enumerate().rev() {
            let rows = segment.batch.num_rows();
            if rows >= LARGE {
                return None;
            }
            total += rows;
            largest = largest.max(rows);
            if end - start >= FEWEST && largest * 8 <= total {
                return Some(start..end);
            }
        }
        None
    }

    /// Puts one segment in the place of several, which had so many rows.
    pub(super) fn replace(&mut self, range: Range<usize>, merged: Segment, rows: usize) {
        let gone = (rows - merged.batch.num_rows()) as u64;
        self.count -= gone;
        self.rewrites += u64::from(gone > 0);
        self.segments.splice(range, [merged]);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::{array::RecordBatchOptions, datatypes::Schema};

    use super::*;

    fn batch(rows: usize) -> RecordBatch {
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(Arc::new(Schema::empty()), Vec::new(), &options).expect("rows")
    }

    /// Appends of these sizes with every merge done; the most segments that there were, and the rows that were copied.
    fn append(sizes: impl IntoIterator<Item = usize>) -> (Rows, usize, usize) {
        let (mut rows, mut most, mut copied) = (Rows::default(), 0, 0);
        for size in sizes {
            let mut merge = rows.push(batch(size), Vec::new());
            while let Some(range) = rows.to_merge() {
                assert!(merge, "push says when there is something to merge");
                let total = rows.segments[range.clone()].iter().map(|segment| segment.batch.num_rows()).sum();
                copied += total;
                rows.replace(range, Segment { batch: batch(total), records: Vec::new() }, total);
                merge = true;
            }
            most = most.max(rows.segments.len());
        }
        (rows, most, copied)
    }

    #[test]
    fn many_small_appends_leave_few_segments_and_copy_little() {
        let (rows, most, copied) = append(std::iter::repeat_n(1, 100_000));
        assert_eq!(rows.count, 100_000);
        assert_eq!(rows.segments.iter().map(|segment| segment.batch.num_rows()).sum::<usize>(), 100_000);
        assert!(most < 100, "{most}");
        assert!(copied < 6 * 100_000, "{copied}");
    }

    #[test]
    fn appends_of_mixed_sizes_leave_few_segments() {
        let sizes = (0..50_000_usize).map(|n| if n % 97 == 0 { 5000 } else { 1 + n % 7 });
        let total: usize = sizes.clone().sum();
        let (rows, most, copied) = append(sizes);
        assert_eq!(rows.count, total as u64);
        assert!(most < 300, "{most}");
        assert!(copied < 6 * total, "{copied}");
    }
}
