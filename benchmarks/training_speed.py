"""How fast one ResNet-20 trains on a GPU: the training loop as it is, without its CUDA graph, and a plain PyTorch loop.

Images are random 32x32x3 bytes, resident on the device, batch 128, crop and flip; one epoch is 49,920 images. Each
row is the median of the epochs after the first, which warms up. Run on a machine with a CUDA device:

    python benchmarks/training_speed.py --out benchmarks/results/training_speed.json
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path

import torch
from machine import describe_machine
from torch.nn import functional as F

import nasengine as nas
from nasengine.data import Part
from nasengine.tasks import TASKS
from nasengine.training import train, training_settings

BATCH, IMAGES, EPOCHS = 128, 49_920, 5


def made_up_part(device: torch.device) -> Part:
    """IMAGES random images on the device."""
    generator = torch.Generator(device).manual_seed(0)
    images = torch.randint(0, 256, (IMAGES, 3, 32, 32), dtype=torch.uint8, device=device, generator=generator)
    labels = torch.randint(0, 10, (IMAGES,), device=device, generator=generator)
    return Part(images, labels, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))


def ours(space: nas.SearchSpace, part: Part, *, cuda_graph: bool, precision: str) -> list[float]:
    """Seconds of each epoch of nasengine's loop."""
    seconds: list[float] = []
    settings = training_settings(
        {"optimizer": {"type": "sgd", "rate": 0.1}, "batch": BATCH, "cuda_graph": cuda_graph, "precision": precision}
    )
    network = nas.build(space, space.known["default"].architecture, seed=0)
    task = TASKS["image_classification"]()
    train(
        network, part, task, settings=settings, budget={"epochs": EPOCHS}, seed=0,
        on_epoch=lambda record: seconds.append(record.seconds),
    )  # fmt: skip
    return seconds


def plain(space: nas.SearchSpace, part: Part) -> list[float]:
    """Seconds of each epoch of the loop one would write first: the same work, bf16 autocast, augmentation by batch."""
    network = nas.build(space, space.known["default"].architecture, seed=0).to(part.images.device)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    seconds: list[float] = []
    for _ in range(EPOCHS):
        torch.cuda.synchronize()
        started = time.perf_counter()
        order = torch.randperm(IMAGES, device=part.images.device)
        for chosen in order.split(BATCH):
            images = F.pad(part.images[chosen].float() / 255, (4, 4, 4, 4))
            top, left = torch.randint(0, 9, (2,)).tolist()
            images = images[:, :, top : top + 32, left : left + 32]
            if torch.rand(()) < 0.5:
                images = images.flip(3)
            with torch.autocast("cuda", torch.bfloat16):
                loss = F.cross_entropy(network((images - 0.5) / 0.25), part.labels[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        torch.cuda.synchronize()
        seconds.append(time.perf_counter() - started)
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    device = torch.device("cuda")
    space, part = nas.load_space("pooling_resnet20"), made_up_part(device)
    epochs = {
        "plain PyTorch loop, bf16": plain(space, part),
        "nasengine, eager, bf16": ours(space, part, cuda_graph=False, precision="bfloat16"),
        "nasengine, CUDA graph, bf16": ours(space, part, cuda_graph=True, precision="bfloat16"),
        "nasengine, CUDA graph, fp32": ours(space, part, cuda_graph=True, precision="float32"),
    }
    rows = {name: IMAGES / statistics.median(seconds[1:]) for name, seconds in epochs.items()}
    base = rows["plain PyTorch loop, bf16"]
    for name, rate in rows.items():
        print(f"{name:<32} {rate:>10,.0f} images/s   {rate / base:.2f}x")
    result = {
        "network": "pooling_resnet20 default", "batch": BATCH, "epochs": EPOCHS, "images_per_epoch": IMAGES,
        "images_per_second": rows, "seconds_per_epoch": epochs,
        "machine": describe_machine(),
    }  # fmt: skip
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
