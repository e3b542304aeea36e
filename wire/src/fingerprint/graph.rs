//! Layouts as graphs, and the one text that every graph of the same layout has.

use std::{collections::HashMap, fmt::Write as _};

/// The index of a node that hasn't been seen yet.
pub(super) const UNKNOWN: usize = usize::MAX;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Shape {
    Scalar(&'static str),
    Option(usize),
    Seq(usize),
    Map(usize, usize),
    Tuple(Vec<usize>),
    Struct(Vec<(String, usize)>),
    Enum(Vec<Variant>),
    /// A newtype, or a reference in a text: nothing of its own.
    Alias(usize),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Variant {
    pub(super) name: String,
    pub(super) content: Content,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Content {
    Unknown,
    Unit,
    Newtype(usize),
    /// A `Tuple` or `Struct` node.
    Fields(usize),
}

impl Content {
    pub(super) fn node(self) -> Option<usize> {
        match self {
            Self::Unknown => Some(UNKNOWN),
            Self::Unit => None,
            Self::Newtype(node) | Self::Fields(node) => Some(node),
        }
    }
}

impl Shape {
    /// Calls `f` with each child, and puts in its place what `f` returns.
    fn map_children(&mut self, mut f: impl FnMut(usize) -> usize) {
        match self {
            Self::Scalar(_) => {}
            Self::Option(child) | Self::Seq(child) | Self::Alias(child) => *child = f(*child),
            Self::Map(key, value) => (*key, *value) = (f(*key), f(*value)),
            Self::Tuple(children) => children.iter_mut().for_each(|child| *child = f(*child)),
            Self::Struct(fields) => fields.iter_mut().for_each(|(_, child)| *child = f(*child)),
            Self::Enum(variants) => {
                for variant in variants {
                    match &mut variant.content {
                        Content::Newtype(child) | Content::Fields(child) => *child = f(*child),
                        Content::Unknown | Content::Unit => {}
                    }
                }
            }
        }
    }

    pub(super) fn children(&self) -> Vec<usize> {
        match self {
            Self::Scalar(_) => Vec::new(),
            Self::Option(child) | Self::Seq(child) | Self::Alias(child) => vec![*child],
            Self::Map(key, value) => vec![*key, *value],
            Self::Tuple(children) => children.clone(),
            Self::Struct(fields) => fields.iter().map(|(_, child)| *child).collect(),
            Self::Enum(variants) => variants.iter().filter_map(|v| v.content.node()).collect(),
        }
    }

    /// Whether a second occurrence is written as a reference.
    fn is_worth_a_label(&self) -> bool {
        match self {
            Self::Tuple(children) => !children.is_empty(),
            Self::Struct(fields) => !fields.is_empty(),
            Self::Enum(variants) => !variants.is_empty(),
            _ => false,
        }
    }
}

#[derive(Debug, Clone, Default)]
pub(super) struct Graph {
    pub(super) nodes: Vec<Shape>,
}

impl Graph {
    pub(super) fn add(&mut self, shape: Shape) -> usize {
        self.nodes.push(shape);
        self.nodes.len() - 1
    }

    /// Follows aliases.
    pub(super) fn resolve(&self, mut node: usize) -> usize {
        // A chain of aliases is no longer than there are nodes, unless it is a circle.
        for _ in 0..self.nodes.len() {
            match self.nodes.get(node) {
                Some(Shape::Alias(next)) => node = *next,
                _ => break,
            }
        }
        node
    }

    /// The same layouts with one node for all that look the same from outside, so that it doesn't
    /// matter whether two fields share a Rust type. `roots` are changed with it.
    fn merged(&self, roots: &mut [usize]) -> Self {
        let mut shapes = self.nodes.clone();
        for shape in &mut shapes {
            shape.map_children(|child| self.resolve(child));
        }
        // Nodes are the same until something tells them apart: first their own shape, then in
        // each round the classes of their children.
        let mut classes = vec![0; shapes.len()];
        let mut count = 1;
        loop {
            let mut seen = HashMap::new();
            let mut next = Vec::with_capacity(shapes.len());
            for shape in &shapes {
                let mut shape = shape.clone();
                shape.map_children(|child| classes.get(child).copied().unwrap_or(UNKNOWN));
                let class = seen.len();
                next.push(*seen.entry(shape).or_insert(class));
            }
            classes = next;
            if seen.len() == count {
                let mut merged: Vec<_> = seen.into_iter().collect();
                merged.sort_unstable_by_key(|(_, class)| *class);
                for root in roots {
                    *root = classes[self.resolve(*root)];
                }
                return Self {
                    nodes: merged.into_iter().map(|(shape, _)| shape).collect(),
                };
            }
            count = seen.len();
        }
    }

    /// The text of a message and its reply.
    pub(super) fn text(&self, message: usize, reply: usize) -> String {
        let mut roots = [message, reply];
        let graph = self.merged(&mut roots);
        // The first pass finds out what is referred to, the second one writes.
        let mut printer = Printer {
            graph: &graph,
            labels: HashMap::new(),
            numbers: 0,
            seen: HashMap::new(),
            out: String::new(),
        };
        printer.layout(roots);
        let mut labels: HashMap<usize, usize> = printer.labels;
        labels.values_mut().for_each(|number| *number = 0);
        let mut printer = Printer {
            graph: &graph,
            labels,
            numbers: 0,
            seen: HashMap::new(),
            out: String::new(),
        };
        printer.layout(roots);
        printer.out
    }
}

struct Printer<'a> {
    graph: &'a Graph,
    /// What is referred to, with the number that it has got, or 0.
    labels: HashMap<usize, usize>,
    numbers: usize,
    /// What was begun, and whether it is done.
    seen: HashMap<usize, bool>,
    out: String,
}

impl Printer<'_> {
    fn layout(&mut self, [message, reply]: [usize; 2]) {
        self.node(message);
        self.out.push_str(" -> ");
        self.node(reply);
    }

    fn node(&mut self, node: usize) {
        let shape = &self.graph.nodes[node];
        match self.seen.get(&node) {
            // Inside of itself, or once more.
            Some(done) if !done || shape.is_worth_a_label() => {
                let number = *self.labels.entry(node).or_insert(0);
                let _ = write!(self.out, "#{number}");
                return;
            }
            _ => {}
        }
        self.seen.insert(node, false);
        if let Some(number) = self.labels.get_mut(&node)
            && *number == 0
        {
            self.numbers += 1;
            *number = self.numbers;
            let _ = write!(self.out, "#{number}=");
        }
        self.shape(node);
        self.seen.insert(node, true);
    }

    fn shape(&mut self, node: usize) {
        let graph = self.graph;
        match &graph.nodes[node] {
            Shape::Scalar(name) => self.out.push_str(name),
            Shape::Option(inner) => {
                self.out.push('?');
                self.node(*inner);
            }
            Shape::Seq(element) => {
                self.out.push('[');
                self.node(*element);
                self.out.push(']');
            }
            Shape::Map(key, value) => {
                self.out.push('[');
                self.node(*key);
                self.out.push(':');
                self.node(*value);
                self.out.push(']');
            }
            Shape::Tuple(elements) => self.tuple(elements),
            Shape::Struct(fields) => {
                self.out.push('{');
                for (index, (name, child)) in fields.iter().enumerate() {
                    if index > 0 {
                        self.out.push(',');
                    }
                    self.name(name);
                    self.out.push(':');
                    self.node(*child);
                }
                self.out.push('}');
            }
            Shape::Enum(variants) => {
                self.out.push('<');
                for (index, variant) in variants.iter().enumerate() {
                    if index > 0 {
                        self.out.push('|');
                    }
                    self.name(&variant.name);
                    match variant.content {
                        Content::Unknown | Content::Unit => {}
                        Content::Newtype(inner) => {
                            self.out.push('(');
                            self.node(inner);
                            self.out.push(')');
                        }
                        Content::Fields(fields) => self.shape(fields),
                    }
                }
                self.out.push('>');
            }
            // Merging has resolved them all.
            Shape::Alias(inner) => self.node(*inner),
        }
    }

    /// Equal neighbours are written once, with their number.
    fn tuple(&mut self, elements: &[usize]) {
        self.out.push('(');
        for (index, run) in elements.chunk_by(|a, b| a == b).enumerate() {
            if index > 0 {
                self.out.push(',');
            }
            self.node(run[0]);
            if run.len() > 1 {
                let _ = write!(self.out, "*{}", run.len());
            }
        }
        self.out.push(')');
    }

    fn name(&mut self, name: &str) {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        if !name.is_empty() && name.bytes().all(plain) {
            self.out.push_str(name);
            return;
        }
        self.out.push('"');
        for c in name.chars() {
            if matches!(c, '"' | '\\') {
                self.out.push('\\');
            }
            self.out.push(c);
        }
        self.out.push('"');
    }
}
