//! What the compiler says about mistakes: one file a mistake, named after it. The wording belongs
//! to one compiler version; refresh it with `TRYBUILD=overwrite cargo test -p botzilla --test it ui`.

#[test]
fn every_mistake_names_its_remedy() {
    let cases = trybuild::TestCases::new();
    cases.pass("tests/it/ui/pass/*.rs");
    cases.compile_fail("tests/it/ui/fail/*.rs");
}
