//! Runs a type's own `Deserialize` and writes down what it asks for.
//!
//! Nodes are keyed by what asks (the visitor's type), so a type that contains itself is one node.
//! One run gives every struct its fields but every enum only one variant, so it runs again until
//! all were seen. What was seen already ends as early as it can: `None`, nothing in it, the
//! variant that came to its end in the fewest steps; that is how recursion ends.

use std::{any::type_name, collections::HashMap, fmt};

use serde::de::{DeserializeOwned, Error as _, StdError, Visitor};

use super::{
    graph::{Content, Graph, Shape, UNKNOWN, Variant},
    recorder::Recorder,
    samples::TRIES,
};

/// Far above what a schema needs; a type that makes more of it than this isn't traced.
const RUNS_MAX: usize = 4096;
const STEPS_MAX: usize = 1 << 20;
pub(super) const DEPTH_MAX: usize = 192;

/// Why a run ended before its end.
#[derive(Debug)]
pub(super) enum Stop {
    /// The type can't be traced at all.
    Never(String),
    /// Only a way that has been entered already leads on; another run may find another.
    DeadEnd,
    /// The type didn't like a value.
    Rejected(String),
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Never(reason) | Self::Rejected(reason) => f.write_str(reason),
            Self::DeadEnd => f.write_str("it contains itself without an end"),
        }
    }
}

impl StdError for Stop {}

impl serde::de::Error for Stop {
    fn custom<T: fmt::Display>(text: T) -> Self {
        Self::Rejected(text.to_string())
    }
}

/// What asks: the visitor's type, for what, and with which names.
///
/// The name of a type is not quite unique (two types of one name in two blocks of one function),
/// hence the size of what it makes and the names of its fields; if two are still taken for one,
/// their children differ, and that is an error.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    visitor: &'static str,
    kind: &'static str,
    names: &'static [&'static str],
    len: usize,
    size: usize,
}

impl Key {
    pub(super) fn scalar(name: &'static str) -> Self {
        Self {
            visitor: "",
            kind: name,
            names: &[],
            len: 0,
            size: 0,
        }
    }

    pub(super) fn of<'de, V: Visitor<'de>>(kind: &'static str) -> Self {
        Self {
            visitor: type_name::<V>(),
            kind,
            names: &[],
            len: 0,
            size: size_of::<V::Value>(),
        }
    }

    pub(super) fn names(self, names: &'static [&'static str]) -> Self {
        Self { names, ..self }
    }

    pub(super) fn len(self, len: usize) -> Self {
        Self { len, ..self }
    }
}

/// A child's place: its parent and which of its children it is.
pub(super) type Slot = (usize, usize);

#[derive(Debug, Default)]
pub(super) struct Tracer {
    graph: Graph,
    index: HashMap<Key, usize>,
    /// Nodes from which everything is known.
    complete: Vec<bool>,
    /// By enum and variant, the fewest steps in which it came to its end.
    costs: HashMap<(usize, u32), usize>,
    /// Nodes and variants that are being visited.
    open: Vec<usize>,
    open_variants: Vec<(usize, u32)>,
    /// Which sample a position is at.
    tries: HashMap<Slot, usize>,
    /// Positions of this run's samples.
    trail: Vec<Slot>,
    steps: usize,
    /// Counts what was learnt.
    learnt: usize,
}

/// The node whose children are the roots.
const ROOT: usize = 0;

impl Tracer {
    pub(super) fn new() -> Self {
        let mut tracer = Self::default();
        tracer.graph.add(Shape::Tuple(Vec::new()));
        tracer.complete.push(false);
        tracer
    }

    /// Traces one more root and returns its node.
    pub(super) fn root<T: DeserializeOwned>(&mut self) -> Result<usize, String> {
        let Shape::Tuple(roots) = &mut self.graph.nodes[ROOT] else {
            return Err("the root is a tuple".to_owned());
        };
        let slot = (ROOT, roots.len());
        roots.push(UNKNOWN);
        let mut ended = false;
        for _ in 0..RUNS_MAX {
            let before = self.learnt;
            self.open.clear();
            self.open_variants.clear();
            self.trail.clear();
            match T::deserialize(Recorder { tracer: self, slot }) {
                Ok(_) => ended = true,
                Err(Stop::Never(reason)) => return Err(reason),
                Err(Stop::DeadEnd) if self.learnt == before => {
                    return Err(Stop::DeadEnd.to_string());
                }
                Err(Stop::DeadEnd) => {}
                Err(Stop::Rejected(reason)) => {
                    if self.learnt == before && !self.next_sample() {
                        return Err(format!(
                            "it takes none of the values that were tried: {reason}"
                        ));
                    }
                    continue;
                }
            }
            let root = self.child(slot);
            if ended && root != UNKNOWN && self.is_complete(root) {
                return Ok(root);
            }
            if self.learnt == before {
                return Err("not all of its variants can be reached".to_owned());
            }
        }
        Err("it has too many variants".to_owned())
    }

    pub(super) fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Something rejected a value. That was most likely the last one, else the one before it.
    fn next_sample(&mut self) -> bool {
        for slot in self.trail.iter().rev() {
            let tries = self.tries.entry(*slot).or_default();
            if *tries < TRIES {
                *tries += 1;
                return true;
            }
        }
        false
    }

    /// The number of this position's sample.
    pub(super) fn sample(&mut self, slot: Slot) -> usize {
        self.trail.push(slot);
        // Whoever has tried all goes back to the first: something else was the reason.
        self.tries.get(&slot).copied().unwrap_or_default() % TRIES
    }

    pub(super) fn step(&mut self) -> Result<(), Stop> {
        self.steps += 1;
        if self.steps > STEPS_MAX {
            return Err(Stop::Never("it is too large".to_owned()));
        }
        if self.open.len() > DEPTH_MAX {
            return Err(Stop::DeadEnd);
        }
        Ok(())
    }

    pub(super) fn steps(&self) -> usize {
        self.steps
    }

    /// The node of this key, made of `shape` if it is new, as the child of `slot`.
    pub(super) fn node(
        &mut self,
        slot: Slot,
        key: Key,
        shape: impl FnOnce() -> Shape,
    ) -> Result<usize, Stop> {
        self.step()?;
        let node = match self.index.get(&key) {
            Some(node) => *node,
            None => {
                let node = self.graph.add(shape());
                self.complete.push(false);
                self.index.insert(key, node);
                node
            }
        };
        self.link(slot, node)?;
        Ok(node)
    }

    /// The fields of a variant. All variants of an enum are read by visitors of one name, so they
    /// are keyed by their place.
    pub(super) fn variant_fields(
        &mut self,
        (node, variant): Slot,
        shape: impl FnOnce() -> Shape,
    ) -> Result<usize, Stop> {
        self.step()?;
        let place = u32::try_from(variant).map_err(|_| Stop::DeadEnd)?;
        self.set_content(node, place, Content::Fields(UNKNOWN))?;
        let known = match &self.graph.nodes[node] {
            Shape::Enum(variants) => variants[variant]
                .content
                .node()
                .filter(|node| *node != UNKNOWN),
            _ => None,
        };
        let fields = match known {
            Some(fields) => fields,
            None => {
                self.complete.push(false);
                self.graph.add(shape())
            }
        };
        self.link((node, variant), fields)?;
        Ok(fields)
    }

    fn link(&mut self, (parent, place): Slot, node: usize) -> Result<(), Stop> {
        let child = match &mut self.graph.nodes[parent] {
            Shape::Option(child) | Shape::Seq(child) | Shape::Alias(child) => child,
            Shape::Map(key, value) => {
                if place == 0 {
                    key
                } else {
                    value
                }
            }
            Shape::Tuple(children) => &mut children[place],
            Shape::Struct(fields) => &mut fields[place].1,
            Shape::Enum(variants) => match &mut variants[place].content {
                Content::Newtype(child) | Content::Fields(child) => child,
                Content::Unknown | Content::Unit => {
                    return Err(Stop::custom("it reads a variant oddly"));
                }
            },
            Shape::Scalar(_) => return Err(Stop::custom("a scalar has nothing in it")),
        };
        if *child == UNKNOWN {
            *child = node;
            self.learnt += 1;
        } else if *child != node {
            return Err(Stop::Never(
                "its layout depends on the values in it".to_owned(),
            ));
        }
        Ok(())
    }

    fn child(&self, (parent, place): Slot) -> usize {
        self.graph.nodes[parent]
            .children()
            .get(place)
            .copied()
            .unwrap_or(UNKNOWN)
    }

    pub(super) fn open(&mut self, node: usize) {
        self.open.push(node);
    }

    pub(super) fn close(&mut self) {
        self.open.pop();
    }

    /// Whether a node that may be empty should be: it is known, or we are inside of it.
    pub(super) fn may_end_here(&mut self, node: usize) -> bool {
        self.open.contains(&node) || self.is_complete(node)
    }

    /// Whether everything that can be reached from a node is known.
    fn is_complete(&mut self, node: usize) -> bool {
        let mut seen = Vec::new();
        let mut todo = vec![node];
        while let Some(node) = todo.pop() {
            if node == UNKNOWN {
                return false;
            }
            if !self.complete[node] && !seen.contains(&node) {
                seen.push(node);
                todo.extend(self.graph.nodes[node].children());
            }
        }
        for node in seen {
            self.complete[node] = true;
        }
        true
    }

    /// Which variant to visit: one that is not known, else the one that ends soonest.
    pub(super) fn choose(&mut self, node: usize) -> Result<u32, Stop> {
        let Shape::Enum(variants) = &self.graph.nodes[node] else {
            return Err(Stop::DeadEnd);
        };
        let contents: Vec<Content> = variants.iter().map(|variant| variant.content).collect();
        let mut best = None;
        for (variant, content) in (0..).zip(contents) {
            if self.open_variants.contains(&(node, variant)) {
                continue;
            }
            let known = content.node().is_none_or(|node| self.is_complete(node));
            let cost = self.costs.get(&(node, variant)).copied();
            if !known {
                return Ok(variant);
            }
            let cost = cost.unwrap_or(usize::MAX);
            if best.is_none_or(|(least, _)| cost < least) {
                best = Some((cost, variant));
            }
        }
        best.map(|(_, variant)| variant).ok_or(Stop::DeadEnd)
    }

    pub(super) fn open_variant(&mut self, node: usize, variant: u32) {
        self.open_variants.push((node, variant));
    }

    pub(super) fn close_variant(&mut self, node: usize, variant: u32, cost: usize) {
        self.open_variants.pop();
        let least = self.costs.entry((node, variant)).or_insert(usize::MAX);
        *least = cost.min(*least);
    }

    pub(super) fn set_content(
        &mut self,
        node: usize,
        variant: u32,
        content: Content,
    ) -> Result<(), Stop> {
        let Shape::Enum(variants) = &mut self.graph.nodes[node] else {
            return Err(Stop::DeadEnd);
        };
        let known = &mut variants[variant as usize].content;
        if *known == Content::Unknown {
            *known = content;
            self.learnt += 1;
        } else if std::mem::discriminant(known) != std::mem::discriminant(&content) {
            return Err(Stop::Never(
                "its layout depends on the values in it".to_owned(),
            ));
        }
        Ok(())
    }
}

pub(super) fn fields(names: &[&str]) -> Shape {
    Shape::Struct(
        names
            .iter()
            .map(|name| ((*name).to_owned(), UNKNOWN))
            .collect(),
    )
}

pub(super) fn variants(names: &[&str]) -> Shape {
    let unknown = |name: &&str| Variant {
        name: (*name).to_owned(),
        content: Content::Unknown,
    };
    Shape::Enum(names.iter().map(unknown).collect())
}
