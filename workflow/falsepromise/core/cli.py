"""The same command line for every verb: `--help`, one-line errors, a log with times."""

from __future__ import annotations

import argparse
import contextlib
import gc
import io
import logging
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from falsepromise.core.errors import UserError
from falsepromise.core.records import check_file, latest
from falsepromise.core.text import masked, terminal


def parser(module_doc: str | None) -> argparse.ArgumentParser:
    """An argument parser whose help is the module's docstring and shows every default."""
    verb = _verb()
    prog = f"python -m {verb}" if verb else None
    return _Parser(prog=prog, description=module_doc, formatter_class=_Formatter)


def _verb() -> str | None:
    """The module that runs as the program (`python -m falsepromise.style.compare`), or None."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    return spec.name if spec and spec.name.startswith("falsepromise.") else None


class FileName(str):
    """A path that a verb keeps as text: the type of an option whose file is read or written."""


_FRAMES = 8  # places in the code that a line names
LONGEST = 4000  # characters of an error message
OUTPUTS = (  # in every verb, the options that name what is written
    *("output", "output_train", "output_heldout", "funnel", "report", "pairs", "leaks", "export", "write"),
    *("database", "store", "checkpoints", "tensorboard"),
)


class _Parser(argparse.ArgumentParser):
    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse's, but refuses a name that is no file's, and an output that is also an input or another output.

        Raises:
            UserError: the option and its value, or the two options that name one file.
        """
        parsed = super().parse_args(args, namespace)
        seen: dict[Path, str] = {}
        for option, value in sorted(vars(parsed).items(), key=lambda item: item[0] in OUTPUTS):
            for path in value if isinstance(value, list) else [value]:
                if not isinstance(path, Path | FileName):
                    continue
                name = "--" + option.replace("_", "-")
                place = _place(name, Path(path))
                if option in OUTPUTS and place in seen and place != Path("/dev/null"):
                    raise UserError(f"{name} {path}: is also the file of {seen[place]}; give another {name}")
                seen[place] = name
        return parsed

    def _parse_optional(self, arg_string: str) -> Any:
        """As argparse's, but a value may begin with a dash: `-rf` is a file or a label if no option has this name."""
        single = arg_string.startswith("-") and not arg_string.startswith("--")
        return None if single and arg_string not in self._option_string_actions else super()._parse_optional(arg_string)


def _place(name: str, path: Path) -> Path:
    """Where a path leads to.

    Raises:
        UserError: to no file, nor a place for one. A pipe or device is none: files are read more than once, and some of
            these never end.
    """
    try:
        place = path.resolve(strict=False)
        os.stat(path)
    except FileNotFoundError:
        return place
    except (OSError, RuntimeError, ValueError) as error:  # a circle of links, a zero byte
        why = getattr(error, "strerror", None) or str(error).split(" from ")[0]
        raise UserError(f"{name} {str(path)[:200]}: can't be a file: {why}") from error
    check_file(path, f"{name} ")
    return place


class _Formatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    def _get_help_string(self, action: argparse.Action) -> str | None:
        if action.default in (None, []) or action.default is False or not action.help:  # but 0 is shown
            return action.help
        return super()._get_help_string(action)


class _SafeLines(logging.Formatter):
    """Keeps escape sequences and keys out of the terminal and the log: messages quote text from outside."""

    def format(self, record: logging.LogRecord) -> str:
        return masked(terminal(super().format(record)))


def run(main: Callable[[Sequence[str] | None], object]) -> None:
    """Run a verb's `main(argv)` as a program.

    A `UserError` becomes one line on standard error and its exit code, and so does what the machine refuses (a
    file, the disk, memory); an interrupt exits with 130. Anything else is one line too, with the places in the code
    and the file that was read last; at debug level its traceback comes before.
    """
    gc.freeze()
    gc.enable()
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_SafeLines("%(asctime)s %(levelname).1s %(name)s: %(message)s", "%H:%M:%S"))
    for stream in (sys.stdout, sys.stderr):  # of a terminal that knows ASCII alone
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    level = logging.getLevelNamesMapping().get(os.environ.get("FALSEPROMISE_LOG_LEVEL", "").upper(), logging.INFO)
    logging.basicConfig(level=level, handlers=[handler])
    logging.getLogger("__main__").name = _verb() or "__main__"  # the verb logs under its name
    for noisy in ("httpx", "httpx2", "httpcore", "openai", "jax", "absl", "datasets", "filelock"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    try:
        main(None)
    except UserError as error:
        print(f"error: {masked(terminal(_short(str(error))))}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # `verb | head`
        sys.exit(141)
    except BaseException as error:
        _say(error)


@contextlib.contextmanager
def importing() -> Iterator[None]:
    """Large imports without the garbage collector, which would walk all that is there again and again; it stays."""
    on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if on:
            gc.enable()


def _short(text: str) -> str:
    """A message that can be read: it may quote a file's text of any length."""
    over = len(text) - LONGEST
    return text if over <= 0 else f"{text[:LONGEST]} … ({over:,} more characters)"


def _say(error: BaseException) -> None:
    """One line for what has no message for the user.

    Raises:
        BaseException: the end of the program itself.
    """
    if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
        raise error
    if isinstance(error, MemoryError):
        said = "out of memory; give the job more, or less to read"
    elif isinstance(error, OSError) and error.strerror is not None:
        said = ("" if error.filename is None else f"{str(error.filename)[:200]}: ") + error.strerror
    elif isinstance(error, OSError) and str(error).endswith(" written"):  # NumPy's, which has no number
        said = f"an array can't be written whole ({error}): is the disk full?"
    elif type(error).__name__ == "PanicException":  # of Rust, such as tokenizers with a pattern of a folder
        said = f"a library gave up: {str(error)[:300]}; is the model folder's tokenizer.json sound?"
    else:
        frames = traceback.extract_tb(error.__traceback__)[-_FRAMES:]
        places = ", ".join(f"{'/'.join(Path(frame.filename).parts[-2:])}:{frame.lineno}" for frame in frames)
        last = f" after {latest[-1]} was read" if latest else ""
        said = (
            f"unexpected {type(error).__name__}{last}: {str(error)[:500]} (at {places}); a damaged file, or a mistake "
            "of this program; FALSEPROMISE_LOG_LEVEL=DEBUG shows more"
        )
    logging.getLogger("__main__").debug("where it happened", exc_info=error)
    print(f"error: {masked(terminal(' '.join(said.split())))}", file=sys.stderr)
    sys.exit(1)
