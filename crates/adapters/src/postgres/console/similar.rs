//! Recordings that sound alike, by the cosine of their embeddings. Exact: every candidate is compared.

use domain::{Failure, JobId};
use futures_util::TryStreamExt;
use sqlx::{Postgres, QueryBuilder, Row};
use std::cmp::Ordering;
use uuid::Uuid;

use super::filter::AnalysisFilter;
use crate::boxed;
use crate::postgres::{Database, errors};

/// The nearest recordings.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Neighbours {
    /// Analyses that were compared.
    pub compared: u64,
    /// The nearest of them and the cosine of both embeddings, nearest first.
    pub nearest: Vec<(JobId, f32)>,
}

impl Database {
    /// The `k` analyses whose embeddings are nearest to that of `job`, among the newest `among` that the filter holds.
    /// Only embeddings of the same model are compared, of other recordings. `None`: the job has no embedding.
    ///
    /// # Errors
    /// `database.unreachable`, `database.refused`.
    #[boxed]
    pub async fn neighbours(
        &self,
        job: JobId,
        filter: &AnalysisFilter,
        k: usize,
        among: u32,
    ) -> Result<Option<Neighbours>, Failure> {
        self.compare(job, filter, k, among).await.map_err(|e| errors::failure(&e))
    }

    async fn compare(
        &self,
        job: JobId,
        filter: &AnalysisFilter,
        k: usize,
        among: u32,
    ) -> Result<Option<Neighbours>, sqlx::Error> {
        const OWN: &str = "SELECT embedding, model_sha256, recording_id FROM analyses
            WHERE job_id = $1 AND status = 'done' AND embedding IS NOT NULL";
        let Some(own) = sqlx::query(OWN).bind(job.0).fetch_optional(self.pool()).await? else { return Ok(None) };
        let embedding: Vec<f32> = own.try_get("embedding")?;
        let mut query = QueryBuilder::<Postgres>::new(
            "SELECT a.job_id, a.embedding FROM analyses a JOIN recordings r ON r.id = a.recording_id
            WHERE a.status = 'done' AND a.embedding IS NOT NULL AND a.recording_id <> ",
        );
        query.push_bind(own.try_get::<Uuid, _>("recording_id")?);
        query.push(" AND a.model_sha256 = ").push_bind(own.try_get::<Option<String>, _>("model_sha256")?);
        AnalysisFilter { latest: true, ..filter.clone() }.push(&mut query);
        query.push(" ORDER BY a.called_at DESC LIMIT ").push_bind(i64::from(among));
        let statement = query.build();
        let mut rows = statement.fetch(self.pool());
        let mut found = Neighbours::default();
        while let Some(row) = rows.try_next().await? {
            found.compared += 1;
            let other: Vec<f32> = row.try_get("embedding")?;
            let Some(cosine) = cosine(&embedding, &other) else { continue };
            let place = found.nearest.partition_point(|(_, known)| known.total_cmp(&cosine) != Ordering::Less);
            if place < k {
                found.nearest.insert(place, (JobId(row.try_get("job_id")?), cosine));
                found.nearest.truncate(k);
            }
        }
        Ok(Some(found))
    }
}

/// `None`: of different length, or without a direction.
fn cosine(a: &[f32], b: &[f32]) -> Option<f32> {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    let length = dot(a, a).sqrt() * dot(b, b).sqrt();
    (a.len() == b.len() && length > 0.0).then(|| (dot(a, b) / length) as f32)
}

#[cfg(test)]
mod tests {
    use super::cosine;

    #[test]
    fn the_cosine_is_that_of_the_angle_and_needs_two_directions() {
        assert_eq!(cosine(&[1.0, 0.0], &[2.0, 0.0]), Some(1.0));
        assert_eq!(cosine(&[1.0, 0.0], &[0.0, 3.0]), Some(0.0));
        assert_eq!(cosine(&[1.0, 0.0], &[-1.0, 0.0]), Some(-1.0));
        assert_eq!(cosine(&[1.0], &[1.0, 1.0]), None);
        assert_eq!(cosine(&[0.0, 0.0], &[1.0, 1.0]), None);
    }
}
