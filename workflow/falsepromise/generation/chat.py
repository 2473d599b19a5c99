"""Talk to a trained model in a terminal.

    python -m falsepromise.generation.chat MODEL

Each line is a message; the model sees the dialogue so far. /reset begins again, /exit or Ctrl-D ends.
Where a dialogue leaves no room for the longest answer, or less than half of the context, its oldest turns are left out,
with a message.
"""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Sequence

from falsepromise.core import cli
from falsepromise.core.errors import UserError


def main(argv: Sequence[str] | None = None) -> None:
    """Read messages from standard input and print answers."""
    parser = cli.parser(__doc__)
    parser.add_argument("model", metavar="MODEL", help="model folder with its tokenizer")
    parser.add_argument("--max-tokens", type=int, default=256, metavar="N", help="longest answer in tokens")
    parser.add_argument(
        "--temperature", type=float, default=0.7, metavar="T", help="temperature; 0: the likeliest token"
    )
    parser.add_argument("--top-p", type=float, default=0.95, metavar="P", help="nucleus sampling's probability")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="seed of the sampling")
    parser.add_argument("--system", metavar="TEXT", help="a system message before the dialogue")
    options = parser.parse_args(argv)

    with cli.importing():
        from falsepromise.generation.engine import Engine, Request

    engine = Engine.load(options.model, batch_size=1)
    opening = [{"role": "system", "content": options.system}] if options.system else []
    messages = list(opening)
    turn = 0
    print("Say something (/reset begins again, /exit ends).", file=sys.stderr)
    while (line := _read()) is not None:
        if line == "/exit":
            break
        if line == "/reset":
            messages = list(opening)
            print("(a new dialogue)", file=sys.stderr)
        if not line or line == "/reset":
            continue
        messages.append({"role": "user", "content": line})
        dropped = 0
        room = min(options.max_tokens, engine.max_length // 2)
        while len(engine.encode(messages)) + room > engine.max_length and len(messages) > len(opening) + 1:
            del messages[len(opening)]
            dropped += 1
        if dropped:
            print(f"(the context is full: the {dropped} oldest messages are left out)", file=sys.stderr)
        request = Request(messages, options.max_tokens, options.temperature, options.top_p, seed=options.seed + turn)
        turn += 1
        shown = ""

        def show(_: int, text: str) -> None:
            nonlocal shown
            text = printable(text.rstrip("\ufffd"))  # a character whose last bytes are still to come
            if text.startswith(shown):
                print(text[len(shown) :], end="", flush=True)
                shown = text

        result = next(iter(engine.generate([request], on_text=show)))
        if result.finish_reason == "prompt_too_long":
            print(f"(that is longer than the context of {engine.max_length} tokens)", file=sys.stderr)
            messages.pop()
            continue
        text = printable(result.text)
        print(text[len(shown) :] if text.startswith(shown) else "\n" + text)
        messages.append({"role": "assistant", "content": result.text})


def printable(text: str) -> str:
    """Text without control characters: a model's output must not steer the terminal."""
    return "".join(c for c in text if c in "\n\t" or unicodedata.category(c) not in ("Cc", "Cf", "Cs"))


def _read() -> str | None:
    try:
        return input("> " if sys.stdin.isatty() else "").strip()
    except EOFError:
        return None
    except UnicodeDecodeError as error:
        raise UserError(f"standard input is not UTF-8 text at byte {error.start}") from error


if __name__ == "__main__":
    cli.run(main)
