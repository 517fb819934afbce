"""What every test may rely on: one thread per process, real data where there is any, reasons where there is none."""

import ctypes
import functools
import gc
import importlib.util
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

# Before anything imports torch or numpy: gradients differ in their last bits between one thread and two.
for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[variable] = "1"

REPOSITORY = Path(__file__).resolve().parents[1]
STATM = Path("/proc/self/statm")
HELD = 2**31  # bytes that a test may leave without being tidied up after
DATA = Path(os.environ.get("NASENGINE_DATA", REPOSITORY.parent / "shared" / "data"))


def _missing_gpu() -> str:
    import torch  # only when a test asks for a GPU: the import takes seconds

    return "" if torch.cuda.is_available() else "needs a CUDA device"


def _missing_ray() -> str:
    return "" if importlib.util.find_spec("ray") else "needs the extra `ray`: pip install 'nasengine[ray]'"


def _missing_data() -> str:
    return "" if DATA.is_dir() else f"needs the data sets in {DATA} (set NASENGINE_DATA to their folder)"


NEEDS = {"gpu": _missing_gpu, "ray": _missing_ray, "data": _missing_data}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip, with the reason, the tests whose mark names something that this machine lacks."""
    for mark, missing in NEEDS.items():
        marked = [item for item in items if item.get_closest_marker(mark)]
        reason = missing() if marked else ""
        if reason:
            for item in marked:
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.hookimpl(optionalhook=True)  # of pytest-xdist, which is not everywhere
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Files go to processes whole, and all that need Ray to the same one, so that there is one cluster.

    Groups by marks, `--dist loadgroup`, are none with pytest 9.2 and pytest-xdist 3.8 (pytest-xdist issue 1386).
    """
    from xdist.scheduler import LoadFileScheduling

    class FilesAndRay(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.split("::", 1)[0]
            return "ray" if _uses_ray(file) else file

    return FilesAndRay(config, log)


@functools.cache
def _uses_ray(file: str) -> bool:
    return "pytest.mark.ray" in (REPOSITORY / file).read_text(encoding="utf-8")


@pytest.fixture(autouse=True, scope="module")
def _own_objects() -> Iterator[None]:
    """The garbage collector goes through what a file makes; all that others left behind takes it half a second."""
    gc.freeze()
    yield
    gc.unfreeze()


def pytest_runtest_logfinish(nodeid: str) -> None:
    """Give memory that is free back to the system, which the C library keeps for later: gigabytes of a large space."""
    if _resident() > HELD:
        gc.unfreeze()
        gc.collect()
        gc.freeze()
        if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):
            trim(0)


def pytest_sessionfinish() -> None:
    """Find all garbage once; pytest and the interpreter look again, which takes seconds where much is left."""
    gc.collect()
    gc.freeze()


def _resident() -> int:
    """Bytes of memory that this process holds; 0 where that is not known."""
    try:
        pages = STATM.read_text().split()[1]
    except OSError:
        return 0
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


@pytest.fixture(scope="session")
def ray_machines() -> Iterator[Any]:
    """A Ray cluster of three machines, all of them this one, which the process has joined; it takes seconds to start.

    A test that removes a machine puts one back: `ray_machines.add_node(num_cpus=2)`.
    """
    import ray
    from ray.cluster_utils import Cluster

    variables = {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}
    os.environ.update(variables)
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
    for _ in range(2):
        cluster.add_node(num_cpus=2)
    ray.init(address=cluster.address, log_to_driver=False, logging_level=logging.CRITICAL)
    cluster.wait_for_nodes()
    yield cluster
    ray.shutdown()
    cluster.shutdown()
    for name in variables:
        del os.environ[name]


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the checkout."""
    return REPOSITORY


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder that holds cifar10/, small/ and the other data sets; for tests marked `data`."""
    if not DATA.is_dir():
        pytest.skip(_missing_data())
    return DATA
