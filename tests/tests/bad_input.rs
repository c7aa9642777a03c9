//! A recording that can't be analysed becomes a `failed` row with its code, a sentence and a dead letter, and the
//! worker continues.

use adapters::amqp::{DeadLetters, Filter};
use anyhow::Result;
use domain::FailureCode;
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
        ("silence.wav", wav(16_000, 1, silence.len() as u32, &silence), FailureCode::AudioNoSpeech),
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
