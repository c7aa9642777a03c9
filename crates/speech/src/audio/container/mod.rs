//! Containers: what a file is, by its content, and where its sound is in it.

pub(super) mod aac;
mod bytes;
mod detect;
mod matroska;
mod mp4;
mod mpeg;
pub(super) mod source;
mod view;
mod wav;

pub(super) use source::Source;
