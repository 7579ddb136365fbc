"""The table of layers, and the command that prints it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from sparsetune.cli.main import main
from sparsetune.costs.layer_table import layer_table, print_layer_table
from sparsetune.spec.sparsity import SparsitySpec
from sparsetune.tasks.models import MODELS

NET = """
from torch import nn
def net(input_shape, n_classes):
    stem = nn.Conv2d(input_shape[0], 4, 3)
    depthwise = nn.Conv2d(4, 4, 3, groups=4)
    return nn.Sequential(stem, nn.BatchNorm2d(4), depthwise, nn.Flatten(), nn.Linear(64, n_classes))
"""


@pytest.fixture(autouse=True)
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """User's own network in the current folder, which the command must put on the path."""
    (tmp_path / "own_layers.py").write_text(NET)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Output of a command that succeeds."""
    assert main(["layers", *arguments]) == 0
    output = capsys.readouterr()
    assert output.err == ""
    return output.out


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The message of a command that is refused."""
    assert main(["layers", *arguments]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith("sparsetune: ")
    assert "Traceback" not in output.err
    return output.err


OWN = ("--model", "own_layers:net", "--input-shape", "2x8x8", "--classes", "5")


def test_a_small_network_by_hand(capsys: pytest.CaptureFixture[str]) -> None:
    """72 weights at 6 x 6 positions, 36 at 4 x 4 that are not prunable, 320 once.

    The uniform allocation spares the first layer.
    """
    facts = json.loads(
        printed(capsys, *OWN, "--allocation", "uniform", "--sparsity", "0.9", "--json")
    )
    stem = 2 * 72 * 36
    head = 2 * 320
    other = 2 * 36 * 16
    assert facts == {
        "model": "own_layers:net",
        "input_shape": [2, 8, 8],
        "classes": 5,
        "allocation": "uniform",
        "pattern": "unstructured",
        "sparsity": 0.9,
        "prunable": 392,
        "pruned": 288,
        "prunable_sparsity": 288 / 392,
        "parameters": 392 + 4 + 8 + 40 + 5,
        "parameter_sparsity": 288 / 449,
        "inference_flops": pytest.approx((stem + 0.1 * head + other) / (stem + head + other)),
        "flops": stem + head + other,
        "sparse_flops": stem + 64 + other,
        "other_flops": other,
        "layers": [
            {
                "name": "0.weight",
                "shape": [4, 2, 3, 3],
                "weights": 72,
                "pruned": 0,
                "sparsity": 0.0,
                "flops": stem,
                "sparse_flops": stem,
            },
            {
                "name": "4.weight",
                "shape": [5, 64],
                "weights": 320,
                "pruned": 288,
                "sparsity": 0.9,
                "flops": head,
                "sparse_flops": 64,
            },
        ],
        "account": [
            {
                "name": "0.weight",
                "shape": [4, 2, 3, 3],
                "status": "spared",
                "reason": "spared by `uniform`",
            },
            {
                "name": "2.weight",
                "shape": [4, 1, 3, 3],
                "status": "dense",
                "reason": "depthwise convolution",
            },
            {"name": "4.weight", "shape": [5, 64], "status": "pruned", "reason": ""},
        ],
    }


def test_layers_are_added_and_taken_away(capsys: pytest.CaptureFixture[str]) -> None:
    given = ("--sparsity", "0.5", "--layer", "2", "--layer=-4")
    facts = json.loads(printed(capsys, *OWN, *given, "--json"))
    assert [row["name"] for row in facts["layers"]] == ["0.weight", "2.weight"]
    # The depthwise convolution's 36 weights are read at 4 x 4 positions.
    assert (facts["layers"][1]["flops"], facts["prunable"]) == (2 * 36 * 16, 108)
    shown = printed(capsys, *OWN, *given)
    assert "dense, taken away by `sparsity.layers`: 4.weight" in shown
    assert "dense, depthwise convolution: 2.weight" in printed(capsys, *OWN, "--sparsity", "0.5")
    assert "changes nothing" in refused(capsys, *OWN, "--sparsity", "0.5", "--layer", "4")


def test_under_global_what_depends_on_the_weights_is_missing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    facts = json.loads(printed(capsys, *OWN, "--sparsity", "0.5", "--json"))
    assert (facts["allocation"], facts["pruned"], facts["prunable_sparsity"]) == (
        "global",
        196,
        0.5,
    )
    assert (facts["inference_flops"], facts["sparse_flops"]) == (None, None)
    assert {
        row[key] for row in facts["layers"] for key in ("pruned", "sparsity", "sparse_flops")
    } == {None}
    assert [row["flops"] for row in facts["layers"]] == [5184, 640]
    text = printed(capsys, *OWN, "--sparsity", "0.5")
    assert text.count("under `global` a layer's sparsity depends on the weights") == 1
    assert text.splitlines()[2].split() == ["0", "4x2x3x3", "72", "–", "5.2", "k", "–"]  # noqa: RUF001


@pytest.mark.parametrize(
    ("spared", "sparsities"),
    [(("1",), [0.0, None, None]), (("1", "3"), [0.0, 0.0, 0.9])],
    ids=["one", "all but one"],
)
def test_under_global_spared_layers_are_known_and_one_that_is_left_alone(
    spared: tuple[str, ...], sparsities: list[float | None]
) -> None:
    facts = layer_table("mlp", SparsitySpec(method="gmp", target=0.9, spared=spared))
    assert [row["sparsity"] for row in facts["layers"]] == sparsities
    assert (facts["inference_flops"] is None) == (None in sparsities)


def test_a_pattern_prunes_every_layer_alike(capsys: pytest.CaptureFixture[str]) -> None:
    refusal = refused(capsys, *OWN, "--sparsity", "0.5", "--pattern", "4:8")
    assert all(
        word in refusal for word in ("sparsity.pattern", "18 in 0.weight", "sparsity.spared")
    )
    spared = ("--sparsity", "0.5", "--pattern", "4:8", "--spare", "0", "--json")
    facts = json.loads(printed(capsys, *OWN, *spared))
    assert [row["pruned"] for row in facts["layers"]] == [0, 160]
    assert facts["inference_flops"] == pytest.approx(1 - 320 / facts["flops"])
    competing = layer_table(
        "mlp", SparsitySpec(method="gmp", target=0.5, pattern="2:4", spared=("5",))
    )
    assert [row["pruned"] for row in competing["layers"]] == [4096, 4096, 0]


def test_nothing_is_spared_where_nothing_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    given = ("--allocation", "uniform", "--sparsity", "0.5", "--spare", "", "--json")
    assert json.loads(printed(capsys, *OWN, *given))["pruned"] == 196


def test_explicit_layers(capsys: pytest.CaptureFixture[str]) -> None:
    given = ("--allocation", "explicit", "--layer", "0=0.25", "--layer", "*=0.75", "--json")
    facts = json.loads(printed(capsys, *OWN, *given, "--sparsity", "0.6582"))  # (18 + 240) / 392
    assert [row["pruned"] for row in facts["layers"]] == [18, 240]
    assert "0.6582 would do" in refused(capsys, *OWN, *given, "--sparsity", "0.7")


@pytest.mark.parametrize(
    ("model", "shape", "classes", "parameters"),
    [
        ("mlp", [1, 8, 8], 10, 17_226),
        ("lenet_300_100", [1, 28, 28], 10, 266_610),
        ("squeezenet1_1", [3, 224, 224], 1000, 1_235_496),
    ],
)
def test_a_models_own_data(model: str, shape: list[int], classes: int, parameters: int) -> None:
    facts = layer_table(model, SparsitySpec(method="gmp", target=0.5))
    assert (facts["input_shape"], facts["classes"], facts["parameters"]) == (
        shape,
        classes,
        parameters,
    )


def test_the_table_of_resnet50(capsys: pytest.CaptureFixture[str]) -> None:
    print_layer_table(
        layer_table("resnet50", SparsitySpec(method="gmp", target=0.8, allocation="erk"))
    )
    text = capsys.readouterr().out
    lines = text.splitlines()
    assert lines[0] == "resnet50: erk, sparsity 0.8; inputs 3x224x224, 1000 classes"
    assert "conv1                       64x3x7x7      9,408    0.1429  236.0 M  202.3 M" in lines
    assert text.count(" dense ") == 8
    assert lines[-3:] == [
        "prunable   25,502,912 weights, 20,402,335 pruned: sparsity 0.8000",
        "all        25,557,032 parameters: sparsity 0.7983",
        "inference  8.2 GFLOPs an example, sparse 3.4 G: 0.4138 of dense",
    ]
    assert max(len(line) for line in lines) <= 80


ALEXNET = "--model alexnet --sparsity 0.5 --input-shape 3x32x32"
NOTHING = "--model torch.nn:Identity --sparsity 0 --input-shape 3 --classes 3"
FAULTS = {
    "unknown model": ("--model resnet5 --sparsity 0.5", ["resnet50", "mlp", "got 'resnet5'"]),
    "no shape": (
        "--model own_layers:net --sparsity 0.5",
        ["--input-shape and --classes", "'own_layers:net'"],
    ),
    "in percent": ("--model mlp --sparsity 80", ["`target`", "less than 1", "got 80"]),
    "unknown allocation": ("--model mlp --sparsity 0.5 --allocation x", ["'erk'", "got 'x'"]),
    "no pattern": ("--model mlp --sparsity 0.5 --pattern 2-4", ["`2:4`", "got '2-4'"]),
    "not of the pattern": ("--model mlp --sparsity 0.6 --pattern 2:4", ["0.5 would do", "got 0.6"]),
    "spares nothing": ("--model mlp --sparsity 0.5 --spare fc", ["`1.weight`", "got 'fc'"]),
    "misfit": (ALEXNET, ["(3, 32, 32)", "too small"]),
    "nothing to prune": (NOTHING, ["nothing can be pruned"]),
}


@pytest.mark.parametrize(("arguments", "words"), FAULTS.values(), ids=FAULTS)
def test_a_mistake_is_one_message(
    capsys: pytest.CaptureFixture[str], arguments: str, words: list[str]
) -> None:
    message = refused(capsys, *arguments.split())
    assert all(word in message for word in words)


@pytest.mark.parametrize(
    ("option", "value", "rule"),
    [
        ("--input-shape", "3x0x3", "whole number that is positive, got '0'"),
        ("--classes", "-1", "whole number that is positive, got '-1'"),
        ("--sparsity", "lots", "number that is not negative, got 'lots'"),
        ("--layer", "fc=x", "number that is not negative, got 'x'"),
    ],
)
def test_an_option_that_cannot_be_read(
    capsys: pytest.CaptureFixture[str], option: str, value: str, rule: str
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["layers", "--model", "mlp", "--sparsity", "0.5", f"{option}={value}"])
    assert stopped.value.code == 2
    assert rule in capsys.readouterr().err


@pytest.mark.parametrize("model", list(MODELS))
def test_every_model_of_ours_is_shown_on_the_data_that_it_is_known_for(model: str) -> None:
    facts = layer_table(model, SparsitySpec(method="static", target=0.9, allocation="erk"))
    assert facts["prunable_sparsity"] == pytest.approx(0.9, abs=1e-4)
    assert facts["classes"] == 10
