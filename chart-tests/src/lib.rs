//! What the chart's tests share: [`helm`] renders the chart, [`admission`] does with a request what the
//! API server does with the rendered objects, [`cel`] evaluates their expressions, [`fields`] checks the
//! names in these, [`cluster`] has objects for templates to look up, and [`requests`] has captured requests and asks the policy.

pub mod admission;
pub mod cel;
pub mod cluster;
pub mod fields;
pub mod helm;
pub mod requests;

use std::path::{Path, PathBuf};

/// The project's folder.
///
/// # Panics
/// Never: this package has a parent folder.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the workspace")
        .to_owned()
}
