//! Notifications of a store about its objects: the JSON of S3, as MinIO and Ceph put it into a queue.

use percent_encoding::percent_decode_str;
use serde_json::Value;

/// What happened to an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// It was written.
    Written(ObjectName),
    /// Something else: it was deleted, read, tagged.
    Other,
}

/// An object, as a notification names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectName {
    /// Its bucket.
    pub bucket: String,
    /// Its key, out of the URL encoding of notifications.
    pub key: String,
    /// The key as it was sent, where that differs: some stores do not encode it.
    pub as_sent: Option<String>,
}

/// The events of a message, or of each record that can't be read, why. A test message has no events.
///
/// # Errors
/// Why the message is no notification.
pub fn events(message: &[u8]) -> Result<Vec<Result<Event, String>>, String> {
    let message: Value = serde_json::from_slice(message).map_err(|e| format!("it is not JSON: {e}"))?;
    // By way of an SNS topic, the notification is a text in another one.
    if message["Type"] == "Notification"
        && let Some(inner) = message["Message"].as_str()
    {
        let inner: Value = serde_json::from_str(inner).map_err(|e| format!("its `Message` is not JSON: {e}"))?;
        return records(&inner);
    }
    records(&message)
}

fn records(message: &Value) -> Result<Vec<Result<Event, String>>, String> {
    if message["Event"] == "s3:TestEvent" {
        return Ok(Vec::new());
    }
    let records = message["Records"].as_array().ok_or("it has no `Records`")?;
    Ok((0..).zip(records).map(|(i, record)| event(record).map_err(|what| format!("record {i}: {what}"))).collect())
}

fn event(record: &Value) -> Result<Event, String> {
    let text = |pointer: &str| {
        let found = record.pointer(pointer).and_then(Value::as_str).filter(|text| !text.is_empty());
        found.ok_or_else(|| format!("it has no `{}`", pointer.trim_start_matches('/').replace('/', ".")))
    };
    let name = text("/eventName")?;
    let name = name.strip_prefix("s3:").unwrap_or(name);
    // Ceph names objects that came from another zone so.
    if !name.starts_with("ObjectCreated:") && name != "ObjectSynced:Create" {
        return Ok(Event::Other);
    }
    let (bucket, sent) = (text("/s3/bucket/name")?, text("/s3/object/key")?);
    let key = decoded(sent);
    let key = key.ok_or_else(|| format!("the key `{sent}` is not UTF-8"))?;
    let as_sent = (key != sent).then(|| sent.to_owned());
    Ok(Event::Written(ObjectName { bucket: bucket.to_owned(), key, as_sent }))
}

/// A key out of the encoding of a form: `+` is a space.
fn decoded(key: &str) -> Option<String> {
    percent_decode_str(&key.replace('+', " ")).decode_utf8().ok().map(std::borrow::Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(bucket: &str, key: &str, as_sent: Option<&str>) -> Event {
        let as_sent = as_sent.map(str::to_owned);
        Event::Written(ObjectName { bucket: bucket.into(), key: key.into(), as_sent })
    }

    #[test]
    fn minio_and_radosgw_name_an_object_in_the_encoding_of_a_form() {
        let minio =
            br#"{"EventName":"s3:ObjectCreated:Put","Key":"calls/2026/a b+c.wav","Records":[{"eventVersion":"2.0",
            "eventSource":"minio:s3","eventTime":"2026-11-26T08:00:00.000Z","eventName":"s3:ObjectCreated:Put",
            "s3":{"s3SchemaVersion":"1.0","bucket":{"name":"calls","arn":"arn:aws:s3:::calls"},
            "object":{"key":"2026%2Fa+b%2Bc.wav","size":1024,"eTag":"d41d8cd9","versionId":"v1","sequencer":"17"}}}]}"#;
        assert_eq!(events(minio), Ok(vec![Ok(written("calls", "2026/a b+c.wav", Some("2026%2Fa+b%2Bc.wav")))]));
        let rados = r#"{"Records":[{"eventVersion":"2.2","eventSource":"ceph:s3","eventName":"ObjectCreated:CompleteMultipartUpload",
            "s3":{"bucket":{"name":"calls"},"object":{"key":"plain.wav","size":"1024","eTag":""}}},
            {"eventName":"ObjectSynced:Create","s3":{"bucket":{"name":"calls"},"object":{"key":"%E9%80%9A%E8%AF%9D.wav"}}}]}"#;
        assert_eq!(
            events(rados.as_bytes()),
            Ok(vec![
                Ok(written("calls", "plain.wav", None)),
                Ok(written("calls", "通话.wav", Some("%E9%80%9A%E8%AF%9D.wav")))
            ])
        );
        let sns = serde_json::json!({"Type": "Notification", "Message": rados}).to_string();
        assert_eq!(events(sns.as_bytes()).expect("readable").len(), 2);
    }

    #[test]
    fn deletions_and_tests_are_no_recordings() {
        for other in ["s3:ObjectRemoved:Delete", "ObjectRemoved:DeleteMarkerCreated", "s3:ObjectAccessed:Get"] {
            let message = serde_json::json!({"Records": [{"eventName": other}]}).to_string();
            assert_eq!(events(message.as_bytes()), Ok(vec![Ok(Event::Other)]), "{other}");
        }
        let test = br#"{"Service":"Amazon S3","Event":"s3:TestEvent","Time":"2026-11-26T08:00:00Z","Bucket":"calls"}"#;
        assert_eq!(events(test), Ok(Vec::new()));
        assert_eq!(events(br#"{"Records":[]}"#), Ok(Vec::new()));
    }

    #[test]
    fn what_is_wrong_with_a_message_or_one_of_its_records_is_said() {
        for (message, said) in
            [(&b"hello"[..], "not JSON"), (b"\xff", "not JSON"), (b"{}", "no `Records`"), (b"[1]", "no `Records`")]
        {
            let why = events(message).expect_err("no notification");
            assert!(why.contains(said), "{why}");
        }
        let object = |object: Value| {
            let record = serde_json::json!({"eventName": "ObjectCreated:Put", "s3": {"bucket": {"name": "b"}, "object": object}});
            events(serde_json::json!({"Records": [record]}).to_string().as_bytes()).expect("readable").remove(0)
        };
        assert_eq!(object(serde_json::json!({})), Err("record 0: it has no `s3.object.key`".into()));
        assert_eq!(
            object(serde_json::json!({"key": "%FF.wav"})),
            Err("record 0: the key `%FF.wav` is not UTF-8".into())
        );
        assert_eq!(object(serde_json::json!({"key": "100%.wav"})), Ok(written("b", "100%.wav", None)));
    }
}
