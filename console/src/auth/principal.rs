//! A caller with capabilities, and extractors that demand one.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use std::marker::PhantomData;
use std::net::IpAddr;

use crate::problem::Problem;

domain::label_enum! {
    /// One thing that a caller may do, in ascending order of weight; its label is a scope of tokens.
    pub(crate) enum Capability: "scope" {
        /// Send recordings and see their results.
        Predict = "predict",
        /// See analyses, timelines and batches.
        Read = "read",
        /// Play and download audio and embeddings.
        Listen = "listen",
        /// Review predictions.
        Review = "review",
        /// Delete, export, replay.
        Admin = "admin",
    }
}

/// What a role may do; `None`: there is no such role.
pub(crate) fn role_capabilities(role: &str) -> Option<&'static [Capability]> {
    match role {
        "viewer" => Some(&Capability::ALL[..2]),
        "reviewer" => Some(&Capability::ALL[..4]),
        "admin" => Some(&Capability::ALL),
        _ => None,
    }
}

/// Who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Who {
    /// Anyone who reaches the console on loopback, where no login is asked for.
    Local,
    /// A person with a session.
    User(String),
    /// A program with a token.
    Token(String),
}

/// A caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Principal {
    /// Who it is.
    pub who: Who,
    /// Only recordings of this team are visible; `None`: all.
    pub team: Option<String>,
    /// What it may do.
    pub capabilities: Vec<Capability>,
    /// Where it calls from.
    pub address: IpAddr,
}

impl Principal {
    /// `local`, `user:NAME` or `token:NAME`: a user and a token of the same name differ.
    pub(crate) fn name(&self) -> String {
        match &self.who {
            Who::Local => "local".into(),
            Who::User(name) => format!("user:{name}"),
            Who::Token(name) => format!("token:{name}"),
        }
    }

    /// The person's name, for the page's head.
    pub(crate) fn user(&self) -> Option<&str> {
        match &self.who {
            Who::User(name) => Some(name),
            _ => None,
        }
    }

    /// Refuses callers that are bound to one team: the answer may contain other teams' recordings.
    pub(crate) fn require_all_teams(&self) -> Result<(), Problem> {
        match self.team {
            Some(_) => Err(Problem::forbidden("This is for those who see all teams.")),
            None => Ok(()),
        }
    }

    /// Whether it may do this.
    pub(crate) fn may(&self, capability: Capability) -> bool {
        self.capabilities.contains(&capability)
    }
}

/// What an extractor demands.
pub(crate) trait Demand: Send {
    /// One of these is enough.
    const ANY_OF: &[Capability];
}

macro_rules! demands {
    ($( $(#[$doc:meta])* $name:ident = $( $capability:ident )|+; )*) => { $(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy)]
        pub(crate) struct $name;
        impl Demand for $name {
            const ANY_OF: &[Capability] = &[$( Capability::$capability ),+];
        }
    )* };
}

demands! {
    /// May send recordings.
    Predicts = Predict;
    /// May see results.
    Reads = Read;
    /// May see results, or those of its own recordings: [`App::visible`](crate::app::App::visible) decides.
    Follows = Read | Predict;
    /// May play and download.
    Listens = Listen;
    /// May review.
    Reviews = Review;
    /// May delete and export.
    Administers = Admin;
}

/// A caller who may do what `D` demands. Others are answered 401 or 403.
#[derive(Debug, Clone)]
pub(crate) struct Caller<D: Demand>(pub Principal, pub PhantomData<D>);

impl<D: Demand, S: Sync> FromRequestParts<S> for Caller<D> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let principal = parts.extensions.get::<Principal>().cloned().ok_or_else(Problem::unauthorized)?;
        if D::ANY_OF.iter().any(|capability| principal.may(*capability)) {
            Ok(Self(principal, PhantomData))
        } else {
            let names: Vec<_> = D::ANY_OF.iter().map(|capability| format!("`{}`", capability.label())).collect();
            Err(Problem::forbidden(format!("This needs the permission {}.", names.join(" or "))))
        }
    }
}
