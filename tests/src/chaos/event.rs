//! The kinds of events of a run.

/// Something that happens to the fleet: a fault, or what an operator or a stranger does.
#[derive(Debug, Clone)]
pub enum Event {
    /// `producer enqueue` of a chunk, for the first time.
    Feed {
        /// Which.
        chunk: usize,
    },
    /// A worker is killed with -9, and another started.
    KillWorker {
        /// Which, counted round.
        which: usize,
    },
    /// A worker ends by SIGTERM, and another is started.
    StopWorker {
        /// Which, counted round.
        which: usize,
    },
    /// A worker stands still by SIGSTOP, and then goes on, or is killed.
    FreezeWorker {
        /// Which, counted round.
        which: usize,
        /// For how long.
        seconds: u64,
        /// Killed at the end.
        killed: bool,
    },
    /// The dispatcher is killed with -9, and another started.
    KillDispatcher,
    /// RabbitMQ is killed and started.
    KillBroker,
    /// Postgres is restarted.
    RestartPostgres {
        /// Killed rather than stopped.
        kill: bool,
    },
    /// The store misbehaves.
    Store {
        /// How.
        fault: StoreFault,
        /// For how long.
        seconds: u64,
    },
    /// The network between the programs and a service is cut, or stalls.
    Network {
        /// Which service.
        service: Service,
        /// No byte moves and no connection closes.
        stall: bool,
        /// For how long.
        seconds: u64,
    },
    /// The workers' temporary disk is full.
    DiskFull {
        /// For how long.
        seconds: u64,
    },
    /// Postgres refuses.
    Rights {
        /// What.
        refusal: Refusal,
        /// For how long.
        seconds: u64,
    },
    /// A queue is purged or deleted with what is in it.
    LoseQueue {
        /// Which.
        queue: LostQueue,
        /// Deleted rather than purged.
        deleted: bool,
    },
    /// Messages of jobs are published once more.
    Duplicates {
        /// Of these calls.
        calls: Vec<usize>,
    },
    /// Messages with the ids of jobs, and other keys.
    Forged {
        /// Of these calls.
        calls: Vec<usize>,
    },
    /// Messages that no worker takes for a job.
    Unreadable {
        /// In place of these calls.
        calls: Vec<usize>,
        /// What is wrong with them.
        form: Form,
        /// With the jobs' message ids.
        named: bool,
    },
    /// A chunk that came is enqueued again.
    Again {
        /// Which.
        chunk: usize,
        /// The producer is killed after so many milliseconds.
        killed_after: Option<u64>,
    },
    /// `producer enqueue --force`.
    Force {
        /// Of these calls.
        calls: Vec<usize>,
        /// The producer is killed after so many milliseconds.
        killed_after: Option<u64>,
    },
    /// `producer prune --call`.
    Prune {
        /// Which.
        call: usize,
        /// With `--even-unfinished`.
        even_unfinished: bool,
        /// With `--recordings`.
        recordings: bool,
        /// The producer is killed after so many milliseconds.
        killed_after: Option<u64>,
    },
    /// `producer prune --older-than`.
    PruneOld {
        /// The producer is killed after so many milliseconds.
        killed_after: Option<u64>,
    },
    /// A call is pruned and asked for with `--force` at the same time.
    ForceBesidePrune {
        /// Which.
        call: usize,
    },
    /// A call is pruned and enqueued at the same time.
    AgainBesidePrune {
        /// Which.
        call: usize,
    },
    /// `producer dlq replay --all` by several at once.
    Replay {
        /// How many.
        programs: usize,
        /// They are killed after so many milliseconds.
        killed_after: Option<u64>,
    },
    /// `producer dlq drop`.
    Drop {
        /// With this failure code.
        code: &'static str,
    },
    /// `producer reconcile`.
    Reconcile,
    /// Reviews are imported while one of the calls is pruned.
    ReviewsBesidePrune {
        /// Of these calls.
        calls: Vec<usize>,
        /// One of them.
        pruned: usize,
    },
    /// The receiver of alerts refuses.
    ReceiverRefuses {
        /// So many requests.
        times: usize,
    },
}

/// How the store misbehaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreFault {
    /// 503.
    Unavailable,
    /// No answer.
    Stall,
    /// Answers break off.
    CutAnswers,
    /// Requests break off.
    CutRequests,
    /// 403.
    Denied,
    /// A page for people with 200.
    Page,
    /// A page for people with 404.
    PageNotFound,
}

/// What is cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// RabbitMQ.
    Broker,
    /// Postgres.
    Postgres,
    /// S3.
    Store,
    /// All three.
    All,
}

/// What Postgres refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// To write results.
    Results,
    /// To write alerts.
    Alerts,
    /// Everything about a table that is missing.
    MissingTable,
    /// To write at all.
    ReadOnly,
}

/// Which queue is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LostQueue {
    /// Of jobs.
    Bulk,
    /// One of those of jobs that wait for a retry.
    Retry,
}

/// What is wrong with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// No JSON.
    Garbage,
    /// A version that no worker knows.
    NewerVersion,
    /// Longer than a message may be.
    TooLong,
}

impl Event {
    /// Its name in the table.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Feed { .. } => "enqueue",
            Self::KillWorker { .. } => "worker killed with -9",
            Self::StopWorker { .. } => "worker stopped and started",
            Self::FreezeWorker { killed: false, .. } => "worker frozen",
            Self::FreezeWorker { killed: true, .. } => "worker frozen, then killed",
            Self::KillDispatcher => "dispatcher killed with -9",
            Self::KillBroker => "RabbitMQ killed and started",
            Self::RestartPostgres { kill: false } => "Postgres restarted",
            Self::RestartPostgres { kill: true } => "Postgres killed and started",
            Self::Store { fault, .. } => match fault {
                StoreFault::Unavailable => "S3 answers 503",
                StoreFault::Stall => "S3 stalls",
                StoreFault::CutAnswers => "S3 answers break off",
                StoreFault::CutRequests => "S3 requests break off",
                StoreFault::Denied => "S3 answers 403",
                StoreFault::Page => "S3 answers 200 with a page",
                StoreFault::PageNotFound => "S3 answers 404 with a page",
            },
            Self::Network { stall: false, .. } => "network cut",
            Self::Network { stall: true, .. } => "network stalls",
            Self::DiskFull { .. } => "temporary disk full",
            Self::Rights { .. } => "Postgres refuses",
            Self::LoseQueue { deleted: false, .. } => "queue purged",
            Self::LoseQueue { deleted: true, .. } => "queue deleted",
            Self::Duplicates { .. } => "messages published twice",
            Self::Forged { .. } => "messages with another job's id",
            Self::Unreadable { .. } => "messages that are no jobs",
            Self::Again { killed_after: None, .. } => "enqueue again",
            Self::Again { .. } => "enqueue again, killed",
            Self::Force { killed_after: None, .. } => "enqueue --force",
            Self::Force { .. } => "enqueue --force, killed",
            Self::Prune { killed_after: None, .. } => "prune --call",
            Self::Prune { .. } => "prune --call, killed",
            Self::PruneOld { killed_after: None } => "prune --older-than",
            Self::PruneOld { .. } => "prune --older-than, killed",
            Self::ForceBesidePrune { .. } => "enqueue --force beside prune",
            Self::AgainBesidePrune { .. } => "enqueue beside prune",
            Self::Replay { killed_after: None, .. } => "dlq replay by several",
            Self::Replay { .. } => "dlq replay by several, killed",
            Self::Drop { .. } => "dlq drop",
            Self::Reconcile => "reconcile",
            Self::ReviewsBesidePrune { .. } => "review import beside prune",
            Self::ReceiverRefuses { .. } => "receiver of alerts refuses",
        }
    }
}
