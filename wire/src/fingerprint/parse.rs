//! Reads a layout's text back. It may come from a peer: `None` for whatever isn't one.

use std::collections::HashMap;

use super::{
    graph::{Content, Graph, Shape, Variant},
    trace::DEPTH_MAX,
};

/// Far above what fits into a failure's detail.
const NODES_MAX: usize = 1 << 16;
/// Elements of all tuples together.
const ELEMENTS_MAX: usize = 1 << 20;

const SCALARS: [&str; 16] = [
    "bool", "u8", "u16", "u32", "u64", "u128", "i8", "i16", "i32", "i64", "i128", "f32", "f64",
    "char", "str", "bytes",
];

/// The graph of a text, with the nodes of the message and of the reply.
pub(super) fn parse(text: &str) -> Option<(Graph, [usize; 2])> {
    let mut parser = Parser {
        rest: text,
        graph: Graph::default(),
        labels: HashMap::new(),
        depth: 0,
        elements: 0,
    };
    let message = parser.node()?;
    parser.eat(" -> ")?;
    let reply = parser.node()?;
    let done = parser.rest.is_empty()
        && parser
            .graph
            .nodes
            .iter()
            .all(|shape| !matches!(shape, Shape::Alias(_)));
    done.then_some((parser.graph, [message, reply]))
}

struct Parser<'a> {
    rest: &'a str,
    graph: Graph,
    labels: HashMap<usize, usize>,
    depth: usize,
    elements: usize,
}

impl Parser<'_> {
    fn eat(&mut self, text: &str) -> Option<()> {
        self.rest = self.rest.strip_prefix(text)?;
        Some(())
    }

    fn number(&mut self) -> Option<usize> {
        let digits = self.rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, rest) = self.rest.split_at(digits);
        self.rest = rest;
        number.parse().ok()
    }

    /// `#n`, `#n=shape` or `shape`.
    fn node(&mut self) -> Option<usize> {
        let label = match self.eat("#") {
            Some(()) => {
                let number = self.number()?;
                if self.eat("=").is_none() {
                    return self.labels.get(&number).copied();
                }
                Some(number)
            }
            None => None,
        };
        if self.graph.nodes.len() >= NODES_MAX {
            return None;
        }
        // Its place first, as what is in it may refer to it.
        let node = self.graph.add(Shape::Alias(0));
        if let Some(label) = label
            && self.labels.insert(label, node).is_some()
        {
            return None;
        }
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return None;
        }
        let shape = self.shape()?;
        self.depth -= 1;
        self.graph.nodes[node] = shape;
        Some(node)
    }

    fn shape(&mut self) -> Option<Shape> {
        if self.eat("?").is_some() {
            return self.node().map(Shape::Option);
        }
        if self.eat("[").is_some() {
            let first = self.node()?;
            let shape = match self.eat(":") {
                Some(()) => Shape::Map(first, self.node()?),
                None => Shape::Seq(first),
            };
            self.eat("]")?;
            return Some(shape);
        }
        if self.rest.starts_with('(') {
            let elements = self.tuple()?;
            let unit = elements.is_empty();
            return Some(if unit {
                Shape::Scalar("()")
            } else {
                Shape::Tuple(elements)
            });
        }
        if self.rest.starts_with('{') {
            return self.fields();
        }
        if self.eat("<").is_some() {
            return self.variants();
        }
        let len = self
            .rest
            .bytes()
            .take_while(u8::is_ascii_alphanumeric)
            .count();
        let (word, rest) = self.rest.split_at(len);
        self.rest = rest;
        SCALARS
            .into_iter()
            .find(|scalar| *scalar == word)
            .map(Shape::Scalar)
    }

    fn tuple(&mut self) -> Option<Vec<usize>> {
        self.eat("(")?;
        let mut elements = Vec::new();
        while self.eat(")").is_none() {
            if !elements.is_empty() {
                self.eat(",")?;
            }
            let node = self.node()?;
            let times = if self.eat("*").is_some() {
                self.number()?
            } else {
                1
            };
            self.elements = self
                .elements
                .checked_add(times)
                .filter(|all| *all <= ELEMENTS_MAX)?;
            elements.extend(std::iter::repeat_n(node, times));
        }
        Some(elements)
    }

    fn fields(&mut self) -> Option<Shape> {
        self.eat("{")?;
        let mut fields = Vec::new();
        while self.eat("}").is_none() {
            if !fields.is_empty() {
                self.eat(",")?;
            }
            let name = self.name()?;
            self.eat(":")?;
            fields.push((name, self.node()?));
        }
        Some(Shape::Struct(fields))
    }

    fn variants(&mut self) -> Option<Shape> {
        let mut variants = Vec::new();
        while self.eat(">").is_none() {
            if !variants.is_empty() {
                self.eat("|")?;
            }
            let name = self.name()?;
            let content = if self.rest.starts_with('(') {
                match *self.tuple()?.as_slice() {
                    [inner] => Content::Newtype(inner),
                    ref elements => {
                        Content::Fields(self.graph.add(Shape::Tuple(elements.to_vec())))
                    }
                }
            } else if self.rest.starts_with('{') {
                let fields = self.fields()?;
                Content::Fields(self.graph.add(fields))
            } else {
                Content::Unit
            };
            variants.push(Variant { name, content });
        }
        Some(Shape::Enum(variants))
    }

    fn name(&mut self) -> Option<String> {
        if self.eat("\"").is_none() {
            let plain = |b: &u8| b.is_ascii_alphanumeric() || *b == b'_';
            let len = self.rest.bytes().take_while(plain).count();
            let (name, rest) = self.rest.split_at(len);
            self.rest = rest;
            return (len > 0).then(|| name.to_owned());
        }
        let mut name = String::new();
        let mut chars = self.rest.chars();
        loop {
            match chars.next()? {
                '"' => break,
                '\\' => name.push(chars.next()?),
                c => name.push(c),
            }
        }
        self.rest = chars.as_str();
        Some(name)
    }
}
