"""Run by a fresh interpreter: loads an exported folder where nasengine does not exist.

    python -I clean_room.py FOLDER PROBE ANSWER [ONNX]

PROBE is a safetensors file with the tensor "images"; ANSWER is written: "scores" for them, and in its
metadata the parameters and multiply-accumulates of the network. With ONNX, model.onnx is also written to that
path and run by onnxruntime on two sizes of batch: "onnx" and "onnx_single" in ANSWER, or "onnx_error" in its
metadata where the network is beyond the ONNX exporter. Only torch, safetensors and the exported file are used;
importing nasengine or a plug-in (the packages named in NASENGINE_ABSENT) raises.
"""

import importlib.abc
import importlib.util
import os
import re
import sys
import warnings
from typing import Any


class Absent(importlib.abc.MetaPathFinder):
    """Makes packages impossible to import, installed or not."""

    def __init__(self, packages: list[str]) -> None:
        self.packages = packages

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        """Refuse what must not be here; say nothing about anything else."""
        if name.partition(".")[0] in self.packages:
            raise ModuleNotFoundError(f"{name} is not available where an exported network runs", name=name)


def main(folder: str, probe: str, answer: str, onnx: str = "") -> None:
    """Load, run, count, and write the answer."""
    sys.meta_path.insert(0, Absent(os.environ.get("NASENGINE_ABSENT", "nasengine").split(",")))
    import torch
    from safetensors.torch import load_file, save_file

    torch.set_num_threads(1)
    specification = importlib.util.spec_from_file_location("model", os.path.join(folder, "model.py"))
    assert specification is not None
    assert specification.loader is not None
    model = importlib.util.module_from_spec(specification)
    sys.modules["model"] = model
    specification.loader.exec_module(model)

    network = model.load()
    images = load_file(probe)["images"]  # (N, C, H, W)
    scores, params, macs = measure(network, images)
    answers = {"scores": scores}
    figures = {"params": str(params), "macs": str(macs)}
    if onnx:
        try:
            answers |= run_onnx(network, images, onnx)
        except Exception as error:  # the exporter raises whatever it meets; the answer carries it to the report
            cause = error.__cause__ or error
            figures["onnx_error"] = f"{type(cause).__name__}: {str(cause).strip()}".split("\n")[0][:300]
    save_file({name: tensor.contiguous() for name, tensor in answers.items()}, answer, metadata=figures)


def measure(network: Any, images: Any) -> tuple[Any, int, int]:
    """Scores, parameters, and multiply-accumulates for one image by torch's own formulas (two operations each).

    Attention runs as plain products, for which there are formulas on every device. Not by FlopCounterMode, which
    imports the compiler first: as long as the rest of a proof takes.
    """
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils.flop_counter import flop_registry

    operations = 0

    class Count(TorchDispatchMode):  # type: ignore[no-untyped-call]
        def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            nonlocal operations
            output = function(*args, **(kwargs or {}))
            formula = flop_registry.get(function.overloadpacket)
            if formula is not None:
                operations += formula(*args, **(kwargs or {}), out_val=output)
            return output

    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), Count():  # type: ignore[no-untyped-call]
        scores = network(images)
    return scores, sum(parameter.numel() for parameter in network.parameters()), operations // 2 // len(images)


def run_onnx(network: Any, images: Any, path: str) -> dict[str, Any]:
    """Write model.onnx with a free batch size and run it; returns its scores for the batch and for one image."""
    import contextlib
    import io
    import logging

    import onnxruntime
    import torch

    # torch writes Python source that holds these names unescaped, and runs it.
    strange = [name for name, _ in network.named_modules() if not re.fullmatch(r"[\w.+-]*", name)]
    if strange:
        raise ValueError(f"a module name with other signs than letters, digits, '_', '+' and '-': {strange[0]!r}")
    logging.disable(logging.WARNING)  # four lines that torchvision is not there
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            (images,),
            path,
            input_names=["images"],
            output_names=["scores"],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            external_data=False,
            dynamo=True,
            verbose=False,
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    runner = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    both = [runner.run(None, {"images": part.numpy()})[0] for part in (images, images[:1])]
    return {"onnx": torch.from_numpy(both[0]), "onnx_single": torch.from_numpy(both[1])}


if __name__ == "__main__":
    main(*sys.argv[1:])
