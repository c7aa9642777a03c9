"""A hub on loopback: serves a checkpoint folder in the layouts of both published hubs, and misbehaves on demand."""

import hashlib
import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit


@dataclass
class Faults:
    """What goes wrong. `cut_at`: a connection ends after so many bytes of a body, `cuts` times; the rest: see names."""

    cut_at: int = 0
    cuts: int = 0
    unavailable: int = 0
    missing: bool = False
    no_ranges: bool = False
    wrong_digest: bool = False
    longer: bytes = b""
    stall_at: int = 0


@dataclass
class LoopbackHub:
    """`with LoopbackHub(folder) as hub:`; `served` has the path, first byte and bytes sent of each file's request."""

    folder: Path
    repository: str = "emotion2vec_plus_large"
    faults: Faults = field(default_factory=Faults)
    served: list[tuple[str, int, int]] = field(default_factory=list)

    def __enter__(self) -> "LoopbackHub":
        handler = type("Handler", (_Handler,), {"hub": self})
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_) -> None:
        self.server.shutdown()
        self.server.server_close()

    def files(self) -> list[Path]:
        return sorted(path for path in self.folder.rglob("*") if path.is_file())

    def modelscope(self) -> dict:
        """As `GET /api/v1/models/OWNER/NAME/repo/files` answers."""
        entries = [{"Path": "example", "Type": "tree", "Size": 0}]
        for path in self.files():
            sha256 = hashlib.sha256(path.read_bytes() + (b"!" if self.faults.wrong_digest else b"")).hexdigest()
            entries.append({"Path": self.name(path), "Type": "blob", "Size": path.stat().st_size, "Sha256": sha256})
        return {"Code": 200, "Data": {"Files": entries}, "Message": "success"}

    def huggingface(self) -> list[dict]:
        """As `GET /api/models/OWNER/NAME/tree/main` answers: SHA-256 for large files only, else git's own."""
        entries = [{"type": "directory", "oid": "0" * 40, "size": 0, "path": "example"}]
        for path in self.files():
            content = path.read_bytes()
            spoilt = content + (b"!" if self.faults.wrong_digest else b"")
            git = hashlib.sha1(b"blob %d\0" % len(content) + spoilt).hexdigest()
            entry = {"type": "file", "oid": git, "size": len(content), "path": self.name(path)}
            if path.suffix == ".pt":
                entry["lfs"] = {"oid": hashlib.sha256(spoilt).hexdigest(), "size": len(content), "pointerSize": 135}
            entries.append(entry)
        return entries

    def name(self, path: Path) -> str:
        return path.relative_to(self.folder).as_posix()


class _Handler(BaseHTTPRequestHandler):
    hub: LoopbackHub

    def do_GET(self) -> None:
        hub, address = self.hub, urlsplit(self.path)
        scope, hugging = f"/api/v1/models/iic/{hub.repository}/repo", f"/emotion2vec/{hub.repository}/resolve/main/"
        if hub.faults.missing:
            self.send_error(404)
        elif address.path == f"{scope}/files":
            self.json(hub.modelscope())
        elif address.path == f"/api/models/emotion2vec/{hub.repository}/tree/main":
            self.json(hub.huggingface())
        elif address.path == scope:
            self.file(parse_qs(address.query)["FilePath"][0])
        elif address.path.startswith(hugging):
            # The hub sends clients on to another address, as its store of large files does.
            self.send_response(302)
            self.send_header("Location", f"/store/{address.path.removeprefix(hugging)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif address.path.startswith("/store/"):
            self.file(unquote(address.path.removeprefix("/store/")))
        else:
            self.send_error(404)

    def file(self, name: str) -> None:
        hub, faults = self.hub, self.hub.faults
        content = (hub.folder / name).read_bytes() + faults.longer
        asked = self.headers.get("Range", "")
        first = 0 if faults.no_ranges or not asked else int(asked.removeprefix("bytes=").rstrip("-"))
        if faults.unavailable:
            faults.unavailable -= 1
            self.send_error(503)
            return
        if first >= len(content) and first:
            self.send_error(416)
            return
        self.send_response(206 if asked and not faults.no_ranges else 200)
        if asked and not faults.no_ranges:
            self.send_header("Content-Range", f"bytes {first}-{len(content) - 1}/{len(content)}")
        body = content[first:]
        if not faults.longer:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if faults.cuts and len(body) > faults.cut_at:
            faults.cuts -= 1
            body = body[: faults.cut_at]
        if faults.stall_at and len(body) > faults.stall_at:
            body = body[: faults.stall_at]
        self.wfile.write(body)
        self.wfile.flush()
        hub.served.append((name, first, len(body)))
        if faults.stall_at:
            threading.Event().wait(60)  # until the client is killed

    def json(self, value) -> None:
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_) -> None:
        pass
