"""What can be checked of the images and the compose file without a Docker engine. tests/containers.sh runs them."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest
from docker.utils.build import exclude_paths
from ruamel.yaml import YAML

ROOT = pathlib.Path(__file__).resolve().parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
COMPOSE = re.sub(r"^ *#.*$", "", (ROOT / "docker-compose.yml").read_text(), flags=re.MULTILINE)
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))


def ignore_patterns() -> list[str]:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def let_through(folder: pathlib.Path) -> set[str]:
    """Files of a folder that a build would see."""
    return {path for path in exclude_paths(str(folder), ignore_patterns()) if (folder / path).is_file()}


def tracked() -> list[str]:
    """Files of this checkout that git knows or would take."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\0")
    return [name for name in names if name and (ROOT / name).is_file()]


@pytest.fixture
def context() -> pathlib.Path:
    """The build context as a builder gets it. Always in the same place, so that Cargo knows it again."""
    folder = TARGET / "build-context"
    shutil.rmtree(folder, ignore_errors=True)
    for name in tracked():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / name)
    for name in {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} - let_through(folder):
        (folder / name).unlink()
    return folder


def copied(dockerfile: str = DOCKERFILE) -> list[str]:
    """Sources of every COPY that takes from the build context."""
    lines = re.findall(r"^COPY (?!--from)(.+)$", dockerfile, re.MULTILINE)
    return [source.rstrip("/") for line in lines for source in line.split()[:-1]]


def below(name: str, sources: set[str]) -> bool:
    """Whether a file is one of the sources, or in a folder of them."""
    return not {name, *map(str, pathlib.PurePath(name).parents)}.isdisjoint(sources)


def test_what_the_build_stage_copies_compiles(context: pathlib.Path) -> None:
    (stage,) = re.findall(r"^FROM \S+ AS build\n(.*?)^FROM ", DOCKERFILE, re.MULTILINE | re.DOTALL)
    for name in let_through(context):
        if not below(name, set(copied(stage))):
            (context / name).unlink()
    environment = os.environ | {"CARGO_TARGET_DIR": str(TARGET)}
    command = ["containers/build.sh", "check"]
    result = subprocess.run(command, cwd=context, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_every_source_of_a_copy_is_in_the_build_context(context: pathlib.Path) -> None:
    assert copied()
    assert [source for source in copied() if not (context / source).exists()] == []


def test_the_build_context_holds_nothing_that_is_not_copied(context: pathlib.Path) -> None:
    known = {"Dockerfile", ".dockerignore", *copied()}  # the first two are sent with every build
    assert [name for name in let_through(context) if not below(name, known)] == []


@pytest.mark.parametrize(
    "name",
    [
        ".env",
        ".stack/secrets",
        ".stack/env",
        "worker/.env",
        "key.pem",
        "outputs/a/result.json",
        "fleet/settings.env",
        "fleet/model/model.onnx",
        "models/large/model.onnx",
        "target/release/worker",
        "crates/target/x",
        ".git/config",
    ],
)
def test_what_is_private_never_reaches_a_build(tmp_path: pathlib.Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text("secret")
    assert let_through(tmp_path) == set()


def test_a_build_asks_no_registry_but_for_its_base_images() -> None:
    assert "syntax=" not in DOCKERFILE.splitlines()[0]
    images = re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    stages = re.findall(r"^FROM \S+ AS (\S+)", DOCKERFILE, re.MULTILINE)
    assert set(images) - set(stages) == {"${DEBIAN_IMAGE}", "${RUST_IMAGE}", "scratch"}


def test_caches_of_a_build_are_its_own() -> None:
    mounts = re.findall(r"--mount=type=cache,(\S+)", DOCKERFILE)
    assert mounts
    assert all("id=emofleet-" in mount and "sharing=locked" in mount for mount in mounts)
    assert "-exec touch" in (ROOT / "containers/build.sh").read_text()


def test_every_program_is_in_an_image() -> None:
    command = ["cargo", "metadata", "--locked", "--no-deps", "--format-version", "1"]
    metadata = json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout)
    programs = {t["name"] for package in metadata["packages"] for t in package["targets"] if "bin" in t["kind"]}
    installed = re.findall(r"^COPY --from=build (.+) /usr/local/bin/$", DOCKERFILE, re.MULTILINE)
    assert {pathlib.Path(path).name for line in installed for path in line.split()} == programs
    (built,) = re.findall(r'^programs="(.+)"$', (ROOT / "containers/build.sh").read_text(), re.MULTILINE)
    assert set(built.split()) == programs


def test_the_compose_file_is_valid() -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    result = subprocess.run([*command, ROOT / "docker-compose.yml"], capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


def services() -> dict:
    return YAML(typ="safe").load(COMPOSE)["services"]


def test_the_example_of_env_names_every_variable() -> None:
    example = (ROOT / ".env.example").read_text()
    required = set(re.findall(r"\$\{(\w+):\?", COMPOSE))
    assert required == set(re.findall(r"^(\w+)=(?:''|)$", example, re.MULTILINE)) | {"EMOFLEET_S3_ACCESS_KEY"}
    assert "\nEMOFLEET_S3_ACCESS_KEY=emofleet\n" in example
    optional = set(re.findall(r"\$\{(\w+):-", COMPOSE)) - {"PIP_INDEX_URL", "CARGO_PROFILE_RELEASE_OPT_LEVEL"}
    assert optional <= set(re.findall(r"^#?(\w+)=", example, re.MULTILINE))


def test_defaults_in_the_example_of_env_are_those_of_the_compose_file() -> None:
    example = dict(re.findall(r"^#(\w+)=(.*)$", (ROOT / ".env.example").read_text(), re.MULTILINE))
    for name, value in re.findall(r"\$\{(\w+):-([^${}]*)\}", COMPOSE):
        if name in example:
            assert example[name] == value, name


def test_every_service_is_bounded() -> None:
    for name, service in services().items():
        assert "mem_limit" in service, name
        assert service["logging"]["options"]["max-size"], name


def test_each_image_is_built_once() -> None:
    builds = [service["build"]["target"] for service in services().values() if "build" in service]
    assert sorted(builds) == ["services", "worker"]


def test_nothing_is_published_beyond_loopback() -> None:
    for name, service in services().items():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", [])), name


def test_databases_get_time_to_end() -> None:
    for name in ("rabbitmq", "postgres"):
        assert services()[name]["stop_grace_period"] == "60s"


def test_what_the_compose_file_sets_itself_is_named_where_settings_are_explained() -> None:
    explained = (ROOT / "fleet/README.md").read_text()
    for name in ("console.addr", "console.login", "health_addr"):
        assert f"`{name}`" in explained
    known = "|".join(
        [
            r"EMOFLEET__(AMQP|POSTGRES)__(URL|USER|PASSWORD)",
            r"EMOFLEET__POSTGRES__[A-Z]+_PASSWORD",
            r"EMOFLEET__S3__(ENDPOINT|BUCKET|ACCESS_KEY|SECRET_KEY)",
            r"EMOFLEET__CONSOLE__(ADDR|LOGIN)",
            r"EMOFLEET__\w+__HEALTH_ADDR",
        ]
    )
    for service in services().values():
        pinned = [key for key in service.get("environment", {}) if key.startswith("EMOFLEET__")]
        assert all(re.fullmatch(known, key) for key in pinned), pinned


def test_the_console_asks_for_a_login_where_env_says_so() -> None:
    assert services()["console"]["environment"]["EMOFLEET__CONSOLE__LOGIN"] == "${EMOFLEET_CONSOLE_LOGIN:-never}"


def test_programs_that_write_temporary_files_have_a_place_for_them() -> None:
    for name in ("worker", "console", "producer", "watch"):
        assert services()[name]["read_only"] and services()[name]["tmpfs"][0].startswith("/tmp:"), name


def test_what_runs_for_long_is_started_again_and_watched() -> None:
    for name in ("rabbitmq", "postgres", "s3", "worker", "dispatcher", "console", "watch"):
        assert services()[name]["restart"] == "unless-stopped" and services()[name]["healthcheck"]["test"], name


def test_services_get_only_the_keys_that_they_use() -> None:
    def has(name: str, section: str) -> bool:
        return any(key.startswith(f"EMOFLEET__{section}__") for key in services()[name]["environment"])

    assert not has("dispatcher", "S3") and not has("migrate", "S3") and not has("migrate", "AMQP")
    assert not has("bucket", "POSTGRES") and not has("bucket", "AMQP")


def test_each_program_logs_in_to_the_database_as_its_own_role() -> None:
    environments = {name: service["environment"] for name, service in services().items() if "profiles" in service}
    users = {name: environment.get("EMOFLEET__POSTGRES__USER") for name, environment in environments.items()}
    assert users == {
        "migrate": "emofleet",
        "bucket": None,
        "worker": "emofleet_worker",
        "dispatcher": "emofleet_dispatcher",
        "console": "emofleet_console",
        "producer": "emofleet_producer",
        "watch": "emofleet_producer",
    }
    passwords = {environment.get("EMOFLEET__POSTGRES__PASSWORD") for environment in environments.values()}
    assert len(passwords) == 6  # bucket has none; producer and watch are the same program


def test_the_documented_line_fills_in_every_password_at_random(tmp_path: pathlib.Path) -> None:
    (line,) = re.findall(r"^for key in .*", (ROOT / "docs/containers.md").read_text(), re.MULTILINE)
    shutil.copy(ROOT / ".env.example", tmp_path / ".env")
    subprocess.run(["bash", "-ec", line], cwd=tmp_path, check=True)
    filled = dict(re.findall(r"^(\w+)='(.*)'$", (tmp_path / ".env").read_text(), re.MULTILINE))
    empty = dict(re.findall(r"^(\w+)=('')$", (ROOT / ".env.example").read_text(), re.MULTILINE))
    assert filled.keys() == empty.keys() and len(set(filled.values())) == len(filled) > 5
    assert all(re.fullmatch(r"[0-9a-f]{40}", value) for value in filled.values())


def test_every_file_that_a_build_fetches_is_pinned_for_arm_too() -> None:
    pins = [line.split() for line in (ROOT / "stack/wheels.lock").read_text().splitlines() if not line.startswith("#")]
    machines = {}
    for target, _package, _version, machine, *_rest in filter(None, pins):
        machines.setdefault(target, set()).add(machine)
    for target in ("libonnxruntime.so", "silero_vad.onnx"):
        assert machines[target] in ({"any"}, {"x86_64", "aarch64"}), target


def test_images_carry_the_version_of_the_programs() -> None:
    (version,) = re.findall(r'^version = "(.+)"$', (ROOT / "Cargo.toml").read_text(), re.MULTILINE)
    assert f"ARG VERSION={version}\n" in DOCKERFILE
