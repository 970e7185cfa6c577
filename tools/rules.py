"""Hold the tree against the rules of the house that no linter knows: sizes, names, circles, and what is gone.

Prints one line a breach and exits 1 where there is one. Run by ``make check``.
"""

import ast
import re
import statistics
import subprocess
import sys
import tokenize
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import grimp

ROOT: Final = Path(__file__).resolve().parents[1]
SOURCE: Final = ROOT / "src" / "neod"

MODULE_LINES: Final = 400
FUNCTION_LINES: Final = 60
MEDIAN_LINES: Final = 8
ATTRIBUTES: Final = 15
LARGE_CLASSES: Final = 3

TEXTS: Final = (".py", ".md", ".toml", ".txt", ".sh", ".service", ".conf")
DOTTED: Final = re.compile(r"(?<![\w./-])neod(?:\.[a-z_]\w*)+")
PATHS: Final = re.compile(r"(?<![\w.-])(?:src/neod|tests|tools|bench|demo|docs)/[\w./-]*\w")
NO_MODULES: Final = frozenset(("service", "sock", "toml", "log", "conf", "socket", "pid"))
"""What else is written after ``neod.``: units and files."""

MADE: Final = ("demo/out", "bench/out", "docs/pictures")
"""What programs write; it need not be there."""


def tracked() -> list[Path]:
    """Return the files that git knows, as they are in the work tree."""
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True)
    return [path for line in listed.stdout.splitlines() if (path := ROOT / line).is_file()]


def sizes() -> Iterator[str]:
    """Yield modules, functions and classes that are too large, and a median that is."""
    lengths: list[int] = []
    large: list[str] = []
    for path in sorted(SOURCE.rglob("*.py")):
        text = path.read_text()
        name = path.relative_to(ROOT)
        if (lines := text.count("\n")) > MODULE_LINES:
            yield f"{name}: {lines} lines; a module has {MODULE_LINES} at most"
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                lengths.append(length)
                if length > FUNCTION_LINES:
                    yield f"{name}:{node.lineno}: {node.name} has {length} lines; at most {FUNCTION_LINES} are allowed"
            elif isinstance(node, ast.ClassDef) and (count := len(set(attributes(node)))) > ATTRIBUTES:
                large.append(f"{name}:{node.lineno}: {node.name} has {count} attributes")
    if statistics.median(lengths) > MEDIAN_LINES:
        yield f"the median function has {statistics.median(lengths):g} lines; {MEDIAN_LINES} at most"
    if len(large) > LARGE_CLASSES:
        yield from (f"{one}; {LARGE_CLASSES} classes may have more than {ATTRIBUTES}" for one in large)


def attributes(node: ast.ClassDef) -> list[str]:
    """Return the names of what an instance holds: its fields, and what its methods set."""
    stores = (one for one in ast.walk(node) if isinstance(one, ast.Attribute) and isinstance(one.ctx, ast.Store))
    set_ = [one.attr for one in stores if isinstance(one.value, ast.Name) and one.value.id == "self"]
    annotated = (one for one in node.body if isinstance(one, ast.AnnAssign))
    fields = [ast.unparse(one.target) for one in annotated if not ast.unparse(one.annotation).startswith("ClassVar")]
    return [*fields, *set_]


def twins() -> Iterator[str]:
    """Yield where a class has the name of another."""
    first: dict[str, str] = {}
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                place = f"{path.relative_to(ROOT)}:{node.lineno}"
                if first.setdefault(node.name, place) != place:
                    yield f"{place}: there is a class {node.name} in {first[node.name]}, too"


def wordless() -> Iterator[str]:
    """Yield where a message prints ``strerror`` alone: it is None where the error was not the kernel's."""
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FormattedValue) and getattr(node.value, "attr", "") == "strerror":
                yield f"{path.relative_to(ROOT)}:{node.lineno}: strerror can be None; print strerror or the error"


def circles() -> Iterator[str]:
    """Yield a line for each set of modules that import each other, directly or through others."""
    graph = grimp.build_graph("neod", exclude_type_checking_imports=True)
    reached: dict[str, set[str]] = {}
    for module in sorted(graph.modules):
        seen: set[str] = set()
        waiting = list(graph.find_modules_directly_imported_by(module))
        while waiting:
            if (one := waiting.pop()) not in seen:
                seen.add(one)
                waiting += graph.find_modules_directly_imported_by(one)
        reached[module] = seen
    printed: set[str] = set()
    for module, seen in reached.items():
        circle = {module, *(other for other in seen if module in reached[other])}
        if module in seen and module not in printed:
            printed |= circle
            yield f"these import each other: {', '.join(sorted(circle))}"


def strangers() -> Iterator[str]:
    """Yield where a kind imports another. Modules whose names begin with the same word belong together."""
    graph = grimp.build_graph("neod", cache_dir=None)
    for module in sorted(graph.find_children("neod.kinds")):
        for other in sorted(graph.find_modules_directly_imported_by(module) & graph.find_descendants("neod.kinds")):
            if _word(module) != _word(other):
                yield f"{module} imports {other}: kinds do not know each other"


def _word(module: str) -> str:
    """Return the first word of the name of a module of kinds."""
    return module.split(".")[2].partition("_")[0]


def gone() -> Iterator[str]:
    """Yield where a text names a module or a file that is not there."""
    for path in tracked():
        if path.suffix not in TEXTS or path.name == "CHANGELOG.md":
            continue
        for number, text in texts(path):
            place = f"{path.relative_to(ROOT)}:{number}"
            absent = [found for found in DOTTED.findall(text) if not exists(found)]
            if path.suffix in (".md", ".py"):
                absent += [found for found in PATHS.findall(text) if not there(found)]
            yield from (f"{place}: there is no {found}" for found in absent)


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """Yield line number and text of what people read: of a program only its strings and comments."""
    if path.suffix != ".py":
        yield from enumerate(path.read_text(errors="replace").splitlines(), 1)
        return
    with path.open("rb") as file:
        for token in tokenize.tokenize(file.readline):
            if token.type in (tokenize.STRING, tokenize.COMMENT):
                yield token.start[0], token.string


def exists(dotted: str) -> bool:
    """Whether *dotted* is a module of neod, or begins with one and ends with the name of something in it."""
    parts = dotted.split(".")[1:]
    if parts[0] in NO_MODULES:
        return True
    place = SOURCE
    for index, part in enumerate(parts):
        if (place / part).is_dir():
            place = place / part
            continue
        module = place / f"{part}.py"
        rest = parts[index + 1 :]
        if module.exists():
            return not rest or defines(module, rest[0])
        return defines(place / "__init__.py", part)
    return True


def defines(module: Path, name: str) -> bool:
    """Whether a module's text binds *name*."""
    return module.exists() and re.search(rf"\b{re.escape(name)}\b", module.read_text()) is not None


def there(path: str) -> bool:
    """Whether a path of this tree is there, or is made by a program."""
    return (ROOT / path).exists() or path.startswith(MADE) or bool(list(ROOT.glob(path + "*")))


def main(arguments: Sequence[str]) -> int:
    """Print every breach of the rules that are named, or of all."""
    found = (sizes, twins, wordless, circles, strangers, gone)
    rules = {rule.__name__: rule for rule in found}
    sys.path.insert(0, str(SOURCE.parent))  # this tree, whichever is installed
    breaches = [line for name, rule in rules.items() if not arguments or name in arguments for line in rule()]
    print("\n".join(breaches) or "the rules of the house are kept")
    return 1 if breaches else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
