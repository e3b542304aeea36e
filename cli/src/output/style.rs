//! Colour, where a person looks at it.

use std::io::{self, IsTerminal};

/// How text is set off: on a terminal by colour, elsewhere not at all.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Style {
    colour: bool,
}

/// Whether the person doesn't want colour, whatever the terminal can do: <https://no-color.org>.
pub(crate) fn no_colour() -> bool {
    std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
        || std::env::var_os("TERM").is_some_and(|term| term == "dumb")
}

impl Style {
    pub(crate) fn of_stdout() -> Self {
        Self {
            colour: io::stdout().is_terminal() && !no_colour(),
        }
    }

    #[cfg(test)]
    pub(crate) fn plain() -> Self {
        Self { colour: false }
    }

    #[cfg(test)]
    pub(crate) fn coloured() -> Self {
        Self { colour: true }
    }

    /// A heading, a name.
    pub(crate) fn strong(self, text: &str) -> String {
        self.set(text, "1")
    }

    /// What matters less.
    pub(crate) fn faint(self, text: &str) -> String {
        self.set(text, "2")
    }

    /// What is as it should be.
    pub(crate) fn good(self, text: &str) -> String {
        self.set(text, "32")
    }

    /// What isn't.
    pub(crate) fn bad(self, text: &str) -> String {
        self.set(text, "31")
    }

    fn set(self, text: &str, code: &str) -> String {
        if self.colour && !text.is_empty() {
            format!("\u{1b}[{code}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }
}

/// How a cell of a table is set.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Tone {
    Plain,
    Strong,
    Faint,
    Good,
    Bad,
}

/// Columns as wide as their widest cell; the last one ends where its text ends.
pub(crate) struct Table {
    rows: Vec<Vec<(String, Tone)>>,
}

impl Table {
    pub(crate) fn new(heading: &[&str]) -> Self {
        let heading = heading.iter().map(|text| ((*text).to_owned(), Tone::Faint));
        Self {
            rows: vec![heading.collect()],
        }
    }

    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = (String, Tone)>) {
        self.rows.push(cells.into_iter().collect());
    }

    pub(crate) fn render(&self, style: Style) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let wide = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells
                .map(|(text, _)| text.chars().count())
                .max()
                .unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(wide).collect();
        let mut out = String::new();
        for row in &self.rows {
            let mut line = String::new();
            for (column, (text, tone)) in row.iter().enumerate() {
                let padding = if column + 1 == row.len() {
                    0
                } else {
                    // Padded before it is coloured: colour has no width.
                    widths[column] - text.chars().count() + 2
                };
                line.push_str(&match tone {
                    Tone::Plain => text.clone(),
                    Tone::Strong => style.strong(text),
                    Tone::Faint => style.faint(text),
                    Tone::Good => style.good(text),
                    Tone::Bad => style.bad(text),
                });
                line.extend(std::iter::repeat_n(' ', padding));
            }
            out.push_str(line.trim_end());
            out.push('\n');
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(&["NAME", "HOST"]);
        table.row([
            ("drive".to_owned(), Tone::Strong),
            ("pi".to_owned(), Tone::Plain),
        ]);
        table.row([("ü".to_owned(), Tone::Strong), (String::new(), Tone::Plain)]);
        table
    }

    #[test]
    fn columns_are_aligned_and_no_line_ends_in_blanks() {
        assert_eq!(
            table().render(Style::plain()),
            "NAME   HOST\ndrive  pi\nü\n"
        );
    }

    #[test]
    fn colour_moves_no_column() {
        let coloured = table().render(Style::coloured());
        assert!(
            coloured.contains("\u{1b}[1mdrive\u{1b}[0m  pi\n"),
            "{coloured:?}"
        );
    }
}
