"""A proof says nothing of a tensor without a gradient, and takes none for granted."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from nasengine.build import allow_modules
from nasengine.networks.blocks.convolution import Conv
from nasengine.space import SearchSpace
from nasengine.supernet import Supernet, several
from nasengine.supernet.comparison import check_alone
from nasengine.supernet.errors import SupernetError
from nasengine.supernet.proof import Gradients, candidates, holders
from tests.contracts.examples import parse

NOWHERE = "1-3: {type: zero}, 2-3: {type: zero}"
CELL = f"{{type: cell, nodes: 4, edges: {{0-1: {{type: conv}}, 0-2: {{type: conv}}, 0-3: {{type: conv}}, {NOWHERE}}}}}"


def space_with(node: str) -> SearchSpace:
    allow_modules(["tests.contracts.scaled_convolution"])
    return parse(
        "name: proof\nabout: a layer behind a convolution whose width is searched\n"
        "task: {kind: image_classification, input: [3, 8, 8], classes: 5}\nnetwork: {type: sequential, layers: ["
        f"{{type: conv, width: {{choice: [8, 12]}}}}, {node}, {{type: global_average_pool}}, {{type: linear_head}}]}}"
    )


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("NASENGINE_CACHE", str(tmp_path))


def test_masks_are_not_proved_while_a_tensor_never_has_a_gradient():
    space = space_with("{type: tests.contracts.scaled_convolution:Muted}")
    plans = Supernet(space).plans(list(space.enumerate()))
    assert [plan.masked for plan in plans] == [False]
    assert "network.layers.1.conv.bias never gets a gradient" in plans[0].note


def test_what_no_way_leads_from_is_let_off_by_name():
    space = space_with(CELL)
    supernet = Supernet(space)
    assert [plan.masked for plan in supernet.plans(list(space.enumerate()))] == [True]
    (unreached,) = supernet._several.proved.unreached.values()
    assert {key.rpartition(".")[0] for key in unreached} == {f"network.layers.1.edges.0-{end}" for end in (1, 2)}


def test_architectures_are_drawn_that_have_what_has_had_no_gradient():
    space = space_with("{optional: {type: conv, kernel: 1}}, {choice: {a: {type: conv}, b: {type: max_pool}}}")
    twin = Supernet(space)._in_double()
    (key,) = {plan.key for plan in twin.plans(list(space.enumerate()))}
    passes = twin._several.passes
    wanted = {"network.layers.1.weight", "network.layers.2=a.weight"}
    for row in holders(twin, passes, key, wanted, 1):
        assert wanted & {held.key for held, _ in twin.private(space.decode(np.array(row)))[1]}
    assert len(candidates(twin, passes, key, 1)) > 0


def test_tensors_are_silent_until_one_comparison_gives_them_a_gradient():
    gradients = Gradients({"a", "b"}, {"a"}, {"a"})
    assert gradients.silent == {"b"}


def test_a_view_that_is_not_its_stand_alone_network_is_refused_by_name(monkeypatch):
    space = space_with("{type: conv, width: 6}")
    twin = Supernet(space)._in_double()
    check_alone(twin, space.known.get("default") or twin.largest)
    copy = twin.subnet(twin.largest)
    with torch.no_grad():
        next(part for part in copy.modules() if isinstance(part, Conv)).weight[0] += 1
    monkeypatch.setattr(twin, "subnet", lambda _: copy)
    with pytest.raises(SupernetError, match="does not compute on shared weights what it computes alone"):
        check_alone(twin, twin.largest)


def test_a_network_that_was_edited_is_proved_anew(tmp_path, monkeypatch):
    file = tmp_path / "networks_of_mine.py"
    file.write_text((several.Path(__file__).parents[1] / "contracts" / "scaled_convolution.py").read_text())
    monkeypatch.syspath_prepend(tmp_path)
    allow_modules(["networks_of_mine"])
    space = parse(
        "name: mine\nabout: a layer of a user's own\n"
        "task: {kind: image_classification, input: [3, 8, 8], classes: 5}\nnetwork: {type: sequential, layers: ["
        "{type: networks_of_mine:ScaledConvolution, width: 4}, {type: global_average_pool}, {type: linear_head}]}"
    )
    first = several.code_of(space, torch.nn.Identity())
    file.write_text(file.read_text().replace("10 /", "11 /"))
    assert several.code_of(space, torch.nn.Identity()) != first


def test_a_proof_is_of_all_code_that_it_runs():
    folder, ran = Path(several.__file__).parent, set[str]()

    def note(frame, _event, _argument):
        path = Path(frame.f_code.co_filename)
        if path.parent == folder:
            ran.add(path.stem)

    space = space_with("{type: conv, width: {choice: [4, 6]}}, {type: batch_norm}")
    sys.setprofile(note)
    try:
        assert any(plan.masked for plan in Supernet(space).plans(list(space.enumerate())))
    finally:
        sys.setprofile(None)
    assert ran - set(several.PROVED_BY) <= {"arguments", "proved", "several", "supernet", "weights"}
