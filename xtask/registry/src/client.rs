//! An image in a registry.

use crate::failure::explain;
use anyhow::{Context, Result, anyhow, bail};
use docker_credential::{CredentialRetrievalError, DockerCredential, get_credential};
use indicatif::{ProgressBar, ProgressStyle};
use oci_client::client::{Client, ClientConfig, ClientProtocol, Config, ImageLayer};
use oci_client::manifest::{OciImageManifest, WASM_CONFIG_MEDIA_TYPE, WASM_LAYER_MEDIA_TYPE};
use oci_client::secrets::RegistryAuth;
use oci_client::{Reference, RegistryOperation};
use std::collections::BTreeMap;
use std::time::Duration;

/// How long to wait for a registry that doesn't answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// An image, and how to get at it.
pub struct Registry {
    client: Client,
    auth: RegistryAuth,
    image: Reference,
}

impl Registry {
    /// Only the registries that are named as insecure are asked over plain http.
    pub fn new(image: Reference, insecure: &[String]) -> Result<Self> {
        // A second time it is there already, which is just as well.
        drop(rustls::crypto::ring::default_provider().install_default());
        let config = ClientConfig {
            protocol: ClientProtocol::HttpsExcept(insecure.to_vec()),
            connect_timeout: Some(PATIENCE),
            read_timeout: Some(PATIENCE),
            ..ClientConfig::default()
        };
        let client = Client::try_from(config)?;
        let auth = credentials(image.resolve_registry())?;
        Ok(Self {
            client,
            auth,
            image,
        })
    }

    /// Pushes a module; returns the image with its digest.
    pub async fn push(
        &self,
        wasm: Vec<u8>,
        annotations: BTreeMap<String, String>,
    ) -> Result<String> {
        let layers = [ImageLayer::new(
            wasm,
            WASM_LAYER_MEDIA_TYPE.to_owned(),
            None,
        )];
        let config = Config::new(&b"{}"[..], WASM_CONFIG_MEDIA_TYPE.to_owned(), None);
        let manifest = OciImageManifest::build(&layers, &config, Some(annotations));
        let progress = progress(
            "pushing",
            manifest.layers.iter().map(|layer| layer.size).sum(),
        );

        let Self {
            client,
            auth,
            image,
        } = self;
        let explain = |e| explain(&e, image);
        client
            .auth(image, auth, RegistryOperation::Push)
            .await
            .map_err(explain)?;
        for (layer, descriptor) in layers.into_iter().zip(&manifest.layers) {
            client
                .push_blob(image, layer.data, &descriptor.digest)
                .await
                .map_err(explain)?;
            progress.inc(descriptor.size.try_into().unwrap_or_default());
        }
        let digest = &manifest.config.digest;
        client
            .push_blob(image, config.data, digest)
            .await
            .map_err(explain)?;
        client
            .push_manifest(image, &manifest.into())
            .await
            .map_err(explain)?;
        let digest = client
            .fetch_manifest_digest(image, auth)
            .await
            .map_err(explain)?;
        progress.finish_and_clear();
        Ok(with_digest(image, &digest))
    }

    /// Pulls a module; returns it and the image with its digest. The client compares both digests,
    /// the manifest's and the module's, with what it gets.
    pub async fn pull(&self) -> Result<(Vec<u8>, String)> {
        let Self {
            client,
            auth,
            image,
        } = self;
        let explain = |e| explain(&e, image);
        let (manifest, digest) = client
            .pull_image_manifest(image, auth)
            .await
            .map_err(explain)?;
        let [layer] = &manifest.layers[..] else {
            bail!(
                "{image} is no policy: it has {} layers, not one",
                manifest.layers.len()
            );
        };
        if layer.media_type != WASM_LAYER_MEDIA_TYPE {
            bail!(
                "{image} is no policy: its layer is of type {}",
                layer.media_type
            );
        }
        let progress = progress("pulling", layer.size);
        let mut wasm = Vec::new();
        let out = progress.wrap_async_write(&mut wasm);
        client.pull_blob(image, layer, out).await.map_err(explain)?;
        progress.finish_and_clear();
        Ok((wasm, with_digest(image, &digest)))
    }
}

/// What `docker login` wrote for a registry, if anything.
fn credentials(registry: &str) -> Result<RegistryAuth> {
    match get_credential(registry) {
        Ok(DockerCredential::UsernamePassword(name, password)) => {
            Ok(RegistryAuth::Basic(name, password))
        }
        Ok(DockerCredential::IdentityToken(_)) => {
            eprintln!("Warning: an identity token for {registry} is not supported, as in kwctl");
            Ok(RegistryAuth::Anonymous)
        }
        Err(
            CredentialRetrievalError::NoCredentialConfigured
            | CredentialRetrievalError::ConfigNotFound
            | CredentialRetrievalError::ConfigReadError,
        ) => Ok(RegistryAuth::Anonymous),
        Err(e) => {
            let line = e
                .to_string()
                .split_whitespace()
                .collect::<Vec<_>>()
                .join(" ");
            Err(anyhow!("{line}")).with_context(|| format!("the credentials for {registry}"))
        }
    }
}

/// On a terminal; elsewhere nothing is drawn.
fn progress(what: &'static str, bytes: i64) -> ProgressBar {
    let bar = ProgressBar::new(bytes.try_into().unwrap_or_default()).with_message(what);
    let style = ProgressStyle::with_template("{msg} {bar:40} {bytes}/{total_bytes}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.tick();
    bar
}

fn with_digest(image: &Reference, digest: &str) -> String {
    format!("{}/{}@{digest}", image.registry(), image.repository())
}
