//! Following a member: what a client asks for, what it believes, and whom it turns to.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use super::fake_member::{Behaviour, FakeMember, topology};
use super::{TIME_LIMIT, epoch, patient, steady, until, until_followed, until_refused};
use crate::client::Client;
use crate::error::ErrorCode;
use crate::model::Partition;

#[test]
fn a_change_arrives_by_the_long_poll_and_nothing_else_is_asked() {
    let member = FakeMember::new();
    let client = Client::new(patient(&[&member.addr()])).unwrap();
    assert_eq!(client.wait_ready(TIME_LIMIT).unwrap(), 10);
    for revision in 11..20 {
        member.advance_to(revision);
        assert_eq!(
            client.wait_for_change(revision - 1, TIME_LIMIT).unwrap(),
            revision
        );
        assert_eq!(epoch(&client), Some(revision));
    }
    until(&client, "the next poll", || {
        member.requests().last().unwrap().target.contains("wait=19&")
    });
    let targets: Vec<String> = member
        .requests()
        .into_iter()
        .map(|request| request.target)
        .collect();
    let polls = (10..20).map(|revision| format!("/cluster?wait={revision}&timeout=60000"));
    let expected: Vec<String> = std::iter::once("/cluster".to_owned()).chain(polls).collect();
    assert_eq!(targets, expected);
    assert_eq!(member.connections(), 1);
    let head = &member.requests()[0].head;
    assert!(head.starts_with("GET /cluster HTTP/1.1\r\n") && head.contains("user-agent: clusterkit-client/"));
}

#[test]
fn while_nothing_changes_nothing_is_sent_but_304() {
    let member = FakeMember::new();
    let client = Client::new(steady(&[&member.addr()])).unwrap();
    client.wait_ready(TIME_LIMIT).unwrap();
    until(&client, "some polls", || member.requests().len() > 4);
    let requests = member.requests();
    // A new connection asks for the whole: the id of the cluster has to be seen.
    for request in &requests {
        let is_first = requests
            .iter()
            .find(|other| other.connection == request.connection)
            .unwrap()
            == request;
        assert_eq!(request.known_tag.is_none(), is_first, "{request:?}");
        assert!(is_first || request.known_tag.as_deref() == Some("\"10\""));
    }
    member.advance_to(11);
    until(&client, "the change", || epoch(&client) == Some(11));
    until(&client, "the next tag", || {
        member.requests().last().unwrap().known_tag.as_deref() == Some("\"11\"")
    });
}

#[test]
fn an_older_answer_is_dropped_and_its_member_passed_over_until_it_has_caught_up() {
    let (ahead, behind) = (FakeMember::new(), FakeMember::new());
    let both = topology(&[("a", &ahead.addr()), ("b", &behind.addr())], 20);
    ahead.set_topology(both, 20);
    let client = Client::new(steady(&[&ahead.addr()])).unwrap();
    assert_eq!(client.wait_ready(TIME_LIMIT).unwrap(), 20);
    ahead.kill();
    until(&client, "the other is found to be behind", || {
        client
            .status()
            .addrs
            .iter()
            .any(|address| address.last_error.as_ref().map(crate::Error::code) == Some(ErrorCode::Conflict))
    });
    assert_eq!((client.view().revision(), epoch(&client)), (20, Some(20)));
    behind.advance_to(21);
    until(&client, "it has caught up", || epoch(&client) == Some(21));
    until_followed(&client, &behind.addr());
}

#[test]
fn a_member_that_falls_back_is_left() {
    let member = FakeMember::new();
    member.advance_to(20);
    let client = Client::new(steady(&[&member.addr()])).unwrap();
    client.wait_ready(TIME_LIMIT).unwrap();
    // As when it restarts from an older copy of its disk.
    member.advance_to(5);
    until(&client, "it is left", || client.status().is_stale);
    assert_eq!((client.view().revision(), epoch(&client)), (20, Some(20)));
}

#[test]
fn a_cluster_that_is_founded_anew_under_the_same_address_is_refused_until_a_new_client_comes() {
    let member = FakeMember::new();
    let client = Client::new(steady(&[&member.addr()])).unwrap();
    client.wait_ready(TIME_LIMIT).unwrap();
    let addr = member.kill().to_string();
    let mut founded = topology(&[("z", &addr)], 999);
    founded.cluster_id = "c-2".to_owned();
    let member = FakeMember::on(TcpListener::bind(&addr).unwrap(), founded, 999);
    until(&client, "the other cluster is noticed", || {
        client.status().last_error.map(|error| error.code()) == Some(ErrorCode::WrongCluster)
    });
    let status = client.status();
    assert!(status.is_stale && status.connected.is_none(), "{status:?}");
    assert_eq!((status.cluster_id.as_str(), status.revision), ("c-1", 10));
    assert_eq!(epoch(&client), Some(10));
    until_refused(&client, ErrorCode::WrongCluster);
    assert_eq!(
        client.view().revision(),
        10,
        "a higher revision of another cluster is nothing"
    );
    let next = Client::new(steady(&[&addr])).unwrap();
    assert_eq!(next.wait_ready(TIME_LIMIT).unwrap(), 999);
    drop(member);
}

#[test]
fn another_cluster_is_noticed_in_a_poll_too() {
    let member = FakeMember::new();
    let client = Client::new(steady(&[&member.addr()])).unwrap();
    client.wait_ready(TIME_LIMIT).unwrap();
    // Behind a load balancer, say.
    let mut other = topology(&[("z", &member.addr())], 999);
    other.cluster_id = "c-2".to_owned();
    member.set_topology(other, 999);
    until(&client, "the other cluster is noticed", || {
        client.status().last_error.map(|error| error.code()) == Some(ErrorCode::WrongCluster)
    });
    assert_eq!((client.view().revision(), epoch(&client)), (10, Some(10)));
}

#[test]
fn a_cluster_with_another_name_than_asked_for_is_passed_over() {
    let (other, wanted) = (FakeMember::new(), FakeMember::new());
    let mut topology = topology(&[("z", &other.addr())], 999);
    topology.config.cluster_name = "invoices".to_owned();
    topology.cluster_id = "c-2".to_owned();
    other.set_topology(topology, 999);
    let mut options = steady(&[&other.addr(), &wanted.addr()]);
    options.cluster_name = Some("orders".to_owned());
    let client = Client::new(options).unwrap();
    client.wait_ready(TIME_LIMIT).unwrap();
    assert_eq!(client.status().cluster_name, "orders");
    let mut options = steady(&[&other.addr()]);
    options.cluster_name = Some("orders".to_owned());
    let lost = Client::new(options).unwrap();
    until_refused(&lost, ErrorCode::WrongCluster);
    let error = lost.status().last_error.unwrap();
    assert!(
        error.message().contains("\"invoices\"") && error.message().contains("\"orders\""),
        "{error}"
    );
}

#[test]
fn a_node_that_is_no_member_yet_is_waited_for() {
    let member = FakeMember::new();
    let mut before = topology(&[("a", &member.addr())], 1);
    before.cluster_id = String::new();
    member.set_topology(before, 0);
    let client = Client::new(steady(&[&member.addr()])).unwrap();
    until(&client, "it is no member yet", || {
        client.status().last_error.map(|error| error.code()) == Some(ErrorCode::NotStarted)
    });
    member.set_topology(topology(&[("a", &member.addr())], 3), 3);
    assert_eq!(client.wait_ready(TIME_LIMIT).unwrap(), 3);
}

#[test]
fn a_member_that_has_lost_contact_is_left_for_one_that_has_not() {
    let (cut_off, led) = (FakeMember::new(), FakeMember::new());
    let (a, b) = (cut_off.addr(), led.addr());
    let both = topology(&[("a", &a), ("b", &b)], 10);
    cut_off.set_topology(both.clone(), 10);
    led.set_topology(both, 10);
    let client = Client::new(steady(&[&a])).unwrap();
    until_followed(&client, &a);
    cut_off.set_leader_known(false);
    led.advance_to(11);
    until_followed(&client, &b);
    until(&client, "the newest", || epoch(&client) == Some(11));
    until(&client, "all is well", || !client.status().is_stale);
}

#[test]
fn where_all_have_lost_contact_one_is_followed_and_the_view_is_called_stale() {
    let member = FakeMember::new();
    member.set_leader_known(false);
    let client = Client::new(steady(&[&member.addr()])).unwrap();
    client.wait_ready(TIME_LIMIT).unwrap();
    until_followed(&client, &member.addr());
    let status = client.status();
    assert!(status.is_stale && status.last_contact.is_none(), "{status:?}");
    until_refused(&client, ErrorCode::NoLeader);
    // What it hears is shown, and as soon as it has a leader all is well.
    member.advance_to(11);
    until(&client, "the change", || epoch(&client) == Some(11));
    member.set_leader_known(true);
    until(&client, "all is well", || !client.status().is_stale);
    assert_eq!(client.refresh(TIME_LIMIT).unwrap(), 11);
}

#[test]
fn members_are_learned_and_the_given_addresses_are_not_needed_any_more() {
    let (first, second) = (FakeMember::new(), FakeMember::new());
    let (a, b) = (first.addr(), second.addr());
    let both = topology(&[("a", &a), ("b", &b)], 10);
    first.set_topology(both.clone(), 10);
    second.set_topology(both, 10);
    let client = Client::new(steady(&[&a])).unwrap();
    client.wait_ready(TIME_LIMIT).unwrap();
    first.kill();
    until_followed(&client, &b);
    second.advance_to(12);
    until(&client, "the change", || epoch(&client) == Some(12));
    // One that was removed is forgotten, and the given address stays.
    second.set_topology(topology(&[("b", &b)], 13), 13);
    until(&client, "the removal", || client.view().revision() == 13);
    let addrs: Vec<(String, bool)> = client
        .status()
        .addrs
        .into_iter()
        .map(|address| (address.addr, address.is_given))
        .collect();
    assert_eq!(addrs, [(a, true), (b, false)]);
}

#[test]
fn the_addresses_of_members_are_left_alone_where_that_is_asked_for() {
    let (first, second) = (FakeMember::new(), FakeMember::new());
    first.set_topology(topology(&[("a", &first.addr()), ("b", &second.addr())], 11), 11);
    let mut options = steady(&[&first.addr()]);
    options.member_addrs = false;
    let client = Client::new(options).unwrap();
    client.wait_ready(TIME_LIMIT).unwrap();
    first.behave(Behaviour::Close);
    until(&client, "many attempts", || client.status().addrs[0].failures > 5);
    assert_eq!((client.status().addrs.len(), second.connections()), (1, 0));
}

#[test]
fn a_cluster_that_changes_all_the_time_is_not_asked_all_the_time() {
    let member = FakeMember::new();
    let mut options = patient(&[&member.addr()]);
    options.update_interval = Duration::from_millis(100);
    let client = Client::new(options).unwrap();
    client.wait_ready(TIME_LIMIT).unwrap();
    let began = std::time::Instant::now();
    let mut revision = 10;
    while began.elapsed() < Duration::from_millis(1_000) {
        revision += 1;
        member.advance_to(revision);
        std::thread::sleep(Duration::from_millis(1));
    }
    let asked = member.requests().len();
    // One at the start, ten for each second, and one that is under way.
    let most = 3 + began.elapsed().as_millis() / 100;
    assert!(asked as u128 <= most, "{asked} requests");
    until(&client, "the last change", || epoch(&client) == Some(revision));
}

#[test]
fn a_large_cluster_is_followed_too_and_what_has_not_changed_is_shared() {
    const PARTITIONS: u32 = 20_000;
    let member = FakeMember::new();
    let mut large = topology(&[("a", &member.addr())], 10);
    large.config.partition_count = PARTITIONS;
    let partition = large.partitions[0].clone();
    large.partitions = (0..PARTITIONS)
        .map(|number| {
            Arc::new(Partition {
                number,
                ..(*partition).clone()
            })
        })
        .collect();
    member.set_topology(large.clone(), 10);
    let client = Client::new(patient(&[&member.addr()])).unwrap();
    client.wait_ready(TIME_LIMIT).unwrap();
    let before = client.view().into_owned();
    assert_eq!(before.partition_count(), PARTITIONS);
    Arc::make_mut(&mut large.partitions[12_345]).epoch = 11;
    member.set_topology(large, 11);
    client.wait_for_change(10, TIME_LIMIT).unwrap();
    let after = client.view();
    let epochs: Vec<u64> = [12_344, 12_345, 12_346]
        .iter()
        .map(|number| after.partition_by_number(*number).unwrap().epoch())
        .collect();
    assert_eq!(epochs, [10, 11, 10]);
    let (before, after) = (&before.topology().partitions, &after.topology().partitions);
    let shared = before
        .iter()
        .zip(after)
        .filter(|(before, after)| Arc::ptr_eq(before, after));
    assert_eq!(shared.count(), PARTITIONS as usize - 1);
}

#[test]
fn members_share_the_clients() {
    let members: Vec<FakeMember> = (0..3).map(|_| FakeMember::new()).collect();
    let addrs: Vec<String> = members.iter().map(FakeMember::addr).collect();
    let addrs: Vec<&str> = addrs.iter().map(String::as_str).collect();
    let mut options = patient(&addrs);
    options.member_addrs = false;
    let clients: Vec<Client> = (0..30).map(|_| Client::new(options.clone()).unwrap()).collect();
    for client in &clients {
        client.wait_ready(TIME_LIMIT).unwrap();
    }
    // That none of three has one of thirty comes about once in 60,000 runs; so two of them is what is asked for.
    let with_clients = members.iter().filter(|member| member.connections() > 0).count();
    assert!(with_clients >= 2);
}

#[test]
fn people_are_told_what_is_of_interest_and_not_each_attempt() {
    let (sender, messages) = std::sync::mpsc::channel();
    let member = FakeMember::new();
    let client = Client::new(steady(&[&member.addr()])).unwrap();
    client.wait_ready(TIME_LIMIT).unwrap();
    client.on_log(Some(Arc::new(move |level, message: &str| {
        let _ = sender.send((level, message.to_owned()));
    })));
    let addr = member.kill().to_string();
    until(&client, "many attempts", || {
        client.status().addrs[0].failures > 20
    });
    let mut founded = topology(&[("z", &addr)], 999);
    founded.cluster_id = "c-2".to_owned();
    let member = FakeMember::on(TcpListener::bind(&addr).unwrap(), founded, 999);
    until(&client, "the other cluster is noticed", || {
        client.status().last_error.map(|error| error.code()) == Some(ErrorCode::WrongCluster)
    });
    let seen = client.status().addrs[0].failures;
    until(&client, "more attempts", || {
        client.status().addrs[0].failures > seen + 5
    });
    client.close().unwrap();
    let told: Vec<(crate::LogLevel, String)> = messages.try_iter().collect();
    let with = |text: &str| told.iter().filter(|(_, message)| message.contains(text)).count();
    assert_eq!(with("no longer follows"), 1, "{told:#?}");
    assert_eq!(with("no member answers"), 1, "{told:#?}");
    assert_eq!(with("c-2"), 1, "{told:#?}");
    assert!(told.len() <= 4, "{told:#?}");
    drop(member);
}
