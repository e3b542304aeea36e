//! Values to try on a type that checks what it gets.

/// How often a position is tried before it is given up.
pub(super) const TRIES: usize = 16;

/// Integers, by try; each width takes the first ones that fit and goes on with 1.
pub(super) const INTEGERS: [i128; 12] = [
    0,
    1,
    2,
    7,
    10,
    42,
    100,
    127,
    1_000,
    1_000_000,
    1_700_000_000,
    -1,
];

pub(super) const FLOATS: [f64; 5] = [0.0, 1.0, 0.5, -1.0, 100.0];

pub(super) const CHARS: [char; 4] = ['a', 'A', '0', '/'];

/// Shapes of text that types parse: numbers, names, addresses, dates, paths, ids, versions.
pub(super) const TEXTS: [&str; TRIES] = [
    "",
    "a",
    "0",
    "127.0.0.1",
    "127.0.0.1:80",
    "::1",
    "1970-01-01T00:00:00Z",
    "1970-01-01",
    "00:00:00",
    "00000000-0000-0000-0000-000000000000",
    "http://a.example/",
    "/a",
    "1.0.0",
    "a@a.example",
    "00000000000000000000000000000000",
    "#000000",
];

/// Lengths of byte strings and, but for the first try, of sequences.
pub(super) const LENGTHS: [usize; 9] = [0, 1, 2, 3, 4, 8, 16, 32, 64];
