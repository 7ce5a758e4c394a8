//! What the policy-server sends: the admission request and the policy's settings.
//!
//! One pass reads both. The object is read as what `request.kind` says it is, which comes first
//! in everything that policy-server and kwctl write; if it ever comes later, the object is read
//! in a second pass.

use crate::json::{Json, Lazy, List, Misread, Misreads, Path, Read, Text, twice, view};
use crate::objects::{CronJob, CsiDriver, PodTemplate, Secret, TokenRequest, Workload};
use crate::pod_spec::{Container, Pod};
use crate::reader::{Error, Form, Reader};
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
    /// Reads a payload. The object isn't looked at when the request's namespace is one that
    /// `exempts`, and comes before the object.
    ///
    /// # Errors
    /// When the text isn't JSON, or a member stands there twice.
    pub fn read(text: &'a str, exempts: &dyn Fn(&str) -> bool) -> Result<Read<Self>, Error> {
        let mut reader = Reader::new(text);
        let reader = &mut reader;
        let form = reader.form()?;
        if form != Form::Object {
            reader.skip()?;
            reader.end()?;
            return Ok(Read::Wrong(form));
        }
        let mut payload = Self::default();
        reader.object(&mut |reader, key| {
            match &**key {
                "request" if !payload.request.is_absent() => return Err(twice(reader, key)),
                "request" if reader.form()? == Form::Object => {
                    payload.request = Read::Is(Request::read(reader, exempts)?);
                }
                "settings" if !payload.settings.is_absent() => return Err(twice(reader, key)),
                "settings" => payload.settings = Json::read(reader)?,
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        reader.end()?;
        Ok(Read::Is(payload))
    }

    /// The text of the settings where policy-server and kwctl write it, at the end. A payload
    /// that ends otherwise gives some other text, or none: compare it with what is read.
    pub fn settings_at_end(text: &'a str) -> Option<&'a str> {
        let (_, end) = text.rsplit_once(",\"settings\":")?;
        end.strip_suffix('}')
    }
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
    fn read_as(kind: Option<Kind>, reader: &mut Reader<'a>) -> Result<Self, Error> {
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
        match self {
            Self::Absent => true,
            Self::Skipped => false,
            Self::Pod(it) => it.is_absent(),
            Self::Workload(it) => it.is_absent(),
            Self::CronJob(it) => it.is_absent(),
            Self::PodTemplate(it) => it.is_absent(),
            Self::TokenRequest(it) => it.is_absent(),
            Self::Secret(it) => it.is_absent(),
            Self::CsiDriver(it) => it.is_absent(),
        }
    }
}

impl Misreads for Object<'_> {
    fn misreads(&self, at: &Path, report: &mut Vec<Misread>) {
        match self {
            Self::Absent | Self::Skipped => {}
            Self::Pod(it) => it.misreads(at, report),
            Self::Workload(it) => it.misreads(at, report),
            Self::CronJob(it) => it.misreads(at, report),
            Self::PodTemplate(it) => it.misreads(at, report),
            Self::TokenRequest(it) => it.misreads(at, report),
            Self::Secret(it) => it.misreads(at, report),
            Self::CsiDriver(it) => it.misreads(at, report),
        }
    }
}

fn boxed<'a, T: Json<'a>>(reader: &mut Reader<'a>) -> Result<Box<T>, Error> {
    T::read(reader).map(Box::new)
}

impl<'a> Request<'a> {
    fn read(reader: &mut Reader<'a>, exempts: &dyn Fn(&str) -> bool) -> Result<Self, Error> {
        let mut request = Self::default();
        let mut later = Lazy::default();
        reader.object(&mut |reader, key| {
            let absent = match &**key {
                "kind" => request.kind.is_absent(),
                "operation" => request.operation.is_absent(),
                "subResource" => request.sub_resource.is_absent(),
                "namespace" => request.namespace.is_absent(),
                "name" => request.name.is_absent(),
                "object" => matches!(request.object, Object::Absent) && later.is_absent(),
                "oldObject" => request.old_object.is_absent(),
                _ => true,
            };
            if !absent {
                return Err(twice(reader, key));
            }
            match &**key {
                "kind" => request.kind = Json::read(reader)?,
                "operation" => request.operation = Json::read(reader)?,
                "subResource" => request.sub_resource = Json::read(reader)?,
                "namespace" => request.namespace = Json::read(reader)?,
                "name" => request.name = Json::read(reader)?,
                "object" if request.kind.is_absent() => later = Json::read(reader)?,
                "object" if exempts(request.namespace.or_empty()) => {
                    reader.skip()?;
                    request.object = Object::Skipped;
                }
                "object" => {
                    let start = reader.place()?;
                    request.object = Object::read_as(Kind::of(&request.kind), reader)?;
                    request.object_text = Some(reader.since(start));
                }
                "oldObject" => request.old_object = Json::read(reader)?,
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        if let Some(object) = later.text() {
            let kind = Kind::of(&request.kind);
            request.object_text = Some(object);
            let mut reader = Reader::new(object);
            request.object = Object::read_as(kind, &mut reader)?;
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

impl Misreads for Request<'_> {
    /// Reports the members that say which object this is: without them nobody can tell whether
    /// a rule is about it.
    fn misreads(&self, at: &Path, report: &mut Vec<Misread>) {
        let kind = at.member("kind");
        self.kind.misreads(&kind, report);
        self.operation.misreads(&at.member("operation"), report);
        self.sub_resource.misreads(&at.member("subResource"), report);
        self.namespace.misreads(&at.member("namespace"), report);
        let named = self.kind.get().map(|kind| &kind.kind);
        if self.kind.is_absent() || named.is_some_and(Read::is_absent) {
            report.push(Misread::missing(&kind.member("kind")));
        }
        if self.operation.is_absent() {
            report.push(Misread::missing(&at.member("operation")));
        }
    }
}
