//! Shapes and their comparison, with serde itself as the judge.
#![allow(dead_code, clippy::items_after_statements, clippy::struct_field_names, clippy::unnecessary_wraps)]

mod catalogue;
mod oracle;
mod attributes;
mod table;
mod forms;
