"""The private stack of models/emotion2vec/peer_fleet, up to its start."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "models" / "emotion2vec"))

from peer_fleet import stack


@pytest.fixture
def linked(tmp_path, monkeypatch):
    """Where the private stack's `runtime` leads when the environment names a library; its scripts are left out."""
    monkeypatch.delenv("EMOFLEET_STACK_DIR", raising=False)
    monkeypatch.setattr(stack, "ROOT", tmp_path / "checkout")

    def run(library: Path) -> Path | None:
        monkeypatch.setenv("EMOFLEET__RUNTIME__ONNXRUNTIME", str(library))
        private = stack.Stack()
        found = []

        def script(name: str) -> None:
            runtime = Path(private._folder.name, "stack", "runtime")
            found.append(runtime.readlink() if runtime.is_symlink() else None)
            raise RuntimeError(name)

        monkeypatch.setattr(private, "_run", script)
        monkeypatch.setattr(private, "_stop", private._folder.cleanup)
        with pytest.raises(RuntimeError), private:
            pass
        return found[0]

    return run


def test_a_library_of_the_users_own_is_never_in_the_private_stacks_folder(linked, tmp_path):
    library = tmp_path / "opt" / "libonnxruntime.so"
    library.parent.mkdir()
    library.touch()
    assert linked(library) is None
    shared = tmp_path / "checkout" / ".stack" / "runtime"
    shared.mkdir(parents=True)
    assert linked(library) == shared


def test_a_library_that_a_stack_fetched_is_shared(linked, tmp_path):
    library = tmp_path / "other" / "runtime" / "libonnxruntime.so"
    library.parent.mkdir(parents=True)
    library.touch()
    library.with_name("libonnxruntime.so.from").touch()
    assert linked(library) == library.parent
