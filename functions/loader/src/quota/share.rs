//! Which part of the throughput a loader may use, by what all of them used.

/// What the ledger says of the last second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fleet {
    /// How many loaders there are, with this one.
    pub(super) loaders: u64,
    /// What all of them let in.
    pub(super) bytes: u64,
    /// What this one let in.
    pub(super) own: u64,
}

/// Bytes a second that a loader may let in, of the `share` that all may: what it let in, scaled so that the fleet comes to its
/// share. At most all of it; at least an even part, so that one that begins does not starve beside busy ones. Those shrink by what
/// the fleet then uses too much, second by second, until all have what they want or an even part.
pub(super) fn rate(share: f64, fleet: Fleet) -> f64 {
    let even = share / fleet.loaders.max(1) as f64;
    let scaled = if fleet.bytes == 0 { 0.0 } else { fleet.own as f64 * share / fleet.bytes as f64 };
    scaled.clamp(even, share)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHARE: f64 = 1_000_000.0;

    /// The seconds of a fleet whose loaders want this much: what each lets in, once they have gone by. `used` is what they let in before.
    fn after(seconds: usize, wanted: &[f64], used: &[f64]) -> Vec<f64> {
        let mut used = used.to_vec();
        for _ in 0..seconds {
            let bytes = used.iter().sum::<f64>() as u64;
            let rate = |own: f64| rate(SHARE, Fleet { loaders: used.len() as u64, bytes, own: own as u64 });
            used = used.iter().zip(wanted).map(|(own, wanted)| wanted.min(rate(*own))).collect();
        }
        used
    }

    fn share_of(used: &[f64]) -> f64 {
        used.iter().sum::<f64>() / SHARE
    }

    #[test]
    fn one_loader_has_all() {
        for (bytes, own) in [(0, 0), (1, 1), (5_000_000, 5_000_000)] {
            assert_eq!(rate(SHARE, Fleet { loaders: 1, bytes, own }), SHARE);
        }
    }

    #[test]
    fn a_loader_may_use_what_others_leave() {
        // One wants a tenth, the other ten times the share.
        let used = after(5, &[0.1 * SHARE, 10.0 * SHARE], &[0.1 * SHARE, 0.1 * SHARE]);
        assert_eq!(used[0], 0.1 * SHARE);
        assert!((0.89..=0.92).contains(&(used[1] / SHARE)), "{used:?}");
        // What the fleet does not use, nobody is kept from: each may use as much more as all may.
        assert_eq!(rate(SHARE, Fleet { loaders: 2, bytes: 200_000, own: 150_000 }), 750_000.0);
    }

    #[test]
    fn two_loaders_that_want_all_have_half_each() {
        let used = after(20, &[SHARE, SHARE], &[SHARE, 0.0]);
        assert!(used.iter().all(|used| (0.49..=0.53).contains(&(used / SHARE))), "{used:?}");
    }

    #[test]
    fn twenty_loaders_that_used_the_whole_share_each_come_back_to_it_in_a_second() {
        let used = after(1, &[SHARE; 20], &[SHARE; 20]);
        assert!((share_of(&used) - 1.0).abs() < 1e-6, "{used:?}");
    }

    #[test]
    fn a_newcomer_does_not_starve_and_the_busy_make_room() {
        let wanted = [SHARE; 20];
        let mut busy = [SHARE / 19.0; 20];
        busy[19] = 0.0;
        let first = after(1, &wanted, &busy);
        assert_eq!(first[19], SHARE / 20.0);
        assert!(share_of(&first) < 1.06, "{first:?}");

        // The worst: one has all, and nineteen come.
        let mut alone = [0.0; 20];
        alone[0] = SHARE;
        assert!(share_of(&after(1, &wanted, &alone)) < 2.0);
        let settled = after(20, &wanted, &alone);
        assert!(share_of(&settled) < 1.1, "{settled:?}");
        assert!(settled.iter().all(|used| *used >= SHARE / 20.0));
    }

    #[test]
    fn a_fleet_that_wants_little_is_not_braked() {
        let mut wanted = [0.001 * SHARE; 20];
        assert_eq!(after(10, &wanted, &[0.0; 20]), wanted);
        // One of them suddenly wants almost all.
        wanted[7] = 0.9 * SHARE;
        assert_eq!(after(10, &wanted, &[0.001 * SHARE; 20]), wanted);
    }
}
