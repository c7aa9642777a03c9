# shellcheck shell=bash
# What a build needs besides the registries: cargo, and a C compiler and linker for the crates that contain C.

need_rust() {
  if ! command -v cargo >/dev/null 2>&1 && [[ -x "$HOME/.cargo/bin/cargo" ]]; then PATH="$HOME/.cargo/bin:$PATH"; fi
  command -v cargo >/dev/null 2>&1 || die "Rust is missing: install it with rustup, then try again. Without Rust, the fleet runs in containers: docs/containers.md."
  need cc gcc libc6-dev
}
