//! The program itself, for a short time: figures do not matter here, only that there are
//! some, which takes that the messages came.

use serde_json::Value;
use std::process::{Command, Output};

/// Those that are part of every build.
const ALWAYS: [&str; 8] =
    ["mqueue_rs", "kernel mq", "sysv", "pipe", "seqpacket", "vyukov", "vyukov spin", "spsc"];

fn run(scenario: &str, more: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_mqueue_bench"))
        .args(["--quick", "--json", "--only", scenario])
        .args(more)
        .output()
        .expect("the program runs")
}

fn report(scenario: &str, more: &[&str]) -> Value {
    let output = run(scenario, more);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

fn has_sample(report: &Value, transport: &str) -> bool {
    let samples = report["samples"].as_array().expect("samples");
    samples.iter().any(|sample| sample["transport"] == transport)
}

#[test]
fn every_transport_brings_every_message_in_order() {
    // The receiver checks the order, and a transport that fails leaves no sample.
    let report = report("throughput 64/10", &[]);

    for transport in ALWAYS {
        assert!(has_sample(&report, transport), "{transport}: {:#}", report["not_measured"]);
    }
}

#[test]
fn a_message_comes_back_by_every_transport() {
    let report = report("round trip polling", &[]);

    for transport in ALWAYS {
        assert!(has_sample(&report, transport), "{transport}: {:#}", report["not_measured"]);
    }
}

#[test]
fn what_a_transport_cannot_do_is_blank() {
    let report = report("mixed hold 32", &[]);

    assert!(has_sample(&report, "mqueue_rs"));
    assert!(!has_sample(&report, "spsc"));
    assert_eq!(report["not_measured"].to_string().matches("spsc").count(), 0);
}

#[test]
fn another_build_is_measured_beside_this_one() {
    let library = concat!(env!("MQRS_LIBRARY"), "/libmqueue_rs.so");

    let report = report("one process", &["--peers", "vyukov", "--against", library]);

    assert!(has_sample(&report, "other build"));
    assert!(has_sample(&report, "mqueue_rs"));
}

#[test]
fn another_build_that_is_none_is_an_error() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");

    let output = run("one process", &["--against", file]);

    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("Cargo.toml"), "{said}");
}
