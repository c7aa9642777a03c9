"""stack/fetch_debs.py, with mirrors on loopback."""

import contextlib
import hashlib
import http.server
import subprocess
import sys
import threading
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "stack" / "fetch_debs.py"
PACKAGE = b"a package\n" * 100


@pytest.fixture
def fetch(tmp_path):
    """Fetches the package from mirrors that answer with these bodies; None is a mirror without it."""

    @contextlib.contextmanager
    def mirror(body: bytes | None):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200 if body is not None else 404)
                self.end_headers()
                self.wfile.write(body or b"")

            def log_message(self, *_):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        server.server_close()

    def run(*bodies: bytes | None) -> tuple[subprocess.CompletedProcess, Path]:
        lock = tmp_path / "lock"
        lock.write_text(f"4.3 any {hashlib.sha256(PACKAGE).hexdigest()} pool/package.deb\n")
        with contextlib.ExitStack() as mirrors:
            urls = [mirrors.enter_context(mirror(body)) for body in bodies]
            command = [sys.executable, SCRIPT, lock, "4.3", "x86_64", tmp_path, *urls]
            done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env={})
        return done, tmp_path / "package.deb"

    return run


def test_after_a_body_that_was_cut_the_next_mirror_is_asked(fetch):
    done, package = fetch(PACKAGE[:100], PACKAGE)
    assert done.returncode == 0, done.stderr
    assert package.read_bytes() == PACKAGE


def test_a_package_that_no_mirror_has_as_pinned_is_an_error_with_all_reasons(fetch):
    done, package = fetch(b"another", None)
    assert done.returncode == 1 and "hash is not the pinned one" in done.stderr and "404" in done.stderr
    assert not package.exists()


def test_a_package_that_no_mirror_has_could_not_be_fetched(fetch):
    done, _ = fetch(None)
    assert done.returncode == 75 and "404" in done.stderr
