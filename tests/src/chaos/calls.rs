//! The calls of a run: what they are, and what must become of each.

use anyhow::Result;
use domain::{AnalysisOptions, BatchId, CallData, Granularity, Job, ObjectRef};
use futures_util::{StreamExt, TryStreamExt, stream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::rig::Rig;
use crate::speech;

/// Name of the batch.
pub const BATCH: &str = "chaos";
/// Every so many recordings is one that must fail.
const DAMAGED_EVERY: usize = 8;

/// One call with its recording in the store.
#[derive(Debug, Clone)]
pub struct ChaosCall {
    /// Call id.
    pub id: String,
    /// Its job, as the producer makes it.
    pub job: Job,
    /// Which of the sounds: calls with the same one must have the same result.
    pub sound: usize,
    /// `None`: it must be done. Else its failure code.
    pub code: Option<&'static str>,
    /// When it began, RFC 3339.
    started_at: String,
}

/// All calls of a run, and the folder of their manifests.
pub struct Calls {
    /// By number.
    pub list: Vec<ChaosCall>,
    folder: tempfile::TempDir,
    manifests: AtomicUsize,
}

/// Whether prune events concern a call. Of the others it is known that they must be there at the end.
pub fn is_prunable(call: usize) -> bool {
    call.is_multiple_of(5)
}

/// Whether a call is older than what `prune --older-than` keeps.
pub fn is_old(call: usize) -> bool {
    call % 15 == 1
}

impl Calls {
    /// Uploads the recordings.
    ///
    /// # Errors
    /// When the store refuses.
    pub async fn upload(rig: &Rig, count: usize) -> Result<Self> {
        let (good, damaged) = (speech::utterances()?, speech::damaged()?);
        let mut list: Vec<ChaosCall> = stream::iter(0..count)
            .map(|number| {
                let (good, damaged) = (&good, &damaged);
                async move {
                    let (sound, bytes, code) = if number % DAMAGED_EVERY == DAMAGED_EVERY - 1 {
                        let which = number / DAMAGED_EVERY % damaged.len();
                        (good.len() + which, &damaged[which].0, Some(damaged[which].1))
                    } else {
                        (number % good.len(), &good[number % good.len()], None)
                    };
                    let (bucket, key) = (rig.direct.s3.bucket.clone(), format!("chaos/{number:05}.wav"));
                    let etag = Some(rig.store.put_bytes(&bucket, &key, bytes.clone(), "audio/wav").await?);
                    let year = if is_old(number) { 2001 } else { chrono::Datelike::year(&chrono::Utc::now()) };
                    let started_at = format!("{year}-01-02T03:04:05Z");
                    let id = format!("chaos-{number:05}");
                    let call = CallData {
                        call_id: Some(id.clone()),
                        team: Some((number % 7).to_string()),
                        customer: Some(format!("customer-{}", number / 3)),
                        started_at: Some(started_at.parse()?),
                        ..CallData::default()
                    };
                    let options = AnalysisOptions {
                        model: rig.direct.model.name.clone(),
                        channels: None,
                        granularity: Granularity::Utterance,
                        embedding: true,
                    };
                    let object = ObjectRef { bucket, key, etag };
                    let job = Job::new(BatchId::from_name(BATCH), object, call, options, chrono::Utc::now());
                    Ok::<_, anyhow::Error>(ChaosCall { id, job, sound, code, started_at })
                }
            })
            .buffer_unordered(8)
            .try_collect()
            .await?;
        list.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(Self { list, folder: tempfile::tempdir()?, manifests: AtomicUsize::new(0) })
    }

    /// A manifest of some calls.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn manifest(&self, calls: impl IntoIterator<Item = usize>) -> Result<PathBuf> {
        let mut text = String::from("key,call_id,team,customer,started_at\n");
        for call in calls.into_iter().filter_map(|call| self.list.get(call)) {
            let data = &call.job.call;
            let [team, customer] = [&data.team, &data.customer].map(|field| field.as_deref().unwrap_or_default());
            text.push_str(&format!("{},{},{team},{customer},{}\n", call.job.object.key, call.id, call.started_at));
        }
        self.write("manifest", &text)
    }

    /// A file of verdicts on some calls.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn verdicts(&self, calls: &[usize]) -> Result<PathBuf> {
        let line = |call: &usize| format!("{},angry,rita\n", self.list[*call].id);
        self.write("verdicts", &("call_id,emotion,reviewer\n".to_owned() + &calls.iter().map(line).collect::<String>()))
    }

    fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        let number = self.manifests.fetch_add(1, Ordering::Relaxed);
        let path = self.folder.path().join(format!("{name}-{number}.csv"));
        std::fs::write(&path, text)?;
        Ok(path)
    }
}
