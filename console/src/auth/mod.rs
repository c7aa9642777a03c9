//! Callers, and what they may do.

mod identify;
mod password;
mod principal;
mod secret;

pub(crate) use identify::{SESSION_COOKIE, bearer, identify, peer_name};
pub(crate) use password::Passwords;
pub(crate) use principal::{
    Administers, Caller, Capability, Follows, Listens, Predicts, Principal, Reads, Reviews, Who, role_capabilities,
};
pub(crate) use secret::{Secret, cookie};
