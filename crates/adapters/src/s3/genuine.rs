//! Tells answers of a store from those of something in its place, such as a load balancer's page while a store is maintained.
//! Such an answer may have any status: 404 is not "there is no such object" then, and 200 not "it is deleted".

use aws_sdk_s3::config::interceptors::BeforeDeserializationInterceptorContextMut;
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::BoxError;

/// Makes an answer that is not from an S3 store one that says 503.
#[derive(Debug)]
pub(super) struct GenuineAnswers;

impl Intercept for GenuineAnswers {
    fn name(&self) -> &'static str {
        "GenuineAnswers"
    }

    fn modify_before_deserialization(
        &self,
        context: &mut BeforeDeserializationInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let headers = context.response().headers();
        let identified = headers.get("etag").is_some() || headers.get("x-amz-request-id").is_some();
        if !identified && !headers.get("content-type").is_none_or(is_of_a_store) {
            *context.response_mut().status_mut() = 503.try_into()?;
        }
        Ok(())
    }
}

/// Whether a store writes answers of this content type. Objects may have any, and come with an etag.
fn is_of_a_store(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    ["", "application/xml", "text/xml", "application/octet-stream", "binary/octet-stream"].contains(&essence.as_str())
}

#[cfg(test)]
mod tests {
    use super::is_of_a_store;

    #[test]
    fn pages_for_people_are_not_of_a_store() {
        assert!(is_of_a_store("application/xml") && is_of_a_store("Text/XML; charset=utf-8"));
        assert!(!is_of_a_store("text/html; charset=utf-8") && !is_of_a_store("application/json"));
        assert!(!is_of_a_store("text/plain"));
    }
}
