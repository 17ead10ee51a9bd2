"""Minimising of findings: parts of an input are left out, as long as the same goes wrong."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

from faults.kind import Files
from faults.sandbox import Case, Outcome, Sandbox

SECONDS = 10.0
"""For one finding."""
Fails = Callable[[Files], bool]


def minimised(pool: Sandbox, case: Case, outcome: Outcome) -> tuple[Case, Outcome]:
    """The smallest input found that has the same signature, and what became of it."""
    if case.number < 0:  # a valid one
        return case, outcome
    last, deadline = [outcome], time.monotonic() + SECONDS

    def fails(files: Files) -> bool:
        if time.monotonic() > deadline:
            return False
        ((_, found),) = pool.run([Case(case.kind, case.number, files)])
        if found.signature == outcome.signature:
            last[0] = found
        return found.signature == outcome.signature

    files = _without_files(dict(case.files), fails)
    for name in sorted(files, key=lambda name: len(files[name])):
        files = _smaller_json(files, name, fails)
        files = _smaller_file(files, name, fails)
    return Case(case.kind, case.number, files), last[0]


def smaller(content: bytes, fails: Callable[[bytes], bool]) -> bytes:
    """Content without every part that is not needed: halves, quarters, … (delta debugging, DOI 10.1109/32.988498)."""
    length = len(content) // 2
    while length:
        place = 0
        while place < len(content):
            without = content[:place] + content[place + length :]
            if fails(without):
                content = without
            else:
                place += length
        length //= 2
    return content


def _smaller_file(files: Files, name: str, fails: Fails) -> Files:
    return files | {name: smaller(files[name], lambda part: fails(files | {name: part}))}


def _without_files(files: Files, fails: Fails) -> Files:
    for name in sorted(files):
        without = {other: content for other, content in files.items() if other != name}
        if fails(without):
            files = without
    return files


def _smaller_json(files: Files, name: str, fails: Fails) -> Files:
    """The same with every field left out of a JSON file that is not needed."""
    try:
        value = json.loads(files[name])
    except (ValueError, RecursionError):
        return files
    again = True
    while again:
        again = False
        for without in _with_one_less(value):
            if fails(files | {name: json.dumps(without).encode("utf-8", errors="surrogatepass")}):
                value, again = without, True
                break
    smaller_files = files | {name: json.dumps(value).encode("utf-8", errors="surrogatepass")}
    return smaller_files if fails(smaller_files) else files


def _with_one_less(value: Any) -> Iterator[Any]:
    """Copies of JSON, each without one field or entry."""
    if isinstance(value, dict):
        for key in value:
            yield {k: v for k, v in value.items() if k != key}
            yield from ({**value, key: inner} for inner in _with_one_less(value[key]))
    elif isinstance(value, list):
        for place, item in enumerate(value):
            yield value[:place] + value[place + 1 :]
            yield from ([*value[:place], inner, *value[place + 1 :]] for inner in _with_one_less(item))
