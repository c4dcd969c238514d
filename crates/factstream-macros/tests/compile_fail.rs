//! Wrong uses do not compile, and the compiler says what to do instead. Each `.stderr` must read as advice.
#![allow(missing_docs)]

#[test]
fn wrong_uses_fail_to_compile_with_advice() {
    trybuild::TestCases::new().compile_fail("tests/compile_fail/*.rs");
}
