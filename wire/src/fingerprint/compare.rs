//! Where two layouts differ, in words. The texts may come from a peer, so nothing here recurses
//! with them without a bound.

use std::collections::HashSet;

use super::{
    graph::{Content, Graph, Shape, Variant},
    parse::parse,
};

/// Pairs of nodes to look at before giving up; no sane layout comes near.
const PAIRS_MAX: usize = 1 << 16;

pub(super) fn first_difference(ours: &str, theirs: &str) -> Option<String> {
    if ours == theirs {
        return None;
    }
    let found = match (parse(ours), parse(theirs)) {
        (Some(ours), Some(theirs)) => Walk::new(&ours.0, &theirs.0).run([ours.1, theirs.1]),
        _ => None,
    };
    Some(found.unwrap_or_else(|| by_text(ours, theirs)))
}

/// For a text that was cut, or has something of a later version in it.
fn by_text(ours: &str, theirs: &str) -> String {
    let equal = ours
        .bytes()
        .zip(theirs.bytes())
        .take_while(|(a, b)| a == b)
        .count();
    let excerpt = |text: &str| {
        let from = (0..=equal.min(text.len()))
            .rev()
            .find(|at| text.is_char_boundary(*at));
        text[from.unwrap_or(0)..]
            .chars()
            .take(24)
            .collect::<String>()
    };
    match (excerpt(ours), excerpt(theirs)) {
        (ours, theirs) if theirs.is_empty() => {
            format!("the layout goes on with `{ours}` only here")
        }
        (ours, theirs) if ours.is_empty() => {
            format!("the layout goes on with `{theirs}` only there")
        }
        (ours, theirs) => format!("the layout goes on with `{ours}` here and `{theirs}` there"),
    }
}

struct Walk<'a> {
    ours: &'a Graph,
    theirs: &'a Graph,
    seen: HashSet<(usize, usize)>,
    /// Every place that was seen: the place that it is in, and how it is called there.
    places: Vec<(usize, String)>,
    todo: Vec<Todo>,
}

enum Todo {
    Compare {
        ours: usize,
        theirs: usize,
        place: usize,
    },
    /// What is to be said if nothing before it differs.
    Say(String),
}

const MESSAGE: usize = 0;
const REPLY: usize = 1;

impl<'a> Walk<'a> {
    fn new(ours: &'a Graph, theirs: &'a Graph) -> Self {
        let places = vec![(MESSAGE, String::new()), (REPLY, String::new())];
        Self {
            ours,
            theirs,
            seen: HashSet::new(),
            places,
            todo: Vec::new(),
        }
    }

    fn run(mut self, [ours, theirs]: [[usize; 2]; 2]) -> Option<String> {
        for place in [REPLY, MESSAGE] {
            self.todo.push(Todo::Compare {
                ours: ours[place],
                theirs: theirs[place],
                place,
            });
        }
        while let Some(todo) = self.todo.pop() {
            match todo {
                Todo::Say(text) => return Some(text),
                Todo::Compare {
                    ours,
                    theirs,
                    place,
                } => {
                    if self.seen.insert((ours, theirs)) {
                        self.compare(ours, theirs, place);
                    }
                }
            }
            if self.seen.len() > PAIRS_MAX {
                return None;
            }
        }
        None
    }

    fn compare(&mut self, our_node: usize, their_node: usize, place: usize) {
        let (our_graph, their_graph) = (self.ours, self.theirs);
        // What is pushed is looked at last to first, so each arm pushes in reverse.
        match (&our_graph.nodes[our_node], &their_graph.nodes[their_node]) {
            (Shape::Scalar(a), Shape::Scalar(b)) if a == b => {}
            (Shape::Option(a), Shape::Option(b)) => self.push(*a, *b, place, ""),
            (Shape::Seq(a), Shape::Seq(b)) => self.push(*a, *b, place, "[..]"),
            (Shape::Map(a, b), Shape::Map(c, d)) => {
                self.push(*b, *d, place, "[..]");
                self.push(*a, *c, place, "[key]");
            }
            (Shape::Tuple(a), Shape::Tuple(b)) if a.len() == b.len() => {
                for (index, (a, b)) in a.iter().zip(b).enumerate().rev() {
                    self.push(*a, *b, place, &format!(".{index}"));
                }
            }
            (Shape::Struct(a), Shape::Struct(b)) => self.fields(a, b, place),
            (Shape::Enum(a), Shape::Enum(b)) => self.variants(a, b, place),
            (a, b) => {
                let (a, b) = (describe(our_graph, a), describe(their_graph, b));
                let text = format!("{} is {a} here and {b} there", self.show(place));
                self.todo.push(Todo::Say(text));
            }
        }
    }

    fn push(&mut self, ours: usize, theirs: usize, parent: usize, name: &str) {
        let place = if name.is_empty() {
            parent
        } else {
            self.places.push((parent, name.to_owned()));
            self.places.len() - 1
        };
        self.todo.push(Todo::Compare {
            ours,
            theirs,
            place,
        });
    }

    fn fields(&mut self, ours: &[(String, usize)], theirs: &[(String, usize)], place: usize) {
        let names = |fields: &[(String, usize)]| {
            fields
                .iter()
                .map(|(name, _)| name.clone())
                .collect::<Vec<_>>()
        };
        let same = self.names("field", &names(ours), &names(theirs), place);
        for ((name, a), (_, b)) in ours.iter().zip(theirs).take(same).rev() {
            self.push(*a, *b, place, &format!(".{name}"));
        }
    }

    fn variants(&mut self, ours: &[Variant], theirs: &[Variant], place: usize) {
        let names =
            |variants: &[Variant]| variants.iter().map(|v| v.name.clone()).collect::<Vec<_>>();
        let same = self.names("variant", &names(ours), &names(theirs), place);
        for (a, b) in ours.iter().zip(theirs).take(same).rev() {
            let name = format!("::{}", a.name);
            match (a.content, b.content) {
                (Content::Unit, Content::Unit) => {}
                (Content::Newtype(x), Content::Newtype(y))
                | (Content::Fields(x), Content::Fields(y)) => {
                    self.push(x, y, place, &name);
                }
                (x, y) => {
                    self.places.push((place, name));
                    let place = self.show(self.places.len() - 1);
                    let (x, y) = (content(self.ours, x), content(self.theirs, y));
                    self.todo
                        .push(Todo::Say(format!("{place} {x} here and {y} there")));
                }
            }
        }
    }

    /// Compares names in their order, notes the first difference, and says how many are equal
    /// before it.
    fn names(&mut self, kind: &str, ours: &[String], theirs: &[String], place: usize) -> usize {
        let same = ours.iter().zip(theirs).take_while(|(a, b)| a == b).count();
        let (a, b) = (ours.get(same), theirs.get(same));
        let place = self.show(place);
        let number = same + 1;
        let text = match (a, b) {
            (None, None) => return same,
            (Some(a), Some(b)) => match (theirs.contains(a), ours.contains(b)) {
                (true, true) => format!(
                    "the {kind}s of {place} are in another order: {kind} {number} is `{a}` here and `{b}` there"
                ),
                (false, true) => format!("{place} has the {kind} `{a}` only here"),
                (true, false) => format!("{place} has the {kind} `{b}` only there"),
                (false, false) => {
                    format!("{kind} {number} of {place} is `{a}` here and `{b}` there")
                }
            },
            (Some(a), None) => format!("{place} has the {kind} `{a}` only here"),
            (None, Some(b)) => format!("{place} has the {kind} `{b}` only there"),
        };
        self.todo.push(Todo::Say(text));
        same
    }

    /// A place as a person would write it.
    fn show(&self, mut place: usize) -> String {
        let mut steps = Vec::new();
        while place > REPLY {
            let (parent, name) = &self.places[place];
            steps.push(name.as_str());
            place = *parent;
        }
        let root = if place == MESSAGE {
            "the message"
        } else {
            "the reply"
        };
        if steps.is_empty() {
            return root.to_owned();
        }
        let path: String = steps.into_iter().rev().collect();
        format!("`{}` of {root}", path.strip_prefix('.').unwrap_or(&path))
    }
}

fn describe(graph: &Graph, shape: &Shape) -> String {
    let some = |names: Vec<&str>| {
        let more = if names.len() > 4 { ", .." } else { "" };
        format!("{}{more}", names[..names.len().min(4)].join(", "))
    };
    match shape {
        Shape::Scalar("()") => "empty".to_owned(),
        Shape::Scalar("str") => "a text".to_owned(),
        Shape::Scalar("bytes") => "a byte string".to_owned(),
        Shape::Scalar(name) => (*name).to_owned(),
        Shape::Option(_) => "optional".to_owned(),
        Shape::Seq(element) => match &graph.nodes[*element] {
            Shape::Scalar(name) => format!("a sequence of {name}"),
            _ => "a sequence".to_owned(),
        },
        Shape::Map(..) => "a map".to_owned(),
        Shape::Tuple(elements) => format!("a tuple of {}", elements.len()),
        Shape::Struct(fields) => {
            format!(
                "a struct of {{{}}}",
                some(fields.iter().map(|(name, _)| name.as_str()).collect())
            )
        }
        Shape::Enum(variants) => {
            format!(
                "an enum of <{}>",
                some(variants.iter().map(|v| v.name.as_str()).collect())
            )
        }
        Shape::Alias(_) => "something else".to_owned(),
    }
}

fn content(graph: &Graph, content: Content) -> String {
    match content {
        Content::Unknown | Content::Unit => "has nothing in it".to_owned(),
        Content::Newtype(node) => format!("has {} in it", describe(graph, &graph.nodes[node])),
        Content::Fields(node) => match &graph.nodes[node] {
            Shape::Struct(fields) if fields.len() == 1 => "has 1 named field".to_owned(),
            Shape::Struct(fields) => format!("has {} named fields", fields.len()),
            Shape::Tuple(elements) => format!("has {} values in it", elements.len()),
            other => format!("has {} in it", describe(graph, other)),
        },
    }
}
