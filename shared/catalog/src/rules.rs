use std::sync::Arc;

use crate::{Check, Derive, Mask, MaskTree, Source};

/// What a table does with an event beside taking its fields as they are.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Rules {
    /// What values must be.
    pub checks: Vec<Check>,
    /// Columns that are made of other values.
    pub derive: Vec<Derive>,
    /// How columns are hidden, by the names from the root down.
    pub mask: Vec<(Vec<String>, Mask)>,
    /// What any table of the stream masks: it is masked in `extra`, in raw tables and in dead letters.
    pub payload_mask: Arc<MaskTree>,
}

impl Rules {
    /// Whether rows are made by the schema alone.
    pub fn is_empty(&self) -> bool {
        self.checks.is_empty() && self.derive.is_empty() && self.mask.is_empty() && self.payload_mask.is_empty()
    }

    /// The table's own masks.
    pub fn mask_tree(&self) -> MaskTree {
        let mut tree = MaskTree::default();
        self.mask.iter().for_each(|(path, mask)| tree.insert(path, *mask));
        tree
    }

    /// The table's part of [`Rules::payload_mask`]: its masked columns, and what masked columns are derived from.
    pub(crate) fn payload_part(&self) -> MaskTree {
        let own = self.mask_tree();
        let mut tree = own.clone();
        for Derive { column, source } in &self.derive {
            let Some(mask) = own.child(column).and_then(MaskTree::action) else { continue };
            let Some(tokens) = source.pointer().map(|pointer| pointer.tokens().to_vec()) else { continue };
            // An index of an array is no name; a name may look like an index.
            let names: Vec<String> = tokens.iter().filter(|token| !crate::mask::is_index(token)).cloned().collect();
            // A part of an address, or a hash of an upper-cased text, says more than it should of what it was made of.
            let mask = if matches!(source, Source::Copy(_)) { mask } else { Mask::Drop };
            tree.insert(&tokens, mask);
            if !names.is_empty() {
                tree.insert(&names, mask);
            }
        }
        tree
    }
}
