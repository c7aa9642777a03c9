//! Folders with links, pipes and sockets, enqueued and watched.

use adapters::retry::RetryPolicy;
use anyhow::Result;
use producer::cli::EnqueueArgs;
use producer::enqueue::enqueue;
use producer::meter::Meter;
use producer::watch::WatchArgs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;
use tests::trial::Trial;
use tests::watching::once;

/// One recording and one link to it; a file outside by a link, by a hard link and in a linked folder; a pipe and a socket.
/// Beside them a link that no recording could be, by its name.
fn furnish(place: &Path) -> Result<UnixListener> {
    let (folder, outside) = (place.join("in"), place.join("out"));
    std::fs::create_dir(&folder)?;
    std::fs::create_dir(&outside)?;
    std::fs::write(folder.join("own.wav"), "sound")?;
    std::fs::write(outside.join("secret.wav"), "secret")?;
    symlink("own.wav", folder.join("again.wav"))?;
    symlink("../out/secret.wav", folder.join("link.wav"))?;
    symlink("../out/secret.wav", folder.join("notes.txt"))?;
    symlink("../out", folder.join("linked"))?;
    std::fs::hard_link(outside.join("secret.wav"), folder.join("hard.wav"))?;
    Command::new("mkfifo").arg(folder.join("pipe.wav")).status()?;
    Ok(UnixListener::bind(folder.join("socket.wav"))?)
}

#[tokio::test]
async fn what_links_out_of_a_folder_is_left_out_and_counted() -> Result<()> {
    let place = tempfile::tempdir()?;
    let _socket = furnish(place.path())?;
    let source = place.path().join("in").to_string_lossy().into_owned();
    let mut trial = Trial::new()?;
    let database = trial.database().await?;
    adapters::s3::Store::new(&trial.settings.s3)?.ensure_bucket(&trial.settings.s3.bucket).await?;
    let prefix = Some(format!("{}links/", trial.keys));

    // own and again; not link, linked, hard, pipe and socket. notes.txt is none by its name.
    let args = EnqueueArgs { prefix: prefix.clone(), ..EnqueueArgs::of(&source) };
    let summary = enqueue(&trial.settings, &args, RetryPolicy::NEVER, Arc::new(Meter::silent())).await?;
    assert_eq!((summary.uploaded, summary.left_out, summary.not_audio), (2, 5, 1));
    // link, linked/secret and hard as well; not pipe and socket.
    let args = EnqueueArgs { follow_symlinks: true, ..args };
    let summary = enqueue(&trial.settings, &args, RetryPolicy::NEVER, Arc::new(Meter::silent())).await?;
    assert_eq!((summary.uploaded, summary.left_out, summary.not_audio), (3, 2, 1));

    // A manifest names files that a listing would leave out.
    let manifest = place.path().join("calls.csv");
    std::fs::write(&manifest, "key\nown.wav\nlink.wav\nlinked/secret.wav\nhard.wav\npipe.wav\n../out/secret.wav\n")?;
    let args = EnqueueArgs { manifest: Some(manifest), follow_symlinks: false, ..args };
    let summary = enqueue(&trial.settings, &args, RetryPolicy::NEVER, Arc::new(Meter::silent())).await?;
    assert_eq!((summary.listed, summary.skipped_lines), (1, 5));

    let watched = WatchArgs {
        once: true,
        rest: Some(Duration::ZERO),
        grace: Some(Duration::ZERO),
        prefix: Some(format!("{}watched/", trial.keys)),
        ..WatchArgs::of(&source)
    };
    let summary = once(&trial.settings, &watched).await?;
    assert_eq!((summary.enqueued, summary.left_out), (2, 5));
    let summary = once(&trial.settings, &WatchArgs { follow_symlinks: true, ..watched }).await?;
    assert_eq!((summary.enqueued, summary.left_out), (3, 2));
    database.close().await;
    trial.end().await
}
