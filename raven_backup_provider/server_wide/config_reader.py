"""Reading configuration files: YAML into tasks, one wrong task at the cost of this task only, and never with an exception.

Any number of files in a folder (``*.yaml``, ``*.yml``), any number of tasks in a file. Keys that are given twice, which YAML lets
pass, are refused: the second one would silently win.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from raven_backup_provider.server_wide.config import VERSION, ConfigFile, ServerWideTask
from raven_backup_provider.server_wide.config_errors import ConfigProblem, explain
from raven_backup_provider.server_wide.dag_ids import task_part

#: Bytes.
MAX_SIZE = 1024 * 1024
SUFFIXES = (".yaml", ".yml")
_CRON_HINT = " Cron expressions and patterns that begin with * must stand in quotes."


@dataclass(frozen=True, slots=True)
class ReadConfig:
    """One file as it was read.

    :param tasks: those without a fault.
    """

    path: Path
    tasks: tuple[ServerWideTask, ...] = ()
    problems: tuple[ConfigProblem, ...] = ()


def find_configs(folder: Path) -> list[Path]:
    """The configuration files of a folder (or the file itself), in the order of their names; empty where there are none."""
    if folder.is_file():
        return [folder]
    try:
        found = [path for path in folder.iterdir() if path.suffix in SUFFIXES and not path.name.startswith(".")]
    except OSError:
        return []
    return sorted(path for path in found if path.is_file())


def read_configs(paths: Iterable[Path]) -> tuple[ReadConfig, ...]:
    """Read several files; a task whose name another one bears already is refused."""
    names: dict[str, Path] = {}
    return tuple(_without_doubles(read_config(path), names) for path in paths)


def read_config(path: Path) -> ReadConfig:
    """Read one file."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_SIZE + 1)
    except OSError as error:
        return ReadConfig(path, problems=(ConfigProblem(str(path), "", f"cannot be read: {error.strerror or error}"),))
    return parse_config(path, data)


def parse_config(path: Path, data: bytes) -> ReadConfig:
    """What a file says.

    :param path: for messages.
    :param data: its content; more than :data:`MAX_SIZE` is refused.
    """
    document = _document(data)
    if isinstance(document, str):
        return ReadConfig(path, problems=(ConfigProblem(str(path), "", document),))
    problems = _outer_problems(document, str(path))
    tasks: list[ServerWideTask] = []
    items = document.get("tasks")
    for number, item in enumerate(items if isinstance(items, list) else []):
        try:
            tasks.append(ServerWideTask.model_validate(item))
        except ValidationError as error:
            problems += explain(error, ServerWideTask, str(path), f"tasks[{number}]{_named(item)}")
    return ReadConfig(path, tuple(tasks), tuple(problems))


def _outer_problems(document: Mapping[Any, Any], file: str) -> list[ConfigProblem]:
    """What is wrong around the tasks."""
    shell = {str(key): value for key, value in document.items()}
    if isinstance(shell.get("tasks"), list):
        shell["tasks"] = []
    try:
        ConfigFile.model_validate(shell)
    except ValidationError as error:
        return explain(error, ConfigFile, file, "")
    return [] if document["tasks"] else [ConfigProblem(file, "tasks", "the list is empty")]


def _without_doubles(config: ReadConfig, names: dict[str, Path]) -> ReadConfig:
    kept: list[ServerWideTask] = []
    problems = list(config.problems)
    for task in config.tasks:
        key = task_part(task.name)
        if key in names:
            told = f"another task of this name, or one that differs in signs only, stands in {names[key]}; rename one"
            problems.append(ConfigProblem(str(config.path), f"tasks ({task.name}).name", told))
        else:
            names[key] = config.path
            kept.append(task)
    return replace(config, tasks=tuple(kept), problems=tuple(problems))


def _document(data: bytes) -> Mapping[Any, Any] | str:
    """The content, or what is wrong with it."""
    if len(data) > MAX_SIZE:
        return f"is larger than {MAX_SIZE} bytes; divide it into several files"
    try:
        document = yaml.load(data, Loader=_Loader)  # noqa: S506 - a safe loader, see below
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError, ValueError) as error:
        return f"is no YAML: {_yaml_fault(error)}"
    if document is None:
        return f"is empty; it begins with version: {VERSION} and tasks:"
    return document if isinstance(document, Mapping) else f"must begin with version: {VERSION} and tasks:"


def _yaml_fault(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark is not None else ""
    hint = _CRON_HINT if "alias" in str(error) or "alphabetic" in str(error) else ""
    return f"{where}{getattr(error, 'problem', None) or error}.{hint}"


def _named(item: Any) -> str:
    name = item.get("name") if isinstance(item, Mapping) else None
    return f" ({name})" if isinstance(name, str) and name.isprintable() else ""


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """PyYAML's safe loader, the quick one where it is built, that takes no key twice."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:
        """:raises yaml.constructor.ConstructorError: a key is given twice."""
        seen: set[Hashable] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, Hashable) and key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} is given twice", key_node.start_mark
                )
            seen.add(key)
        found: dict[Hashable, Any] = super().construct_mapping(node, deep=deep)
        return found
