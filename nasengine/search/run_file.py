"""RUN/run.yaml: everything a run was begun with, so that it can be resumed and understood without other files.

It is written once, before anything is measured, and never changed. It holds the space after `extends` and the
strategy with every default written out: editing the files they came from does not touch a run.
"""

from __future__ import annotations

import datetime
import importlib.metadata
import platform
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from nasengine import __version__
from nasengine.errors import InputError, RunError
from nasengine.runs import not_a_run, write_atomically
from nasengine.search.language.settings import Strategy
from nasengine.search.language.strategy import strategy_from_mapping
from nasengine.space import SearchSpace, space_from_mapping
from nasengine.space.language.yaml import parse_document, plain, read_text, resolve_scalar

NAME = "run.yaml"
FORMAT = 1
PACKAGES = ("torch", "numpy")


@dataclass(frozen=True, slots=True)
class Environment:
    """Where and how a run was begun; for people, nothing depends on it."""

    command: str = ""
    began: str = ""
    git_commit: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RunSettings:
    """What a run is: enough to begin it, and to go on with it.

    Args:
        space, strategy: as read.
        data: name of the data set; None if no phase looks at images.
        data_folder: where data lie; None for a data set that needs no folder.
        pixels: what was found out about its images: shape, mean, std, class_names, about.
        seed: of every draw.
        device: "cpu", "cuda", "cuda:1": decided when the run began.
        executor: "in_process", "local" or "ray"; `workers` how many processes of the others, 0: as many as the cluster
            has room for.
        trial_seconds: longest a trial may take (not in process); None: as long as it takes.
        deterministic: on a GPU, only kernels that repeat bit for bit.
        threads: of torch in every process that measures; gradients depend on it.
        plugins: Python modules that the space or the strategy needs; `plugin_folders` where they were found.
        address: of the cluster that the executor joins; None: it starts its own, if it is one for clusters.
        gpus: that each worker on a cluster is given.
        environment: for people.
    """

    space: SearchSpace
    strategy: Strategy
    data: str | None
    data_folder: str | None = None
    pixels: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    device: str = "cpu"
    executor: str = "in_process"
    workers: int = 1
    trial_seconds: float | None = None
    deterministic: bool = False
    threads: int = 1
    plugins: tuple[str, ...] = ()
    plugin_folders: tuple[str, ...] = ()
    address: str | None = None
    gpus: float = 0.0
    environment: Environment = Environment()

    def plain(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "began": self.environment.began,
            "command": self.environment.command,
            "git_commit": self.environment.git_commit or None,
            "versions": dict(self.environment.versions),
            "seed": self.seed,
            "data": {"name": self.data, "folder": self.data_folder, **self.pixels},
            "device": self.device,
            "executor": self.executor,
            "workers": self.workers,
            "address": self.address,
            "gpus": self.gpus,
            "trial_seconds": self.trial_seconds,
            "deterministic": self.deterministic,
            "threads": self.threads,
            "plugins": list(self.plugins),
            "plugin_folders": list(self.plugin_folders),
            "strategy": self.strategy.plain(),
            "space": dict(self.space.tree.resolved),
        }


def write_run_file(folder: Path, settings: RunSettings) -> None:
    """Write RUN/run.yaml."""
    write_atomically(folder / NAME, to_yaml(settings.plain()))


def read_run_file(folder: Path | str) -> dict[str, Any]:
    """The plain content of RUN/run.yaml.

    Raises:
        NotARunError: the folder is no run.
        RunError: the file is damaged or of another format.
    """
    path = Path(folder) / NAME
    if not path.is_file():
        raise not_a_run(Path(folder), f"has no {NAME}" if Path(folder).exists() else "does not exist")
    try:
        content = plain(parse_document(read_text(path), str(path)).documents[0])
    except InputError as error:
        raise RunError(f"{path} is damaged: {error}") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        found = content.get("format") if isinstance(content, dict) else None
        raise RunError(f"{path} has the format {found!r}, but this version of nasengine reads format {FORMAT}")
    return content


def settings_of_run(folder: Path | str) -> RunSettings:
    """The settings of a run, space and strategy rebuilt. Plug-ins must have been loaded before.

    Raises:
        RunError: as `read_run_file`; or what the file holds is no longer understood.
    """
    content = read_run_file(folder)
    path = str(Path(folder) / NAME)
    try:
        return RunSettings(
            space=space_from_mapping(content["space"], path),
            strategy=strategy_from_mapping(content["strategy"], path),
            data=content["data"]["name"],
            data_folder=content["data"]["folder"],
            pixels={key: value for key, value in content["data"].items() if key not in ("name", "folder")},
            seed=content["seed"],
            device=content["device"],
            executor=content["executor"],
            workers=content["workers"],
            trial_seconds=content["trial_seconds"],
            deterministic=content["deterministic"],
            threads=content["threads"],
            plugins=tuple(content["plugins"]),
            plugin_folders=tuple(content.get("plugin_folders") or ()),
            address=content.get("address"),
            gpus=float(content.get("gpus") or 0.0),
            environment=Environment(
                content["command"], content["began"], content["git_commit"] or "", content["versions"]
            ),
        )
    except (KeyError, TypeError) as error:
        raise RunError(f"{path} is damaged: {type(error).__name__} {error}") from error
    except InputError as error:
        raise RunError(f"{path} cannot be read by this version of nasengine:\n{error}") from error


def environment(command: Sequence[str]) -> Environment:
    """What is true of this process now."""
    versions = {"nasengine": __version__, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = "unknown"
    began = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    return Environment(shlex.join(_by_name(command)), began, git_commit(Path.cwd()), versions)


def _by_name(command: Sequence[str]) -> list[str]:
    """Our own command without the folder that it is installed in, which others have not."""
    program, *arguments = command
    return [Path(program).name if Path(program).name == "nasengine" else program, *arguments]


def git_commit(folder: Path) -> str:
    """The commit of the user's working folder, "+changes" behind it if files differ; empty without a repository."""
    head = _git(folder, "rev-parse", "HEAD")
    if not head:
        return ""
    return head + ("+changes" if _git(folder, "status", "--porcelain", "--untracked-files=no") else "")


def _git(folder: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=5, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def to_yaml(value: Any) -> str:
    """Plain values as YAML that reads back the same under YAML 1.2 and 1.1: words that could be more are quoted."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)


class _Dumper(yaml.SafeDumper):
    """Without aliases, and with quotes around every word that either version of YAML might take for something else."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _represent_word(dumper: yaml.SafeDumper, word: str) -> yaml.ScalarNode:
    try:
        is_word = resolve_scalar(word) == word
    except ValueError:  # a number too large for the language
        is_word = False
    return dumper.represent_scalar("tag:yaml.org,2002:str", word, style=None if is_word else '"')


def _represent_number(dumper: yaml.SafeDumper, number: float) -> yaml.ScalarNode:
    text = repr(number)
    if "." not in text and "e" in text:
        text = text.replace("e", ".0e")
    return dumper.represent_scalar("tag:yaml.org,2002:float", text)


_Dumper.add_representer(str, _represent_word)
_Dumper.add_representer(float, _represent_number)
_Dumper.add_multi_representer(tuple, lambda dumper, items: dumper.represent_list(list(items)))
