//! The ways of keys through their names, as a tree: most new keys have the names of an earlier one in its order, and walk a known way, name by name
//! compared in place.

use super::names::{NO_NAME, Name, Names};
use super::scan::vector::Vector;
use super::split::Tag;
use super::text::Padded;

/// Stands for a way without a number.
pub const NO_SHAPE: u32 = u32::MAX;
/// Where all ways start.
pub(super) const START: u32 = 0;

const NO_NODE: u32 = u32::MAX;
/// Names that are tried where ways part. Where more follow, keys are taken apart without a way.
const BRANCHES_MAX: usize = 16;
const NODES_MAX: usize = 1 << 14;
/// Names of all shapes together: a sink keeps something for each.
const NAMES_MAX: usize = 1 << 16;

/// The ways of the good keys of a body so far. A way that ends here is that of a good key: its tag keys are distinct, and none is reserved.
#[derive(Debug, Default)]
pub(super) struct Shapes {
    nodes: Vec<Node>,
    shapes: u32,
    names: usize,
}

/// A name on a way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Node {
    /// Where it stands in the body, for one.
    start: usize,
    pub len: u32,
    /// Its number in [`Names`].
    pub name: u32,
    /// The first of the nodes that may follow, and the one that followed last.
    first: u32,
    last: u32,
    /// The next one that may stand in its place.
    sibling: u32,
    /// Of a key that ends here, if there was one.
    pub shape: u32,
}

impl Node {
    fn new(name: u32, Name { raw, start, .. }: Name<'_>) -> Self {
        let len = raw.len() as u32;
        Self { start, len, name, first: NO_NODE, last: NO_NODE, sibling: NO_NODE, shape: NO_SHAPE }
    }

    /// Whether the name stands at `at`, and what ends it there is `delimiter`, or stands at `end`.
    #[inline(always)]
    fn stands_at<V: Vector>(&self, body: &Padded<'_>, at: usize, delimiter: u8, end: usize) -> bool {
        let len = self.len as usize;
        body.same::<V>(self.start, at, len) && (body.at(at + len) == delimiter || at + len == end)
    }
}

impl Shapes {
    #[inline(always)]
    pub fn get(&self, node: u32) -> &Node {
        &self.nodes[node as usize]
    }

    /// The node behind `from` whose name stands at `at`, ended by `delimiter` or at `end`.
    #[inline(always)]
    pub fn step<V: Vector>(
        &mut self,
        body: &Padded<'_>,
        from: u32,
        at: usize,
        delimiter: u8,
        end: usize,
    ) -> Option<u32> {
        let Node { first, last, .. } = *self.nodes.get(from as usize)?;
        if self.nodes.get(last as usize)?.stands_at::<V>(body, at, delimiter, end) {
            return Some(last);
        }
        let mut number = first;
        loop {
            let node = self.nodes.get(number as usize)?;
            if node.stands_at::<V>(body, at, delimiter, end) {
                self.nodes[from as usize].last = number;
                return Some(number);
            }
            number = node.sibling;
        }
    }

    /// The shape of a key with these names, if it is known.
    pub fn find(&self, measurement: u32, tags: &[Tag<'_>]) -> Option<u32> {
        let mut at = START;
        for name in way(measurement, tags) {
            at = self.branch(at, name).ok()?;
        }
        Some(self.get(at).shape).filter(|shape| *shape != NO_SHAPE)
    }

    /// The shape of a good key with these names, which is not known; or [`NO_SHAPE`] if there is no room for it, or a name has no number.
    pub fn learn(&mut self, names: &Names<'_>, measurement: u32, tags: &[Tag<'_>]) -> u32 {
        let count = 1 + tags.len();
        let has_room = self.nodes.len() + count < NODES_MAX && self.names + count <= NAMES_MAX;
        if !has_room || way(measurement, tags).any(|name| name == NO_NAME) {
            return NO_SHAPE;
        }
        if self.nodes.is_empty() {
            self.nodes.push(Node::new(NO_NAME, Name::default()));
        }
        let mut at = START;
        for name in way(measurement, tags) {
            at = match self.branch(at, name) {
                Ok(node) => node,
                Err(BRANCHES_MAX) => return NO_SHAPE,
                Err(_) => {
                    let Some(known) = names.get(name) else { return NO_SHAPE };
                    let node = self.nodes.len() as u32;
                    let parent = &mut self.nodes[at as usize];
                    let sibling = std::mem::replace(&mut parent.first, node);
                    parent.last = node;
                    self.nodes.push(Node { sibling, ..Node::new(name, *known) });
                    node
                }
            };
        }
        self.names += count;
        let shape = self.shapes;
        self.shapes += 1;
        self.nodes[at as usize].shape = shape;
        shape
    }

    /// The node with this name behind `from`, or how many others there are.
    fn branch(&self, from: u32, name: u32) -> Result<u32, usize> {
        let mut branch = self.nodes.get(from as usize).map_or(NO_NODE, |node| node.first);
        let mut others = 0;
        while let Some(node) = self.nodes.get(branch as usize) {
            if node.name == name {
                return Ok(branch);
            }
            branch = node.sibling;
            others += 1;
        }
        Err(others)
    }
}

fn way(measurement: u32, tags: &[Tag<'_>]) -> impl Iterator<Item = u32> {
    [measurement].into_iter().chain(tags.iter().map(|tag| tag.number))
}
