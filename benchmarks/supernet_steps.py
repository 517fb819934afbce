"""What a training step with shared weights costs: masks, views and plain networks, each beside the compiled plain one.

A step is forward, loss and backward of one batch (bf16 autocast on a GPU), new architectures each time. The measure of
all is the largest network of the space as a plain one, compiled, in the same run (`ratio`). Rows of a main group:

    plain compiled, plain eager     the largest network
    masked compiled, masked eager   K architectures in one pass, `supernet.batch`
    …, graph                        the same captured, other architectures put into its masks: as trainings replay it
    views eager, views graph        the same K one after the other, each on its part of the batch; as one CUDA graph
    view …, plain …                 one architecture of middle size as a view and as a network of its own, whole batch
    new architecture                milliseconds of the processor until the work of one never seen is on its way; beside
                                    it another one as a plain network, whose kernels are looked up as well

The groups of causes leave one kind of choice open at a time (`step_spaces`): the largest network stays the same, so a
ratio says what this kind costs. Choices of width of the tokens make layer norms count and the layers behind them mask;
those of heads and of mlp_width mask one layer each; "optional" is a gate; any choice at all makes batch norms take
statistics per architecture, which the row "last width" (one choice, behind all other layers) shows almost alone.

    python benchmarks/supernet_steps.py --out benchmarks/results/supernet_steps.json
    python benchmarks/supernet_steps.py --groups vit --seconds 300 --k 16 2 64      # one group, all its rows
    python benchmarks/supernet_steps.py --groups vit --rows compiled --k 16 2 64    # what takes the compiler

The compiler takes one to two minutes for a whole vision transformer, so rows that need none come first.

Each row is written as it is done; one that fails or comes too late for the seconds of its group says so.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import statistics
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import step_spaces
import torch
import torch.nn.functional as F
from step_rows import BASELINE, WARM_UP, Group, Report, Step, written

from nasengine.build import example_input
from nasengine.records import Architecture
from nasengine.space import SearchSpace
from nasengine.supernet import Supernet

BASELINE_GRAPH = "plain compiled, graph"
SETS = WARM_UP  # of K architectures each, which a masked step takes in turn
NEW = 20  # architectures never seen
CAUSES_K = 16

VIT_CAUSES = {"none": (), "width": ("width",), "heads": ("heads",), "mlp_width": ("mlp_width",),
              "optional": ("optional",), "all": ("*",)}  # fmt: skip
CNN_CAUSES = {"widths and depth": ("width", "expansion", "repeat", "optional"), "last width": ("last",),
              "width": ("width",), "expansion": ("expansion",), "repeat": ("repeat",), "kernel": ("kernel",),
              "squeeze_excite": ("squeeze_excite",), "all": ("*",)}  # fmt: skip


@dataclass
class Subject:
    """A space with images, its supernet, and steps made of them.

    Args:
        space: of the architectures.
        batch: images.
        device: of everything.
        seed: of architectures and labels.
    """

    space: SearchSpace
    batch: int
    device: torch.device
    seed: int = 0

    def __post_init__(self) -> None:
        self.plains: dict[tuple[Architecture, bool], tuple[list[torch.nn.Parameter], Callable[..., torch.Tensor]]] = {}
        self.supernet = Supernet(self.space, device=self.device, seed=self.seed)
        self.rng = np.random.default_rng(self.seed)
        assert self.space.task is not None
        generator = torch.Generator().manual_seed(self.seed)
        classes = int(self.space.task.settings["classes"])
        self.labels = torch.randint(classes, (self.batch,), generator=generator).to(self.device)
        images = example_input(self.space, self.supernet.largest, batch=self.batch, device=str(self.device))
        self.images = images.contiguous(memory_format=torch.channels_last)

    def draw(self, k: int) -> list[Architecture]:
        """K architectures."""
        return [self.space.sample(self.rng) for _ in range(k)]

    def autocast(self) -> contextlib.AbstractContextManager[Any]:
        """bf16 on a GPU."""
        # Without keeping what it casts: each weight is used once, and graphs must not find casts of before.
        return torch.autocast("cuda", torch.bfloat16, enabled=self.device.type == "cuda", cache_enabled=False)

    def learn(self, forward: Callable[[], torch.Tensor], labels: torch.Tensor) -> None:
        """Forward, loss, backward."""
        with self.autocast():
            scores = forward()
        F.cross_entropy(scores.float(), labels).backward()

    def step(self, forward: Callable[[], torch.Tensor], parameters: Sequence[torch.nn.Parameter]) -> Step:
        """A whole step of the whole batch."""

        def run() -> None:
            self.learn(forward, self.labels)
            for parameter in parameters:
                parameter.grad = None

        return run

    def of_its_own(self, architecture: Architecture) -> torch.nn.Module:
        """A stand-alone network, its weights as the images lie."""
        return self.supernet.subnet(architecture).to(memory_format=torch.channels_last)

    def plain(self, architecture: Architecture, *, compiled: bool) -> Step:
        """The step of a network of its own."""
        if (architecture, compiled) not in self.plains:  # the graph of a step runs what the row before compiled
            network = self.of_its_own(architecture)
            run = torch.compile(network, dynamic=False) if compiled else network
            self.plains[architecture, compiled] = list(network.parameters()), run
        parameters, run = self.plains[architecture, compiled]
        return self.step(lambda: run(self.images), parameters)

    def view(self, architecture: Architecture) -> Step:
        """The same on shared weights."""
        view = self.supernet.view(architecture)
        return self.step(lambda: view(self.images), self.supernet.parameters())

    def masked(self, k: int, *, compiled: bool, graph: bool = False) -> Step:
        """K architectures in one pass, others each time; with `graph` put into the masks of one that is captured."""
        set_compiled(self.supernet, compiled)
        sets = [self.draw(k) for _ in range(SETS)]
        plans = self.supernet.plans(sets[0])
        if len(plans) != 1:
            raise RuntimeError(f"{k} architectures fall into {len(plans)} plans")
        if not plans[0].masked:
            raise RuntimeError(f"runs as views: {plans[0].note}")
        turns = itertools.cycle(sets)
        if not graph:
            return self.step(lambda: self.supernet.batch(self.images, next(turns)), self.supernet.parameters())
        standing = self.supernet.standing(plans[0])
        replay = captured(self.step(lambda: standing(self.images), self.supernet.parameters()))

        def run() -> None:
            standing.put(next(turns))
            replay()

        return run

    def views(self, k: int) -> Step:
        """K architectures one after the other, each on its part of the batch; the same ones each time."""
        parameters = self.supernet.parameters()
        parts = [
            (self.supernet.view(architecture), self.images[i::k].contiguous(memory_format=torch.channels_last), i)
            for i, architecture in enumerate(self.draw(k))
        ]

        def run() -> None:
            for view, images, i in parts:
                self.learn(lambda view=view, images=images: view(images), self.labels[i::k])
            for parameter in parameters:
                parameter.grad = None

        return run


def captured(step: Step) -> Step:
    """A step as one CUDA graph, captured on the stream on which everything runs.

    Kept views hold on to nodes of autograd, and these to the stream they were made on; another one cannot be captured.
    """
    for _ in range(2):
        step()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=torch.cuda.current_stream()):
        step()
    return graph.replay


def set_compiled(supernet: Supernet, compiled: bool) -> None:
    """Have masked passes compiled or not."""
    supernet.compiled = compiled


def new_architectures(subject: Subject) -> Iterator[tuple[str, float]]:
    """Milliseconds of the processor for architectures never seen: (what, median)."""
    supernet, few = subject.supernet, subject.images[:8]
    names = ("its view is made", "first result", "second result", "plain, first result", "plain, second result")
    times: dict[str, list[float]] = {name: [] for name in names}

    def timed(name: str, work: Callable[[], object]) -> None:
        began = time.perf_counter()
        work()
        times[name].append((time.perf_counter() - began) * 1e3)

    for architecture, other in zip(subject.draw(NEW), subject.draw(NEW), strict=True):
        plain = subject.of_its_own(other)
        with torch.no_grad(), subject.autocast():
            timed("its view is made", lambda a=architecture: supernet.view(a))
            timed("first result", lambda a=architecture: supernet(few, a))
            timed("second result", lambda a=architecture: supernet(few, a))
            timed("plain, first result", lambda network=plain: network(few))
            timed("plain, second result", lambda network=plain: network(few))
        if subject.device.type == "cuda":
            torch.cuda.synchronize()
    for name, found in times.items():
        yield f"new architecture: {name}", statistics.median(found)
    for k in (2, 16):
        found = []
        for _ in range(NEW):
            drawn = subject.draw(k)
            began = time.perf_counter()
            supernet.plans(drawn)
            found.append((time.perf_counter() - began) * 1e3)
        yield f"plans of {k} new architectures", statistics.median(found)


def main_group(group: Group, subject: Subject, ks: Sequence[int], graphs: bool, rows: str = "all") -> None:
    """All rows of one space, or those of one kind."""
    if rows in ("all", "eager"):
        eager_rows(group, subject, ks, graphs)
    if rows in ("all", "compiled"):
        compiled_rows(group, subject, ks, graphs)


def eager_rows(group: Group, subject: Subject, ks: Sequence[int], graphs: bool) -> None:
    """The rows that take no compiler."""
    largest, batch = subject.supernet.largest, subject.batch
    group.row("plain eager", lambda: subject.plain(largest, compiled=False), batch=batch)
    _new_rows(group, subject)
    _view_rows(group, subject, subject.draw(1)[0], graphs)
    for k in ks:
        group.row("masked eager", lambda k=k: subject.masked(k, compiled=False), k=k, batch=batch)
        group.row("views eager", lambda k=k: subject.views(k), k=k, batch=batch)
        if graphs:
            group.row("views graph", lambda k=k: captured(subject.views(k)), k=k, batch=batch)


def compiled_rows(group: Group, subject: Subject, ks: Sequence[int], graphs: bool) -> None:
    """The rows whose beginning takes the compiler a minute or two."""
    largest, batch = subject.supernet.largest, subject.batch
    group.row(BASELINE, lambda: subject.plain(largest, compiled=True), batch=batch, late=True)
    if graphs:
        group.row(BASELINE_GRAPH, lambda: captured(subject.plain(largest, compiled=True)), batch=batch, late=True)
    for k in ks:
        late = k == ks[0]
        group.row("masked compiled", lambda k=k: subject.masked(k, compiled=True), k=k, batch=batch, late=late)
        if graphs:  # what the row before compiled
            group.row(
                "masked compiled, graph", lambda k=k: subject.masked(k, compiled=True, graph=True), to=BASELINE_GRAPH,
                k=k, batch=batch, late=late,
            )  # fmt: skip


def _view_rows(group: Group, subject: Subject, one: Architecture, graphs: bool) -> None:
    """One architecture as a network of its own and as a view."""
    plain = "plain, one architecture"
    group.row(plain, lambda: subject.plain(one, compiled=False), batch=subject.batch)
    group.row("view of it", lambda: subject.view(one), to=plain, batch=subject.batch)
    if graphs:
        graph = f"{plain}, graph"
        group.row(graph, lambda: captured(subject.plain(one, compiled=False)), batch=subject.batch)
        group.row("view of it, graph", lambda: captured(subject.view(one)), to=graph, batch=subject.batch)


def _new_rows(group: Group, subject: Subject) -> None:
    try:
        for name, ms in new_architectures(subject):
            group.report.add({"group": group.name, "row": name, "ms": round(ms, 4), "samples": NEW})
    except Exception as error:  # as in `Group.row`
        group.report.add({"group": group.name, "row": "new architecture", "error": repr(error)[:300]})


def causes(
    group: Group, spaces: dict[str, Callable[[], SearchSpace]], batch: int, k: int, device: torch.device
) -> None:
    """One masked compiled step for each kind of choice, over the plain network that is the largest of all."""
    graphs = device.type == "cuda"
    subject = Subject(spaces["all"](), batch, device)
    group.row(BASELINE, lambda: subject.plain(subject.supernet.largest, compiled=True), batch=batch, late=True)
    if graphs:
        largest = subject.supernet.largest
        group.row(BASELINE_GRAPH, lambda: captured(subject.plain(largest, compiled=True)), batch=batch, late=True)
    for name in ["all", *[name for name in spaces if name not in ("all", "none")]]:
        subject = Subject(spaces[name](), batch, device)
        group.row(f"masked: {name}", lambda of=subject: of.masked(k, compiled=True), k=k, batch=batch)
        if graphs:
            group.row(
                f"masked, graph: {name}", lambda of=subject: of.masked(k, compiled=True, graph=True),
                to=BASELINE_GRAPH, k=k, batch=batch,
            )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = ["vit", "mobile_cnn", "mobile_cnn_cifar", "vit_causes", "cnn_causes", "type_causes"]
    parser.add_argument("--groups", nargs="+", default=names, choices=names)
    parser.add_argument("--seconds", type=float, default=60, help="no row of a group begins after so many, but two")
    parser.add_argument("--k", type=int, nargs="+", default=[16, 2, 64], help="the first is the one most rows use")
    parser.add_argument("--rows", default="all", choices=["all", "eager", "compiled"], help="of the main groups")
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--tiny", action="store_true", help="small networks and batches, to try the script on a CPU")
    parser.add_argument("--traces", action="store_true", help="print the traceback of a row that fails")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    graphs = device.type == "cuda"
    if graphs:
        torch.cuda.set_stream(torch.cuda.Stream())
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    settings = {
        "seed": 0, "batch": arguments.batch, "k": arguments.k, "seconds": arguments.seconds, "tiny": arguments.tiny,
        "precision": "bfloat16 autocast" if graphs else "float32",
    }  # fmt: skip
    report = Report(arguments.out, settings)
    batch, ks = (16, [4, 2, 8]) if arguments.tiny else (arguments.batch, arguments.k)
    k = 4 if arguments.tiny else CAUSES_K

    def vit(kinds: Sequence[str]) -> SearchSpace:
        return step_spaces.short_transformer(kinds, tiny=arguments.tiny)

    mains: dict[str, Callable[[], SearchSpace]] = {
        "vit": (lambda: vit(("*",))) if arguments.tiny else step_spaces.vision_transformer,
        "mobile_cnn": lambda: step_spaces.mobile_network("mobile_cnn"),
        "mobile_cnn_cifar": lambda: step_spaces.mobile_network("mobile_cnn_cifar"),
    }
    for name in arguments.groups:
        group = Group(name, report, device, arguments.seconds)
        torch._dynamo.reset()
        try:
            if name in mains:
                began = time.perf_counter()
                subject = Subject(mains[name](), batch, device)
                made = (time.perf_counter() - began) * 1e3
                report.add({"group": name, "row": "space, supernet and images are made", "ms": round(made, 1)})
                main_group(group, subject, ks, graphs, arguments.rows)
                del subject
            elif name == "vit_causes":
                causes(group, {c: lambda c=c: vit(VIT_CAUSES[c]) for c in VIT_CAUSES}, batch, k, device)
            elif name == "cnn_causes":
                spaces = {c: lambda c=c: step_spaces.short_mobile_network(CNN_CAUSES[c]) for c in CNN_CAUSES}
                causes(group, spaces, batch, k, device)
            else:
                causes(group, {"all": lambda: step_spaces.typed_network(True)}, batch, k, device)
        except Exception as error:  # a space that this version cannot share weights of
            report.add({"group": name, "row": "the whole group", "error": repr(error)[:300]})
            if arguments.traces:
                traceback.print_exc()
    print("\nwith all ratios:")
    for row in report.rows:
        print(written(row), flush=True)


if __name__ == "__main__":
    sys.exit(main())
