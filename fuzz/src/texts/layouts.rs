//! Texts of layouts, of which a peer sends one: they are compared, whatever they are.

use botzilla_wire::fingerprint::Layout;

/// Two texts, with a line feed between them.
pub(super) fn compare(text: &str) {
    let (ours, theirs) = text.split_once('\n').unwrap_or((text, ""));
    let one = Layout::first_difference(ours, theirs);
    let other = Layout::first_difference(theirs, ours);
    assert_eq!(one.is_none(), ours == theirs);
    assert_eq!(one.is_some(), other.is_some());
    assert_eq!(Layout::first_difference(ours, ours), None);
    // A person reads it.
    let longest = ours.len() + theirs.len();
    assert!(one.is_none_or(|text| !text.is_empty() && text.len() <= 4096 + 8 * longest));
}
