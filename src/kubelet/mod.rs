//! What a kubelet makes of a Pod: facts, each with the Kubernetes source that it rests on, and no
//! judgement. Rules ask for them and judge.

pub mod containers;
pub mod mounts;
pub mod operating_system;
pub mod token_file;
pub mod user_namespace;
pub mod users;
pub mod volumes;
