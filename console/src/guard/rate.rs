//! Limits each caller's requests.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::app::Shared;
use crate::auth::Principal;
use crate::problem::Problem;

/// Attempts to log in, a minute, of one address and of one name.
const LOGINS: NonZeroU32 = NonZeroU32::new(10).expect("ten is not zero");
/// Wrong tokens, a minute, of one address.
const WRONG_TOKENS: NonZeroU32 = NonZeroU32::new(30).expect("thirty is not zero");
/// Requests after which callers without a recent request are removed from memory.
const SWEEP: u32 = 10_000;

/// Counts requests by caller.
pub(crate) struct RateLimit {
    requests: Option<DefaultKeyedRateLimiter<String>>,
    logins: DefaultKeyedRateLimiter<String>,
    wrong_tokens: DefaultKeyedRateLimiter<String>,
    seen: AtomicU32,
}

impl RateLimit {
    /// So many requests a minute; 0: no limit.
    pub(crate) fn new(per_minute: u32) -> Self {
        let requests = NonZeroU32::new(per_minute).map(|n| RateLimiter::keyed(Quota::per_minute(n)));
        let (logins, wrong_tokens) = (Quota::per_minute(LOGINS), Quota::per_minute(WRONG_TOKENS));
        Self {
            requests,
            logins: RateLimiter::keyed(logins),
            wrong_tokens: RateLimiter::keyed(wrong_tokens),
            seen: AtomicU32::new(0),
        }
    }

    fn check(&self, caller: &str) -> Result<(), Problem> {
        self.sweep();
        let Some(requests) = &self.requests else { return Ok(()) };
        requests.check_key(&caller.to_owned()).map_err(|until| too_many(&until))
    }

    fn sweep(&self) {
        if self.seen.fetch_add(1, Ordering::Relaxed) % SWEEP == SWEEP - 1 {
            if let Some(requests) = &self.requests {
                requests.retain_recent();
            }
            self.logins.retain_recent();
            self.wrong_tokens.retain_recent();
        }
    }

    /// Counts a wrong token. Right ones from the same address, which may be a proxy's, are not concerned.
    ///
    /// # Errors
    /// 429 with the time to wait.
    pub(crate) fn check_wrong_token(&self, address: &str) -> Result<(), Problem> {
        self.sweep();
        self.wrong_tokens.check_key(&address.to_owned()).map_err(|until| too_many(&until))
    }

    /// Counts an attempt to log in.
    ///
    /// # Errors
    /// 429 with the time to wait.
    pub(crate) fn check_login(&self, address: &str, name: &str) -> Result<(), Problem> {
        for key in [format!("address {address}"), format!("name {name}")] {
            self.logins.check_key(&key).map_err(|until| too_many(&until))?;
        }
        Ok(())
    }
}

fn too_many(until: &governor::NotUntil<<DefaultClock as Clock>::Instant>) -> Problem {
    let wait = until.wait_time_from(DefaultClock::default().now()).as_secs_f64().ceil() as u32;
    Problem::rate_limited(wait.max(1))
}

/// Lets a request pass, or answers 429. Files of the pages are not counted.
pub(crate) async fn rate_limit(State(app): State<Shared>, request: Request, next: Next) -> Response {
    if !request.uri().path().starts_with("/assets/") {
        let principal = request.extensions().get::<Principal>();
        let caller = principal.filter(|p| p.name() != "local").map(Principal::name);
        let caller = caller.unwrap_or_else(|| crate::auth::peer_name(&request));
        if let Err(problem) = app.rate.check(&caller) {
            return problem.into_response();
        }
    }
    next.run(request).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_caller_has_a_limit_of_its_own() {
        let rate = RateLimit::new(2);
        assert!(rate.check("a").is_ok() && rate.check("a").is_ok());
        let refused = rate.check("a").expect_err("the third request");
        assert_eq!(refused.status.as_u16(), 429);
        assert!(refused.retry_after_s.is_some_and(|wait| (1..=60).contains(&wait)));
        assert!(rate.check("b").is_ok());
        assert!(RateLimit::new(0).check("a").is_ok());
    }

    #[test]
    fn wrong_tokens_of_one_address_are_limited() {
        let rate = RateLimit::new(0);
        let refused = (0..=WRONG_TOKENS.get()).filter(|_| rate.check_wrong_token("10.0.0.7").is_err()).count();
        assert_eq!(refused, 1);
        assert!(rate.check_wrong_token("10.0.0.8").is_ok());
    }

    #[test]
    fn names_of_old_logins_do_not_stay_in_memory_when_requests_have_no_limit() {
        let rate = RateLimit {
            logins: RateLimiter::keyed(Quota::per_second(NonZeroU32::new(1000).expect("not zero"))),
            ..RateLimit::new(0)
        };
        assert!(rate.check_login("10.0.0.7", "lin").is_ok());
        assert_eq!(rate.logins.len(), 2);
        std::thread::sleep(std::time::Duration::from_millis(5));
        rate.seen.store(SWEEP - 1, Ordering::Relaxed);
        assert!(rate.check("a").is_ok());
        assert_eq!(rate.logins.len(), 0);
    }
}
