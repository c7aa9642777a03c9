//! Buckets: check, create.

use aws_sdk_s3::types::{BucketLocationConstraint, CreateBucketConfiguration};
use domain::{Failure, FailureCode};

use super::Store;
use super::failures::{failure, status};
use crate::boxed;

impl Store {
    /// Whether the store answers and allows access to the bucket.
    ///
    /// # Errors
    /// `store.unreachable`; `store.denied`, also when there is no such bucket.
    #[boxed]
    pub async fn ping(&self, bucket: &str) -> Result<(), Failure> {
        match self.client.head_bucket().bucket(bucket).send().await {
            Ok(_) => Ok(()),
            Err(e) if status(&e) == Some(404) => Err(Failure::new(
                FailureCode::StoreDenied,
                format!("the bucket `{bucket}` does not exist: create it or set s3.bucket"),
            )),
            Err(e) => Err(failure(&format!("asking the store for the bucket `{bucket}`"), &e)),
        }
    }

    /// Creates the bucket unless it is there.
    ///
    /// # Errors
    /// `store.unreachable`, `store.denied`.
    #[boxed]
    pub async fn ensure_bucket(&self, bucket: &str) -> Result<(), Failure> {
        match self.client.head_bucket().bucket(bucket).send().await {
            Ok(_) => return Ok(()),
            Err(e) if status(&e) == Some(404) => {}
            Err(e) => return Err(failure(&format!("asking the store for the bucket `{bucket}`"), &e)),
        }
        let mut request = self.client.create_bucket().bucket(bucket);
        // AWS needs the region spelled out, except for its default.
        if self.endpoint.is_empty() && self.region != "us-east-1" {
            let place = BucketLocationConstraint::from(self.region.as_str());
            request = request
                .create_bucket_configuration(CreateBucketConfiguration::builder().location_constraint(place).build());
        }
        match request.send().await {
            Ok(_) => Ok(()),
            // Another program created it meanwhile.
            Err(e) if status(&e) == Some(409) && self.client.head_bucket().bucket(bucket).send().await.is_ok() => {
                Ok(())
            }
            Err(e) => Err(failure(&format!("creating the bucket `{bucket}`"), &e)),
        }
    }
}
