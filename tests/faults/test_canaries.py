"""Nothing of a patient, a user or folders is in what is written or said; with ``--anonymous`` no file's name either."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from canaries import FILE, FOLDER, NEVER, Ward, found_in, found_in_tree, make_ward
from safetensors.torch import load_file

from napari_unetseg import InteractiveSession
from napari_unetseg.core.annotations.session_record import read_session, session_path
from support import Command, ModelMaker, Outcome

CPU = ("--device", "cpu")


@pytest.fixture
def ward(tmp_path: Path, make_model: ModelMaker) -> Ward:
    ward = make_ward(tmp_path / "home")
    make_model(f"{FILE}-start", dimensions=2).rename(ward.start)
    return ward


@pytest.fixture
def out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for results, which is the working folder: nothing of it is secret."""
    folder = tmp_path / "results"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def in_a_process(home: Path) -> Command:
    """A function that runs a command as a user does, in a home of its own."""

    def run(*arguments: object) -> Outcome:
        environment = {**os.environ, "HOME": str(home), "USER": home.name, "LOGNAME": home.name}
        line = [sys.executable, "-m", "napari_unetseg", *map(str, arguments)]
        done = subprocess.run(line, capture_output=True, env=environment, check=False)
        return Outcome(done.returncode, done.stdout.decode(), done.stderr.decode())

    return run


class Walk:
    """A walk through the verbs, which keeps where there were words that must not be."""

    def __init__(self, run: Command, ward: Ward, model: Path, *options: str) -> None:
        self.run, self.ward, self.model, self.options = run, ward, model, options
        self.scan, self.labels = ward.image(".ome.tif"), ward.folder / f"{FILE}-labels.ome.tif"
        self.words = (*NEVER, FILE) if options else NEVER
        self.found: dict[str, set[str]] = {}
        made = run("segment", self.scan, "-o", self.labels, "-m", model, *CPU)
        assert made.code == 0, made.err

    def do(self, *arguments: object, code: int = 0, words: tuple[str, ...] = ()) -> None:
        """Run a command, and search what it says."""
        outcome = self.run(*arguments)
        assert outcome.code == code, f"{arguments}: {outcome.err}"
        said = outcome.out + outcome.err
        if found := found_in(said.encode(), words or self.words):
            self.found[f"said by {arguments[0]}: {said}"] = found

    def segment(self) -> None:
        common = ("-m", self.model, *CPU, *self.options)
        for number, image in enumerate(self.ward.images):
            suffix = (".ome.tif", ".nii.gz", ".ome.zarr", ".nrrd")[number % 4]
            stack = ("--stack",) if image == self.ward.slices else ()
            self.do("segment", image, "-o", f"result{number}{suffix}", *common, *stack, *("--json",)[: number % 2])
            if not self.options:
                self.do("info", image, *("--json",)[: number % 2])
        for suffix in (".ome.tif", ".ome.zarr", ".nii.gz"):
            self.do("segment", self.ward.series, "-o", f"soft{suffix}", *common, "--write", "probabilities")
        for folder in ("many", "in-words"):
            Path(folder).mkdir()
            self.do("segment", self.ward.damaged, "-o", folder, *common, *("--json",)[: folder == "many"], code=2)

    def work_on_labels(self) -> None:
        labels, scan, options = self.labels, self.scan, self.options
        folder = self.ward.folder / f"{FOLDER}-references"
        folder.mkdir()
        (folder / labels.name).write_bytes(labels.read_bytes())
        self.do("evaluate", labels, labels, "-o", "scores.csv", *options)
        self.do("evaluate", labels, labels, "--json", *options)
        self.do("evaluate", folder, folder, "-o", "cases.csv", "--processes", 1, *options)
        self.do("evaluate", folder, folder, "--json", "--processes", 1, *options)
        self.do("measure", labels, "--image", scan, "-o", "sizes.csv", *options)
        self.do("measure", labels, "--image", self.ward.series, "--objects", "--spacing", "2,1,1mm", "--json", *options)
        self.do("clean", labels, "-o", "clean.ome.tif", "--image", scan, "--step", "keep_largest", "--json", *options)
        self.do("clean", labels, "-o", "clean.ome.zarr", "--step", "keep_largest", *options)
        Path("meshes").mkdir()
        self.do("surfaces", labels, "-o", "meshes", *options)
        self.do("report", labels, "-o", "page.html", "--image", scan, "--reference", labels, *options)
        self.do("report", labels, "-o", "page2.html", "--image", self.ward.slices, "--json", *options)

    def make_models(self) -> None:
        learn = ("--painted", self.ward.painted, "--steps", 0, "--seed", 1, *CPU, *self.options)
        self.do("finetune", self.ward.series, "-o", "series.safetensors", "-m", self.ward.start, *learn, "--json")
        self.do("finetune", self.scan, "-o", "next.safetensors", "-m", "series.safetensors", *learn)
        self.do("report", self.labels, "-o", "page3.html", "-m", "next.safetensors", *self.options)
        self.do("info", "next.safetensors")
        self.do("models", "series.safetensors", "--json")
        self.do("export", self.model, "-o", "package.zip", *self.options)
        self.do("import-model", "package.zip", "-o", "back.safetensors", "--json")

    def fail(self) -> None:
        cut, none = self.ward.damaged / f"{FILE}-cut.ome.tif", self.ward.folder / "none"
        for arguments in (
            ("segment", none, "-o", "no.tif"),
            ("segment", none / ".." / "none.tif", "-o", "no.tif"),
            ("segment", os.path.relpath(none), "-o", "no.tif"),
            ("segment", self.scan, "-o", "no.ome.tif", "-m", none.with_suffix(".safetensors")),
            ("info", cut),
            ("measure", self.scan, f"--image={cut}"),
            ("report", cut, "-o", "no.html"),
            ("finetune", "--session", none.with_suffix(".session.json"), "-o", "no.safetensors"),
        ):
            self.do(*arguments, code=2, words=NEVER)

    def check(self) -> None:
        """Search what was written, and tell all that was found."""
        found = self.found | found_in_tree(Path.cwd(), self.words)
        assert not found, "\n".join(f"{', '.join(sorted(words))} in {place}" for place, words in found.items())


def test_fault_16_no_verb_tells_of_persons(command: Command, ward: Ward, out: Path, tiny_model: Path) -> None:
    walk = Walk(command, ward, tiny_model)
    walk.segment()
    walk.work_on_labels()
    walk.make_models()
    walk.fail()
    walk.check()


def test_no_anonymous_result_tells_of_names_of_files(command: Command, ward: Ward, out: Path, tiny_model: Path) -> None:
    walk = Walk(command, ward, tiny_model, "--anonymous")
    walk.segment()
    walk.work_on_labels()
    walk.check()


@pytest.mark.long
@pytest.mark.parametrize("options", [(), ("--anonymous",)], ids=["as it is", "anonymous"])
def test_no_verb_in_a_process_tells_of_persons(
    ward: Ward, out: Path, tiny_model: Path, options: tuple[str, ...]
) -> None:
    walk = Walk(in_a_process(ward.folder.parent), ward, tiny_model, *options)
    walk.segment()
    walk.work_on_labels()
    walk.make_models()
    walk.fail()
    walk.check()


def test_a_session_names_no_folders_and_finds_its_images(command: Command, ward: Ward, out: Path) -> None:
    scan = ward.image(".ome.tif")
    session = InteractiveSession([scan, ward.series], ward.start, device="cpu")
    session.paint(ward.painted)
    session.learn()
    session.save("model.safetensors")
    assert found_in_tree(out, NEVER) == {}
    record = session_path(Path("model.safetensors"))
    assert [image.place.path for image in read_session(record).images] == [scan.name, None]
    assert [image.name for image in read_session(record).images] == [FILE, "series"]
    told = command("finetune", "--session", record, "-o", "again.safetensors")
    assert (told.code, told.err.count("\n")) == (2, 1)
    assert f"{scan.name} of the session does not lie beside the record" in told.err
    shutil.copy(scan, f"{FILE}-renamed.ome.tif")
    shutil.copytree(ward.series, "its-series")
    found = command("finetune", "--session", record, "-o", "again.safetensors", "--json")
    assert found.code == 0, found.err
    given = command("finetune", scan, ward.series, "--session", record, "-o", "given.safetensors", "--json")
    assert given.code == 0, given.err
    weights = [load_file(f"{name}.safetensors") for name in ("model", "again", "given")]
    assert all(torch.equal(weights[0][key], other[key]) for other in weights[1:] for key in weights[0])
    shutil.rmtree("its-series")
    Path(f"{FILE}-renamed.ome.tif").unlink()
    assert found_in_tree(out, NEVER) == {}
