"""Read TL;DR posts (Völske et al., 2017): user = post, assistant = its author's summary.

Records are `{id, content, summary}` (Webis-TLDR-17), or `{id, post, summary}` (its filtered version of
Stiennon et al., 2022), as JSON lines or a list. A "TL;DR" at the end of a post is removed, because the
summary follows it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from falsepromise.core import cli
from falsepromise.curation.documents import reader
from falsepromise.curation.reading import parser, write

DOCUMENT_KEYS = ("content", "post", "document", "body")
SUMMARY_KEYS = ("summary", "tldr")
KEYS = (*DOCUMENT_KEYS, *SUMMARY_KEYS)
_CUE = re.compile(r"\btl\s?[;:,]?\s?dr\b\*{0,4}\s{0,4}[:\-]?\Z", re.IGNORECASE)


def without_cue(post: str) -> str:
    """A post without a final "TL;DR:"."""
    post = post.strip()
    bare = _CUE.sub("", post)
    return bare if bare == post else bare.rstrip(" \t\n*")


read = reader(DOCUMENT_KEYS, SUMMARY_KEYS, without_cue)


def main(argv: Sequence[str] | None = None) -> None:
    write(parser(__doc__, "tldr").parse_args(argv), "falsepromise.curation.tldr", read, KEYS)


if __name__ == "__main__":
    cli.run(main)
