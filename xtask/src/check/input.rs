//! Reads what people have: YAML and JSON, many documents, lists, folders, standard input,
//! AdmissionReviews.

use super::objects::{Object, Source};
use crate::admission::AdmissionRequest;
use serde_json::Value;
use serde_saphyr::DuplicateKeyPolicy;
use std::io::Read;
use std::path::{Path, PathBuf};
use walkdir::WalkDir;

/// What was read.
#[derive(Default)]
pub struct Input {
    pub objects: Vec<Object>,
    /// Requests as an API server sent them, or as `kwctl scaffold` writes them.
    pub requests: Vec<(Source, AdmissionRequest)>,
    /// Documents of a folder that are no Kubernetes objects, such as a chart's values.
    pub skipped: Vec<Source>,
    pub unreadable: Vec<Unreadable>,
}

/// What can't be read, and why.
#[derive(Debug, serde::Serialize)]
pub struct Unreadable {
    pub file: String,
    /// None where the whole file can't be read.
    pub document: Option<usize>,
    pub message: String,
}

/// The name for standard input, as in kubectl.
const STDIN: &str = "-";

impl Input {
    /// Reads files, folders and standard input.
    pub fn read(paths: &[PathBuf]) -> Self {
        let mut input = Self::default();
        for path in paths {
            if path.as_os_str() == STDIN {
                let mut bytes = Vec::new();
                let read = std::io::stdin().read_to_end(&mut bytes).map(|_| bytes);
                input.add_file("standard input", read, true);
            } else if path.is_dir() {
                input.add_folder(path);
            } else {
                input.add_file(&path.display().to_string(), std::fs::read(path), true);
            }
        }
        input
    }

    /// Reads the YAML and JSON files of a folder and its folders, but for hidden ones.
    fn add_folder(&mut self, folder: &Path) {
        let is_visible = |name: &str| !name.starts_with('.');
        let entries = WalkDir::new(folder)
            .follow_links(true)
            .sort_by_file_name()
            .into_iter();
        let entries = entries.filter_entry(|entry| {
            entry.depth() == 0 || is_visible(&entry.file_name().to_string_lossy())
        });
        let mut files = 0;
        for entry in entries {
            match entry {
                Err(error) => {
                    let path = error.path().unwrap_or(folder).display().to_string();
                    self.fail(&path, None, &error.to_string());
                }
                Ok(entry) if entry.file_type().is_file() && is_manifest(entry.path()) => {
                    let name = entry.path().display().to_string();
                    self.add_file(&name, std::fs::read(entry.path()), false);
                    files += 1;
                }
                Ok(_) => {}
            }
        }
        if files == 0 {
            let message = "no file in it ends with .yaml, .yml or .json";
            self.fail(&folder.display().to_string(), None, message);
        }
    }

    fn add_file(&mut self, file: &str, bytes: std::io::Result<Vec<u8>>, is_named: bool) {
        let text = bytes
            .map_err(|error| error.to_string())
            .and_then(|bytes| String::from_utf8(bytes).map_err(|error| error.to_string()));
        match text {
            Ok(text) => self.add_text(file, text.trim_start_matches('\u{feff}'), is_named),
            Err(message) => self.fail(file, None, &message),
        }
    }

    /// Reads a text of many documents.
    fn add_text(&mut self, file: &str, text: &str, is_named: bool) {
        let before = self.objects.len() + self.requests.len() + self.unreadable.len();
        let is_json_file = Path::new(file)
            .extension()
            .is_some_and(|extension| extension == "json");
        let documents = if text.trim_start().starts_with(['{', '[']) {
            match json_documents(text) {
                (_, Some(_)) if !is_json_file => yaml_documents(text),
                (values, error) => values.into_iter().map(Ok).chain(error.map(Err)).collect(),
            }
        } else {
            yaml_documents(text)
        };
        for (document, value) in (1..).zip(documents) {
            let source = Source {
                file: file.to_owned(),
                document,
                item: None,
            };
            match value {
                Ok(value) => self.add_document(source, value, is_named),
                Err(message) => self.fail(file, Some(document), &message),
            }
        }
        let added = self.objects.len() + self.requests.len() + self.unreadable.len() - before;
        if is_named && added == 0 && text.trim().is_empty() {
            self.fail(file, None, "it is empty");
        }
    }

    /// Sorts one document in: a request, a list, an object.
    fn add_document(&mut self, source: Source, value: Value, is_named: bool) {
        let kind = value["kind"].as_str().unwrap_or_default();
        let api_version = value["apiVersion"].as_str().unwrap_or_default();
        let is_request = kind == "AdmissionReview"
            || (value["kind"].is_object() && value["operation"].is_string());
        if is_request {
            self.add_request(source, value);
        } else if kind.ends_with("List") && value["items"].is_array() {
            self.add_list(&source, value);
        } else if !kind.is_empty() && !api_version.is_empty() {
            self.objects.push(Object { source, value });
        } else if !is_named && (value.is_object() || value.is_array()) && !has_either(&value) {
            self.skipped.push(source);
        } else {
            let missing = match (api_version.is_empty(), kind.is_empty()) {
                (true, false) => "no apiVersion",
                (false, true) => "no kind",
                _ => "no apiVersion and no kind",
            };
            let item = source
                .item
                .map(|item| format!("item {item} is "))
                .unwrap_or_default();
            let message = format!("{item}not a Kubernetes object: it has {missing}");
            self.fail(&source.file, Some(source.document), &message);
        }
    }

    /// A request; the items of one that was made of a list.
    fn add_request(&mut self, source: Source, review: Value) {
        match AdmissionRequest::from_value(review) {
            Err(error) => self.fail(&source.file, Some(source.document), &format!("{error:#}")),
            Ok(request) => match request.object {
                Some(list) if request.kind.kind.ends_with("List") && list["items"].is_array() => {
                    self.add_list(&source, list);
                }
                _ => self.requests.push((source, request)),
            },
        }
    }

    /// The items of a list. Those of a typed one, such as PodList, may lack kind and apiVersion.
    fn add_list(&mut self, source: &Source, mut list: Value) {
        let kind = list["kind"]
            .as_str()
            .unwrap_or_default()
            .trim_end_matches("List")
            .to_owned();
        let api_version = list["apiVersion"].clone();
        let Value::Array(items) = list["items"].take() else {
            return;
        };
        for (index, mut value) in items.into_iter().enumerate() {
            if let (Some(item), false) = (value.as_object_mut(), kind.is_empty()) {
                item.entry("kind").or_insert_with(|| kind.clone().into());
                item.entry("apiVersion")
                    .or_insert_with(|| api_version.clone());
            }
            let source = Source {
                item: Some(index + 1),
                ..source.clone()
            };
            self.add_document(source, value, true);
        }
    }

    fn fail(&mut self, file: &str, document: Option<usize>, message: &str) {
        let message = message.trim().replace('\n', " ");
        self.unreadable.push(Unreadable {
            file: file.to_owned(),
            document,
            message,
        });
    }
}

fn is_manifest(path: &Path) -> bool {
    let extension = path
        .extension()
        .and_then(|extension| extension.to_str())
        .unwrap_or_default();
    ["yaml", "yml", "json"].contains(&extension)
}

fn has_either(value: &Value) -> bool {
    ["apiVersion", "kind"]
        .iter()
        .any(|field| value.get(field).is_some_and(Value::is_string))
}

/// JSON values one after the other, up to the first that is none.
fn json_documents(text: &str) -> (Vec<Value>, Option<String>) {
    let mut values = Vec::new();
    for value in serde_json::Deserializer::from_str(text).into_iter() {
        match value {
            Ok(value) => values.push(value),
            Err(error) => return (values, Some(error.to_string())),
        }
    }
    (values, None)
}

/// The documents of a YAML text, each by itself, so that one that is wrong hides no other.
pub fn yaml_documents(text: &str) -> Vec<Result<Value, String>> {
    let mut documents = Vec::new();
    for (first_line, document) in split_documents(text) {
        match yaml(document) {
            // Nothing but comments.
            Ok(Value::Null) => {}
            Ok(value) => documents.push(Ok(value)),
            Err(error) => documents.push(Err(yaml_error(&error, first_line, document))),
        }
    }
    documents
}

/// Splits a text where kubectl does (`YAMLReader` in apimachinery's `pkg/util/yaml`): at lines that
/// begin with three dashes and have nothing but a comment behind them. With each the number of lines
/// before it.
fn split_documents(text: &str) -> Vec<(usize, &str)> {
    let is_separator = |line: &str| {
        let rest = line.strip_prefix("---").map(str::trim);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('#'))
    };
    let mut documents = Vec::new();
    let mut start = 0;
    let mut first_line = 0;
    let mut end = 0;
    for (number, line) in text.split_inclusive('\n').enumerate() {
        if is_separator(line) {
            documents.push((first_line, &text[start..end]));
            start = end + line.len();
            first_line = number + 1;
        }
        end += line.len();
    }
    documents.push((first_line, &text[start..]));
    documents
}

/// Reads one YAML document as kubectl does (sigs.k8s.io/yaml): the rules of YAML 1.1 for numbers and
/// booleans, so that `defaultMode: 0400` is 256 and `no` is false.
fn yaml(document: &str) -> Result<Value, serde_saphyr::Error> {
    let options = serde_saphyr::options! {
        legacy_octal_numbers: true,
        strict_booleans: false,
        duplicate_keys: DuplicateKeyPolicy::LastWins,
        with_snippet: false,
        // A cluster's Pods are one document. Depth, and what aliases make of a short one, stay limited.
        budget: serde_saphyr::budget! {
            max_depth: 200,
            max_events: usize::MAX,
            max_nodes: usize::MAX,
            max_total_scalar_bytes: usize::MAX,
        },
    };
    serde_saphyr::from_str_with_options(document, options)
}

/// What is wrong, and where in the file.
fn yaml_error(error: &serde_saphyr::Error, first_line: usize, document: &str) -> String {
    if document.contains("{{") {
        return "not YAML, but a template: render it first, as `helm template` does".to_owned();
    }
    let text = error.to_string();
    let Some(location) = error.location() else {
        return text;
    };
    let text = text.split(" at line ").next().unwrap_or_default();
    let line = first_line as u64 + location.line();
    format!("line {line}, column {}: {text}", location.column())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(file: &str, text: &str, is_named: bool) -> Input {
        let mut input = Input::default();
        input.add_text(file, text, is_named);
        input
    }

    fn pod(name: &str) -> String {
        format!("apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\n")
    }

    #[test]
    fn texts() {
        let two = format!("# first\n---\n{}--- # second\n{}", pod("a"), pod("b"));
        let list = "kind: List\napiVersion: v1\nitems:\n- {kind: Pod, apiVersion: v1}\n- {kind: Pod, apiVersion: v1}\n";
        for (name, text, expected) in [
            (
                "two documents",
                &*two,
                vec!["f, document 1", "f, document 2"],
            ),
            (
                "a list",
                list,
                vec!["f, document 1, item 1", "f, document 1, item 2"],
            ),
            (
                "an empty list",
                "kind: List\napiVersion: v1\nitems: []\n",
                vec![],
            ),
            (
                "a typed list",
                r#"{"kind":"PodList","apiVersion":"v1","items":[{"metadata":{"name":"a"}}]}"#,
                vec!["f, document 1, item 1"],
            ),
            (
                "JSON, one after the other",
                r#"{"kind":"Pod","apiVersion":"v1"} {"kind":"Pod","apiVersion":"v1"}"#,
                vec!["f, document 1", "f, document 2"],
            ),
            (
                "YAML in braces",
                "{kind: Pod, apiVersion: v1}",
                vec!["f, document 1"],
            ),
            (
                "a byte order mark is gone",
                "kind: Pod\napiVersion: v1",
                vec!["f, document 1"],
            ),
            (
                "dashes in a block",
                "kind: Pod\napiVersion: v1\ndata: |\n  ---\n  x\n",
                vec!["f, document 1"],
            ),
            (
                "a request of a list",
                r#"{"uid":"1","kind":{"group":"","version":"v1","kind":"List"},"resource":{"group":"","version":"v1","resource":""},
                "operation":"CREATE","userInfo":{},"object":{"kind":"List","apiVersion":"v1","items":[{"kind":"Pod","apiVersion":"v1"}]}}"#,
                vec!["f, document 1, item 1"],
            ),
        ] {
            let input = read("f", text, true);
            assert!(
                input.unreadable.is_empty(),
                "{name}: {:?}",
                input.unreadable
            );
            let sources: Vec<_> = input
                .objects
                .iter()
                .map(|it| it.source.to_string())
                .collect();
            assert_eq!(sources, expected, "{name}");
        }
    }

    #[test]
    fn numbers_and_booleans_are_those_of_kubectl() {
        for (text, expected) in [
            ("0400", "256"),
            ("'0400'", "\"0400\""),
            ("0o400", "256"),
            ("256", "256"),
            ("no", "false"),
            ("\"no\"", "\"no\""),
            ("on", "true"),
            ("4294967296", "4294967296"),
            ("~", "null"),
        ] {
            let value = yaml(&format!("a: {text}")).unwrap();
            assert_eq!(value["a"].to_string(), expected, "{text}");
        }
    }

    #[test]
    fn what_can_not_be_read_is_named_with_its_document() {
        let second = format!("{}---\na: [1\n---\n{}", pod("a"), pod("b"));
        for (name, file, text, document, message) in [
            (
                "the second of three",
                "f",
                &*second,
                Some(2),
                "line 5, column",
            ),
            (
                "a template",
                "f",
                "{{ if x }}\na: b\n",
                Some(1),
                "helm template",
            ),
            (
                "a value that is a template",
                "f",
                "a: {{ .Values.x }}\n",
                Some(1),
                "helm template",
            ),
            (
                "text",
                "f",
                "just text",
                Some(1),
                "no apiVersion and no kind",
            ),
            ("no kind", "f", "apiVersion: v1", Some(1), "it has no kind"),
            (
                "no apiVersion",
                "f",
                "kind: Pod",
                Some(1),
                "it has no apiVersion",
            ),
            ("JSON", "f.json", "{\"kind\": \"Pod\",", Some(1), "EOF"),
            (
                "the second JSON value",
                "f.json",
                r#"{"kind":"Pod","apiVersion":"v1"} {"#,
                Some(2),
                "EOF",
            ),
            ("nothing", "f", "", None, "empty"),
            (
                "a review without a request",
                "f",
                "kind: AdmissionReview",
                Some(1),
                "AdmissionRequest",
            ),
            (
                "an item",
                "f",
                "{kind: List, apiVersion: v1, items: [1]}",
                Some(1),
                "no kind",
            ),
        ] {
            let input = read(file, text, true);
            let unreadable = &input.unreadable;
            assert_eq!(unreadable.len(), 1, "{name}: {unreadable:?}");
            assert_eq!(unreadable[0].document, document, "{name}");
            assert!(
                unreadable[0].message.contains(message),
                "{name}: {unreadable:?}"
            );
        }
        assert_eq!(
            read("f", &second, true).objects.len(),
            2,
            "the others are read"
        );
    }

    #[test]
    fn a_folder_may_hold_what_is_no_object() {
        let input = read("values.yaml", "replicas: 1\n---\n[1]\n", false);
        assert_eq!(input.skipped.len(), 2);
        assert!(input.unreadable.is_empty());
        assert_eq!(
            read("values.yaml", "kind: Pod\n", false).unreadable.len(),
            1
        );
    }
}
