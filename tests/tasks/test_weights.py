"""Trained weights from files: found, proved by their name, loaded, and every failure of it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from sparsetune.errors import DataError
from sparsetune.launch.preflight import preflight_problems
from sparsetune.spec import OptimSpec, ScheduleSpec, TrialSpec
from sparsetune.spec.sparsity import SparsitySpec
from sparsetune.spec.task import DigitsTask
from sparsetune.study import Study
from sparsetune.study.space import Choice
from sparsetune.tasks.models import build_model
from sparsetune.tasks.weights import load_weights, weights_file
from sparsetune.train import train

GREY = (1, 8, 8)
COLOURED = (3, 32, 32)


@pytest.fixture(autouse=True)
def _no_other_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """None of this machine's downloads."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)


def drawn(name: str, seed: int, shape: tuple[int, ...] = GREY, n_classes: int = 10) -> nn.Module:
    torch.manual_seed(seed)
    return build_model(name, shape, n_classes)


def saved(folder: Path, stem: str, content: Any, suffix: str = ".pth") -> Path:
    """A file named as `torch.hub` names them, with what ``content`` is."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"unnamed{suffix}"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif suffix == ".safetensors":
        save_file(content, path)
    else:
        torch.save(content, path)
    digits = hashlib.sha256(path.read_bytes()).hexdigest()[:8]
    return path.rename(folder / f"{stem}-{digits}{suffix}")


def same(model: nn.Module, other: nn.Module, besides: tuple[str, ...] = ()) -> bool:
    theirs = other.state_dict()
    return all(
        torch.equal(tensor, theirs[key])
        for key, tensor in model.state_dict().items()
        if key not in besides
    )


def refusal(name: str, model: nn.Module | None = None, data_root: Path | None = None) -> str:
    """The one line with which weights are refused; the network is untouched."""
    model = model or drawn("mlp", 1)
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    with pytest.raises(DataError) as raised:
        load_weights(model, name, data_root)
    assert all(torch.equal(tensor, before[key]) for key, tensor in model.state_dict().items())
    assert "\n" not in str(raised.value)
    return str(raised.value)


@pytest.fixture(scope="module")
def resnet18(tmp_path_factory: pytest.TempPathFactory) -> tuple[nn.Module, str]:
    """torchvision's network of 1,000 classes, and its file."""
    trained = drawn("resnet18", 0, COLOURED, 1000)
    return trained, str(saved(tmp_path_factory.mktemp("trained"), "resnet18", trained.state_dict()))


def test_torchvisions_weights_are_loaded_back_equal(resnet18: tuple[nn.Module, str]) -> None:
    trained, path = resnet18
    model = drawn("resnet18", 1, COLOURED, 1000)
    assert not same(model, trained)
    load_weights(model, path)
    assert same(model, trained)


def test_the_head_stays_as_drawn_for_another_number_of_classes(
    resnet18: tuple[nn.Module, str],
) -> None:
    trained, path = resnet18
    model = drawn("resnet18", 1, COLOURED, 10)
    head = {key: model.state_dict()[key].clone() for key in ("fc.weight", "fc.bias")}
    load_weights(model, path)
    assert same(model, trained, besides=tuple(head))
    assert all(torch.equal(model.state_dict()[key], tensor) for key, tensor in head.items())


@pytest.mark.parametrize(
    ("suffix", "wrap"),
    [
        (".pth", lambda state: state),
        (".pt", lambda state: {"state_dict": state, "epoch": 3}),
        (".pth", lambda state: {"model": state, "optimizer": {"lr": 0.1}}),
        (".safetensors", lambda state: state),
    ],
)
def test_every_form_of_file_is_understood(
    suffix: str, wrap: Callable[[Any], Any], tmp_path: Path
) -> None:
    trained = drawn("mlp", 0)
    model = drawn("mlp", 1)
    load_weights(model, str(saved(tmp_path, "mlp", wrap(trained.state_dict()), suffix)))
    assert same(model, trained)


def test_a_network_that_asks_for_a_version_needs_none(tmp_path: Path) -> None:
    trained = drawn("mnasnet0_5", 0, COLOURED)
    model = drawn("mnasnet0_5", 1, COLOURED)
    load_weights(model, str(saved(tmp_path, "mnasnet0_5", trained.state_dict(), ".safetensors")))
    assert same(model, trained)


def test_older_files_need_no_count_of_batches(tmp_path: Path) -> None:
    trained = drawn("resnet8", 0)
    model = drawn("resnet8", 1)
    state = {
        key: tensor
        for key, tensor in trained.state_dict().items()
        if not key.endswith("num_batches_tracked")
    }
    assert len(state) < len(trained.state_dict())
    load_weights(model, str(saved(tmp_path, "resnet8", state)))
    assert same(model, trained)


def test_a_file_is_looked_for_where_data_and_downloads_lie(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = drawn("mlp", 0).state_dict()
    root = tmp_path / "root"
    other = tmp_path / "other"
    name = saved(tmp_path / "torch" / "hub" / "checkpoints", "mlp", state).name
    assert weights_file(name).parent.name == "checkpoints"
    assert saved(root / "weights", "mlp", state) == weights_file(name, root)
    assert saved(root, "mlp", state) == weights_file(name, root)
    monkeypatch.setenv("SPARSETUNE_DATA", str(root))
    assert weights_file(name).parent == root
    assert (
        weights_file(name, other).parent.name == "checkpoints"
    )  # the argument stands in for the variable
    monkeypatch.chdir(saved(other, "mlp", state).parent)
    assert weights_file(name) == Path(name)


def test_a_missing_file_names_the_places(tmp_path: Path) -> None:
    said = refusal("mlp-01234567.pth", data_root=tmp_path)
    for place in ("", "weights/", "torch/hub/checkpoints/"):
        assert f"`{tmp_path}/{place}mlp-01234567.pth`" in said
    assert said.startswith("`task.weights` must name a local file, got 'mlp-01234567.pth'")
    assert "SPARSETUNE_DATA" in said


@pytest.mark.parametrize("stem", ["mlp", "mlp-0123456", "mlp-best"])
def test_a_name_without_digits_is_given_the_one_that_would_do(stem: str, tmp_path: Path) -> None:
    path = saved(tmp_path, "mlp", drawn("mlp", 0).state_dict())
    digits = path.stem.removeprefix("mlp-")
    bare = path.rename(tmp_path / f"{stem}.pth")
    assert f"rename it to '{stem}-{digits}.pth'" in refusal(str(bare))
    load_weights(drawn("mlp", 1), str(bare.rename(tmp_path / f"{stem}-{digits}.pth")))


def test_other_bytes_than_the_name_says_are_refused(tmp_path: Path) -> None:
    path = saved(tmp_path, "mlp", drawn("mlp", 0).state_dict())
    other = path.rename(tmp_path / "mlp-00000000.pth")
    assert f"must have the SHA-256 that its name says, got {path.stem[-8:]}" in refusal(str(other))
    with open(other, "ab") as file:
        file.write(b"\0")
    assert path.stem[-8:] not in refusal(str(other))


def test_all_digits_of_the_name_count(tmp_path: Path) -> None:
    path = saved(tmp_path, "mlp", drawn("mlp", 0).state_dict())
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    whole = path.rename(tmp_path / f"mlp-{digest}.pth")
    assert weights_file(str(whole)) == whole
    last = "1" if digest[-1] == "0" else "0"
    assert "must have the SHA-256" in refusal(
        str(whole.rename(tmp_path / f"mlp-{digest[:-1]}{last}.pth"))
    )


def test_another_suffix_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path, "mlp", b"anything", ".bin")
    assert "must end in .pth, .pt or .safetensors" in refusal(str(path))


class Unsafe:
    """Object that `weights_only` refuses to read."""


@pytest.mark.parametrize(
    ("suffix", "content"),
    [
        (".pth", b"PK\x03\x04 torn"),
        (".pt", b""),
        (".pth", b"\x80\x02 no pickle"),
        (".safetensors", b"\x00\x01 torn"),
        (".pth", {"model": {}, "args": Unsafe()}),
    ],
)
def test_a_torn_or_unsafe_file_is_refused(suffix: str, content: Any, tmp_path: Path) -> None:
    assert "must be a whole file of tensors and plain values" in refusal(
        str(saved(tmp_path, "mlp", content, suffix))
    )


def test_a_cut_file_is_refused(tmp_path: Path) -> None:
    whole = saved(tmp_path / "whole", "mlp", drawn("mlp", 0).state_dict()).read_bytes()
    assert "must be a whole file" in refusal(str(saved(tmp_path, "mlp", whole[: len(whole) // 2])))


@pytest.mark.parametrize(
    ("content", "got"),
    [
        ([1, 2, 3], "got [1, 2, 3];"),
        ({}, "got {};"),
        ({"epoch": 3, "loss": 0.1}, "got a dict of epoch, loss;"),
        ({"state_dict": {"epoch": 3}}, "got a dict of state_dict;"),
        ({str(number): 0 for number in range(7)}, "got a dict of 0, 1, 2, 3, 4 and 2 more;"),
    ],
)
def test_what_is_no_state_dict_is_refused(content: Any, got: str, tmp_path: Path) -> None:
    said = refusal(str(saved(tmp_path, "mlp", content)))
    assert "must hold a state dict" in said
    assert got in said


def test_another_networks_weights_name_up_to_five_of_each(tmp_path: Path) -> None:
    state = drawn("mlp", 0).state_dict()
    state = {
        "1.weight": state["1.weight"][:, :-1],
        **{f"layer{number}.weight": torch.ones(1) for number in range(6)},
    }
    said = refusal(str(saved(tmp_path, "mlp", state)))
    assert "missing 1.bias, 3.weight, 3.bias, 5.weight, 5.bias; " in said
    assert (
        "unexpected layer0.weight, layer1.weight, layer2.weight, layer3.weight, layer4.weight"
        " and 1 more; " in said
    )
    assert "misshapen 1.weight (128, 63) for (128, 64); set `task.model` to theirs" in said


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (
            {"5.weight": (7, 63), "5.bias": (7,)},
            "misshapen 5.weight (7, 63) for (10, 64), 5.bias (7,) for (10,)",
        ),
        ({"5.weight": (7, 64)}, "misshapen 5.weight (7, 64) for (10, 64)"),
        ({"5.weight": (7, 64), "5.bias": ()}, "5.bias () for (10,)"),
        (
            {"3.weight": (63, 128), "3.bias": (63,)},
            "misshapen 3.weight (63, 128) for (64, 128), 3.bias",
        ),
    ],
)
def test_only_the_number_of_classes_excuses_a_shape(
    change: dict[str, tuple[int, ...]], fault: str, tmp_path: Path
) -> None:
    state = drawn("mlp", 0).state_dict() | {
        key: torch.zeros(shape) for key, shape in change.items()
    }
    assert fault in refusal(str(saved(tmp_path, "mlp", state)))


@pytest.mark.parametrize("method", ["dense", "one_shot", "gmp"])
def test_training_starts_from_the_weights(method: Any, tmp_path: Path) -> None:
    """The largest of the file's weights are left at the end of a training that moves none.

    Its learning rate is next to nothing.
    """
    trained = drawn("mlp", 7).state_dict()
    spec = TrialSpec(
        task=DigitsTask(weights=saved(tmp_path / "weights", "mlp", trained).name),
        optim=OptimSpec(lr=1e-12, weight_decay=0),
        schedule=ScheduleSpec(epochs=2),
        sparsity=SparsitySpec(
            method=method, target=0 if method == "dense" else 0.9, allocation="global"
        ),
    )
    assert (
        train(spec, data_root=tmp_path, save_to=tmp_path / "final.safetensors").status == "COMPLETE"
    )
    final = load_file(tmp_path / "final.safetensors")
    prunable = [key for key in trained if key.endswith("weight")]
    before, after = (
        torch.cat([state[key].flatten() for key in prunable]) for state in (trained, final)
    )
    kept = after != 0
    assert torch.allclose(after[kept], before[kept], atol=1e-8)
    assert kept.sum() == (len(before) if method == "dense" else round(0.1 * len(before)))
    assert method == "dense" or before[kept].abs().min() >= before[~kept].abs().max() - 1e-8


def test_preflight_refuses_bad_weights_before_anything_starts(tmp_path: Path) -> None:
    good = saved(tmp_path, "mlp", drawn("mlp", 0).state_dict())
    study = Study(
        name="study",
        base=TrialSpec(task=DigitsTask(weights=good.name)),
        search={"task.weights": Choice([good.name, "mlp-01234567.pth"])},
    )
    assert preflight_problems(study, data_root=tmp_path, needs_data=False) == []
    (problem,) = preflight_problems(study, data_root=tmp_path)
    assert problem.path == "search.task.weights"
    assert "got 'mlp-01234567.pth'" in problem.rule
    whole = Study(name="study", base=TrialSpec(task=DigitsTask(weights=good.name)))
    assert preflight_problems(whole, data_root=tmp_path) == []
    other = Study(
        name="study", base=TrialSpec(task=DigitsTask(weights=good.name, model="lenet_300_100"))
    )
    (problem,) = preflight_problems(other, data_root=tmp_path)
    assert problem.path == "base.task.weights"
    assert "misshapen 1.weight" in problem.rule
