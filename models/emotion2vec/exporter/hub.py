"""The hubs that publish emotion2vec+, by their plain HTTPS addresses: what files a model has, and where each is."""

import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import requests

from .digest import Digest
from .download import TIMEOUT, fetch, session
from .errors import ExportError, HubError

# What an export reads; the hubs also keep pictures and read-me files there. The last two may be missing.
WANTED = ("config.yaml", "tokens.txt", "configuration.json", "model.pt", "example/test.wav")
NEEDED = WANTED[:2] + WANTED[3:4]


@dataclass(frozen=True)
class Published:
    """A model as its authors publish it: its name on both hubs, and its width."""

    repository: str
    width: int


# By the names that users type. base and seed differ in their training data only.
CATALOGUE = {
    "emotion2vec+large": Published("emotion2vec_plus_large", 1024),
    "emotion2vec+base": Published("emotion2vec_plus_base", 768),
    "emotion2vec+seed": Published("emotion2vec_plus_seed", 768),
}


@dataclass(frozen=True)
class RemoteFile:
    """A file of a repository: its path there, size in bytes, digest where the hub states one, and address."""

    path: str
    size: int
    digest: Digest | None
    url: str


@dataclass(frozen=True)
class Hub:
    """One of the two hubs; `endpoint` is its address, or that of a mirror with the same paths."""

    key: str
    title: str
    owner: str
    endpoint: str

    def files(self, client: requests.Session, repository: str) -> list[RemoteFile]:
        """The files of WANTED that the repository has. Raises `HubError`."""
        name = f"{self.owner}/{repository}"
        read = {"ms": self._modelscope, "hf": self._huggingface}[self.key]
        try:
            found = {file.path: file for file in read(client, name)}
        except (KeyError, TypeError, ValueError, AttributeError) as unread:
            raise HubError(
                f"{self.title} ({self.endpoint}) gave no list of the files of {name} "
                f"({type(unread).__name__}: {unread}): is this address a mirror of it?"
            ) from unread
        missing = [path for path in NEEDED if path not in found]
        if missing:
            raise HubError(f"{name} on {self.title} ({self.endpoint}) has no {', '.join(missing)}.")
        return [found[path] for path in WANTED if path in found]

    def _modelscope(self, client: requests.Session, name: str) -> list[RemoteFile]:
        base = f"{self.endpoint}/api/v1/models/{name}/repo"
        entries = self._ask(client, f"{base}/files?Revision=master&Recursive=True")["Data"]["Files"]
        return [
            RemoteFile(
                entry["Path"],
                int(entry["Size"]),
                Digest("sha256", entry["Sha256"]) if entry.get("Sha256") else None,
                f"{base}?Revision=master&FilePath={quote(entry['Path'], safe='')}",
            )
            for entry in entries
            if entry.get("Type") != "tree"
        ]

    def _huggingface(self, client: requests.Session, name: str) -> list[RemoteFile]:
        entries = self._ask(client, f"{self.endpoint}/api/models/{name}/tree/main?recursive=true")
        return [
            RemoteFile(
                entry["path"],
                int(entry["size"]),
                Digest("sha256", entry["lfs"]["oid"]) if entry.get("lfs") else Digest("git", entry["oid"]),
                f"{self.endpoint}/{name}/resolve/main/{quote(entry['path'])}",
            )
            for entry in entries
            if entry["type"] == "file"
        ]

    def _ask(self, client: requests.Session, url: str):
        try:
            answer = client.get(url, timeout=TIMEOUT)
        except requests.RequestException as failure:
            raise HubError(f"{self.title} ({self.endpoint}) could not be reached: {reason(failure)}.") from failure
        if not answer.ok:
            raise HubError(f"{self.title} answered {answer.status_code} {answer.reason} for {url}.")
        return answer.json()


def hubs() -> dict[str, Hub]:
    """Both hubs, by the names of `--from`. The environment names mirrors as the hubs' own clients read it."""
    modelscope = os.environ.get("MODELSCOPE_ENDPOINT") or os.environ.get("MODELSCOPE_DOMAIN") or "www.modelscope.cn"
    huggingface = os.environ.get("HF_ENDPOINT") or "huggingface.co"
    return {
        "ms": Hub("ms", "ModelScope", "iic", _address(modelscope)),
        "hf": Hub("hf", "Hugging Face", "emotion2vec", _address(huggingface)),
    }


def download(repository: str, folder: Path, wanted: str | None = None) -> Path:
    """The checkpoint from the hub `wanted` (ms, hf), or from ModelScope and, where that fails, Hugging Face.

    What is in `folder` already is kept if its digest is right, and continued if it is a part. Raises `ExportError`.
    """
    failures = []
    for hub in [hubs()[wanted]] if wanted else hubs().values():
        try:
            with session() as client:
                files = hub.files(client, repository)
                total = sum(file.size for file in files) / 1e9
                print(f"{hub.owner}/{repository} from {hub.title} ({hub.endpoint}): {total:.2f} GB", file=sys.stderr)
                for file in files:
                    fetch(client, file.url, file.size, file.digest, folder / file.path)
            return folder
        except HubError as failure:
            failures.append(str(failure))
    raise ExportError("\n".join([*failures, by_hand(repository)]))


def by_hand(repository: str) -> str:
    """What to do where no hub can be reached."""
    return (
        "Without a network: on a machine that has one, download "
        f"{', '.join(WANTED)} from https://www.modelscope.cn/models/iic/{repository}/files or "
        f"https://huggingface.co/emotion2vec/{repository}/tree/main, copy them into one folder on this machine "
        "(test.wav into its subfolder example), and give that folder: --from FOLDER. "
        "A mirror is named by MODELSCOPE_ENDPOINT or HF_ENDPOINT, a proxy by HTTPS_PROXY."
    )


def obtain(source: str, hub: str | None, into: Path) -> tuple[Path, str]:
    """A local checkpoint folder unchanged, or a model's name (`iic/emotion2vec_plus_large`) downloaded `into` a folder.

    Returns the folder, and the model's name. Raises `ExportError`.
    """
    folder = Path(source)
    if folder.is_dir():
        return folder, folder.resolve().name
    if not re.fullmatch(r"(iic|emotion2vec)/[A-Za-z0-9_.-]+", source):
        raise ExportError(
            f"{source} is neither a folder nor a model's name: give a checkpoint folder, "
            "or a name like iic/emotion2vec_plus_large."
        )
    repository = source.rpartition("/")[2]
    return download(repository, into, hub), repository


def reason(failure: Exception) -> str:
    """The innermost cause that has words, without the addresses of objects."""
    while failure.__cause__ or failure.__context__:
        failure = failure.__cause__ or failure.__context__
    return f"{type(failure).__name__}: {failure}"


def _address(text: str) -> str:
    text = text.strip().rstrip("/")
    return text if text.startswith(("http://", "https://")) else f"https://{text}"
