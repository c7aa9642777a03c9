//! A recording that can't be analysed becomes a `failed` row with its code, a sentence and a dead letter, and the
//! worker continues.

use adapters::amqp::{DeadLetters, Filter};
use anyhow::Result;
use domain::{FailureCode, Granularity};
use sqlx::Row;
use tests::fleet::{Fleet, Wish};
use tests::speech;

/// A WAV file by hand: any header, any data.
fn wav(rate: u32, channels: u16, declared: u32, data: &[u8]) -> Vec<u8> {
    let block = channels * 2;
    let mut file = Vec::new();
    file.extend(b"RIFF");
    file.extend((36 + declared).to_le_bytes());
    file.extend(b"WAVEfmt ");
    file.extend(16_u32.to_le_bytes());
    file.extend(1_u16.to_le_bytes());
    file.extend(channels.to_le_bytes());
    file.extend(rate.to_le_bytes());
    file.extend((rate * u32::from(block)).to_le_bytes());
    file.extend(block.to_le_bytes());
    file.extend(16_u16.to_le_bytes());
    file.extend(b"data");
    file.extend(declared.to_le_bytes());
    file.extend(data);
    file
}

#[tokio::test]
async fn bad_recordings_fail_with_their_code_and_good_ones_still_pass() -> Result<()> {
    let fleet = Fleet::start_with(|settings| {
        settings.audio.max_seconds = 60.0;
        settings.audio.max_bytes = 2_000_000;
    })
    .await?;
    let speech = speech::encoded("a.wav", &["-ar", "16000", "-bitexact"])?;
    let silence = vec![0; 16_000 * 2 * 3];
    let minutes = vec![1; 8_000 * 2 * 61];
    let cases = [
        ("empty.wav", Vec::new(), FailureCode::AudioEmpty),
        ("text.wav", b"Dear customer, your call is important to us.\n".repeat(50), FailureCode::AudioNotAudio),
        ("truncated.wav", speech[..speech.len() / 2].to_vec(), FailureCode::AudioTruncated),
        ("zero_hertz.wav", wav(0, 1, silence.len() as u32, &silence), FailureCode::AudioBadHeader),
        ("one_sample.wav", wav(16_000, 1, 2, &[1, 2]), FailureCode::AudioTooShort),
        ("too_long.wav", wav(8_000, 1, minutes.len() as u32, &minutes), FailureCode::AudioTooLong),
        ("too_large.wav", vec![0; 2_000_001], FailureCode::ObjectTooLarge),
        ("nine_channels.wav", wav(16_000, 9, 18 * 16_000, &vec![0; 18 * 16_000]), FailureCode::AudioTooManyChannels),
        ("phone.amr", b"#!AMR\n\x3c\x91\x17\x16".repeat(99), FailureCode::AudioUnsupportedCodec),
    ];
    for (name, bytes, code) in cases.clone() {
        let row = fleet.put_through(name, bytes, Wish::default()).await?;
        assert_eq!(row.get::<String, _>("status"), "failed", "{name}");
        let message: String = row.get("failure_message");
        assert_eq!(row.get::<String, _>("failure_code"), code.code(), "{name}: {message}");
        assert!(message.len() > 15 && message.contains(' '), "{name}: not a sentence: `{message}`");
    }
    let good = fleet.put_through("good.wav", speech, Wish::default()).await?;
    assert_eq!(good.get::<String, _>("status"), "done");

    let dead = DeadLetters::new(&fleet.trial.settings.amqp).list(&Filter::default(), 100).await?;
    assert_eq!(dead.total, cases.len());
    for (_, _, code) in &cases {
        assert!(dead.letters.iter().any(|letter| letter.code == code.code()), "{code} among the dead letters");
    }
    fleet.end().await
}

#[tokio::test]
async fn silence_is_a_result_and_not_a_failure() -> Result<()> {
    let fleet = Fleet::start().await?;
    let hum: Vec<u8> = (0..16_000).flat_map(|n| (((f64::from(n) * 0.02).sin() * 900.0) as i16).to_le_bytes()).collect();
    // Digital silence, less than a second of it, a tone, and a call whose customer says nothing
    let call = speech::silent_customer()?;
    for (name, bytes) in [
        ("silence.wav", wav(16_000, 1, 96_000, &vec![0; 96_000])),
        ("short.wav", wav(16_000, 1, 1_000, &vec![0; 1_000])),
        ("hum.wav", wav(16_000, 1, hum.len() as u32, &hum)),
        ("call.wav", call),
    ] {
        for granularity in [Granularity::Utterance, Granularity::Frame] {
            let wish = Wish { granularity, ..Wish::default() };
            let row = fleet.put_through(name, bytes.clone(), wish).await?;
            assert_eq!(row.get::<String, _>("status"), "done", "{name}");
            assert_eq!(row.get::<Option<String>, _>("emotion"), None, "{name}");
            assert_eq!(
                (row.get::<f64, _>("speech_s"), row.get::<Option<f32>, _>("score_angry")),
                (0.0, None),
                "{name}"
            );
            assert_eq!(row.get::<Option<String>, _>("embedding_key"), None, "{name}: nothing to embed");
            let report = fleet.report(&row).await?;
            assert_eq!((report.emotion, report.scores), (None, None), "{name}");
            let json: serde_json::Value = serde_json::from_slice(&fleet.artifact(&row, "result_key").await?)?;
            assert!(json.as_object().is_some_and(|json| json["emotion"].is_null()), "{name}: null, not absent");
            fleet.artifact(&row, "audio_key").await?;
        }
    }
    // Question 15 of the cookbook, by the same condition
    let silent = "SELECT count(*) FROM channels WHERE latest AND scored AND segments = 0";
    assert_eq!(fleet.count(silent).await?, 4);
    assert_eq!(fleet.count("SELECT count(*) FROM channels WHERE role = 'customer' AND level_dbfs IS NULL").await?, 2);
    assert_eq!(DeadLetters::new(&fleet.trial.settings.amqp).list(&Filter::default(), 9).await?.total, 0);
    fleet.end().await
}

#[tokio::test]
async fn roles_for_channels_that_the_recording_lacks_are_a_failure() -> Result<()> {
    let fleet = Fleet::start().await?;
    let call = speech::silent_customer()?;
    let mono = speech::encoded("mono.wav", &["-ar", "8000"])?;
    for (name, bytes, roles, said) in [
        (
            "call.wav",
            call,
            r#"{"1":"agent","2":"customer"}"#,
            "channel 2 has the role customer, but the recording has 2 channels",
        ),
        (
            "mono.wav",
            mono,
            r#"{"0":"agent","1":"customer"}"#,
            "channel 1 has the role customer, but the recording has 1 channel",
        ),
    ] {
        let channels = Some(serde_json::from_str(roles)?);
        let row = fleet.put_through(name, bytes, Wish { channels, ..Wish::default() }).await?;
        assert_eq!(row.get::<Option<String>, _>("failure_code").as_deref(), Some("channels.missing"), "{name}");
        assert!(row.get::<String, _>("failure_message").contains(said), "{}", row.get::<String, _>("failure_message"));
    }
    assert_eq!(fleet.count("SELECT count(*) FROM channels").await?, 0, "nothing is scored");
    fleet.end().await
}

#[tokio::test]
async fn an_object_that_vanished_or_changed_is_told_apart() -> Result<()> {
    let mut fleet = Fleet::without_worker().await?;
    let speech = speech::encoded("a.wav", &[])?;
    let gone = fleet.job(fleet.upload("gone.wav", speech.clone()).await?, Wish::default());
    let changed = fleet.job(fleet.upload("changed.wav", speech.clone()).await?, Wish::default());
    fleet.enqueue(&[gone.clone(), changed.clone()]).await?;
    fleet.store.delete(&gone.object.bucket, std::slice::from_ref(&gone.object.key)).await?;
    fleet.upload("changed.wav", speech[..1000].to_vec()).await?;
    fleet.start_worker();
    for (job, code) in [(gone, FailureCode::ObjectNotFound), (changed, FailureCode::ObjectChanged)] {
        let row = fleet.ended(job.job_id).await?;
        assert_eq!(row.get::<String, _>("failure_code"), code.code());
    }
    fleet.end().await
}
