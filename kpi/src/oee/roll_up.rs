//! The figures of machines, lines, areas, sites and the plant as a tree.
//!
//! Stands behind the tallies of machines. Invariant: a node's figures are those of the sum of all machines below it; no ratio is ever averaged.

use std::collections::BTreeMap;

use protocol::AssetPath;
use serde::Serialize;
use utoipa::ToSchema;

use super::{Oee, Rules, Tally};

/// What a node of the tree is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    Plant,
    Site,
    Area,
    Line,
    Machine,
}

/// The figures of a part of the plant.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct RollUp {
    pub level: Level,
    /// `site/area/line`; empty for the whole plant.
    pub path: String,
    pub machines: usize,
    pub oee: Oee,
    #[schema(no_recursion)]
    pub children: Vec<RollUp>,
}

impl RollUp {
    /// Of machines with their sums and ideal cycles, in any order; more than one tally of a machine is added.
    pub fn of<'a>(machines: impl IntoIterator<Item = (&'a AssetPath, &'a Tally, Option<f64>)>, rules: &Rules) -> Self {
        let mut sums: BTreeMap<[&str; 4], (Tally, Option<f64>)> = BTreeMap::new();
        for (path, tally, ideal_cycle_s) in machines {
            let slot = sums.entry(path.parts()).or_default();
            slot.0 += tally;
            slot.1 = slot.1.or(ideal_cycle_s);
        }
        let machines: Vec<_> = sums.into_iter().map(|(path, (tally, cycle))| (path, tally, cycle)).collect();
        node(&machines, 0, rules).0
    }

    /// The node of that path.
    pub fn find(&self, path: &str) -> Option<&Self> {
        if self.path == path { Some(self) } else { self.children.iter().find_map(|child| child.find(path)) }
    }
}

/// `machines` share the first `depth` parts of their path, and are in order.
fn node(machines: &[([&str; 4], Tally, Option<f64>)], depth: usize, rules: &Rules) -> (RollUp, Tally) {
    let level = [Level::Plant, Level::Site, Level::Area, Level::Line, Level::Machine][depth.min(4)];
    let path = machines.first().map_or(String::new(), |(path, ..)| path[..depth.min(4)].join("/"));
    let mut sum = Tally::default();
    let mut children = Vec::new();
    let mut cycle = None;
    if level == Level::Machine {
        for (_, tally, ideal_cycle_s) in machines {
            sum += tally;
            cycle = cycle.or(*ideal_cycle_s);
        }
    } else {
        for group in machines.chunk_by(|a, b| a.0[depth] == b.0[depth]) {
            let (child, tally) = node(group, depth + 1, rules);
            children.push(child);
            sum += &tally;
        }
    }
    (RollUp { level, path, machines: machines.len(), oee: sum.oee(rules, cycle), children }, sum)
}
