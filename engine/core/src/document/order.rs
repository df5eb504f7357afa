//! The order in which documents are evaluated, and the circles that have none.
//!
//! Iterative throughout: a chain of a million references costs memory, not stack.

/// What an order came to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Order {
    /// Every node, what it needs before it.
    pub sequence: Vec<usize>,
    /// One circle of each knot of nodes that need each other, from its least node on; each needs the next, the last the first.
    pub circles: Vec<Vec<usize>>,
    /// Nodes that stand in a knot.
    pub knotted: Vec<bool>,
}

struct Visit {
    node: usize,
    next: usize,
}

/// Orders the nodes `0..needs.len()`, where `needs[n]` are the nodes that must come before `n` (Tarjan's algorithm).
pub(crate) fn order(needs: &[Vec<usize>]) -> Order {
    const NEW: usize = usize::MAX;
    let count = needs.len();
    let mut number = vec![NEW; count];
    let mut low = vec![0; count];
    let mut open = vec![false; count];
    let mut stack = Vec::new();
    let mut out = Order { knotted: vec![false; count], ..Order::default() };
    let mut counter = 0;
    let at = |list: &[usize], node: usize| list.get(node).copied().unwrap_or(NEW);
    for root in 0..count {
        if at(&number, root) != NEW {
            continue;
        }
        let mut visits = vec![Visit { node: root, next: 0 }];
        while let Some(visit) = visits.last_mut() {
            let node = visit.node;
            if visit.next == 0 {
                set(&mut number, node, counter);
                set(&mut low, node, counter);
                set(&mut open, node, true);
                stack.push(node);
                counter += 1;
            }
            let child = needs.get(node).and_then(|it| it.get(visit.next)).copied();
            visit.next += 1;
            match child {
                Some(child) if at(&number, child) == NEW => visits.push(Visit { node: child, next: 0 }),
                Some(child) => {
                    if open.get(child) == Some(&true) {
                        let least = at(&low, node).min(at(&number, child));
                        set(&mut low, node, least);
                    }
                }
                None => {
                    visits.pop();
                    if let Some(parent) = visits.last() {
                        let least = at(&low, parent.node).min(at(&low, node));
                        set(&mut low, parent.node, least);
                    }
                    if at(&low, node) == at(&number, node) {
                        close(node, needs, &mut stack, &mut open, &mut out);
                    }
                }
            }
        }
    }
    out
}

fn set<T>(list: &mut [T], at: usize, value: T) {
    if let Some(slot) = list.get_mut(at) {
        *slot = value;
    }
}

/// Takes a finished knot off the stack.
fn close(root: usize, needs: &[Vec<usize>], stack: &mut Vec<usize>, open: &mut [bool], out: &mut Order) {
    let from = stack.iter().rposition(|it| *it == root).unwrap_or(stack.len());
    let mut knot = stack.split_off(from);
    for node in &knot {
        set(open, *node, false);
    }
    let turns = knot.len() > 1 || needs.get(root).is_some_and(|it| it.contains(&root));
    out.sequence.extend(&knot);
    if turns {
        for node in &knot {
            set(&mut out.knotted, *node, true);
        }
        knot.sort_unstable();
        out.circles.push(circle(&knot, needs));
    }
}

/// A shortest circle through the least node of a knot (sorted).
fn circle(knot: &[usize], needs: &[Vec<usize>]) -> Vec<usize> {
    let Some(start) = knot.first().copied() else { return Vec::new() };
    let mut from = std::collections::HashMap::from([(start, start)]);
    let mut queue = std::collections::VecDeque::from([start]);
    while let Some(node) = queue.pop_front() {
        for next in needs.get(node).into_iter().flatten() {
            if *next == start {
                let mut path = vec![node];
                let mut at = node;
                while at != start {
                    at = from.get(&at).copied().unwrap_or(start);
                    path.push(at);
                }
                path.reverse();
                return path;
            }
            if knot.binary_search(next).is_ok() && !from.contains_key(next) {
                from.insert(*next, node);
                queue.push_back(*next);
            }
        }
    }
    vec![start]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(needs: &[&[usize]], sequence: &[usize], circles: &[&[usize]]) {
        let needs: Vec<Vec<usize>> = needs.iter().map(|it| it.to_vec()).collect();
        let got = order(&needs);
        assert_eq!(
            (got.sequence.as_slice(), got.circles.as_slice()),
            (sequence, circles.iter().map(|it| it.to_vec()).collect::<Vec<_>>().as_slice())
        );
    }

    #[test]
    fn what_is_needed_comes_first() {
        check(&[&[1, 2], &[2], &[]], &[2, 1, 0], &[]);
        check(&[&[], &[0], &[0, 1]], &[0, 1, 2], &[]);
    }

    #[test]
    fn circles_are_named_from_their_least_node_on() {
        check(&[&[0]], &[0], &[&[0]]);
        check(&[&[1], &[0]], &[0, 1], &[&[0, 1]]);
        check(&[&[], &[2], &[3], &[1, 0]], &[0, 1, 2, 3], &[&[1, 2, 3]]);
    }

    #[test]
    fn long_chains_and_long_circles_cost_no_stack() {
        let chain: Vec<Vec<usize>> = (0..100_000).map(|it| if it + 1 < 100_000 { vec![it + 1] } else { Vec::new() }).collect();
        let got = order(&chain);
        assert!(got.circles.is_empty() && got.sequence.first() == Some(&99_999));
        let ring: Vec<Vec<usize>> = (0..100_000).map(|it| vec![(it + 1) % 100_000]).collect();
        assert_eq!(order(&ring).circles[0].len(), 100_000);
    }
}
