//! Random small clusters in any condition, checked by the independent checker.

use proptest::prelude::*;
use proptest::sample::{Index, subsequence};

use super::super::{PlannerCopy, PlannerInput, PlannerNode, PlannerPartition, elect, failover, place};
use super::adopt;
use super::checker::PlanChecker;

const NAMES: [&str; 8] = ["n3", "n1", "n7", "n2", "n5", "n8", "n4", "n6"];

fn nodes() -> impl Strategy<Value = Vec<PlannerNode>> {
    let node = (
        prop_oneof![1 => Just(0u32), 4 => Just(1), 4 => 1u32..5],
        0..4usize,
        prop::bool::weighted(0.1),
    );
    (0..4usize, prop::collection::vec(node, 0..=NAMES.len())).prop_map(|(zones, nodes)| {
        let spec = |(i, (weight, zone, draining)): (usize, (u32, usize, bool))| PlannerNode {
            id: NAMES[i].into(),
            weight,
            zone: (zone < zones).then(|| format!("z{zone}")),
            draining,
        };
        nodes.into_iter().enumerate().map(spec).collect()
    })
}

/// Copies on listed nodes and on nodes that are gone.
fn partition() -> impl Strategy<Value = PlannerPartition> {
    let copies = subsequence(NAMES.to_vec(), 0..=4).prop_flat_map(|names| {
        (
            prop::collection::vec(prop::bool::weighted(0.8), names.len()),
            Just(names),
        )
    });
    (copies, any::<Index>(), prop::bool::weighted(0.8)).prop_map(|((synced, names), primary, led)| {
        let primary = (led && !names.is_empty()).then(|| primary.get(&names).to_string());
        let copies = names.iter().zip(synced).map(|(&node, synced)| PlannerCopy {
            node: node.into(),
            synced,
        });
        PlannerPartition {
            copies: copies.collect(),
            primary,
        }
    })
}

fn input() -> impl Strategy<Value = PlannerInput> {
    (1..=5u32, nodes(), prop::collection::vec(partition(), 0..14)).prop_map(
        |(replication_factor, nodes, partitions)| PlannerInput {
            replication_factor,
            nodes,
            partitions,
        },
    )
}

fn judge(input: &PlannerInput) {
    let judge = PlanChecker::new(input);
    let plan = place(input);
    judge.copies(&plan);
    judge.primaries(&plan);
    judge.elect(&elect(input));
    judge.failover(&failover(input));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn any_condition_gets_a_best_plan(input in input()) {
        judge(&input);
    }

    #[test]
    fn a_plan_that_was_carried_out_is_left_alone(mut input in input()) {
        let plan = place(&input);
        adopt(&mut input, &plan);
        let again = place(&input);
        prop_assert_eq!(&again.copies, &plan.copies);
        if plan.moves.lost.is_empty() {
            prop_assert_eq!(&again.primaries, &plan.primaries);
            prop_assert_eq!(again.moves.primaries_changed, 0);
        }
    }

    /// Nodes come, go, drain and change their weight one after the other, and each plan is carried out.
    #[test]
    fn a_history_of_changes_stays_optimal(
        mut input in input(),
        steps in prop::collection::vec(nodes(), 1..4),
    ) {
        for nodes in steps {
            let plan = place(&input);
            adopt(&mut input, &plan);
            input.nodes = nodes;
            judge(&input);
        }
    }

    /// New copies exist beside the old ones until they are synced: the next plan makes no others.
    #[test]
    fn a_plan_that_is_being_carried_out_is_not_changed(mut input in input()) {
        let plan = place(&input);
        for (partition, nodes) in input.partitions.iter_mut().zip(&plan.copies) {
            for &node in nodes {
                let node = plan.nodes[node as usize].clone();
                if partition.copies.iter().all(|copy| copy.node != node) {
                    partition.copies.push(PlannerCopy { node, synced: false });
                }
            }
        }
        prop_assert_eq!(place(&input).moves.copies_added, 0);
    }

    #[test]
    fn the_order_of_the_lists_does_not_matter(
        (input, nodes, copies) in input().prop_flat_map(|input| {
            let nodes = Just(input.nodes.clone()).prop_shuffle();
            let copies: Vec<_> =
                input.partitions.iter().map(|p| Just(p.copies.clone()).prop_shuffle()).collect();
            (Just(input), nodes, copies)
        })
    ) {
        let mut other = input.clone();
        other.nodes = nodes;
        for (partition, copies) in other.partitions.iter_mut().zip(copies) {
            partition.copies = copies;
        }
        prop_assert_eq!(place(&input), place(&other));
        prop_assert_eq!(elect(&input), elect(&other));
        prop_assert_eq!(failover(&input), failover(&other));
    }
}
