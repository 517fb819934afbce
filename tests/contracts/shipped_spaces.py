"""The shipped spaces as cases of tests: those that another one nearly repeats wait for CI."""

from __future__ import annotations

import pytest

from nasengine.space import shipped

# Vision transformers of other widths than vit_resnas_tiny; pooling_resnet50 at another resolution.
REPEATED = {"vit_resnas_small", "vit_resnas_medium", "pooling_resnet50_cifar"}

CASES = [
    pytest.param(name, marks=pytest.mark.thorough) if name in REPEATED else name for name in shipped("search_spaces")
]
