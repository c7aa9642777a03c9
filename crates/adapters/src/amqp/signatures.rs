#![allow(missing_docs, clippy::unused_async, clippy::needless_pass_by_value, unused_variables)]
use crate::config;
use domain::{Failure, Job};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lane {
    Bulk,
    Interactive,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Link {
    Connecting { why: String },
    Up,
}

#[derive(Debug, Clone)]
pub struct Publisher;

impl Publisher {
    pub fn connect(config: &config::Amqp) -> Self {
        todo!()
    }
    pub async fn ready(&self) -> Result<(), Failure> {
        todo!()
    }
    pub async fn publish_job(&self, job: &Job, lane: Lane) -> Result<(), Failure> {
        todo!()
    }
    pub async fn publish_jobs(&self, jobs: &[Job], lane: Lane) -> Vec<Result<(), Failure>> {
        todo!()
    }
    pub async fn publish_alert(&self, routing_key: &str, body: &[u8]) -> Result<(), Failure> {
        todo!()
    }
}

#[derive(Debug)]
pub struct Leases;

pub fn consume(config: &config::Amqp, lane: Lane, prefetch: u16, stop: CancellationToken) -> Leases {
    todo!()
}

impl Leases {
    pub async fn recv(&mut self) -> Option<Lease> {
        todo!()
    }
    pub fn health(&self) -> watch::Receiver<Link> {
        todo!()
    }
    pub fn lost_leases(&self) -> u64 {
        todo!()
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the lease on the job was lost")]
pub struct LeaseLost;

#[derive(Debug)]
pub struct Lease {
    pub body: Vec<u8>,
    pub message_id: Option<String>,
    pub retries: u32,
    pub redelivered: bool,
    pub lane: Lane,
}

#[derive(Debug)]
pub enum Retry {
    Scheduled { delay_s: u32 },
    Exhausted(Lease),
}

impl Lease {
    pub fn lost(&self) -> &CancellationToken {
        todo!()
    }
    pub async fn ack(self) -> Result<(), LeaseLost> {
        todo!()
    }
    pub async fn retry(self, failure: &Failure) -> Result<Retry, Failure> {
        todo!()
    }
    pub async fn dead_letter(self, failure: &Failure, worker: &str) -> Result<(), Failure> {
        todo!()
    }
    pub async fn hand_back(self) {
        todo!()
    }
}
