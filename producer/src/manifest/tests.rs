//! Manifests as people's tools write them.

use super::*;

async fn findings_of(
    name: &str,
    bytes: &[u8],
    options: ManifestOptions,
) -> Result<(Findings, Vec<Entry>), ProducerError> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).expect("written");
    let mut manifest = Manifest::open(&path, options)?;
    let findings = manifest.check().await?;
    let (mut entries, mut good) = (manifest.entries(), Vec::new());
    while let Some(line) = entries.recv().await {
        if let Line::Entry(entry) = line? {
            good.push(entry);
        }
    }
    assert_eq!(good.iter().map(|entry: &Entry| entry.lines).sum::<u64>(), findings.good, "both passes read alike");
    Ok((findings, good))
}

async fn read(name: &str, text: &str) -> (Findings, Vec<Entry>) {
    findings_of(name, text.as_bytes(), ManifestOptions::default()).await.expect("a manifest")
}

#[tokio::test]
async fn dates_are_read_whatever_tool_wrote_them() {
    let text = "key,call_id,started_at\n0,d,2025/11/22 14:05\n1,d,2025/1/5 9:03\n2,d,2025/11/22\n\
                3,d,2025-11-22T14:05:00+0800\n4,d,\"Sat, 22 Nov 2025 14:05:00 +0800\"\n5,d,2025-11-22 14:05:00 UTC\n6,d,20251122140500\n";
    let (findings, entries) = read("dates.csv", text).await;
    assert_eq!((findings.good, findings.bad), (7, 0), "{:?}", findings.reported);
    let right = ["22T14:05", "05T09:03", "22T00:00", "22T06:05", "22T06:05", "22T14:05", "22T14:05"];
    for (entry, right) in entries.iter().zip(right) {
        let time = entry.call.started_at.expect("set").to_rfc3339();
        assert_eq!(&time[8..16], right, "{}", entry.key);
    }
    assert!(findings.notices.iter().any(|n| n.contains("4 times name no time zone")), "{:?}", findings.notices);
}

#[tokio::test]
async fn wrong_lines_are_told_with_their_true_number_and_reason() {
    let (findings, _) =
        read("a.csv", "key,call_id,started_at\r\na,c-1,2025-11-22 14:05:00\r\nb,c-2,yesterday\r\n").await;
    assert!(findings.reported[0].contains(":3: ") && findings.bad == 1, "{:?}", findings.reported);
    let (findings, _) = read("b.csv", "key,call_id,started_at\na,c-1,26-11-22 14:05\nb,c,11/12/2025\n").await;
    assert!(findings.reported[0].contains(":2: ") && findings.reported[0].contains("year 26"));
    assert!(findings.reported[1].contains("--date-order"));
}

#[tokio::test]
async fn one_key_with_two_calls_is_refused_with_both_lines() {
    let text = "key,call_id,customer\na.wav,leg-1,c-17\nb.wav,leg-3,\na.wav,leg-2,c-18\nb.wav,leg-3,\n";
    let (findings, entries) = read("a.csv", text).await;
    assert_eq!((findings.good, findings.bad), (2, 2));
    assert!(findings.reported[0].contains(":2: `a.wav` is in line 4"), "{:?}", findings.reported);
    assert!(findings.reported[1].contains(":4: `a.wav` is in line 2"), "{:?}", findings.reported);
    assert!(entries.iter().all(|entry| entry.key == "b.wav"));
}

#[tokio::test]
async fn json_comes_with_a_byte_order_mark_as_an_array_and_over_several_lines() {
    let (_, entries) = read("a.jsonl", "\u{feff}{\"key\":\"a.wav\",\"call_id\":\"c-1\"}\r\n").await;
    assert_eq!(entries[0].call.call_id.as_deref(), Some("c-1"));
    let (findings, entries) =
        read("a.json", "[\n  {\"key\": \"a\", \"callId\": 7},\n  {\n    \"key\": \"b\"\n  },\n  3\n]\n").await;
    assert_eq!(entries.iter().map(|e| (e.line, e.key.as_str())).collect::<Vec<_>>(), [(2, "a"), (3, "b")]);
    assert_eq!(entries[0].call.call_id.as_deref(), Some("7"));
    assert!(findings.reported[0].contains(":6: not a JSON object"), "{:?}", findings.reported);
    let (findings, entries) = read("b.jsonl", "{\n \"key\": \"a\"\n}\n{\"key\": \"b\"\n{\"key\": \"c\"}\nx\n").await;
    assert_eq!(entries.iter().map(|e| (e.line, e.key.as_str())).collect::<Vec<_>>(), [(1, "a"), (5, "c")]);
    assert_eq!(findings.bad, 2, "{:?}", findings.reported);
}

#[tokio::test]
async fn chinese_encodings_are_detected_said_or_given() {
    let text = "key,客服工号,客户姓名,started_at\n通话录音/一号.wav,张三李四,王五赵六,2025年11月22日 14:05\n";
    let gbk = encoding_rs::GBK.encode(text).0;
    let (findings, entries) = findings_of("a.csv", &gbk, ManifestOptions::default()).await.expect("detected");
    assert_eq!(entries[0].key, "通话录音/一号.wav");
    assert!(findings.notices[0].contains("gb18030"), "{:?}", findings.notices);
    let given = ManifestOptions { encoding: Some(encoding_rs::GB18030), ..ManifestOptions::default() };
    let (findings, entries) = findings_of("a.csv", &gbk, given).await.expect("given");
    assert_eq!(entries[0].call.attributes["客服工号"], "张三李四");
    assert_eq!(findings.notices.len(), 1, "only that of the time zone");
}

#[tokio::test]
async fn headers_that_are_nearly_right_are_read_or_refused_with_a_suggestion() {
    let (_, entries) =
        read("a.csv", "Key,Call ID,Started At,channel-0,Channel 1\na,c,2025-11-22,Agent,customer\n").await;
    assert!(entries[0].call.call_id.is_some() && entries[0].call.started_at.is_some() && entries[0].channels.is_some());
    for (header, said) in [
        ("key,channel_left", "channel_0"),
        ("key,costumer", "`customer`"),
        ("key,call_id,Call ID", "twice"),
        ("filename,agent", "Name it `key`"),
    ] {
        let refused = findings_of("a.csv", format!("{header}\n").as_bytes(), ManifestOptions::default()).await;
        let error = refused.expect_err(header).to_string();
        assert!(error.contains(said), "{error}");
    }
    let (findings, _) = read("a.csv", "key,Call Date\na,2025-11-22\n").await;
    assert!(findings.notices[0].contains("`started_at`"), "{:?}", findings.notices);
}

#[tokio::test]
async fn a_workbook_is_read_as_it_is() {
    let (_, entries) = findings_of("a.xlsx", include_bytes!("../../tests/data/calls.xlsx"), ManifestOptions::default())
        .await
        .expect("a workbook");
    assert_eq!(entries[0].key, "通话/1.wav");
    assert_eq!(entries[0].call.call_id.as_deref(), Some("17"));
    assert_eq!(entries[0].call.started_at.expect("set").to_rfc3339(), "2025-11-22T14:05:00+00:00");
    assert_eq!((entries.len(), entries[1].line), (2, 4));
}

#[tokio::test]
async fn roles_in_columns_that_are_no_roles_are_refused_unless_they_are_declared_attributes() {
    for (header, line) in [
        ("chanel_0,chanel_1", "agent,customer"),
        ("ch0,ch1", "agent,customer"),
        ("声道0,声道1", "客服,客户"),
        ("left,right", "agent,customer"),
        ("track_0,track_1", "Agent,Customer"),
        ("channels,x", "\"0=agent,1=customer\","),
        ("channels,x", "mix,"),
        ("agent_channel,customer_channel", "0,1"),
    ] {
        let text = format!("key,{header}\na.wav,{line}\n");
        let found = findings_of("a.csv", text.as_bytes(), ManifestOptions::default()).await;
        match found {
            Err(header) => assert!(header.to_string().contains("`channel_0`"), "{header}"),
            Ok((findings, _)) => {
                assert_eq!((findings.good, findings.bad), (0, 1), "{text}");
                assert!(findings.reported[0].contains("--attribute"), "{:?}", findings.reported);
            }
        }
        let attributes = header.split(',').map(str::to_owned).collect();
        let declared = ManifestOptions { attributes, ..ManifestOptions::default() };
        let (findings, entries) = findings_of("a.csv", text.as_bytes(), declared).await.expect("declared");
        assert_eq!((findings.good, entries[0].channels.as_ref()), (1, None), "{text}");
    }
    let options = ManifestOptions::default();
    for sidecar in [
        r#"{"ch_0":"agent","ch_1":"customer"}"#,
        r#"{"left":"agent"}"#,
        r#"{"attributes":{"channels":"0=agent,1=customer"}}"#,
        r#"{"customer_channel":1}"#,
    ] {
        let refused = entry_of_json(sidecar.as_bytes(), "a.wav", &options).expect_err(sidecar);
        assert!(refused.contains("channel_"), "{refused}");
    }
}

#[tokio::test]
async fn numbers_of_json_keep_their_digits() {
    let text =
        r#"{"key":"a","call_id":1700000000.10,"agent":123456789012345678901,"attributes":{"rate":0.50,"vip":true}}"#;
    for (name, text) in [("a.jsonl", text.to_owned()), ("a.json", format!("[{text}]"))] {
        let (_, entries) = read(name, &text).await;
        let call = &entries[0].call;
        assert_eq!(call.call_id.as_deref(), Some("1700000000.10"));
        assert_eq!(call.agent.as_deref(), Some("123456789012345678901"));
        assert_eq!((call.attributes["rate"].as_str(), call.attributes["vip"].as_str()), ("0.50", "true"));
    }
    let options = ManifestOptions::default();
    let sidecar = entry_of_json(br#"{"call_id": 20261126140500000017}"#, "a.wav", &options).expect("call data");
    assert_eq!(sidecar.call.call_id.as_deref(), Some("20261126140500000017"));
    for (sidecar, said) in [
        (r#"{"call_id": 1.7e+20}"#, "all its digits"),
        (r#"{"call_id": 1, "Call ID": 2}"#, "twice"),
        (r#"{"call_id": 1, "call_id": 2}"#, "twice"),
        (r#"{"agent": ["a"]}"#, "must be a string"),
    ] {
        let refused = entry_of_json(sidecar.as_bytes(), "a.wav", &options).expect_err(sidecar);
        assert!(refused.contains(said), "{refused}");
    }
}

#[tokio::test]
async fn both_orders_of_day_and_month_in_one_column_are_refused_unless_one_is_said() {
    let text = "key,started_at\na,22/11/2025 14:05\nb,11/23/2025 14:05\nc,11/11/2025\nd,2025-11-22\n";
    let (findings, entries) = read("a.csv", text).await;
    assert_eq!((findings.good, findings.bad, entries.len()), (2, 2, 2), "{:?}", findings.reported);
    assert!(findings.reported.iter().all(|line| line.contains("--date-order")), "{:?}", findings.reported);
    assert!(findings.notices.iter().any(|notice| notice.contains("line 2 has the day first")));
    let dates = Dates { order: Some(DateOrder::Dmy), ..Dates::default() };
    let options = ManifestOptions { dates, ..ManifestOptions::default() };
    let (findings, _) = findings_of("a.csv", text.as_bytes(), options).await.expect("a manifest");
    assert_eq!((findings.good, findings.bad), (3, 1), "{:?}", findings.reported);
    assert!(findings.reported[0].contains(":3: "), "{:?}", findings.reported);
}
