"""From what the user typed to a folder on this machine."""

from pathlib import Path

from .errors import ExportError

# ModelScope publishes under `iic`, Hugging Face under `emotion2vec`; the files are the same.
OWNERS = {"modelscope": "iic", "huggingface": "emotion2vec"}


def obtain(source: str, hub: str) -> Path:
    """A local checkpoint folder unchanged; a model's name (`iic/emotion2vec_plus_large`) by the hub's own client."""
    folder = Path(source)
    if folder.is_dir():
        return folder
    owner, _, model = source.rpartition("/")
    if owner not in OWNERS.values() or not model:
        raise ExportError(
            f"{source} is neither a folder nor a model's name: give a checkpoint folder, "
            "or a name like iic/emotion2vec_plus_large."
        )
    try:
        return Path(_download(f"{OWNERS[hub]}/{model}", hub))
    except Exception as failure:
        other = next(name for name in OWNERS if name != hub)
        raise ExportError(
            f"{source} could not be downloaded from {hub} ({type(failure).__name__}: {failure}). "
            f"Try --hub {other}, or download it where there is a network and give the folder instead of the name."
        ) from failure


def _download(name: str, hub: str) -> str:
    # Imported here: a local folder needs neither client.
    if hub == "modelscope":
        from modelscope.hub.snapshot_download import snapshot_download
    else:
        from huggingface_hub import snapshot_download
    return snapshot_download(name)
