"""What a space says of its known architectures is compared with what they cost."""

from nasengine.costs import check_known
from nasengine.space import SearchSpace, parse_space

SPACE = """\
name: small
task: {kind: image_classification, input: [1, 8, 8], classes: 2}
network:
  type: sequential
  layers:
    - {type: conv, width: {choice: [2, 4]}, kernel: 1}
    - {type: conv, width: {choice: [2, 4]}, kernel: 1}
    - {type: global_average_pool}
    - {type: linear_head}
constraints: {macs: {max: 900}}
relations:
  - {order: [network.layers.0.width, network.layers.1.width], is: not_increasing}
known:
  right:
    architecture: {network.layers.0.width: 2, network.layers.1.width: 2}
    macs: 388
"""


def problems(text: str) -> list[tuple[int, str, str]]:
    found = check_known(SearchSpace(parse_space(text, "small.yaml")))
    return [(problem.mark.line, problem.message, problem.expected) for problem in found]


def test_a_figure_must_be_what_the_network_costs():
    assert problems(SPACE) == []
    assert problems(SPACE.replace("388", "1")) == [
        (16, "known.right.macs is 1", "expected 388, which its network costs")
    ]


def test_a_figure_must_be_of_a_cost_that_there_is():
    ((line, message, expected),) = problems(SPACE.replace("macs: 388", "mac: 388"))
    assert (line, message) == (16, "unknown cost 'mac' in known.right")
    assert "did you mean 'macs'" in expected


def test_a_known_architecture_keeps_the_constraints_and_the_relations():
    wide = SPACE.replace("macs: 388", "about: wide").replace("layers.0.width: 2", "layers.0.width: 4")
    assert problems(wide.replace("max: 900", "max: 500")) == [
        (15, "known.right breaks a constraint of the space: macs 772 above 500", "")
    ]
    widening = SPACE.replace("macs: 388", "about: widening").replace("layers.1.width: 2", "layers.1.width: 4")
    assert (15, "known.right breaks the relations of the space", "") in problems(widening)


def test_a_known_architecture_without_a_network_is_said_so():
    text = SPACE.replace(
        "type: conv, width: {choice: [2, 4]}, kernel: 1", "type: conv, width: {choice: [2, 4]}, groups: 3, kernel: 1", 1
    )
    ((line, message, _),) = problems(text)
    assert (line, message.partition(":")[0]) == (15, "known.right has no network that runs")
