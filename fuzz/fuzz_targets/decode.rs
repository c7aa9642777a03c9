//! Bytes of a file: samples or a failure, within bounds of time and memory.
#![no_main]

#[path = "../exercise.rs"]
mod exercise;

use libfuzzer_sys::fuzz_target;

fuzz_target!(
    init: {
        // A decoder's panic is that file's failure and is caught where it happens; the fuzzer would end at
        // it. A panic that is not caught still ends it.
        std::panic::set_hook(Box::new(|_| {}));
    },
    |bytes: &[u8]| {
        let _ = exercise::decode(bytes);
    }
);
