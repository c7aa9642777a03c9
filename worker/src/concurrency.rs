//! How much a worker does at the same time: one rule from cores and settings.

use settings::Settings;
use speech::settings::Concurrency;

/// What the settings leave open, filled in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// How the model is run.
    pub model: Concurrency,
    /// Jobs of the bulk lane in flight.
    pub slots: u16,
    /// Jobs of the interactive lane in flight, each also unacknowledged.
    pub interactive: u16,
    /// Unacknowledged jobs of the bulk lane.
    pub prefetch: u16,
    /// Connections to Postgres.
    pub connections: u32,
}

/// Slots for each caller of the model: one job computes while another one is fetched or uploaded.
const SLOTS_PER_CALLER: usize = 2;
/// Further slots: with them, a recording that is slow to fetch does not leave a caller without work.
const SPARE_SLOTS: usize = 2;
/// Connections beside those of the slots.
const SPARE_CONNECTIONS: u32 = 1;

impl Plan {
    /// Settings that are 0 follow from the callers of the model: slots are `2 * callers + 2`, the prefetch is
    /// as many, since the broker counts the time that a job waits for a slot. The interactive lane has a slot for each
    /// caller, so that the model is never without work while people wait. The connections are one for each slot, and one to spare.
    pub fn of(settings: &Settings) -> Self {
        Self::with_model(settings, settings.model.concurrency())
    }

    fn with_model(settings: &Settings, model: Concurrency) -> Self {
        let or = |configured: u16, by_rule: u16| if configured == 0 { by_rule } else { configured };
        let slots = model.callers.saturating_mul(SLOTS_PER_CALLER).saturating_add(SPARE_SLOTS);
        let slots = or(settings.worker.slots, u16::try_from(slots).unwrap_or(u16::MAX));
        let interactive = u16::try_from(model.callers).unwrap_or(u16::MAX).max(1);
        let prefetch = or(settings.amqp.prefetch, slots);
        let connections = match settings.postgres.max_connections {
            0 => u32::from(slots) + u32::from(interactive) + SPARE_CONNECTIONS,
            configured => configured,
        };
        Self { model, slots, interactive, prefetch, connections }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(toml: &str, callers: usize) -> (u16, u16, u32) {
        let settings = Settings::from_toml(toml).expect("valid");
        let plan = Plan::with_model(&settings, Concurrency { callers, threads: 1 });
        (plan.slots, plan.prefetch, plan.connections)
    }

    #[test]
    fn all_follows_from_the_callers_of_the_model() {
        assert_eq!(plan("", 2), (6, 6, 9));
        assert_eq!(plan("", 16), (34, 34, 51));
    }

    #[test]
    fn a_setting_overrides_the_rule() {
        assert_eq!(plan("[worker]\nslots = 3", 16), (3, 3, 20));
        let all = "[worker]\nslots = 3\n[amqp]\nprefetch = 4\n[postgres]\nmax_connections = 9";
        assert_eq!(plan(all, 16), (3, 4, 9));
    }
}
