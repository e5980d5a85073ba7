mod scenarios;

use super::*;

const EPOCH: u64 = 7;

fn config() -> ClusterConfig {
    ClusterConfig {
        lease_ttl_ms: 60_000,
        failure_timeout_ms: 90_000,
        ..ClusterConfig::default()
    }
}

/// A configuration under which every lease and every failure timeout ends at once.
fn instant() -> ClusterConfig {
    ClusterConfig {
        lease_ttl_ms: 0,
        failure_timeout_ms: 0,
        ..ClusterConfig::default()
    }
}

fn leading() -> LeaseManager {
    let manager = LeaseManager::default();
    manager.begin_term(EPOCH, 5);
    manager
}

fn node() -> NodeId {
    "node-1".into()
}

#[test]
fn a_holder_that_has_applied_the_release_is_free_at_once() {
    let manager = leading();
    assert!(manager.grant(&node(), 3, 9, 9, &config()));
    assert!(matches!(
        manager.leased("node-1", 3, 10, &config()),
        Leased::Until(_)
    ));
    assert!(manager.grant(&node(), 3, 10, 10, &config()));
    assert_eq!(manager.leased("node-1", 3, 10, &config()), Leased::No);
}

#[test]
fn a_report_that_was_overtaken_does_not_take_back_what_was_known() {
    let manager = leading();
    manager.grant(&node(), 3, 10, 10, &config());
    manager.grant(&node(), 3, 8, 10, &config());
    assert_eq!(manager.leased("node-1", 3, 10, &config()), Leased::No);
}

#[test]
fn a_new_leader_takes_everybody_to_be_leased_for_the_failure_timeout() {
    let manager = leading();
    let Leased::Until(ends) = manager.leased("node-1", 3, 10, &config()) else {
        panic!("an unknown holder is not free");
    };
    assert!(ends.since(Instant::now()) > Duration::from_secs(80));
    assert_eq!(manager.leased("node-1", 3, 10, &instant()), Leased::No);
}

#[test]
fn leases_that_name_the_release_do_not_prolong_the_wait_for_it() {
    let manager = leading();
    // First a lease that the holder can use and that has run out, then a lease that a holder with a stuck log cannot
    // use.
    manager.grant(&node(), 3, 9, 9, &instant());
    manager.grant(&node(), 3, 9, 10, &config());
    assert_eq!(manager.leased("node-1", 3, 10, &instant()), Leased::No);
}

#[test]
fn another_process_of_the_holder_is_not_the_holder() {
    let manager = leading();
    manager.grant(&node(), 4, 20, 20, &config());
    assert!(matches!(
        manager.leased("node-1", 3, 10, &config()),
        Leased::Until(_)
    ));
    assert!(
        !manager.grant(&node(), 3, 20, 20, &config()),
        "the earlier one gets nothing"
    );
}

#[test]
fn nothing_is_granted_after_a_recall_until_it_is_pardoned() {
    let manager = leading();
    assert!(manager.grant(&node(), 3, 9, 9, &config()));
    let ended = manager.revoke(EPOCH, &node(), 3, &config()).unwrap();
    assert!(ended.since(Instant::now()) > Duration::from_secs(60));
    assert!(!manager.grant(&node(), 3, 9, 9, &config()));
    manager.cancel_revocation("node-1", 3);
    assert!(manager.grant(&node(), 3, 9, 9, &config()));
    manager.revoke(EPOCH, &node(), 3, &config());
    assert!(
        manager.grant(&node(), 4, 9, 9, &config()),
        "a new process is another matter"
    );
}

#[test]
fn nobody_is_condemned_who_was_heard_of_or_may_be_leased() {
    let manager = leading();
    assert!(
        manager.try_expire(EPOCH, &node(), 3, &config()).is_err(),
        "seen for the first time"
    );
    assert!(manager.grant(&node(), 3, 9, 9, &config()));
    assert!(
        manager.try_expire(EPOCH, &node(), 3, &instant()).is_err(),
        "its lease may count"
    );
    let manager = leading();
    manager.grant(&node(), 3, 9, 9, &instant());
    assert!(
        manager.try_expire(EPOCH, &node(), 3, &config()).is_err(),
        "it was heard of"
    );
    assert_eq!(manager.try_expire(EPOCH, &node(), 3, &instant()), Ok(()));
    assert!(
        !manager.grant(&node(), 3, 9, 9, &config()),
        "its sync came too late"
    );
    assert_eq!(
        manager.try_expire(EPOCH, &node(), 3, &instant()),
        Ok(()),
        "it stays expired"
    );
    // A member whose leases are being revoked for another reason is not expired before they have run out.
    let manager = leading();
    manager.grant(&node(), 3, 9, 9, &config());
    manager.revoke(EPOCH, &node(), 3, &config());
    assert!(manager.try_expire(EPOCH, &node(), 3, &instant()).is_err());
}

#[test]
fn whoever_leads_on_with_the_same_epoch_grants_nothing_to_the_condemned() {
    let manager = leading();
    assert_eq!(manager.try_expire(EPOCH, &node(), 3, &instant()), Ok(()));
    manager.end_term();
    manager.begin_term(EPOCH, 5);
    // The proposal that marks it as failed may have been made before, and may be committed only now.
    assert!(!manager.grant(&node(), 3, 9, 9, &config()));
    manager.end_term();
    manager.begin_term(EPOCH + 1, 5);
    assert!(manager.grant(&node(), 3, 9, 9, &config()));
    let (expired, revoked) = (
        manager.try_expire(EPOCH, &node(), 3, &instant()),
        manager.revoke(EPOCH, &node(), 3, &config()),
    );
    assert!(expired.is_err() && revoked.is_none(), "that epoch is over");
}

#[test]
fn each_recall_needs_its_own_pardon_and_a_condemnation_has_none() {
    let manager = leading();
    manager.revoke(EPOCH, &node(), 3, &config());
    manager.revoke(EPOCH, &node(), 3, &config());
    manager.cancel_revocation("node-1", 3);
    assert!(!manager.grant(&node(), 3, 9, 9, &config()));
    manager.cancel_revocation("node-1", 3);
    assert!(manager.grant(&node(), 3, 9, 9, &config()));

    let manager = leading();
    assert_eq!(manager.try_expire(EPOCH, &node(), 3, &instant()), Ok(()));
    manager.revoke(EPOCH, &node(), 3, &config());
    manager.cancel_revocation("node-1", 3);
    assert!(!manager.grant(&node(), 3, 9, 9, &config()));
}

#[test]
fn who_does_not_lead_condemns_nobody() {
    let manager = LeaseManager::default();
    assert!(manager.try_expire(EPOCH, &node(), 3, &instant()).is_err());
    manager.begin_term(EPOCH, 5);
    assert_eq!(manager.try_expire(EPOCH, &node(), 3, &instant()), Ok(()));
    manager.end_term();
    assert!(manager.try_expire(EPOCH, &node(), 3, &instant()).is_err());
}

/// The previous leader went silent before this leader was elected: the new leader does not wait for the whole failure
/// timeout again. But no node is failed while a lease that the previous leader granted, to itself too, may be valid.
#[test]
fn the_silence_of_the_former_leader_counts_from_when_it_was_heard_of() {
    let (second, minute) = (Duration::from_secs(1), Duration::from_secs(60));
    let due = |heard: Instant, config: &ClusterConfig| {
        let manager = leading();
        manager.seed_previous_leader(&node(), 3, heard, minute);
        let due = manager.try_expire(EPOCH, &node(), 3, config).unwrap_err();
        due.since(Instant::now())
    };
    let now = Instant::now();
    let near = |due: Duration, wanted: Duration| due <= wanted && due + 10 * second > wanted;
    assert!(near(due(now - 10 * second, &config()), 80 * second));
    // Leases of 60 s and a margin of a tenth of that.
    assert!(near(due(now - 30 * second, &config()), 66 * second));
    let patient = ClusterConfig {
        failure_timeout_ms: 300_000,
        ..config()
    };
    assert!(
        near(due(now - 200 * second, &patient), 240 * second),
        "no more than a minute counts"
    );

    let manager = leading();
    manager.grant(&node(), 3, 9, 9, &instant());
    manager.seed_previous_leader(&node(), 3, now - 30 * second, minute);
    assert!(manager.silence("node-1", 3) < second, "it has synced since");
}

#[test]
fn what_no_lease_has_named_was_not_acted_on() {
    let manager = LeaseManager::default();
    assert_eq!(manager.unleased_from(EPOCH, "a", 3), None, "it does not lead");
    manager.begin_term(EPOCH, 5);
    // Leases of earlier leaders name no later revision than the one that was applied when this leadership began.
    assert_eq!(manager.unleased_from(EPOCH, &node(), 3), Some(6));
    let config = ClusterConfig::default();
    assert!(manager.grant(&node(), 3, 4, 4, &config));
    assert_eq!(manager.unleased_from(EPOCH, &node(), 3), Some(6));
    assert!(manager.grant(&node(), 3, 8, 9, &config));
    assert_eq!(manager.unleased_from(EPOCH, &node(), 3), Some(10));
    assert_eq!(
        manager.unleased_from(EPOCH, &node(), 2),
        None,
        "an earlier process"
    );
    assert_eq!(
        manager.unleased_from(EPOCH, &node(), 4),
        Some(6),
        "a later one was leased nothing"
    );
    assert_eq!(manager.unleased_from(EPOCH + 1, &node(), 3), None);
}
