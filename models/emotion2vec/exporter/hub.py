"""From what the user typed to a folder on this machine."""

from pathlib import Path

from .refusal import Refusal

# ModelScope publishes under `iic`, Hugging Face under `emotion2vec`; the files are the same.
OWNERS = {"modelscope": "iic", "huggingface": "emotion2vec"}


def obtain(source: str, hub: str) -> Path:
    """A local checkpoint folder as it is; a model's name (`iic/emotion2vec_plus_large`) through the hub's own client."""
    folder = Path(source)
    if folder.is_dir():
        return folder
    owner, _, model = source.rpartition("/")
    if owner not in OWNERS.values() or not model:
        raise Refusal(f"{source} is neither a folder nor a model's name: give a checkpoint folder, or a name like iic/emotion2vec_plus_large.")
    try:
        return Path(_download(f"{OWNERS[hub]}/{model}", hub))
    except Exception as failure:  # noqa: BLE001 - the clients raise errors of a dozen unrelated kinds
        other = next(name for name in OWNERS if name != hub)
        raise Refusal(
            f"{source} could not be downloaded from {hub} ({type(failure).__name__}: {failure}). Try --hub {other}, or download it "
            "where there is a network and give the folder instead of the name."
        ) from failure


def _download(name: str, hub: str) -> str:
    # Imported here: a local folder needs neither client.
    if hub == "modelscope":
        from modelscope.hub.snapshot_download import snapshot_download
    else:
        from huggingface_hub import snapshot_download
    return snapshot_download(name)
