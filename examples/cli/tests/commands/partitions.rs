//! Partitions, and the keys that fall into them.

use serde_json::{Value, json};

use crate::sample::{cluster, script};
use crate::support::{Script, run};

#[test]
fn partitions_as_a_table_and_filtered() {
    let node = script().serve();
    let expected = "\
partition    primary  replicas  pending  epoch  state
partition-0  node-1   node-2                 1  ok
partition-1  node-2   node-1                 2  ok
partition-2  node-1   node-10   node-2       3  moving
partition-3  none     node-10                4  no_primary
4 partitions at revision 42
";
    assert_eq!(node.run(&["partitions"]).stdout, expected);

    let numbers = |args: &[&str]| -> Vec<u64> {
        let answer = node.run(&[&["partitions", "--json"], args].concat()).json();
        assert_eq!(answer["revision"], 42);
        let shown = answer["partitions"].as_array().unwrap();
        assert_eq!(answer["count"], shown.len());
        shown.iter().map(|p| p["number"].as_u64().unwrap()).collect()
    };
    assert_eq!(numbers(&["--node", "node-2"]), [0, 1, 2]);
    assert_eq!(numbers(&["--state", "no_primary"]), [3]);
    assert_eq!(numbers(&["--node", "node-10", "--state", "moving"]), [2]);

    let ran = node.run(&["partitions", "--node", "node-3"]);
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("no node \"node-3\""), "{}", ran.stderr);
}

#[test]
fn partitions_as_a_map() {
    let expected = "
           0     prim  repl
  node-1   PrP·     2     1
  node-2   rP+·     1     2
  node-10  ··rr     0     2
           P primary   r replica   + pending
";
    assert_eq!(
        format!("\n{}", script().serve().run(&["partitions", "--map"]).stdout),
        expected
    );
}

/// From Python: `int.from_bytes(hashlib.md5(key.encode()).digest()[:4], 'big') % 4`.
const KEYS: [(&str, u32); 4] = [("user:1", 0), ("user:2", 2), ("Schlüssel", 2), ("order/7", 2)];

#[test]
fn locate_answers_for_many_keys_with_one_request() {
    let node = script().serve();
    let ran = node.run(&["locate", "--json", KEYS[0].0, KEYS[1].0, KEYS[2].0, KEYS[3].0]);
    let answer = ran.json();
    assert_eq!(answer["revision"], 42);
    for ((key, number), found) in KEYS.iter().zip(answer["keys"].as_array().unwrap()) {
        assert_eq!((&found["key"], &found["number"]), (&json!(key), &json!(number)));
        assert_eq!(found["partition"], format!("partition-{number}"));
    }
    assert_eq!(node.lines(), ["GET /cluster"]);
}

#[test]
fn locate_reads_keys_from_standard_input() {
    let node = script().serve();
    let args = ["--addr", node.addr.as_str(), "locate"];
    let input = format!("{}\r\n\n{}\n", KEYS[0].0, KEYS[1].0);
    let ran = run(&args, &input);
    let rows: Vec<Vec<&str>> = ran
        .stdout
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(rows[0], ["key", "partition", "primary", "address", "replicas"]);
    assert_eq!(rows.len(), 3);
    assert_eq!(rows[1][..2], [KEYS[0].0, &format!("partition-{}", KEYS[0].1)]);
    assert_eq!(run(&[&args[..], &["-"]].concat(), &input).stdout, ran.stdout);
}

#[test]
fn a_mapping_that_is_not_known_is_refused() {
    let mut other = cluster();
    other["hash_config"]["algorithm"] = json!("xxh3");
    let node = Script::default().json("GET /cluster", 200, &other).serve();
    let ran = node.run(&["locate", "a", "--json"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (1, ""));
    let error: Value = serde_json::from_str(&ran.stderr).unwrap();
    assert_eq!(error["error"]["code"], "VERSION");
}
