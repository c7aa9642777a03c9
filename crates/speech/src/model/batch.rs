//! Which segments are run together: those of similar length, so that little of a batch is padding.

use crate::framing::SAMPLE_RATE;
use std::collections::VecDeque;

use super::inference::Queued;

/// A segment joins a batch only if the shortest one is then at least this share of the longest.
const MIN_FILL: f64 = 0.7;

/// What bounds the memory of a run.
#[derive(Debug, Clone, Copy)]
pub(super) struct BatchLimits {
    /// Most segments.
    pub(super) items: usize,
    /// Most audio, seconds, padding included. A single segment may be longer.
    pub(super) seconds: f64,
}

/// Takes the oldest request, and with it those of similar length, within the limits and at most `share` of them.
pub(super) fn next_batch(queue: &mut VecDeque<Queued>, limits: BatchLimits, share: usize) -> Vec<Queued> {
    let Some(oldest) = queue.pop_front() else { return Vec::new() };
    let (budget, most) = (limits.seconds * f64::from(SAMPLE_RATE), limits.items.min(share));
    let (mut shortest, mut longest) = (oldest.request.samples.len(), oldest.request.samples.len());
    let mut batch = vec![oldest];
    let mut i = 0;
    while i < queue.len() && batch.len() < most {
        let length = queue[i].request.samples.len();
        let (low, high) = (shortest.min(length), longest.max(length));
        let fits = low as f64 >= MIN_FILL * high as f64 && (high * (batch.len() + 1)) as f64 <= budget;
        match if fits { queue.remove(i) } else { None } {
            Some(next) => {
                (shortest, longest) = (low, high);
                batch.push(next);
            }
            None => i += 1,
        }
    }
    batch
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Request;

    const LIMITS: BatchLimits = BatchLimits { items: 4, seconds: 30.0 };

    fn queue(seconds: &[usize]) -> VecDeque<Queued> {
        let request =
            |s: &usize| Request { samples: vec![0.0; s * SAMPLE_RATE as usize], frames: false, interactive: false };
        seconds.iter().map(|s| Queued::new(request(s)).0).collect()
    }

    fn seconds(batch: &[Queued]) -> Vec<usize> {
        batch.iter().map(|queued| queued.request.samples.len() / SAMPLE_RATE as usize).collect()
    }

    #[test]
    fn a_batch_holds_segments_of_similar_length_oldest_first() {
        let mut queue = queue(&[10, 3, 8, 30, 9]);
        assert_eq!(seconds(&next_batch(&mut queue, LIMITS, 9)), [10, 8, 9]);
        assert_eq!(seconds(&next_batch(&mut queue, LIMITS, 9)), [3]);
        assert_eq!(seconds(&next_batch(&mut queue, LIMITS, 9)), [30]);
        assert!(next_batch(&mut queue, LIMITS, 9).is_empty());
    }

    #[test]
    fn a_batch_keeps_its_limits() {
        assert_eq!(next_batch(&mut queue(&[2; 9]), LIMITS, 9).len(), 4);
        assert_eq!(next_batch(&mut queue(&[15; 9]), LIMITS, 9).len(), 2);
        assert_eq!(next_batch(&mut queue(&[2; 9]), LIMITS, 3).len(), 3);
    }
}
