//! The protocol's tables, row by row.

mod append;
mod bench;
mod claims;
mod life;
mod redrives;
mod rejections;
