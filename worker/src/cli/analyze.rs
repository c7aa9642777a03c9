//! `worker analyze`: analyses local files, without any service.

use anyhow::Context as _;
use chrono::Local;
use domain::report::{Provenance, Timings};
use domain::{AnalysisOptions, ChannelLayout, Failure, Granularity, Report, Role};
use settings::Settings;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::render;
use speech::artifacts::RESULT;
use speech::{AnalysisControl, Analyzer};

#[derive(Debug, clap::Args)]
pub(super) struct Analyze {
    /// Recordings, of any supported format
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// `mix`, or the role of each channel: `0=agent,1=customer`
    #[arg(long)]
    channels: Option<ChannelLayout>,
    /// Also score these roles, e.g. `agent` (read `analysis.score_roles` first)
    #[arg(long, value_delimiter = ',')]
    also_score: Vec<Role>,
    /// utterance: scores per segment; frame: also 50 a second
    #[arg(long, default_value_t)]
    granularity: Granularity,
    /// Folder in which outputs_<time>/ is created
    #[arg(long, default_value = "outputs")]
    out: PathBuf,
    /// Print result.json instead of text for people
    #[arg(long)]
    json: bool,
}

impl Analyze {
    /// Exit code 3 when a file failed; the others are still analysed.
    pub(super) fn run(self, settings: &Settings) -> anyhow::Result<ExitCode> {
        let mut settings = settings.clone();
        settings.analysis.score_roles.extend(&self.also_score);
        let analyzer = Analyzer::load(&settings.speech())?;
        let temporary;
        let (folder, kept) = match create_output_folder(&self.out) {
            Ok(folder) => (folder, true),
            // In a container, often: the result is printed all the same.
            Err(error) if is_not_allowed(&error) => {
                eprintln!("no files are written: {error:#}; --out names another folder");
                temporary = tempfile::tempdir().context("can't create a temporary folder")?;
                (temporary.path().to_owned(), false)
            }
            Err(error) => return Err(error),
        };
        let mut failed = 0;
        for file in &self.files {
            let out = if self.files.len() == 1 { folder.clone() } else { subfolder(&folder, file) };
            std::fs::create_dir_all(&out).with_context(|| format!("can't create {}", out.display()))?;
            match self.analyze_file(&analyzer, file, &out) {
                Ok(report) if self.json => println!("{}", serde_json::to_string(&report)?),
                Ok(report) => println!("{}", render::report(&report)),
                Err(failure) => {
                    failed += 1;
                    eprintln!("{}: {failure}\n  {}", file.display(), failure.code.advice());
                    // Incomplete artifacts could be mistaken for complete ones.
                    std::fs::remove_dir_all(&out).with_context(|| format!("can't remove {}", out.display()))?;
                }
            }
        }
        if failed == self.files.len() && folder.exists() {
            std::fs::remove_dir_all(&folder)?;
        } else if kept {
            eprintln!("written to {}", folder.display());
        }
        Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::from(3) })
    }

    fn analyze_file(&self, analyzer: &Analyzer, file: &Path, out: &Path) -> Result<Report, Failure> {
        let model = analyzer.model();
        let options = AnalysisOptions {
            channels: self.channels.clone(),
            granularity: self.granularity,
            embedding: true,
            model: model.name.clone(),
        };
        let begun = std::time::Instant::now();
        let analysis = analyzer.analyze(file, &options, out, &AnalysisControl::default())?;
        let mut timings = Timings { total_ms: begun.elapsed().as_secs_f64() * 1000.0, ..Timings::default() };
        analysis.time_stages(&mut timings);
        let provenance = Provenance::local_file(&file.to_string_lossy(), &options);
        let report = analysis.into_report(provenance, &options, model, timings);
        let text = serde_json::to_vec_pretty(&report).map_err(std::io::Error::other);
        text.and_then(|text| std::fs::write(out.join(RESULT.0), text))
            .map_err(|e| domain::Failure::disk(RESULT.0, &e))?;
        Ok(report)
    }
}

/// Creates `outputs_YYYYMMDD_HHMMSS`, with a number appended when it exists already.
fn create_output_folder(parent: &Path) -> anyhow::Result<PathBuf> {
    std::fs::create_dir_all(parent).with_context(|| format!("can't create {}", parent.display()))?;
    let name = format!("outputs_{}", Local::now().format("%Y%m%d_%H%M%S"));
    let names = std::iter::once(name.clone()).chain((2..1000).map(|n| format!("{name}_{n}")));
    for path in names.map(|name| parent.join(name)) {
        match std::fs::create_dir(&path) {
            Ok(()) => return Ok(path),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error).with_context(|| format!("can't create {}", path.display())),
        }
    }
    anyhow::bail!("{} has too many folders of this second", parent.display())
}

/// Whether this user may not write there.
fn is_not_allowed(error: &anyhow::Error) -> bool {
    use std::io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem};
    let kind = error.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
    matches!(kind, Some(PermissionDenied | ReadOnlyFilesystem))
}

/// A folder named after the file; a number distinguishes files of equal names.
fn subfolder(folder: &Path, file: &Path) -> PathBuf {
    let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let names = std::iter::once(name.clone()).chain((2..).map(|n| format!("{name}_{n}")));
    names.map(|name| folder.join(name)).find(|path| !path.exists()).unwrap_or_else(|| folder.join(name))
}
