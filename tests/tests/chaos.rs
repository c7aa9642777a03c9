//! The short form of `cargo bench -p emofleet-tests --bench chaos`: the same as with `--seed 4 --jobs 60 --minutes 0.8334 --gap 2`.

use anyhow::Result;
use std::time::Duration;
use tests::chaos::plan::Size;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_faults_lose_nothing_and_leave_nothing_behind() -> Result<()> {
    let size = Size { jobs: 60, chunk: 5, length: Duration::from_secs(50), gap: Duration::from_secs(2) };
    let problems = tests::chaos::run(4, size).await?;
    assert_eq!(problems, Vec::<String>::new());
    Ok(())
}
