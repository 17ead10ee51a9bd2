"""The rooms stay apart, and loading the package stays cheap."""

import ast
import subprocess
import sys
import time
from pathlib import Path

import pytest

HEAVY = ("torch", "napari", "qtpy", "PyQt6", "magicgui")
PACKAGE = Path(__file__).parents[1] / "src/napari_unetseg"
FACES_WITH_CODE = {"napari_unetseg", "api", "cli", "engine"}
"""The lazy names, the verbs, `main`, and what must be set before torch is imported."""
MOST_MODULES = {"formats": 15}


def run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def loaded_by(code: str) -> set[str]:
    return set(run(f"import sys; {code}; print(*(m.split('.')[0] for m in sys.modules))").splitlines()[-1].split())


def test_the_import_contracts_hold() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    root = Path(__file__).parents[1]
    done = subprocess.run([linter, "--no-cache"], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def folders() -> list[Path]:
    return sorted(face.parent for face in PACKAGE.rglob("__init__.py"))


def test_a_room_has_few_modules() -> None:
    counts = {folder: len([m for m in folder.glob("*.py") if m.stem != "__init__"]) for folder in folders()}
    assert {folder.name: n for folder, n in counts.items() if n > MOST_MODULES.get(folder.name, 12)} == {}


def test_the_faces_of_rooms_hold_no_code() -> None:
    faces = {folder: ast.parse((folder / "__init__.py").read_text(encoding="utf-8")) for folder in folders()}
    assert {folder.name for folder, face in faces.items() if len(face.body) > 1} == FACES_WITH_CODE
    assert [folder for folder, face in faces.items() if ast.get_docstring(face) is None] == []


def classes_of_networks() -> set[str]:
    """Names of the modules of torch that are defined in the room of networks, however they derive from each other."""
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in (PACKAGE / "engine/networks").rglob("*.py")]
    classes = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    found = {"Module", "Sequential"}
    for _ in classes:
        found |= {node.name for node in classes if found.intersection(map(last_name, node.bases))}
    return found - {"Module", "Sequential"}


def last_name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def types_asked_for(tree: ast.Module) -> set[str]:
    """Names in what ``isinstance``, ``issubclass``, comparisons of types and patterns of ``match`` ask for."""
    asked: list[ast.AST] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and last_name(node.func) in ("isinstance", "issubclass"):
            asked += node.args[1:]
        elif isinstance(node, ast.Compare) and any(
            isinstance(side, ast.Call) and last_name(side.func) == "type" for side in (node.left, *node.comparators)
        ):
            asked.append(node)
        elif isinstance(node, ast.MatchClass):
            asked.append(node.cls)
    return {last_name(part) for node in asked for part in ast.walk(node) if isinstance(part, (ast.Name, ast.Attribute))}


def test_nothing_outside_its_room_asks_for_the_type_of_a_network() -> None:
    """What matters of a network is a property of its architecture: `engine.networks.architecture`."""
    networks = classes_of_networks()
    assert {"Network", "UNet", "Refiner", "FusedUNet", "PixelClassifier", "Head"} <= networks
    found = {
        str(path.relative_to(PACKAGE)): names
        for path in PACKAGE.rglob("*.py")
        if "networks" not in path.relative_to(PACKAGE).parts
        and (names := types_asked_for(ast.parse(path.read_text(encoding="utf-8"))) & networks)
    }
    assert found == {}


def test_the_search_for_types_finds_every_way_to_ask() -> None:
    asks = [
        "isinstance(a, (int, x.UNet))",
        "issubclass(b, Head)",
        "type(c) is Refiner",
        "match d:",
        "  case Network(): 0",
    ]
    assert {"UNet", "Head", "Refiner", "Network"} <= types_asked_for(ast.parse("\n".join(asks)))
    assert types_asked_for(ast.parse("UNet(settings)")) == set()


def test_nothing_is_pickled_or_unpickled() -> None:
    """What comes from a file, a model or another process is read by a schema, never executed."""
    users = {
        module.relative_to(PACKAGE).as_posix()
        for module in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(module.read_text(encoding="utf-8")))
        for name in imported(node)
        if name.split(".")[0] in ("pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve")
    }
    assert users == set()


def imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []


def test_the_package_alone_loads_nothing_heavy() -> None:
    assert not loaded_by("import napari_unetseg").intersection((*HEAVY, "numpy", "pydantic"))


@pytest.mark.parametrize(
    "code",
    [
        "import napari_unetseg.api",
        "import napari_unetseg; napari_unetseg.segment",
        "import napari_unetseg.cli",
        "from napari_unetseg.core.io import samples; samples.list_samples()",
        "import napari_unetseg as u; from napari_unetseg.core.io import samples; u.inspect(samples.sample('nerve'))",
    ],
)
def test_the_verbs_are_there_without_torch_or_napari(code: str) -> None:
    assert not loaded_by(code).intersection(HEAVY)


@pytest.mark.parametrize("arguments", ["--help", "segment --help", "models", "models --json"])
def test_commands_that_compute_nothing_load_no_torch(arguments: str) -> None:
    code = (
        "from napari_unetseg import cli\n"
        "try:\n"
        f"    cli.main({arguments.split()})\n"
        "except SystemExit as end:\n"
        "    assert not end.code\n"
        "import sys; print(*(m.split('.')[0] for m in sys.modules))"
    )
    assert not set(run(code).splitlines()[-1].split()).intersection(HEAVY)


def test_the_window_knows_all_messages_of_the_worker_process_without_torch() -> None:
    code = (
        "from napari_unetseg.service import process, verbs; "
        "[(verb.request, verb.record, verb.result) for verb in map(verbs.verb, verbs._targets)]"
    )
    assert not loaded_by(code).intersection(HEAVY)


def test_importing_the_package_takes_at_most_a_fifth_of_a_second() -> None:
    empty = min(seconds("pass") for _ in range(5))
    assert min(seconds("import napari_unetseg") for _ in range(5)) - empty < 0.2


def seconds(code: str) -> float:
    started = time.perf_counter()
    run(code)
    return time.perf_counter() - started


def test_every_name_of_the_package_is_a_verb_of_the_api() -> None:
    import napari_unetseg
    from napari_unetseg import api

    for name in napari_unetseg.__all__:
        assert name == "__version__" or getattr(napari_unetseg, name) is getattr(api, name)
    assert set(dir(napari_unetseg)) == set(napari_unetseg.__all__)
    with pytest.raises(AttributeError, match="no attribute 'sgement'"):
        napari_unetseg.sgement  # noqa: B018


WINDOW_THINGS = ("layer", "viewer", "image", "canvas_layer")
"""Last words of names of what napari hands out behind proxies, which are never the thing itself."""


def compared_by_identity(tree: ast.Module) -> list[str]:
    """Comparisons by ``is`` of layers and viewers with anything but None, as ``name:line``."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare) and any(isinstance(op, (ast.Is, ast.IsNot)) for op in node.ops):
            sides = (node.left, *node.comparators)
            if any(isinstance(side, ast.Constant) for side in sides):
                continue
            found += [f"{name}:{node.lineno}" for side in sides if (name := last_name(side)).endswith(WINDOW_THINGS)]
    return found


def partial_bindings(tree: ast.Module) -> list[int]:
    """Lines in which a key is bound to a partial: napari asks every binding for its name."""
    calls = (node for node in ast.walk(tree) if isinstance(node, ast.Call) and last_name(node.func) == "bind_key")
    inner = ((call, part) for call in calls for arg in call.args for part in ast.walk(arg))
    return [call.lineno for call, part in inner if isinstance(part, ast.Call) and last_name(part.func) == "partial"]


def test_layers_and_viewers_are_not_told_apart_by_identity_and_keys_have_names() -> None:
    """Docked widgets get proxies: `plugin.layers.identity.same_layer` compares what is behind them."""
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in (PACKAGE / "plugin").rglob("*.py")}
    found = {path.name: found for path, tree in trees.items() if (found := compared_by_identity(tree))}
    assert found == {}
    assert [path.name for path, tree in trees.items() if partial_bindings(tree)] == []


def test_the_search_for_identity_and_partials_finds_them() -> None:
    tree = ast.parse("a.layer is b\nself._viewer is not other\nlayer is None\nx is y\nimage == b")
    assert compared_by_identity(tree) == ["layer:1", "_viewer:2"]
    assert partial_bindings(ast.parse("layer.bind_key('a', functools.partial(f, 1))\nlayer.bind_key('b', f)")) == [1]


def built_directly(tree: ast.Module) -> list[str]:
    """Our widgets that a script builds itself instead of having napari dock them."""
    docked = {
        "HomeWidget",
        "LoadWidget",
        "SegmentWidget",
        "MetricsWidget",
        "CleanupWidget",
        "LearnWidget",
        "CorrectWidget",
    }
    return [name for node in ast.walk(tree) if isinstance(node, ast.Call) and (name := last_name(node.func)) in docked]


def test_viewer_tests_dock_widgets_from_the_menu() -> None:
    """Built directly, a widget would get the viewer itself, where users' widgets get a proxy of it."""
    root = PACKAGE.parents[1]
    scripts = [
        *(root / "tests" / "plugin").rglob("*.py"),
        *(root / "benchmarks").glob("*.py"),
        *(root / "docs").glob("*.py"),
    ]
    assert len(scripts) > 40
    found = {
        path.name: names for path in scripts if (names := built_directly(ast.parse(path.read_text(encoding="utf-8"))))
    }
    assert found == {}
    assert built_directly(ast.parse("w = learn.LearnWidget(viewer)")) == ["LearnWidget"]
