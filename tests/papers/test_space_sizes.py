"""Sizes of published search spaces, as their papers print them or as their definitions multiply out."""

import math
from pathlib import Path

import pytest

from nasengine.space import SearchSpace, load_space

EXAMPLES = Path(__file__).resolve().parents[1] / "space" / "examples"


def example(name: str) -> SearchSpace:
    return load_space(EXAMPLES / f"{name}.yaml")


def test_every_pair_of_places_for_two_poolings_in_resnet20():
    """Javan Roshtkhari et al. 2023, arXiv 2306.11982: 36 networks."""
    assert example("pooling_resnet20").size() == math.comb(9, 2) == 36


def test_multi_stage_vision_transformers_of_vit_resnas():
    """Liao, Karaman, Sze 2021, arXiv 2109.00642: three stages of three fixed and three optional blocks."""
    size = example("vit_resnas_tiny").size()
    assert size == 125 * (28 * 29) ** 9
    assert f"{size:.3e}" == "1.918e+28"


def test_the_basic_space_of_quantnas_with_two_formats():
    """Shvetsov et al. 2022, arXiv 2208.14839: eight choices of operation, each with 4 or 8 bits."""
    assert example("quantnas_basic").size() == 4**5 * 3**3 * 2**8 == 7_077_888


def test_the_cells_of_nas_bench_201():
    """Dong and Yang 2020, arXiv 2001.00326: 15,625 cells."""
    space = example("nas_bench_201")
    assert space.size() == 5**6 == 15_625
    assert len(set(space.enumerate())) == 15_625


def test_the_proxies_of_emq_with_two_operations_a_branch():
    """Dong et al. 2023, arXiv 2307.10554: two branches of an input and two operations, joined in four ways."""
    assert example("emq_proxy").size() == (4 * 20 * 20) ** 2 * 4 == 10_240_000


def test_an_inherited_joint_space_has_the_architectures_of_its_base():
    """FLIQS (arXiv 2308.03290) on the space of TuNAS (arXiv 2008.06120); formats per layer come with the network."""
    joint, base = example("fliqs_joint_mobilenet_v2"), example("mobilenet_v2_tunas")
    block, maybe = 3 * 2, 1 + 3 * 2
    stages = [4 * 3, 5 * block * maybe, 6 * block * maybe**2, 7 * block * maybe**3, 7 * block * maybe**2]
    stages += [7 * block * maybe**2, 7 * block]
    assert base.size() == 3 * 6 * 7 * math.prod(stages)
    assert joint.size(architecture_part=True) == base.size()


def test_mobile_cnn_before_and_after_its_relations():
    space = example("mobile_cnn")
    first, second = 9, 18  # options of a block of the second and of the third stage

    def depths(allowed):
        return sum(first**a * second**b for a in (1, 2, 3) for b in (1, 2, 3) if allowed(a, b))

    rest = 3 * 2 * 2 * (2 * 2) * first * second * 2 * 2
    assert space.size() == rest * depths(lambda a, b: True)
    assert space.size(feasible=True) == rest * depths(lambda a, b: a + b <= 5)


def test_inception_like_counts_the_branches_taken():
    branches = [2, 2 * 3, 2 * 2, 2]
    taken = sum(
        math.prod(n for bit, n in enumerate(branches) if mask >> bit & 1) for mask in range(16) if mask.bit_count() >= 2
    )
    assert example("inception_like").size() == taken**2 + taken**3 + taken**4


@pytest.mark.parametrize("name", sorted(path.stem for path in EXAMPLES.glob("*.yaml")))
def test_every_example_names_only_architectures_of_its_space(name):
    space = example(name)
    for known in space.known.values():
        assert space.architecture(known.architecture) == known.architecture
        assert space.satisfies(known.architecture)
