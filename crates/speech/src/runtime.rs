//! ONNX Runtime: found on disk, loaded once per process.

use crate::settings;
use ort::environment::Environment;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// Name of ONNX Runtime's shared library.
const LIBRARY: &str = "libonnxruntime.so";
/// Where `stack/runtime.sh` puts it, below the checkout.
const FETCHED: &str = ".stack/runtime";
/// The system's folders of shared libraries, after `LD_LIBRARY_PATH`.
const SYSTEM_FOLDERS: [&str; 6] =
    ["/usr/local/lib", "/usr/lib", "/usr/lib64", "/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/lib"];

/// Why inference can't start. Each message says what to do.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// A file was not found.
    #[error(
        "{what} was not found ({looked}). `./run.sh` or `stack/runtime.sh` fetches it into {FETCHED}; \
         or set EMOFLEET__RUNTIME__{variable} to its path"
    )]
    NotFound {
        /// The file.
        what: &'static str,
        /// Where it was searched.
        looked: String,
        /// Last part of the environment variable that names it.
        variable: &'static str,
    },
    /// The library was found, but can't be used.
    #[error(
        "ONNX Runtime at {path} can't be loaded: {why}. It must be version 1.24 or newer for this machine; \
         `stack/runtime.sh` fetches one, or set EMOFLEET__RUNTIME__ONNXRUNTIME"
    )]
    Unusable {
        /// The library.
        path: PathBuf,
        /// The loader's error.
        why: String,
    },
}

/// ONNX Runtime, loaded.
#[derive(Debug, Clone)]
pub struct Runtime {
    environment: Environment,
}

/// The one environment of this process: ONNX Runtime refuses a second one.
static ENVIRONMENT: Mutex<Option<Environment>> = Mutex::new(None);

impl Runtime {
    /// Finds and loads ONNX Runtime, or takes what this process has loaded already.
    ///
    /// # Errors
    /// [`RuntimeError`], with what to do.
    pub fn load(settings: &settings::Runtime) -> Result<Self, RuntimeError> {
        let mut loaded = ENVIRONMENT.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let environment = if let Some(environment) = &*loaded {
            environment.clone()
        } else {
            let environment = load_library(&settings.onnxruntime)?;
            loaded.insert(environment).clone()
        };
        Ok(Self { environment })
    }

    /// For `ort::session::Session::builder`.
    pub fn environment(&self) -> &Environment {
        &self.environment
    }
}

fn load_library(configured: &Path) -> Result<Environment, RuntimeError> {
    let search = std::env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&search).filter(|p| !p.as_os_str().is_empty()).collect();
    folders.extend(SYSTEM_FOLDERS.map(PathBuf::from));
    let path = find(configured, LIBRARY, &folders, "ONNXRUNTIME")?;
    let unusable = |why: String| RuntimeError::Unusable { path: path.clone(), why };
    ort::init_from(&path)
        .map_err(|error| unusable(error.to_string()))?
        .with_name("emofleet")
        .with_telemetry(false)
        .build()
        .map_err(|error| unusable(error.to_string()))
}

/// The configured path, else the file below `.stack/runtime` of the current folder, of the
/// executable's folder or of any folder above them, else in `folders`.
fn find(
    configured: &Path,
    name: &'static str,
    folders: &[PathBuf],
    variable: &'static str,
) -> Result<PathBuf, RuntimeError> {
    let absent = |looked: String| RuntimeError::NotFound { what: name, looked, variable };
    if !configured.as_os_str().is_empty() {
        // dlopen treats a bare name as one to search for; a setting names one file.
        return std::path::absolute(configured)
            .ok()
            .filter(|path| path.is_file())
            .ok_or_else(|| absent(format!("the settings name {}, which is not a file", configured.display())));
    }
    let here = std::env::current_dir().unwrap_or_default();
    let executable = std::env::current_exe().unwrap_or_default();
    let fetched = here.ancestors().chain(executable.ancestors()).map(|above| above.join(FETCHED));
    fetched.chain(folders.iter().cloned()).map(|folder| folder.join(name)).find(|path| path.is_file()).ok_or_else(
        || {
            let system = if folders.is_empty() { "" } else { " and the system's library path" };
            absent(format!("looked in {FETCHED} from {} and the executable upwards{system}", here.display()))
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configured_path_that_is_not_a_file_is_named_with_its_variable() {
        let error = find(Path::new("/nowhere/x.so"), LIBRARY, &[], "ONNXRUNTIME").expect_err("absent").to_string();
        assert!(error.contains("/nowhere/x.so") && error.contains("EMOFLEET__RUNTIME__ONNXRUNTIME"), "{error}");
    }

    #[test]
    fn a_file_in_a_library_folder_is_found() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let file = folder.path().join("some_library.so");
        std::fs::write(&file, b"x").expect("written");
        let found = find(Path::new(""), "some_library.so", &[folder.path().into()], "X").expect("found");
        assert_eq!(found, file);
    }
}
