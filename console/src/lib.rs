//! The console: recognise a recording in the browser, and an API that every caller can use.

mod api;
mod app;
mod auth;
pub mod cli;
mod extract;
mod gradio;
mod guard;
mod i18n;
mod links;
mod listen;
mod pages;
mod predict;
mod problem;
mod query;
mod server;
mod upload;
mod verdict;

pub use api::openapi;
pub use server::{Serving, serve};
