//! Directed graphs over indexes: order, reach, chains.
//!
//! Owns the algorithms and nothing of what the nodes mean. All of them are iterative and linear in nodes and edges, so that
//! a chain of 100,000 nodes costs no stack. Ties go to the smaller index, so that equal graphs give equal answers.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

/// Nodes `0..n` and edges between them, kept as one sorted list.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    /// (before, after), sorted, each once.
    edges: Vec<(usize, usize)>,
    /// Where the edges of a node begin; one more than there are nodes.
    starts: Vec<usize>,
}

impl Graph {
    /// A graph of `nodes` nodes. An edge `(a, b)` says that `a` comes before `b`; edges to nodes beyond the last are left
    /// out, as are repetitions.
    pub fn new(nodes: usize, mut edges: Vec<(usize, usize)>) -> Self {
        edges.retain(|(before, after)| *before < nodes && *after < nodes);
        edges.sort_unstable();
        edges.dedup();
        let mut starts = Vec::with_capacity(nodes + 1);
        let mut at = 0;
        for node in 0..=nodes {
            while edges.get(at).is_some_and(|(before, _)| *before < node) {
                at += 1;
            }
            starts.push(at);
        }
        Self { edges, starts }
    }

    /// Number of nodes.
    pub fn len(&self) -> usize {
        self.starts.len().saturating_sub(1)
    }

    /// Whether there are no nodes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Every edge once, as (before, after), sorted.
    pub fn edges(&self) -> &[(usize, usize)] {
        &self.edges
    }

    /// Nodes that come right after `node`.
    pub fn next(&self, node: usize) -> impl Iterator<Item = usize> + '_ {
        let range = self.starts.get(node).zip(self.starts.get(node + 1)).map(|(from, to)| *from..*to);
        range.and_then(|range| self.edges.get(range)).unwrap_or_default().iter().map(|(_, after)| *after)
    }

    /// All nodes, each behind those that come before it.
    ///
    /// # Errors
    ///
    /// A circle: its nodes in order, each before the next and the last before the first, beginning with the smallest.
    pub fn order(&self) -> Result<Vec<usize>, Vec<usize>> {
        let mut waits = vec![0_usize; self.len()];
        for (_, after) in &self.edges {
            if let Some(count) = waits.get_mut(*after) {
                *count += 1;
            }
        }
        let free = waits.iter().enumerate().filter(|(_, count)| **count == 0);
        let mut ready: BinaryHeap<Reverse<usize>> = free.map(|(node, _)| Reverse(node)).collect();
        let mut order = Vec::with_capacity(self.len());
        while let Some(Reverse(node)) = ready.pop() {
            order.push(node);
            for after in self.next(node) {
                if let Some(count) = waits.get_mut(after) {
                    *count -= 1;
                    if *count == 0 {
                        ready.push(Reverse(after));
                    }
                }
            }
        }
        if order.len() == self.len() { Ok(order) } else { Err(self.circle(&waits)) }
    }

    /// `starts` and all that comes after them, sorted.
    pub fn dependents(&self, starts: &[usize]) -> Vec<usize> {
        let mut seen = vec![false; self.len()];
        let mut stack: Vec<usize> = starts.to_vec();
        while let Some(node) = stack.pop() {
            if let Some(mark) = seen.get_mut(node).filter(|it| !**it) {
                *mark = true;
                stack.extend(self.next(node));
            }
        }
        seen.iter().enumerate().filter(|(_, seen)| **seen).map(|(node, _)| node).collect()
    }

    /// A shortest chain of edges from one node to another, both included: why `to` waits for `from`.
    pub fn chain(&self, from: usize, to: usize) -> Option<Vec<usize>> {
        let mut via: Vec<Option<usize>> = vec![None; self.len()];
        let mut queue = VecDeque::from([from]);
        while let Some(node) = queue.pop_front() {
            if node == to {
                let mut chain = vec![to];
                while let Some(last) = chain.last().filter(|it| **it != from) {
                    chain.push(via.get(*last).copied().flatten()?);
                }
                chain.reverse();
                return Some(chain);
            }
            for after in self.next(node) {
                if let Some(slot) = via.get_mut(after).filter(|it| it.is_none() && after != from) {
                    *slot = Some(node);
                    queue.push_back(after);
                }
            }
        }
        None
    }

    /// For each node the circle it is in: nodes that reach each other have one number, all others a number of their own.
    pub fn circles(&self) -> Vec<usize> {
        const NONE: usize = usize::MAX;
        let count = self.len();
        // Tarjan's algorithm with its own stack: where a node was met, and the earliest node on the stack that it reaches.
        let (mut met, mut low, mut circle) = (vec![NONE; count], vec![NONE; count], vec![NONE; count]);
        let (mut open, mut clock, mut found) = (Vec::new(), 0, 0);
        let get = |list: &[usize], at: usize| list.get(at).copied().unwrap_or(NONE);
        let set = |list: &mut [usize], at: usize, value: usize| list.get_mut(at).into_iter().for_each(|slot| *slot = value);
        for root in 0..count {
            let mut walk = if get(&met, root) == NONE { vec![(root, self.next(root))] } else { Vec::new() };
            while let Some((node, rest)) = walk.last_mut() {
                let node = *node;
                if get(&met, node) == NONE {
                    set(&mut met, node, clock);
                    set(&mut low, node, clock);
                    clock += 1;
                    open.push(node);
                }
                if let Some(next) = rest.next() {
                    if get(&met, next) == NONE {
                        walk.push((next, self.next(next)));
                    } else if get(&circle, next) == NONE {
                        let reach = get(&low, node).min(get(&met, next));
                        set(&mut low, node, reach);
                    }
                    continue;
                }
                walk.pop();
                if let Some((parent, _)) = walk.last() {
                    let reach = get(&low, *parent).min(get(&low, node));
                    set(&mut low, *parent, reach);
                }
                if get(&low, node) == get(&met, node) {
                    while let Some(member) = open.pop() {
                        set(&mut circle, member, found);
                        if member == node {
                            break;
                        }
                    }
                    found += 1;
                }
            }
        }
        circle
    }

    /// A circle among the nodes that still wait. Each of them waits for another such node, so that going back from the
    /// smallest must come round.
    fn circle(&self, waits: &[usize]) -> Vec<usize> {
        let stuck = |node: usize| waits.get(node).is_some_and(|count| 0 < *count);
        let mut before: Vec<Option<usize>> = vec![None; self.len()];
        for (from, to) in self.edges.iter().filter(|(from, to)| stuck(*from) && stuck(*to)) {
            if let Some(slot) = before.get_mut(*to).filter(|it| it.is_none()) {
                *slot = Some(*from);
            }
        }
        let mut seen = vec![false; self.len()];
        let mut at = (0..self.len()).find(|node| stuck(*node));
        while let Some(mark) = at.and_then(|node| seen.get_mut(node)).filter(|it| !**it) {
            *mark = true;
            at = at.and_then(|node| before.get(node).copied().flatten());
        }
        let Some(start) = at else { return Vec::new() };
        let mut out = vec![start];
        let mut node = before.get(start).copied().flatten();
        while let Some(next) = node.filter(|it| *it != start) {
            out.push(next);
            node = before.get(next).copied().flatten();
        }
        out.reverse();
        let smallest = out.iter().enumerate().min_by_key(|(_, node)| **node).map_or(0, |(at, _)| at);
        out.rotate_left(smallest);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(nodes: usize, edges: &[(usize, usize)], want: Result<&[usize], &[usize]>) {
        let got = Graph::new(nodes, edges.to_vec()).order();
        assert_eq!(got.as_deref().map_err(Vec::as_slice), want, "{edges:?}");
    }

    #[test]
    fn a_node_stands_behind_all_that_come_before_it_and_ties_go_by_index() {
        check(0, &[], Ok(&[]));
        check(3, &[], Ok(&[0, 1, 2]));
        check(4, &[(3, 0), (3, 1), (2, 1)], Ok(&[2, 3, 0, 1]));
        check(2, &[(1, 0), (1, 0), (7, 0)], Ok(&[1, 0]));
    }

    #[test]
    fn a_circle_is_named_from_its_smallest_node_in_the_order_of_its_edges() {
        check(1, &[(0, 0)], Err(&[0]));
        check(2, &[(0, 1), (1, 0)], Err(&[0, 1]));
        // Node 0 only waits for the circle of 2, 4 and 3.
        check(5, &[(2, 4), (4, 3), (3, 2), (2, 0)], Err(&[2, 4, 3]));
        let ring: Vec<_> = (0..10_000).map(|at| (at, (at + 1) % 10_000)).collect();
        check(10_000, &ring, Err(&(0..10_000).collect::<Vec<_>>()));
    }

    #[test]
    fn nodes_that_reach_each_other_are_in_one_circle() {
        let graph = Graph::new(7, vec![(0, 1), (1, 2), (2, 0), (2, 3), (3, 4), (4, 3), (5, 3)]);
        let circles = graph.circles();
        let together = |left: usize, right: usize| circles[left] == circles[right];
        for left in 0..7 {
            for right in 0..7 {
                let reach = |from: usize, to: usize| graph.dependents(&[from]).contains(&to);
                assert_eq!(together(left, right), reach(left, right) && reach(right, left), "{left} {right}");
            }
        }
        let ring: Vec<_> = (0..100_000).map(|at| (at, (at + 1) % 100_000)).collect();
        let circles = Graph::new(100_001, ring).circles();
        assert!(circles[..100_000].iter().all(|it| *it == circles[0]) && circles[100_000] != circles[0]);
    }

    #[test]
    fn a_chain_of_100_000_nodes_and_a_fan_of_as_many_need_no_stack() {
        let chain: Vec<_> = (0..100_000).map(|at| (at + 1, at)).collect();
        let graph = Graph::new(100_001, chain);
        assert_eq!(graph.order().unwrap(), (0..100_001).rev().collect::<Vec<_>>());
        assert_eq!(graph.dependents(&[100_000]).len(), 100_001);
        assert_eq!(graph.chain(100_000, 0).unwrap().len(), 100_001);
        let fan = Graph::new(100_001, (1..100_001).map(|at| (at, 0)).collect());
        assert_eq!(fan.order().unwrap().last(), Some(&0));
    }

    #[test]
    fn dependents_and_chains_follow_the_edges() {
        let graph = Graph::new(6, vec![(0, 1), (1, 2), (0, 2), (2, 3), (4, 5)]);
        assert_eq!(graph.dependents(&[1]), [1, 2, 3]);
        assert_eq!(graph.dependents(&[4, 3]), [3, 4, 5]);
        assert_eq!(graph.chain(0, 3), Some(vec![0, 2, 3]));
        assert_eq!(graph.chain(2, 2), Some(vec![2]));
        assert_eq!(graph.chain(3, 0), None);
    }
}
