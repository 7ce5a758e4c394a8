//! Why a registry didn't do what it was asked for, in one line that says what to do about it.

use anyhow::{Error, anyhow};
use oci_client::Reference;
use oci_client::errors::{DigestError, OciDistributionError, OciErrorCode};

/// The line for a person.
pub fn explain(error: &OciDistributionError, image: &Reference) -> Error {
    let registry = image.resolve_registry();
    match error {
        OciDistributionError::RequestError(e) if e.is_connect() || e.is_timeout() => {
            let is_plain = e.url().is_some_and(|url| url.scheme() == "http");
            let hint = format!("; if it speaks plain http, add --insecure-registry {registry}");
            let hint = if is_plain { "" } else { &hint };
            anyhow!("cannot reach {registry}: {}{hint}", cause(e))
        }
        OciDistributionError::UnauthorizedError { .. }
        | OciDistributionError::AuthenticationFailure(_)
        | OciDistributionError::ServerError {
            code: 401 | 403, ..
        } => refused(image),
        OciDistributionError::RegistryError { envelope, .. } => {
            let code = |of: &[OciErrorCode]| envelope.errors.iter().any(|e| of.contains(&e.code));
            if code(&[OciErrorCode::Unauthorized, OciErrorCode::Denied]) {
                refused(image)
            } else if code(&[OciErrorCode::ManifestUnknown, OciErrorCode::NameUnknown]) {
                missing(image)
            } else {
                anyhow!("{image}: {error}")
            }
        }
        OciDistributionError::ImageManifestNotFoundError(_) => missing(image),
        OciDistributionError::DigestError(DigestError::VerificationError { expected, actual }) => {
            anyhow!("{image}: {registry} sends {actual} in place of {expected}")
        }
        _ => anyhow!("{image}: {error}"),
    }
}

fn missing(image: &Reference) -> Error {
    anyhow!("{image} is not there")
}

fn refused(image: &Reference) -> Error {
    let registry = image.resolve_registry();
    anyhow!("{registry} refuses the login for {image}: log in with 'docker login {registry}'")
}

/// What is at the bottom of it.
fn cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
