//! The alarms and the dashboard in examples/monitoring: they can be read, and ask for metrics that nodes have.
#![allow(
    clippy::unwrap_used,
    reason = "a helper of a test fails by panicking, as a test does"
)]

use std::collections::BTreeSet;
use std::path::Path;

use ck_tests::Cluster;
use promql_parser::parser::{self, Expr, VectorSelector};
use promql_parser::util::{ExprVisitor, walk_expr};
use serde::Deserialize;
use serde_json::Value;

/// Prometheus' own.
const NOT_OURS: &str = "up";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rules {
    groups: Vec<Group>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Group {
    #[expect(dead_code, reason = "it has to be there")]
    name: String,
    rules: Vec<Rule>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    alert: String,
    expr: String,
    #[serde(default, rename = "for")]
    #[expect(dead_code, reason = "it may be there")]
    wait: Option<String>,
    labels: Labels,
    annotations: Annotations,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Labels {
    severity: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Annotations {
    summary: String,
    description: String,
}

fn read(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/monitoring");
    std::fs::read_to_string(folder.join(name)).unwrap()
}

/// What an expression asks for.
#[derive(Default)]
struct Asked(BTreeSet<String>);

impl ExprVisitor for Asked {
    type Error = ();

    fn pre_visit(&mut self, expression: &Expr) -> Result<bool, ()> {
        let mut note = |selector: &VectorSelector| self.0.extend(selector.name.clone());
        match expression {
            Expr::VectorSelector(selector) => note(selector),
            Expr::MatrixSelector(selector) => note(&selector.vs),
            _ => {}
        }
        Ok(true)
    }
}

fn metrics_of(expression: &str) -> BTreeSet<String> {
    let parsed = parser::parse(expression);
    assert!(parsed.is_ok(), "{expression}: {parsed:?}");
    let mut asked = Asked::default();
    walk_expr(&mut asked, &parsed.unwrap()).unwrap();
    assert!(!asked.0.is_empty(), "{expression} asks for nothing");
    asked.0
}

fn rules() -> Vec<Rule> {
    let rules: Rules = serde_saphyr::from_str(&read("clusterkit.rules.yml")).unwrap();
    rules.groups.into_iter().flat_map(|group| group.rules).collect()
}

fn dashboard() -> Vec<String> {
    let dashboard: Value = serde_json::from_str(&read("dashboard.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels
        .iter()
        .flat_map(|panel| panel["targets"].as_array().unwrap());
    targets
        .map(|target| target["expr"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn alarms_and_dashboard_ask_for_what_nodes_have() {
    let claims = tempfile::tempdir().unwrap();
    let flags = ["--claims", claims.path().to_str().unwrap()];
    let cluster = Cluster::found_with(env!("CARGO_BIN_EXE_chaos-node"), &flags);
    let answer = cluster.api(0).get("/metrics").unwrap();
    let text = String::from_utf8(answer.body.to_vec()).unwrap();
    let known: BTreeSet<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next())
        .collect();
    let expressions = rules().into_iter().map(|rule| rule.expr).chain(dashboard());
    let mut asked: BTreeSet<String> = expressions.flat_map(|expr| metrics_of(&expr)).collect();
    assert!(asked.remove(NOT_OURS));
    let missing: Vec<_> = asked.iter().filter(|name| !known.contains(&***name)).collect();
    assert!(missing.is_empty(), "{missing:?} of\n{text}");
}

#[test]
fn every_alarm_says_what_it_means_and_what_to_do() {
    let rules = rules();
    let names: BTreeSet<&str> = rules.iter().map(|rule| &*rule.alert).collect();
    assert_eq!(names.len(), rules.len(), "two alarms have one name");
    for rule in &rules {
        let Rule {
            alert,
            labels,
            annotations,
            ..
        } = rule;
        assert!(["warning", "critical"].contains(&&*labels.severity), "{alert}");
        assert!(!annotations.summary.is_empty(), "{alert}");
        assert!(
            annotations.description.ends_with('.') || annotations.description.ends_with('?'),
            "{alert}"
        );
    }
}

/// Each metric that operations.md names for an alarm has one.
#[test]
fn every_alarm_that_the_manual_recommends_is_there() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/operations.md");
    let manual = std::fs::read_to_string(path).unwrap();
    let (_, rest) = manual.split_once("Alarms worth having").unwrap();
    let (table, _) = rest.split_once("\n## ").unwrap();
    let named = table
        .split('`')
        .filter(|word| word.starts_with("clusterkit_"))
        .map(str::to_owned);
    let named: BTreeSet<String> = named.collect();
    assert!(named.len() > 5, "{named:?}");
    let asked: BTreeSet<String> = rules().iter().flat_map(|rule| metrics_of(&rule.expr)).collect();
    let missing: Vec<_> = named.difference(&asked).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn prometheus_finds_the_alarms() {
    let config: Value = serde_saphyr::from_str(&read("prometheus.yml")).unwrap();
    assert_eq!(config["rule_files"][0], "clusterkit.rules.yml");
    assert_eq!(config["scrape_configs"][0]["job_name"], "clusterkit");
}
