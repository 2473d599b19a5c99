"""Nothing goes around the gate: each place that reads JSON, deletes, starts a program or loads an object is known.

A new place is either led through the one function for it, or entered here with the reason why it is safe.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "workflow" / "falsepromise"

# What is looked for -> modules that may have it, with the reason.
ALLOWED: dict[str, dict[str, str]] = {
    "json.loads": {
        "core/records.py": "is the one way in",
        "benchmarks/inside.py": "runs in the sandbox, where the package can't be imported",
        "benchmarks/reading/code.py": "JSON with line breaks in its strings, as models write it; every error is caught",
        "core/code.py": "a cache of its own, left out where it is damaged",
        "curation/turns.py": "a cell of a table with numbers as text; every error is caught",
        "curation/pretraining.py": "a copy of its own options",
        "training/checkpoint.py": "a copy of its own fingerprint",
    },
    "rmtree": {
        "core/folders.py": "is the one way to delete a folder",
        "core/lock.py": "Snakemake's lock, of a dead run of ours",
        "sources/fetch.py": "its own leftovers of killed downloads, by their name",
        "benchmarks/sandbox.py": "its own temporary folder",
        "sources/weights.py": "the hub client's cache inside an unfinished folder",
    },
    "subprocess": {
        "command.py": "Snakemake, a list of words, for the report",
        "benchmarks/sandbox.py": "starts the sandbox",
        "core/gpus.py": "asks nvidia-smi",
        "study/limits.py": "asks SLURM for its limits",
        "sources/fetch.py": "asks pip for a pinned package",
        "teacher/local.py": "starts the stand-in teacher",
    },
    "exec": {
        "core/gpus.py": "becomes the job's own program",
        "command.py": "becomes Snakemake",
        "benchmarks/inside.py": "runs in the sandbox",
    },
    "pickle": {},
    "shell=True": {},
    "yaml": {
        "benchmarks/harness.py": "lm-eval's definitions, with a loader that makes plain values",
        "core/plainyaml.py": "is the one way in for YAML, with the safe loader",
    },
    "trust_remote_code": {},
    "isdigit": {},
}


def name_of(node: ast.AST) -> str:
    return ast.unparse(node) if isinstance(node, ast.Attribute | ast.Name) else ""


def json_loads(node: ast.AST) -> bool:
    return name_of(node) in ("json.loads", "json.load")  # called, or handed on


def rmtree(node: ast.AST) -> bool:
    return name_of(node) in ("shutil.rmtree", "os.removedirs")


def starts(node: ast.AST) -> bool:
    return isinstance(node, ast.Import | ast.ImportFrom) and "subprocess" in ast.unparse(node)


def executes(node: ast.AST) -> bool:
    names = ("exec", "eval", "os.system", "os.popen", "os.execvp", "os.execv", "os.execve", "os.spawnv")
    return isinstance(node, ast.Call) and name_of(node.func) in names


def pickles(node: ast.AST) -> bool:
    if isinstance(node, ast.Import | ast.ImportFrom):
        words = ast.unparse(node).replace(",", " ").split()
        return bool({"pickle", "joblib", "dill", "cloudpickle", "shelve", "marshal"} & set(words))
    return isinstance(node, ast.keyword) and node.arg == "allow_pickle" and ast.unparse(node.value) != "False"


def shell(node: ast.AST) -> bool:
    return isinstance(node, ast.keyword) and node.arg == "shell" and ast.unparse(node.value) != "False"


def yaml_load(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and name_of(node.func) in ("yaml.load", "yaml.unsafe_load", "yaml.full_load")


def remote_code(node: ast.AST) -> bool:
    if isinstance(node, ast.Call) and name_of(node.func).endswith("from_pretrained"):
        given = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
        return given.get("trust_remote_code") != "False" and "transformers" in open_module
    return isinstance(node, ast.keyword) and node.arg == "trust_remote_code" and ast.unparse(node.value) != "False"


def squares(node: ast.AST) -> bool:
    """`isdigit` holds for "\u00b2", which `int` refuses; `isdecimal` holds for what it reads."""
    return isinstance(node, ast.Attribute) and node.attr == "isdigit"


open_module = ""
LOOKED_FOR: dict[str, Callable[[ast.AST], bool]] = {
    "json.loads": json_loads, "rmtree": rmtree, "subprocess": starts, "exec": executes, "pickle": pickles,
    "shell=True": shell, "yaml": yaml_load, "trust_remote_code": remote_code,
    "isdigit": squares,
}  # fmt: skip


def places(found: Callable[[ast.AST], bool]) -> Iterator[tuple[str, int]]:
    global open_module
    for path in sorted(PACKAGE.rglob("*.py")):
        open_module = path.read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(open_module)):
            if found(node):
                yield str(path.relative_to(PACKAGE)), getattr(node, "lineno", 0)


@pytest.mark.parametrize("what", LOOKED_FOR)
def test_every_door_is_known(what):
    found = list(places(LOOKED_FOR[what]))
    unknown = [f"{module}:{line}" for module, line in found if module not in ALLOWED[what]]
    assert not unknown, f"{what}: lead these through the gate, or say in ALLOWED why they are safe"
    assert set(ALLOWED[what]) <= {module for module, _ in found}, "an entry that nothing needs any more"


def decodes_by_chance(node: ast.AST) -> bool:
    """Text whose bytes a program, the kernel or a file gives: by the user's locale, or a crash where it isn't UTF-8."""
    if not isinstance(node, ast.Call):
        return False
    given = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
    if given.get("text") == "True" and name_of(node.func).startswith("subprocess."):
        return "errors" not in given
    method = node.func.attr if isinstance(node.func, ast.Attribute) else ""
    least = {"read_text": 1, "write_text": 2}.get(method)
    return least is not None and len(node.args) < least and "encoding" not in given


def test_what_programs_and_files_say_is_decoded_in_one_way():
    files = [*PACKAGE.rglob("*.py"), *(ROOT / "executor").rglob("*.py")]
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in files
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if decodes_by_chance(node)
    ]
    assert not found, "give an encoding, and `errors` for what a program says"


def shell_commands(node_text: str) -> Iterator[str]:
    """The texts of a rule file's `shell:` directives."""
    lines = node_text.split("\n")
    for number, line in enumerate(lines):
        if line.strip() == "shell:":
            depth = len(line) - len(line.lstrip())
            body = []
            for following in lines[number + 1 :]:
                if following.strip() and len(following) - len(following.lstrip()) <= depth:
                    break
                body.append(following)
            yield "\n".join(body)


@pytest.mark.parametrize("path", sorted((ROOT / "workflow" / "rules").glob("*.smk")), ids=lambda path: path.name)
def test_paths_reach_the_shell_quoted(path):
    import re

    for command in shell_commands(path.read_text(encoding="utf-8")):
        assert not re.search(r"^\s*f[\"']", command, re.MULTILINE), f"{path.name}: an f-string in a shell command"
        for placeholder in re.findall(r"\{((?:input|output|log|wildcards)\b[^{}]*)\}", command):
            assert placeholder.endswith(":q"), f"{path.name}: {{{placeholder}}} is not quoted"
