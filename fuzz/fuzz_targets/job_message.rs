//! The body of a message: a job, or a failure that says why not.
#![no_main]

#[path = "../exercise.rs"]
mod exercise;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    let _ = exercise::job_message(body);
});
