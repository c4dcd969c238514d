//! Shapes and their comparison, with serde itself as the judge.

mod catalogue;
mod oracle;
mod attributes;
mod table;
mod forms;
