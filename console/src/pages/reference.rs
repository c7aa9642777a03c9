//! The API's description as a page, written by the server, with the same look as all pages.

use askama::Template;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::LazyLock;

use super::frame::{Frame, html};
use super::snippets;
use crate::app::Shared;
use crate::auth::{Caller, Predicts};
use crate::problem::Problem;

#[derive(Template)]
#[template(path = "reference.html")]
struct ReferencePage {
    f: Frame,
    /// Address of this console, as the browser knows it.
    base: String,
    groups: &'static [(String, Vec<Operation>)],
}

/// One endpoint.
struct Operation {
    id: String,
    tag: String,
    method: String,
    path: String,
    summary: String,
    description: String,
    /// Form fields and parameters: name, place, whether required, type, description.
    inputs: Vec<Input>,
    /// Status of an answer that is no error, and what it means.
    answers: Vec<(String, String)>,
    /// Statuses of errors.
    errors: Vec<String>,
}

struct Input {
    name: String,
    place: String,
    required: bool,
    kind: String,
    description: String,
}

/// The operations by tag; predictions first.
static GROUPS: LazyLock<Vec<(String, Vec<Operation>)>> = LazyLock::new(|| {
    let description: Value = serde_json::from_str(&crate::openapi()).unwrap_or_default();
    let paths = description["paths"].as_object().into_iter().flatten();
    let operations = paths.flat_map(|(path, item)| {
        let methods = item.as_object().into_iter().flatten();
        methods.map(|(method, operation)| Operation::read(&description, path, method, operation)).collect::<Vec<_>>()
    });
    let mut groups: BTreeMap<(bool, String), Vec<Operation>> = BTreeMap::new();
    for operation in operations {
        groups.entry((operation.tag != "predictions", operation.tag.clone())).or_default().push(operation);
    }
    for operations in groups.values_mut() {
        operations.sort_by(|a, b| (&a.path, &a.method).cmp(&(&b.path, &b.method)));
    }
    groups.into_iter().map(|((_, tag), operations)| (tag, operations)).collect()
});

impl Operation {
    fn read(description: &Value, path: &str, method: &str, operation: &Value) -> Self {
        let parameters = operation["parameters"].as_array().into_iter().flatten().map(|parameter| Input {
            name: text(&parameter["name"]),
            place: text(&parameter["in"]),
            required: parameter["required"] == true,
            kind: kind(resolve(description, &parameter["schema"])),
            description: text(&parameter["description"]),
        });
        let form = &operation["requestBody"]["content"]["multipart/form-data"]["schema"];
        let form = resolve(description, form);
        let fields = form["properties"].as_object().into_iter().flatten().map(|(name, schema)| Input {
            name: name.clone(),
            place: "form".into(),
            required: form["required"].as_array().is_some_and(|names| names.iter().any(|n| n == name.as_str())),
            kind: kind(resolve(description, schema)),
            description: text(&schema["description"]),
        });
        let answers = operation["responses"].as_object().into_iter().flatten();
        let answers =
            answers.map(|(status, answer)| (status.clone(), text(&resolve(description, answer)["description"])));
        let (errors, answers): (Vec<_>, Vec<_>) = answers.partition(|(status, _)| status.starts_with(['4', '5']));
        Self {
            id: text(&operation["operationId"]),
            tag: text(&operation["tags"][0]),
            method: method.to_uppercase(),
            path: path.to_owned(),
            summary: text(&operation["summary"]),
            description: text(&operation["description"]),
            inputs: fields.chain(parameters).collect(),
            answers,
            errors: errors.into_iter().map(|(status, _)| status).collect(),
        }
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// The target of a `$ref`; other values as they are.
fn resolve<'a>(description: &'a Value, value: &'a Value) -> &'a Value {
    let Some(pointer) = value["$ref"].as_str().and_then(|reference| reference.strip_prefix('#')) else { return value };
    description.pointer(pointer).unwrap_or(&Value::Null)
}

/// `string`, `integer`, or the labels of a closed list.
fn kind(schema: &Value) -> String {
    if let Some(labels) = schema["enum"].as_array() {
        return labels.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" | ");
    }
    if let Some(choice) = schema["oneOf"].as_array() {
        return choice.iter().map(kind).find(|kind| kind != "null").unwrap_or_default();
    }
    match &schema["type"] {
        Value::Array(types) => {
            types.iter().filter_map(Value::as_str).find(|t| *t != "null").unwrap_or_default().to_owned()
        }
        Value::String(name) if schema["format"].is_string() => format!("{name} ({})", text(&schema["format"])),
        other => text(other),
    }
}

/// `GET /api`
pub(super) async fn page(
    State(app): State<Shared>,
    _: Caller<Predicts>,
    f: Frame,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let base = snippets::base(&headers, app.settings.console.secure_cookie);
    html(&ReferencePage { f, base, groups: &GROUPS })
}
