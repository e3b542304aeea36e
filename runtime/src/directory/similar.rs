//! Names that a person may have meant.

/// At most this many are worth showing.
const SHOWN: usize = 3;

/// The names that are close to one that isn't there, the closest first.
pub fn similar<'a>(wanted: &str, names: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    // A third of the letters may differ, but not one of two.
    let budget = (wanted.len() / 3).clamp(1, 4);
    let mut found: Vec<(usize, &str)> = names
        .into_iter()
        .filter(|name| name.len().abs_diff(wanted.len()) <= budget)
        .map(|name| (distance(wanted, name), name))
        .filter(|(distance, _)| *distance <= budget)
        .collect();
    found.sort_unstable();
    // Several may know of the same one.
    found.dedup();
    found
        .into_iter()
        .take(SHOWN)
        .map(|(_, name)| name.to_owned())
        .collect()
}

/// How many letters have to be put in, left out, replaced or swapped with their neighbour.
fn distance(a: &str, b: &str) -> usize {
    let (a, b) = (a.to_ascii_lowercase(), b.to_ascii_lowercase());
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let mut before = vec![0; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1; b.len() + 1];
        for (j, y) in b.iter().enumerate() {
            let replaced = last[j] + usize::from(x != y);
            row[j + 1] = replaced.min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *x == b[j - 1] && a[i - 1] == *y {
                row[j + 1] = row[j + 1].min(before[j - 1] + 1);
            }
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_of_the_finger_are_close_and_other_words_are_not() {
        let names = [
            "drive",
            "lidar",
            "planner",
            "battery",
            "arm/left",
            "arm/right",
        ];
        assert_eq!(similar("dirve", names), ["drive"]);
        assert_eq!(similar("Lidar", names), ["lidar"]);
        assert_eq!(similar("baterry", names), ["battery"]);
        assert_eq!(similar("arm/lef", names), ["arm/left"]);
        assert_eq!(
            similar("drove", names.iter().chain(&names).copied()),
            ["drive"]
        );
        assert!(similar("camera", names).is_empty());
        assert!(similar("", names).is_empty());
    }
}
