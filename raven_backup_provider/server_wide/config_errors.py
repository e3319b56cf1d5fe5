"""What is wrong with a configuration, in words that name the file, the key and what is allowed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel, ValidationError

_QUOTE = " (put it in quotes)"


@dataclass(frozen=True, slots=True)
class ConfigProblem:
    """One fault.

    :param file: the configuration file.
    :param key: where in it, such as ``tasks[0].databases.include``; empty for the file as a whole.
    """

    file: str
    key: str
    message: str

    def __str__(self) -> str:
        return f"{self.file}: {self.key}: {self.message}" if self.key else f"{self.file}: {self.message}"


class ContradictionError(ValueError):
    """Keys that do not go together.

    :param problems: the key to look at, and what is wrong.
    """

    def __init__(self, problems: Sequence[tuple[str, str]]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(f"{key}: {message}" for key, message in self.problems))


def explain(error: ValidationError, model: type[BaseModel], file: str, key: str) -> list[ConfigProblem]:
    """One problem for each fault that pydantic found.

    :param key: the key path of what was validated.
    """
    found: list[ConfigProblem] = []
    for told in error.errors(include_url=False):
        where, cause = key_path(key, told["loc"]), (told.get("ctx") or {}).get("error")
        if isinstance(cause, ContradictionError):
            found += [ConfigProblem(file, key_path(where, [name]), message) for name, message in cause.problems]
        else:
            found.append(ConfigProblem(file, where, _message(told, model)))
    return found


def key_path(key: str, loc: Sequence[int | str]) -> str:
    """A key path in the form of the file."""
    for part in loc:
        key += f"[{part}]" if isinstance(part, int) else f".{part}" if key else str(part)
    return key


def _message(told: Mapping[str, Any], model: type[BaseModel]) -> str:
    kind, context, value = told["type"], told.get("ctx") or {}, told.get("input")
    if kind == "missing":
        return "is required"
    if kind == "extra_forbidden":
        return _unknown_key(str(told["loc"][-1]), _model_at(model, told["loc"][:-1]))
    if kind == "literal_error":
        return f"{value!r} is not possible; allowed: {str(context.get('expected')).replace(' or ', ', ').replace(chr(39), '')}"
    if kind == "string_type":
        quotes = _QUOTE if isinstance(value, (int, float, bool)) or value is None else ""
        return f"must be text, not {_kind_of(value)}{quotes}"
    if kind in ("bool_type", "int_type", "float_type", "list_type", "model_type", "dict_type"):
        return f"must be {_WANTED[kind]}, not {_kind_of(value)}"
    if kind == "value_error":
        return str(context.get("error"))
    return f"{told['msg'][0].lower()}{told['msg'][1:]}, not {value!r}"


_WANTED = {
    "bool_type": "true or false",
    "int_type": "a whole number",
    "float_type": "a number",
    "list_type": "a list",
    "model_type": "a block of keys",
    "dict_type": "a block of keys",
}


def _kind_of(value: Any) -> str:
    if isinstance(value, Mapping):
        return "a block of keys"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, bool):
        return str(value).lower()
    return "nothing" if value is None else repr(value)


def _unknown_key(name: str, model: type[BaseModel] | None) -> str:
    known = sorted(model.model_fields) if model is not None else []
    close = get_close_matches(name, known, n=1, cutoff=0.6)
    hint = f"; did you mean {close[0]}?" if close else ""
    return f"there is no such key{hint or '.'} Allowed: {', '.join(known)}" if known else f"there is no such key{hint}"


def _model_at(model: type[BaseModel] | None, loc: Sequence[int | str]) -> type[BaseModel] | None:
    for part in loc:
        field = model.model_fields.get(str(part)) if model is not None else None
        model = next(iter(_models_in(field.annotation)), None) if field is not None else None
    return model


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in getattr(annotation, "__args__", ()):
        yield from _models_in(inner)
