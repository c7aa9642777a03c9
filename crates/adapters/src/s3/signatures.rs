#![allow(missing_docs, clippy::unused_async, unused_variables)]
use crate::config;
use domain::{Failure, ObjectRef};
use futures_util::Stream;
use std::path::Path;

#[derive(Debug, Clone)]
pub struct Store;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    pub bytes: u64,
    pub etag: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectInfo {
    pub key: String,
    pub etag: Option<String>,
    pub bytes: u64,
    pub modified: Option<chrono::DateTime<chrono::Utc>>,
}

impl Store {
    pub fn connect(config: &config::S3) -> Result<Self, Failure> {
        todo!()
    }
    pub async fn ping(&self, bucket: &str) -> Result<(), Failure> {
        todo!()
    }
    pub async fn ensure_bucket(&self, bucket: &str) -> Result<(), Failure> {
        todo!()
    }
    pub async fn fetch(&self, object: &ObjectRef, dest: &Path, max_bytes: u64) -> Result<Fetched, Failure> {
        todo!()
    }
    pub async fn put_file(&self, bucket: &str, key: &str, path: &Path, content_type: &str) -> Result<String, Failure> {
        todo!()
    }
    pub async fn put_bytes(
        &self,
        bucket: &str,
        key: &str,
        body: Vec<u8>,
        content_type: &str,
    ) -> Result<String, Failure> {
        todo!()
    }
    pub fn list(&self, bucket: &str, prefix: &str) -> impl Stream<Item = Result<ObjectInfo, Failure>> + Send + 'static {
        futures_util::stream::empty()
    }
    pub async fn head(&self, bucket: &str, key: &str) -> Result<Option<ObjectInfo>, Failure> {
        todo!()
    }
    pub async fn get_bytes(&self, bucket: &str, key: &str, max_bytes: u64) -> Result<Vec<u8>, Failure> {
        todo!()
    }
    pub async fn delete(&self, bucket: &str, keys: &[String]) -> Result<(), Failure> {
        todo!()
    }
}
