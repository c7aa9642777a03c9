//! Golden files: messages and results that exist outside must stay readable, and what we write
//! must stay what others read. A changed contract gets a new version and a new file; these stay.

use domain::{ChannelLayout, Granularity, Job, Report, Role};
use serde_json::Value;

const JOB: &str = include_str!("golden/job.v1.json");
const JOB_LEAST: &str = include_str!("golden/job.v1.least.json");
const RESULT: &str = include_str!("golden/result.json");

fn value(text: &str) -> Value {
    serde_json::from_str(text).expect("a golden file is JSON")
}

#[test]
fn a_whole_job_of_version_1_reads_and_writes_the_same() {
    let job = Job::from_json(JOB.as_bytes()).expect("readable for ever");
    assert_eq!(job.call.agent.as_deref(), Some("a-42"));
    assert_eq!(job.options.granularity, Granularity::Frame);
    let Some(ChannelLayout::Roles(roles)) = &job.options.channels else { panic!("roles expected") };
    assert_eq!(roles.get(&1), Some(&Role::Customer));
    assert_eq!(serde_json::to_value(&job).expect("serialises"), value(JOB));
}

#[test]
fn a_job_of_version_1_with_only_what_it_must_have_gets_the_defaults() {
    let job = Job::from_json(JOB_LEAST.as_bytes()).expect("readable for ever");
    assert_eq!(job.options.granularity, Granularity::Utterance);
    assert!(job.options.embedding && job.options.channels.is_none() && job.object.etag.is_none());
}

#[test]
fn a_result_reads_and_writes_the_same() {
    let report: Report = serde_json::from_str(RESULT).expect("readable for ever");
    assert_eq!(serde_json::to_value(&report).expect("serialises"), value(RESULT));
}

#[test]
fn a_result_without_bad_packets_has_none() {
    let mut older = value(RESULT);
    older["audio"].as_object_mut().expect("an object").remove("bad_packets");
    let report: Report = serde_json::from_value(older).expect("readable for ever");
    assert_eq!(report.audio.bad_packets, 0);
}

#[test]
fn the_identity_of_a_job_never_changes() {
    // Were it to change, enqueuing last year's bucket again would analyse it again.
    let golden = Job::from_json(JOB.as_bytes()).expect("readable");
    let again = Job::new(golden.batch_id, golden.object, golden.call, golden.options, golden.submitted_at);
    assert_eq!(again.job_id.to_string(), "00fc170b-2bb1-5f2c-ac55-05ba42977de7");
}
