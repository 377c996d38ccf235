/// Where the write streams that may ever receive rows are registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Registry {
    /// On Cloud Storage: the promise of exactly once holds when the claim ledger loses keys.
    #[default]
    Storage,
    /// Nowhere: a claim ledger that loses keys may cost duplicates.
    None,
}
