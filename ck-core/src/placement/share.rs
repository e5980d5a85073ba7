//! Fair shares: how many copies of each partition a zone takes, and how many copies or primaries a node.
//!
//! All shares are exact fractions (`u128`), so that "within one of the exact share" means just that: a node whose
//! share is a whole number gets exactly that number. With weights below 2^32, at most 2^17 partitions and 2^20
//! nodes no product here comes near 2^128.

use std::cmp::Ordering;

/// What a node may end with: its exact share rounded down and up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Share {
    pub(super) floor: u32,
    pub(super) ceil: u32,
}

/// How many copies of one partition may lie in a zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ZoneBounds {
    pub(super) least: u32,
    pub(super) most: u32,
}

/// Water-fills the `copies` of one partition over zones with these numbers of nodes.
///
/// Zones get as equal numbers as their nodes allow: zones too small for the common level give all their nodes,
/// the others the level or one more. With at least as many zones as copies that is at most one per zone.
/// `copies` must not exceed the number of nodes.
pub(super) fn zone_bounds(nodes_in_zone: &[u32], copies: u32) -> Vec<ZoneBounds> {
    let filled = |level: u32| {
        nodes_in_zone
            .iter()
            .map(|&m| u64::from(m.min(level)))
            .sum::<u64>()
    };
    let mut level = 0;
    while level < copies && filled(level + 1) <= u64::from(copies) {
        level += 1;
    }
    let exact = filled(level) == u64::from(copies);
    nodes_in_zone
        .iter()
        .map(|&m| ZoneBounds {
            least: m.min(level),
            most: m.min(if exact { level } else { level + 1 }),
        })
        .collect()
}

/// A non-negative fraction; the denominator is never 0.
#[derive(Debug, Clone, Copy)]
struct Ratio {
    num: u128,
    den: u128,
}

impl Ratio {
    const ZERO: Ratio = Ratio { num: 0, den: 1 };

    fn cmp(self, other: Ratio) -> Ordering {
        (self.num * other.den).cmp(&(other.num * self.den))
    }

    fn less(self, other: Ratio) -> bool {
        self.cmp(other) == Ordering::Less
    }

    /// `min(cap, self * weight)`, rounded down and up.
    fn share(self, weight: u32, cap: u32) -> Share {
        let scaled = self.num * u128::from(weight);
        let floor = scaled / self.den;
        let ceil = scaled.div_ceil(self.den);
        Share {
            floor: floor.min(u128::from(cap)) as u32,
            ceil: ceil.min(u128::from(cap)) as u32,
        }
    }
}

/// The level `l` with `sum(min(cap, l * weight)) = total` over (weight, cap); a level that fills every cap when
/// `total` is more than all caps. Items of weight 0 hold nothing.
fn fill_level(items: impl Iterator<Item = (u32, u32)>, total: u64) -> Ratio {
    // An item is full from level cap / weight on, so in this order the full ones are always a prefix.
    let mut items: Vec<(u32, u32)> = items.filter(|&(weight, _)| weight > 0).collect();
    let full_at = |&(weight, cap): &(u32, u32)| Ratio {
        num: cap.into(),
        den: weight.into(),
    };
    items.sort_by(|a, b| full_at(a).cmp(full_at(b)));
    let mut rest: u128 = items.iter().map(|&(weight, _)| u128::from(weight)).sum();
    let mut total = u128::from(total);
    let mut level = Ratio::ZERO;
    for item in &items {
        level = full_at(item);
        if total * level.den <= level.num * rest {
            return Ratio {
                num: total,
                den: rest,
            };
        }
        total = total.saturating_sub(item.1.into());
        rest -= u128::from(item.0);
    }
    level
}

/// The weighted shares of `total` units over nodes that can take at most `caps[n]` each.
pub(super) fn weighted(weights: &[u32], caps: &[u32], total: u64) -> Vec<Share> {
    let level = fill_level(weights.iter().copied().zip(caps.iter().copied()), total);
    weights
        .iter()
        .zip(caps)
        .map(|(&weight, &cap)| level.share(weight, cap))
        .collect()
}

/// The shares of `partitions` x `copies` copies over nodes of given weights and zones.
///
/// Every node takes at most one copy of a partition, and every zone at least `bounds.least` and at most
/// `bounds.most` copies of each. Within these limits shares follow the weights: one level for the whole cluster,
/// raised in zones that must take more and lowered in zones that may not take so much.
///
/// A fractional assignment with exactly these shares exists (each partition gives a node share / `partitions`),
/// and flows are integral: so an assignment in which every node has its share rounded down or up exists always.
pub(super) fn copies(
    weights: &[u32],
    zone_of: &[u32],
    bounds: &[ZoneBounds],
    partitions: u32,
    copies: u32,
) -> Vec<Share> {
    let each = u64::from(partitions);
    let members = |zone: usize| {
        weights
            .iter()
            .zip(zone_of)
            .filter(move |&(_, &z)| z as usize == zone)
            .map(move |(&w, _)| (w, partitions))
    };
    let limits: Vec<(Ratio, Ratio)> = bounds
        .iter()
        .enumerate()
        .map(|(zone, b)| {
            let at = |copies: u32| fill_level(members(zone), each * u64::from(copies));
            (at(b.least), at(b.most))
        })
        .collect();

    // The cluster's total grows with the level, and is linear between the levels at which a node or a zone
    // becomes full or leaves its lower limit.
    let mut breaks: Vec<Ratio> = limits.iter().flat_map(|&(low, high)| [low, high]).collect();
    breaks.extend(weights.iter().filter(|&&w| w > 0).map(|&w| Ratio {
        num: partitions.into(),
        den: w.into(),
    }));
    breaks.sort_by(|&a, &b| a.cmp(b));

    // In the interval that ends at `level`: what is fixed, and the sum of the weights that still grow.
    let linear = |level: Ratio| {
        let (mut fixed, mut growing) = (0u128, 0u128);
        for (&(low, high), b) in limits.iter().zip(bounds) {
            if !low.less(level) {
                fixed += u128::from(each * u64::from(b.least));
            } else if high.less(level) {
                fixed += u128::from(each * u64::from(b.most));
            }
        }
        for (&weight, &zone) in weights.iter().zip(zone_of) {
            let (low, high) = limits[zone as usize];
            if weight == 0 || !low.less(level) || high.less(level) {
                continue;
            }
            if (Ratio {
                num: partitions.into(),
                den: weight.into(),
            })
            .less(level)
            {
                fixed += u128::from(partitions);
            } else {
                growing += u128::from(weight);
            }
        }
        (fixed, growing)
    };
    let total = u128::from(each) * u128::from(copies);
    let reaches = |level: Ratio| {
        let (fixed, growing) = linear(level);
        fixed * level.den + level.num * growing >= total * level.den
    };
    let first = breaks.partition_point(|&level| !reaches(level));
    let Some(&end) = breaks.get(first).or(breaks.last()) else {
        return vec![Share::default(); weights.len()];
    };
    let (fixed, growing) = linear(end);
    let level = if growing == 0 {
        end
    } else {
        Ratio {
            num: total.saturating_sub(fixed),
            den: growing,
        }
    };

    weights
        .iter()
        .zip(zone_of)
        .map(|(&weight, &zone)| {
            let (low, high) = limits[zone as usize];
            let level = if level.less(low) { low } else { level };
            let level = if high.less(level) { high } else { level };
            level.share(weight, partitions)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bounds(sizes: &[u32], copies: u32) -> Vec<(u32, u32)> {
        zone_bounds(sizes, copies)
            .iter()
            .map(|b| (b.least, b.most))
            .collect()
    }

    #[test]
    fn zones_take_equal_numbers_as_far_as_they_have_nodes() {
        assert_eq!(bounds(&[3, 3, 3], 3), [(1, 1); 3]);
        assert_eq!(bounds(&[3, 3, 3, 3], 3), [(0, 1); 4]);
        assert_eq!(bounds(&[5, 5], 3), [(1, 2); 2]);
        assert_eq!(bounds(&[1, 5], 3), [(1, 1), (2, 2)]);
        assert_eq!(bounds(&[1, 5, 5], 4), [(1, 1), (1, 2), (1, 2)]);
        assert_eq!(bounds(&[7], 3), [(3, 3)]);
        assert_eq!(bounds(&[0, 2], 1), [(0, 0), (1, 1)]);
        assert_eq!(bounds(&[2, 1], 3), [(2, 2), (1, 1)]);
    }

    fn pairs(shares: &[Share]) -> Vec<(u32, u32)> {
        shares.iter().map(|s| (s.floor, s.ceil)).collect()
    }

    #[test]
    fn shares_follow_the_weights_up_to_the_caps() {
        assert_eq!(
            pairs(&weighted(&[1, 2, 4], &[100; 3], 70)),
            [(10, 10), (20, 20), (40, 40)]
        );
        assert_eq!(
            pairs(&weighted(&[1, 2, 4], &[100, 100, 10], 70)),
            [(20, 20), (40, 40), (10, 10)]
        );
        assert_eq!(pairs(&weighted(&[1, 1, 1], &[9; 3], 10)), [(3, 4); 3]);
        assert_eq!(pairs(&weighted(&[0, 5], &[9, 9], 4)), [(0, 0), (4, 4)]);
        assert_eq!(
            pairs(&weighted(&[1, 1], &[2, 3], 100)),
            [(2, 2), (3, 3)],
            "more than all can take"
        );
        assert_eq!(pairs(&weighted(&[3, 3], &[2, 3], 0)), [(0, 0), (0, 0)]);
    }

    #[test]
    fn copies_are_bounded_by_partitions_and_zones() {
        // No zones: the heavy node takes every partition, the others share the rest.
        let one = zone_bounds(&[4], 2);
        assert_eq!(
            pairs(&copies(&[10, 1, 1, 1], &[0; 4], &one, 30, 2)),
            [(30, 30), (10, 10), (10, 10), (10, 10)]
        );
        // A light zone must take its copy of every partition all the same.
        let two = zone_bounds(&[2, 2], 2);
        assert_eq!(
            pairs(&copies(&[1, 1, 9, 3], &[0, 0, 1, 1], &two, 30, 2)),
            [(15, 15), (15, 15), (22, 23), (7, 8)]
        );
        // Between its bounds a zone takes what the weights say.
        let three = zone_bounds(&[2, 2, 2], 2);
        assert_eq!(
            pairs(&copies(&[1, 1, 2, 2, 1, 1], &[0, 0, 1, 1, 2, 2], &three, 40, 2)),
            [(10, 10), (10, 10), (20, 20), (20, 20), (10, 10), (10, 10)]
        );
    }
}
