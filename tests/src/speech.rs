//! Speech to test with, made by espeak-ng and turned into other formats by ffmpeg, both of which
//! `test.sh` installs.

use anyhow::{Context, Result, bail};
use std::path::Path;
use std::process::Command;

const SENTENCE: &str = "I have been waiting for forty minutes, and nobody has answered my question. \
    This is the third time that I call you about the same bill.";

/// Runs a program; its error output is part of the error.
///
/// # Errors
/// When it is not installed or fails.
pub fn run(program: &str, arguments: &[&str]) -> Result<()> {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .with_context(|| format!("`{program}` is needed by this test: run ./test.sh, which installs it"))?;
    if !output.status.success() {
        bail!("{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}

/// About nine seconds of speech as a mono WAV file at `path`, by a voice of this pitch (0 to 99).
///
/// # Errors
/// When espeak-ng is missing.
pub fn speak(path: &Path, pitch: u8) -> Result<()> {
    run("espeak-ng", &["-v", "en", "-p", &pitch.to_string(), "-w", text(path)?, SENTENCE])
}

/// Speech, encoded by ffmpeg with these options into a file of this name.
///
/// # Errors
/// When espeak-ng or ffmpeg is missing or refuses the options.
pub fn encoded(name: &str, options: &[&str]) -> Result<Vec<u8>> {
    let folder = tempfile::tempdir()?;
    let (wav, out) = (folder.path().join("speech.wav"), folder.path().join(name));
    speak(&wav, 40)?;
    let mut arguments = vec!["-v", "error", "-i", text(&wav)?];
    arguments.extend(options);
    arguments.push(text(&out)?);
    run("ffmpeg", &arguments)?;
    Ok(std::fs::read(out)?)
}

/// Six utterances of 1.2 to 2.2 s, as WAV of 16 kHz: for batches of many short jobs.
///
/// # Errors
/// When espeak-ng or ffmpeg is missing.
pub fn utterances() -> Result<Vec<Vec<u8>>> {
    let utterance = |number: u8| {
        let filter = format!("atrim=0:{}", 1.2 + f64::from(number) * 0.2);
        encoded("a.wav", &["-ar", "16000", "-bitexact", "-af", &filter])
    };
    (0..6).map(utterance).collect()
}

/// Files that must fail, each with its failure code.
///
/// # Errors
/// When espeak-ng or ffmpeg is missing.
pub fn damaged() -> Result<[(Vec<u8>, &'static str); 3]> {
    let whole = encoded("a.wav", &["-ar", "16000", "-bitexact", "-af", "atrim=0:1.2"])?;
    Ok([
        (Vec::new(), "audio.empty"),
        (b"not a recording\n".repeat(40), "audio.not_audio"),
        (whole[..whole.len() / 2].to_vec(), "audio.truncated"),
    ])
}

/// A telephone call like [`call`] as MP3, of so many seconds: half an hour has 7 MB.
///
/// # Errors
/// When espeak-ng or ffmpeg is missing.
pub fn long_call(seconds: u32) -> Result<Vec<u8>> {
    let folder = tempfile::tempdir()?;
    let (short, long) = (folder.path().join("short.wav"), folder.path().join("long.mp3"));
    std::fs::write(&short, call(24)?)?;
    let seconds = seconds.to_string();
    let options = ["-t", &seconds, "-c:a", "libmp3lame", "-b:a", "32k", "-joint_stereo", "0"];
    let mut arguments = vec!["-v", "error", "-stream_loop", "-1", "-i", text(&short)?];
    arguments.extend(options);
    arguments.push(text(&long)?);
    run("ffmpeg", &arguments)?;
    Ok(std::fs::read(long)?)
}

/// A telephone call: 8 kHz mu-law, the agent left, the customer right, one after the other,
/// repeated until it has `seconds`.
///
/// # Errors
/// When espeak-ng or ffmpeg is missing.
pub fn call(seconds: u32) -> Result<Vec<u8>> {
    let folder = tempfile::tempdir()?;
    let path = |name: &str| folder.path().join(name);
    let (agent, customer, out) = (path("agent.wav"), path("customer.wav"), path("call.wav"));
    speak(&agent, 20)?;
    speak(&customer, 70)?;
    // Each says its sentence and is silent while the other speaks.
    let graph = "[0:a]aresample=8000,apad=whole_dur=12,asplit=2[a][qa];[1:a]aresample=8000,apad=whole_dur=12,asplit=2[c][qc];\
        [qc]volume=0[sc];[qa]volume=0[sa];[a][sc]concat=n=2:v=0:a=1[l];[sa][c]concat=n=2:v=0:a=1[r];\
        [l][r]join=inputs=2:channel_layout=stereo,aloop=loop=-1:size=192000[o]";
    let seconds = seconds.to_string();
    run(
        "ffmpeg",
        &[
            "-v",
            "error",
            "-i",
            text(&agent)?,
            "-i",
            text(&customer)?,
            "-filter_complex",
            graph,
            "-map",
            "[o]",
            "-t",
            &seconds,
            "-c:a",
            "pcm_mulaw",
            text(&out)?,
        ],
    )?;
    Ok(std::fs::read(out)?)
}

/// A telephone call of two channels in which the customer, on the right, says nothing.
///
/// # Errors
/// When espeak-ng or ffmpeg is missing.
pub fn silent_customer() -> Result<Vec<u8>> {
    encoded("call.wav", &["-af", "pan=stereo|c0=c0|c1=0*c0", "-ar", "8000"])
}

/// A path as an argument.
///
/// # Errors
/// When its name is no UTF-8.
pub fn text(path: &Path) -> Result<&str> {
    path.to_str().context("temporary folders have names of plain text")
}
