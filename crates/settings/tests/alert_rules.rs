//! When each kind of rule fires, and its evidence.

use domain::alert::{Evidence, Finding, Pattern, Rulebook, Subject};
use domain::report::{ChannelReport, Segment};
use domain::{CallData, Emotion, Role, Scores};

/// Seconds, emotion, its probability.
type Predicted = (f64, Emotion, f32);
use Emotion::{Angry, Fearful, Happy, Neutral, Sad};

/// A channel whose segments follow each other without a pause.
fn channel(number: u16, role: Role, predicted: &[Predicted]) -> ChannelReport {
    let mut start_s = 0.0;
    let mut segments = Vec::new();
    for (index, (seconds, emotion, p)) in (0..).zip(predicted) {
        let mut scores = [0.0; Emotion::COUNT];
        scores[if *emotion == Neutral { Emotion::Other } else { Neutral }.index()] = 1.0 - p;
        scores[emotion.index()] = *p;
        let scores = Scores::from_probabilities(scores).expect("sums to one");
        let (emotion, confidence) = scores.top();
        segments.push(Segment { index, start_s, end_s: start_s + seconds, emotion, confidence, scores });
        start_s += seconds;
    }
    ChannelReport {
        channel: Some(number),
        role,
        scored: true,
        level_dbfs: Some(-20.0),
        speech_s: start_s,
        scores: None,
        segments,
    }
}

fn customer(predicted: &[Predicted]) -> Vec<ChannelReport> {
    vec![channel(1, Role::Customer, predicted)]
}

fn rules(when: &str) -> Rulebook {
    let text = format!("[groups]\nupset = [\"angry\", \"sad\"]\n[[rule]]\nname = \"r\"\nwhen = {when}");
    settings::alert_file::parse(&text).unwrap_or_else(|error| panic!("{when}\n{error}"))
}

fn finding(when: &str, call: &CallData, channels: &[ChannelReport]) -> Option<Finding> {
    rules(when).rules[0].evaluate(Subject { call, channels })
}

fn at(when: &str, channels: &[ChannelReport]) -> Option<Evidence> {
    finding(when, &CallData::default(), channels).and_then(|f| f.main().cloned())
}

fn fires(when: &str, channels: &[ChannelReport]) -> bool {
    finding(when, &CallData::default(), channels).is_some()
}

#[test]
fn one_segment_over_the_threshold_is_enough_by_default() {
    let call = customer(&[(5.0, Neutral, 0.9), (5.0, Angry, 0.7), (5.0, Neutral, 0.9)]);
    let found = at(r#"{ emotion = "angry", score = 0.7 }"#, &call).expect("fires");
    assert_eq!((found.start_s, found.end_s, found.first_segment, found.channel), (5.0, 10.0, 1, Some(1)));
    assert!(!fires(r#"{ emotion = "angry", score = 0.71 }"#, &call));
    assert!(!fires(r#"{ emotion = "angry", score = 0.5, in_a_row = 2 }"#, &call));
}

#[test]
fn without_a_score_the_most_likely_emotion_decides() {
    let call = customer(&[(5.0, Angry, 0.4), (5.0, Angry, 0.6)]);
    assert_eq!(at(r#"{ emotion = "angry" }"#, &call).map(|e| e.first_segment), Some(1));
}

#[test]
fn segments_in_a_row_are_consecutive_and_the_longest_run_counts() {
    let broken = [(4.0, Angry, 0.8), (4.0, Neutral, 0.8), (4.0, Angry, 0.8)];
    assert!(!fires(r#"{ emotion = "angry", score = 0.6, in_a_row = 2 }"#, &customer(&broken)));
    let longer = [(4.0, Angry, 0.9), (4.0, Neutral, 0.8), (4.0, Angry, 0.7), (8.0, Angry, 0.8), (4.0, Happy, 0.9)];
    let found = at(r#"{ emotion = "angry", score = 0.6, in_a_row = 2 }"#, &customer(&longer)).expect("fires");
    assert_eq!((found.first_segment, found.last_segment, found.start_s), (2, 3, 8.0));
    let Pattern::InARow { segments, score } = found.pattern else { panic!("a row") };
    assert_eq!(segments, 2);
    assert!((score - (0.7 * 4.0 + 0.8 * 8.0) / 12.0).abs() < 1e-5, "weighted by seconds: {score}");
}

#[test]
fn a_group_sums_its_scores() {
    let mut scores = [0.0; 9];
    for (emotion, p) in [(Angry, 0.3), (Sad, 0.3), (Fearful, 0.1), (Neutral, 0.3)] {
        scores[emotion.index()] = p;
    }
    let mut call = customer(&[(5.0, Neutral, 0.9)]);
    call[0].segments[0].scores = Scores::from_probabilities(scores).expect("sums to one");
    assert!(fires(r#"{ group = "negative", score = 0.7 }"#, &call));
    assert!(fires(r#"{ group = "upset", score = 0.6 }"#, &call), "a group that the file defines");
    assert!(!fires(r#"{ group = "upset", score = 0.65 }"#, &call));
    let found = at(r#"{ emotions = ["angry", "fearful"], score = 0.4 }"#, &call).expect("fires");
    assert_eq!(found.emotion, "angry+fearful");
}

#[test]
fn a_share_is_by_seconds_and_its_evidence_is_the_highest_score() {
    let call = customer(&[(30.0, Neutral, 0.9), (5.0, Angry, 0.6), (15.0, Angry, 0.9)]);
    let found = at(r#"{ emotion = "angry", score = 0.5, share = 0.4 }"#, &call).expect("20 of 50 seconds");
    assert_eq!(found.start_s, 35.0);
    assert_eq!(found.pattern, Pattern::Share { share: 0.4, score: 0.9 });
    assert!(!fires(r#"{ emotion = "angry", score = 0.5, share = 0.41 }"#, &call));
}

#[test]
fn a_third_is_of_the_time_from_the_first_segment_to_the_last() {
    let early = customer(&[(10.0, Angry, 0.9), (10.0, Neutral, 0.9), (10.0, Neutral, 0.9)]);
    let late = customer(&[(10.0, Neutral, 0.9), (10.0, Neutral, 0.9), (10.0, Angry, 0.9)]);
    let (first, last) = (r#"{ emotion = "angry", third = "first" }"#, r#"{ emotion = "angry", third = "last" }"#);
    assert!(fires(first, &early) && !fires(last, &early));
    assert!(!fires(first, &late) && fires(last, &late));
    assert!(fires(r#"{ emotion = "angry", third = "last", share = 1.0 }"#, &late));
}

#[test]
fn the_evidence_of_a_shift_is_the_segment_where_it_rises() {
    let turned = [(10.0, Neutral, 0.9), (10.0, Neutral, 0.9), (10.0, Sad, 0.5), (10.0, Sad, 0.9), (10.0, Angry, 0.9)];
    let found = at(r#"{ group = "negative", shift = 0.5 }"#, &customer(&turned)).expect("from 0 to 0.9");
    assert_eq!(found.start_s, 20.0);
    let mut better = turned;
    better.reverse();
    assert!(!fires(r#"{ group = "negative", shift = 0.1 }"#, &customer(&better)));
    assert!(
        !fires(r#"{ group = "negative", shift = 0.5, score = 0.95 }"#, &customer(&turned)),
        "the end is not that bad"
    );
    assert!(!fires(r#"{ group = "negative", shift = 0.0 }"#, &customer(&turned[..2])), "two segments are no course");
}

#[test]
fn only_the_rules_role_and_only_scored_channels_count() {
    let mut call =
        vec![channel(0, Role::Agent, &[(5.0, Angry, 0.9)]), channel(1, Role::Customer, &[(5.0, Happy, 0.9)])];
    assert!(!fires(r#"{ role = "customer", emotion = "angry" }"#, &call));
    assert!(fires(r#"{ role = "agent", emotion = "angry" }"#, &call));
    assert_eq!(at(r#"{ emotion = "angry" }"#, &call).map(|e| e.role), Some(Role::Agent));
    call[0].scored = false;
    assert!(!fires(r#"{ role = "agent", emotion = "angry" }"#, &call));
    assert!(!fires(r#"{ emotion = "angry" }"#, &call));
    assert!(!fires(r#"{ min_speech = "6s" }"#, &call));
}

#[test]
fn min_speech_is_a_lower_bound() {
    let call = customer(&[(8.0, Angry, 0.9)]);
    assert!(fires(r#"{ emotion = "angry", min_speech = "8s" }"#, &call));
    assert!(!fires(r#"{ emotion = "angry", min_speech = "9s" }"#, &call));
}

#[test]
fn call_data_is_compared_exactly() {
    let mut call = CallData { team: Some("7".into()), ..CallData::default() };
    call.attributes.insert("vip".into(), "true".into());
    let holds = |when: &str| finding(when, &call, &[]).is_some();
    assert!(holds(r#"{ team = "7" }"#) && holds(r#"{ team = ["6", "7"] }"#) && !holds(r#"{ team = "77" }"#));
    assert!(holds(r#"{ attributes.vip = "true" }"#) && !holds(r#"{ attributes.vip = "TRUE" }"#));
    assert!(!holds(r#"{ customer = "c1" }"#), "a missing field has no value");
    assert!(holds(r#"{ not = { customer = "c1" } }"#));
}

#[test]
fn and_or_and_not_nest() {
    let channels = customer(&[(5.0, Angry, 0.9), (5.0, Sad, 0.9)]);
    let when = r#"{ all = [
        { any = [{ emotion = "happy" }, { emotion = "sad", score = 0.8 }] },
        { not = { all = [{ emotion = "angry" }, { team = "7" }] } },
    ] }"#;
    let of_team = |team: &str| CallData { team: Some(team.into()), ..CallData::default() };
    let found = finding(when, &of_team("8"), &channels).expect("sad, and not team 7");
    assert_eq!(found.evidence.len(), 1, "only conditions that hold give evidence");
    assert_eq!(found.main().map(|e| e.start_s), Some(5.0));
    assert!(finding(when, &of_team("7"), &channels).is_none());
}

#[test]
fn a_call_without_the_group_field_is_a_group_of_its_own() {
    let book = settings::alert_file::parse("[[rule]]\nname = \"r\"\ngroup_by = \"customer\"\nwhen = { team = \"7\" }")
        .expect("valid");
    let key = |call: CallData| book.rules[0].group_key(Subject { call: &call, channels: &[] }, "rec-1");
    let call = CallData { customer: Some("c1".into()), call_id: Some("k".into()), ..CallData::default() };
    assert_eq!(key(call.clone()), "customer:c1");
    assert_eq!(key(CallData { customer: None, ..call }), "call:k");
    assert_eq!(key(CallData::default()), "recording:rec-1");
}

#[test]
fn silence_is_a_condition_on_scored_channels() {
    let (silent, said) = (customer(&[]), customer(&[(5.0, Neutral, 0.9)]));
    for when in ["{ silence = true }", r#"{ role = "customer", silence = true }"#] {
        assert!(fires(when, &silent) && !fires(when, &said), "{when}");
        let found = finding(when, &CallData::default(), &silent).expect("fires");
        assert!(found.main().is_none(), "it concerns the call as a whole");
    }
    assert!(!fires(r#"{ role = "mixed", silence = true }"#, &silent), "no such channel");
    assert!(fires("{ not = { silence = true } }", &said));
    let mut unscored = silent;
    unscored[0].scored = false;
    assert!(!fires("{ silence = true }", &unscored), "of a channel that is not scored nothing is known");
}
