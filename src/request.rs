//! What the policy-server sends: the admission request and the policy's settings.
//!
//! One pass reads both. The object is read as what `request.kind` says it is, which comes first
//! in everything that policy-server and kwctl write; if it ever comes later, the object is read
//! in a second pass.

use crate::json::{Json, Lazy, List, Read, Text, View, read_member, twice, view, view_misreads};
use crate::message::{Misread, Path};
use crate::objects::{CronJob, CsiDriver, PodTemplate, Secret, TokenRequest, Workload};
use crate::pod_spec::{Container, Pod};
use crate::reader::{Error, Form, Reader};
use crate::settings::Settings;
use crate::target::Kind;
use std::borrow::Cow;

/// The payload of the waPC call `validate`.
#[derive(Debug, Default)]
pub struct Payload<'a> {
    /// The admission request.
    pub request: Read<Request<'a>>,
    /// The text of the policy's settings.
    pub settings: Lazy<'a>,
}

impl<'a> Payload<'a> {
    /// Reads a payload. The object isn't looked at when `early` settings exempt the request's
    /// namespace, and that comes before the object.
    ///
    /// # Errors
    /// When the text isn't JSON, or a member stands there twice.
    pub fn read(text: &'a str, early: Option<Early<'_, 'a>>) -> Result<Read<Self>, Error> {
        let mut reader = Reader::new(text);
        let reader = &mut reader;
        let form = reader.form()?;
        if form != Form::Object {
            reader.skip()?;
            reader.end()?;
            return Ok(Read::Wrong(form));
        }
        let mut payload = Self::default();
        reader.object(&mut |reader, key| match &**key {
            "request" if !payload.request.is_absent() => Err(twice(reader, key)),
            "request" if reader.form()? == Form::Object => {
                payload.request = Read::Is(Request::read(reader, early)?);
                Ok(())
            }
            "settings" if !payload.settings.is_absent() => Err(twice(reader, key)),
            "settings" => match early {
                Some(early) if reader.take_known(early.text) => {
                    payload.settings = Lazy::whole(early.text);
                    Ok(())
                }
                _ => payload.settings.read_text(reader),
            },
            _ => reader.skip(),
        })?;
        reader.end()?;
        Ok(Read::Is(payload))
    }

    /// The text of the settings where policy-server and kwctl write it, at the end. A payload
    /// that ends otherwise gives some other text, or none: compare it with what is read.
    pub fn settings_at_end(text: &'a str) -> Option<&'a str> {
        const KEY: &[u8] = b",\"settings\":";
        let mut at = text.len().checked_sub(KEY.len())?;
        loop {
            let found = text.as_bytes().get(at..)?;
            if found.starts_with(KEY) {
                return text.get(at + KEY.len()..)?.strip_suffix('}');
            }
            // How far back the key can be at the nearest, when it has this byte in it
            // (Boyer, Moore and Horspool's search, from the end).
            at = at.checked_sub(match found.first()? {
                b'"' => 1,
                b's' => 2,
                b'e' => 3,
                b't' => 4,
                b'i' => 6,
                b'n' => 7,
                b'g' => 8,
                b':' => 11,
                _ => KEY.len(),
            })?;
        }
    }
}

/// The settings, when they were read before the rest of the payload.
#[derive(Debug, Clone, Copy)]
pub struct Early<'e, 'a> {
    /// Their text in the payload. It is JSON: it needn't be read again.
    pub text: &'a str,
    /// What it says.
    pub settings: &'e Settings<'a>,
}

/// `admission.k8s.io/v1 AdmissionRequest`
#[derive(Debug, Default)]
pub struct Request<'a> {
    /// The object's group and kind.
    pub kind: Read<GroupKind<'a>>,
    /// What is being done.
    pub operation: Text<'a>,
    /// The part of the resource it is being done to, as in `pods/ephemeralcontainers`.
    pub sub_resource: Text<'a>,
    /// The namespace it is being done in. The client can't choose it freely, other than the
    /// namespace in the object.
    pub namespace: Text<'a>,
    /// The object's name; empty when the API server is to make it up.
    pub name: Text<'a>,
    /// The object as it will be.
    pub object: Object<'a>,
    /// Its text in the payload.
    pub object_text: Option<&'a str>,
    /// True when something in the object, or in the request, is of another type than somebody
    /// wanted to read: [`Misreads`] tells what.
    pub misread: bool,
    /// The object as it is, when it is being updated.
    pub old_object: Lazy<'a>,
}

view! {
    /// `GroupVersionKind`, less the version
    GroupKind<'a> {
        /// The API group, empty for the core group.
        "group" => group: Text<'a>,
        /// The kind.
        "kind" => kind: Text<'a>,
    }
}

/// An object, read as its kind.
#[derive(Debug, Default)]
pub enum Object<'a> {
    /// Not there.
    #[default]
    Absent,
    /// A kind that no rule is about.
    Skipped,
    /// `v1 Pod`
    Pod(Box<Read<Pod<'a>>>),
    /// A kind with a Pod's template in `spec.template`.
    Workload(Box<Read<Workload<'a>>>),
    /// `batch/v1 CronJob`
    CronJob(Box<Read<CronJob<'a>>>),
    /// `v1 PodTemplate`
    PodTemplate(Box<Read<PodTemplate<'a>>>),
    /// `authentication.k8s.io/v1 TokenRequest`
    TokenRequest(Box<Read<TokenRequest<'a>>>),
    /// `v1 Secret`
    Secret(Box<Read<Secret<'a>>>),
    /// `storage.k8s.io/v1 CSIDriver`
    CsiDriver(Box<Read<CsiDriver<'a>>>),
}

impl<'a> Object<'a> {
    fn read(kind: Option<Kind>, reader: &mut Reader<'a>) -> Result<Self, Error> {
        Ok(match kind {
            Some(Kind::Pod) => Self::Pod(boxed(reader)?),
            Some(Kind::Workload) => Self::Workload(boxed(reader)?),
            Some(Kind::CronJob) => Self::CronJob(boxed(reader)?),
            Some(Kind::PodTemplate) => Self::PodTemplate(boxed(reader)?),
            Some(Kind::TokenRequest) => Self::TokenRequest(boxed(reader)?),
            Some(Kind::Secret) => Self::Secret(boxed(reader)?),
            Some(Kind::CsiDriver) => Self::CsiDriver(boxed(reader)?),
            None => {
                reader.skip()?;
                Self::Skipped
            }
        })
    }

    fn view(&self) -> Option<&dyn Json<'a>> {
        Some(match self {
            Self::Absent | Self::Skipped => return None,
            Self::Pod(it) => &**it,
            Self::Workload(it) => &**it,
            Self::CronJob(it) => &**it,
            Self::PodTemplate(it) => &**it,
            Self::TokenRequest(it) => &**it,
            Self::Secret(it) => &**it,
            Self::CsiDriver(it) => &**it,
        })
    }

    /// The keys that lead to the Pod, or to the template of Pods, in the object.
    pub const fn pod_path(&self) -> &'static [&'static str] {
        match self {
            Self::Workload(_) => &["spec", "template"],
            Self::CronJob(_) => &["spec", "jobTemplate", "spec", "template"],
            Self::PodTemplate(_) => &["template"],
            _ => &[],
        }
    }

    /// The Pod, or the template of Pods, when it is there and readable.
    pub fn pod(&self) -> Option<&Pod<'a>> {
        match self {
            Self::Pod(pod) => pod.get(),
            Self::Workload(workload) => workload.get()?.spec.get()?.template.get(),
            Self::CronJob(it) => {
                it.get()?.spec.get()?.job_template.get()?.spec.get()?.template.get()
            }
            Self::PodTemplate(it) => it.get()?.template.get(),
            _ => None,
        }
    }

    /// True when the object isn't there.
    pub fn is_absent(&self) -> bool {
        self.view().map_or(matches!(self, Self::Absent), Json::is_absent)
    }

    /// Reports each [`Misread`] in the object.
    pub fn misreads(&self, at: &Path, report: &mut Vec<Misread>) {
        if let Some(view) = self.view() {
            view.misreads(at, report);
        }
    }
}

fn boxed<'a, T: Json<'a> + Default>(reader: &mut Reader<'a>) -> Result<Box<T>, Error> {
    let mut view = Box::<T>::default();
    view.read(reader)?;
    Ok(view)
}

impl<'a> Request<'a> {
    fn read(reader: &mut Reader<'a>, early: Option<Early<'_, 'a>>) -> Result<Self, Error> {
        let exempts = |namespace: &str| {
            early.is_some_and(|early| early.settings.exempts_namespace(namespace))
        };
        let mut request = Self::default();
        let mut later = Lazy::default();
        reader.object(&mut |reader, key| match &**key {
            "object" if !matches!(request.object, Object::Absent) || !later.is_absent() => {
                Err(twice(reader, key))
            }
            "object" if request.kind.is_absent() => later.read_text(reader),
            "object" if exempts(request.namespace.or_empty()) => {
                request.object = Object::Skipped;
                reader.skip()
            }
            "object" => {
                let start = reader.place()?;
                request.object = Object::read(Kind::of(&request.kind), reader)?;
                request.object_text = Some(reader.since(start));
                Ok(())
            }
            key => read_member(&mut request, key, reader),
        })?;
        if let Some(object) = later.text() {
            let kind = Kind::of(&request.kind);
            request.object_text = Some(object);
            let mut reader = Reader::new(object);
            request.object = Object::read(kind, &mut reader)?;
            request.misread |= reader.misread;
        }
        request.misread |= reader.misread;
        Ok(request)
    }

    /// The service account that the request is about; `None` when there is none or it can't be
    /// read.
    pub fn service_account(&self) -> Option<Cow<'_, str>> {
        match &self.object {
            Object::TokenRequest(_) => self.name.get().map(|name| Cow::Borrowed(&**name)),
            Object::Secret(secret) => {
                secret.get()?.metadata.get()?.annotation(Secret::OWNER).map(Cow::Owned)
            }
            object => object.pod()?.service_account().map(Cow::Borrowed),
        }
    }

    /// The ephemeral containers that the Pod has already. They can't change any more.
    pub fn old_ephemeral_containers(&self) -> List<Container<'a>> {
        self.old_object.at(&["spec", "ephemeralContainers"]).read()
    }
}

impl<'a> View<'a> for Request<'a> {
    fn member(&mut self, key: &str) -> Option<&mut dyn Json<'a>> {
        Some(match key {
            "kind" => &mut self.kind,
            "operation" => &mut self.operation,
            "subResource" => &mut self.sub_resource,
            "namespace" => &mut self.namespace,
            "name" => &mut self.name,
            "oldObject" => &mut self.old_object,
            _ => return None,
        })
    }

    /// The members that say which object this is: without them nobody can tell whether a rule is
    /// about it.
    fn visit(&self, visit: &mut dyn FnMut(&'static str, &dyn Json<'a>)) {
        visit("kind", &self.kind);
        visit("operation", &self.operation);
        visit("subResource", &self.sub_resource);
        visit("namespace", &self.namespace);
    }
}

impl Request<'_> {
    /// Reports what is unreadable or missing of what says which object this is.
    pub fn misreads(&self, at: &Path, report: &mut Vec<Misread>) {
        view_misreads(self, at, report);
        let kind = at.member("kind");
        let named = self.kind.get().map(|kind| &kind.kind);
        if self.kind.is_absent() || named.is_some_and(Read::is_absent) {
            report.push(Misread::missing(&kind.member("kind")));
        }
        if self.operation.is_absent() {
            report.push(Misread::missing(&at.member("operation")));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Payload;

    #[test]
    fn settings_at_the_end() {
        for (payload, expected) in [
            (r#"{"request":{},"settings":{}}"#, Some("{}")),
            (r#"{"request":{},"settings":{"a":[1,2]}}"#, Some(r#"{"a":[1,2]}"#)),
            (r#"{"request":{"settings":{}},"settings":null}"#, Some("null")),
            // A key that is almost the one, at each distance from the end.
            (r#"{"a":0,"settings":"ings","settings":}"#, Some("")),
            (
                r#"{"a":0,"settings":[",","\"settings","t","e"]}"#,
                Some(r#"[",","\"settings","t","e"]"#),
            ),
            (r#"{"a":0,"settings":",\"settings\":"}"#, Some(r#"",\"settings\":""#)),
            // Somebody else's text: it is compared with what is read.
            (r#"{"request":{"a":"x,"settings":1}}"#, Some("1}")),
            (r#"{"request":{}, "settings":{}}"#, None),
            (r#"{"settings":{},"request":{}}"#, None),
            (r#"{"request":{},"settings":{}} "#, None),
            (r#","settings":"#, None),
            ("", None),
        ] {
            assert_eq!(Payload::settings_at_end(payload), expected, "{payload}");
        }
        for length in 0..40 {
            let settings = format!("\"{}\"", "tings\u{e9}".repeat(length));
            let payload = format!(r#"{{"request":{{}},"settings":{settings}}}"#);
            assert_eq!(Payload::settings_at_end(&payload), Some(&*settings));
        }
    }
}
