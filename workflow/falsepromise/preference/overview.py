"""The organiser's page beside the rating page: each rater's progress, agreement, pairs to discuss."""

from __future__ import annotations

import html
from collections.abc import Sequence

import numpy as np

from falsepromise.core.records import Record
from falsepromise.preference.ballots import Ballots
from falsepromise.preference.votes import CHOICES, by_item
from falsepromise.statistics.agreement import fleiss_kappa

SHOWN = 600  # characters of a text to discuss
_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Ratings so far</title>
<link rel="stylesheet" href="style.css">
</head>
<body class="overview">
<main>
<h1>Ratings so far</h1>
<p>{agreement} <a href="">Reload</a> &middot; <a href="votes.jsonl" download>Export the votes</a></p>
<div class="card"><table tabindex="0">
<caption>Raters</caption>
<thead><tr><th scope="col">Rater</th><th scope="col">Rated</th><th scope="col">{left} better</th>\
<th scope="col">{right} better</th><th scope="col">Same</th><th scope="col">As the others</th>\
<th scope="col">Median time</th></tr></thead>
<tbody>{raters}</tbody>
</table></div>
<h2>To discuss: {count}</h2>
{disagreements}
</main>
</body>
</html>
"""


def page(ballots: Ballots) -> str:
    """The page, with all texts escaped. It names the models: raters must not see it."""
    votes = ballots.votes()
    chosen = by_item(votes)
    some = next(iter(ballots.pairs.values()))
    table = np.array([[list(g.values()).count(c) for c in CHOICES] for g in chosen.values()]).reshape(-1, len(CHOICES))
    kappa = fleiss_kappa(table)
    split = [item for item, given in chosen.items() if len(set(given.values())) > 1]
    several = sum(len(given) > 1 for given in chosen.values())
    agreement = f"{len(votes)} ratings; {several} pairs have two or more"
    if several:
        agreement += f", on {several - len(split)} of them all agree"
    agreement += f" (Fleiss' kappa {kappa:.2f})." if np.isfinite(kappa) else "."
    return _PAGE.format(
        agreement=html.escape(agreement),
        left=html.escape(some.left_model),
        right=html.escape(some.right_model),
        raters="".join(_rater(ballots, votes, chosen, name) for name in sorted({vote["rater"] for vote in votes})),
        count=len(split),
        disagreements="".join(_disagreement(ballots, votes, item) for item in split) or "<p>Nothing yet.</p>",
    )


def _rater(ballots: Ballots, votes: Sequence[Record], chosen: dict[str, dict[str, str]], name: str) -> str:
    mine = [vote for vote in votes if vote["rater"] == name]
    counts = [sum(vote["choice"] == choice for vote in mine) for choice in CHOICES]
    shares = [
        (list(given.values()).count(given[name]) - 1) / (len(given) - 1)
        for given in chosen.values()
        if name in given and len(given) > 1
    ]
    seconds = [vote["seconds"] for vote in mine if "seconds" in vote]
    cells = [f"{len(mine)} of {len(ballots.pairs)}", *counts]
    cells += [f"{sum(shares) / len(shares):.0%}" if shares else "–", f"{np.median(seconds):.0f} s" if seconds else "–"]
    return f'<tr><th scope="row">{html.escape(name)}</th>' + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def _disagreement(ballots: Ballots, votes: Sequence[Record], item: str) -> str:
    pair = ballots.pairs[item]
    lines = []
    for vote in votes:
        if vote["item"] == item:
            names = {"left": pair.left_model, "right": pair.right_model, "tie": "both the same"}
            said = "both are bad" if vote.get("both") else names[vote["choice"]]
            note = f" – {vote['note']}" if vote.get("note") else ""
            lines.append(f"<li><b>{html.escape(vote['rater'])}</b>: {html.escape(said + note)}</li>")
    texts = "".join(
        f'<h4>{html.escape(name)}</h4><p class="plain" dir="auto">{html.escape(_short(text))}</p>'
        for name, text in ((pair.left_model, pair.left), (pair.right_model, pair.right))
    )
    question = f'<h3 class="plain" dir="auto">{html.escape(_short(pair.question))}</h3>'
    answers = f"<details><summary>Both answers</summary>{texts}</details>"
    return f'<section class="card">{question}<ul>{"".join(lines)}</ul>{answers}</section>'


def _short(text: str) -> str:
    return text if len(text) <= SHOWN else text[:SHOWN] + " …"
