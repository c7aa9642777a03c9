//! Memory that is given back instead of kept: a worker lives for weeks.

/// Arenas of the C library's allocator. By default there are eight for each core, and threads that decode now here, now there leave
/// holes in all of them: resident memory rose by a fifth over the first 600 jobs. Call it before any thread is started.
#[cfg(target_env = "gnu")]
#[expect(unsafe_code, reason = "a setting of the C library that has no safe wrapper")]
pub fn limit_arenas() {
    // SAFETY: it takes two numbers, touches no memory of ours, and no other thread runs yet.
    // A refusal leaves the default, with which everything works as well.
    unsafe { libc::mallopt(libc::M_ARENA_MAX, 2) };
}

/// Other C libraries have no arenas to limit.
#[cfg(not(target_env = "gnu"))]
pub fn limit_arenas() {}
