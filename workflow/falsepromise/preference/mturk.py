"""Collect ratings on Mechanical Turk (paper section 4.1, appendix B).

  cost     what a batch would cost, before anything is written
  export   write a batch: batch.csv and hit.html to upload by hand, key.jsonl (who is who), batch.json
  create   make the batch's HITs through the API, in the sandbox unless --live
  collect  fetch the ratings so far as votes
  import   turn a result CSV into votes: the requester page's, or one of a survey for Prolific's participants

Each item gets three ratings, from raters with an approval of at least 95 %, at least 100 HITs, in an
English-speaking country. `create --live` spends money: it prints the cost of the missing HITs and refuses unless
--spend-usd allows it and the account has it. Existing HITs are not made again, also after a kill. --checks adds pairs
that an attentive rater can't get wrong; raters who fail more of them than they pass are listed, and --attentive leaves
them out. `create` and `collect` need boto3 (the extra `mturk`) and its usual credentials in the environment.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import logging
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from falsepromise.core import cli
from falsepromise.core.errors import UserError
from falsepromise.core.manifest import write_manifest
from falsepromise.core.progress import track
from falsepromise.core.records import Record, read_json, write_jsonl
from falsepromise.preference import crowd
from falsepromise.preference.pairs import read_pairs
from falsepromise.preference.results import Ratings, label_of, votes_of_csv

log = logging.getLogger(__name__)
REGION = "us-east-1"  # the only one that Mechanical Turk has
SANDBOX = "https://mturk-requester-sandbox.us-east-1.amazonaws.com"
LIVE = "https://mturk-requester.us-east-1.amazonaws.com"
COUNTRIES = ("US", "CA", "GB", "IE", "AU", "NZ")
QUALIFICATIONS = [
    {"QualificationTypeId": "000000000000000000L0", "Comparator": "GreaterThanOrEqualTo", "IntegerValues": [95]},
    {"QualificationTypeId": "00000000000000000040", "Comparator": "GreaterThanOrEqualTo", "IntegerValues": [100]},
    {
        "QualificationTypeId": "00000000000000000071",
        "Comparator": "In",
        "LocaleValues": [{"Country": country} for country in COUNTRIES],
    },
]


@contextlib.contextmanager
def connected(live: bool) -> Iterator[Any]:
    """A client of Mechanical Turk; the sandbox's unless `live`.

    Raises:
        UserError: boto3 is not installed, there are no credentials, or Mechanical Turk refuses.
    """
    try:
        import boto3
        from botocore.exceptions import BotoCoreError, ClientError
    except ImportError as error:
        raise UserError("boto3 is not installed; install this package with the extra `mturk`") from error
    address = LIVE if live else SANDBOX
    try:
        yield boto3.Session().client("mturk", region_name=REGION, endpoint_url=address)
    except (BotoCoreError, ClientError) as error:
        raise UserError(
            f"{address}: {error}; nothing is lost: correct it (boto3 reads the requester account's credentials "
            "from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or a profile) and run the command again"
        ) from error


def existing_hits(client: Any, batch: str) -> dict[str, str]:
    """HIT ids of a batch by item, as Mechanical Turk itself lists them."""
    found: dict[str, str] = {}
    for page in client.get_paginator("list_hits").paginate():
        for hit in page["HITs"]:
            owner, _, item = (hit.get("RequesterAnnotation") or "").partition("/")
            if owner == batch:
                found[item] = hit["HITId"]
    return found


def create(
    client: Any, folder: Path, qualified: bool = True, days: int = 7, spend_usd: float | None = None
) -> tuple[int, int]:
    """Make the missing HITs of a batch.

    The HIT carries its item in the annotation, which a later call finds, and as its unique request
    token, which keeps a call that was cut off from making it twice.

    Args:
        client: Of Mechanical Turk.
        folder: The batch's.
        qualified: Whether raters need the paper's qualifications.
        days: How long the HITs stay open.
        spend_usd: What may be spent; None where it is no real money.

    Returns:
        How many were made and how many were there.

    Raises:
        UserError: the missing HITs cost more than `spend_usd`, or than the account holds.
    """
    about = read_json(folder / "batch.json")
    template = (folder / "hit.html").read_text(encoding="utf-8")
    with open(folder / "batch.csv", encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    there = existing_hits(client, about["batch"])
    missing = [row for row in rows if row["item"] not in there]
    if spend_usd is not None and missing:
        cost = crowd.Cost(len(missing), about["ratings"], about["reward"])
        check_money(cost, folder, spend_usd)
        balance = float(client.get_account_balance()["AvailableBalance"])
        if balance < cost.usd:
            raise UserError(f"{folder}: {cost}, and the account holds ${balance:.2f}; prepay HITs, then go on")
    made = 0
    for row in track(missing, "HITs made", unit="HIT"):
        made += _create_hit(
            client,
            Title="Compare the quality of two texts",
            Description="Read a question and two answers, and say which answer is better.",
            Keywords="text, comparison, quality, English",
            Reward=f"{about['reward']:.2f}",
            MaxAssignments=about["ratings"],
            LifetimeInSeconds=days * 86_400,
            AssignmentDurationInSeconds=3_600,
            AutoApprovalDelayInSeconds=3 * 86_400,
            QualificationRequirements=QUALIFICATIONS if qualified else [],
            Question=crowd.question(template, row),
            RequesterAnnotation=f"{about['batch']}/{row['item']}",
            UniqueRequestToken=f"{about['batch']}{row['item']}",
        )
    return made, len(rows) - made


def _create_hit(client: Any, **hit: Any) -> bool:
    """Make one HIT; False where its token was used before (a call whose answer was lost)."""
    try:
        client.create_hit(**hit)
    except client.exceptions.RequestError as error:
        if "HITAlreadyExists" not in str(error):
            raise
        return False
    return True


def check_money(cost: crowd.Cost, folder: Path, spend_usd: float | None) -> None:
    """Refuse to spend more than was agreed to.

    Raises:
        UserError: says the cost, and how to agree to it.
    """
    if spend_usd is None or cost.usd > spend_usd + 1e-9:
        allowed = "nothing" if spend_usd is None else f"${spend_usd:.2f}"
        raise UserError(
            f"{folder}: {cost}, and --spend-usd allows {allowed}; to go ahead, give --spend-usd {cost.usd:.2f}"
        )


def collect(client: Any, folder: Path) -> tuple[Ratings, int]:
    """The ratings of a batch so far, and how many items have no HIT."""
    key = crowd.read_key(folder)
    hits = existing_hits(client, next(iter(key.values()))["batch"])
    found = Ratings()
    pages = client.get_paginator("list_assignments_for_hit")
    for item in track([item for item in key if item in hits], "HITs read", unit="HIT"):
        for page in pages.paginate(HITId=hits[item], AssignmentStatuses=["Submitted", "Approved", "Rejected"]):
            for assignment in page["Assignments"]:
                if assignment["AssignmentStatus"] == "Rejected":
                    found.rejected += 1
                    continue
                texts = crowd.free_texts(assignment.get("Answer", ""))
                answer = next(filter(None, map(label_of, texts)), None)
                spent = (assignment["SubmitTime"] - assignment["AcceptTime"]).total_seconds()
                found.add(key[item], crowd.vote(key[item], assignment["WorkerId"], answer, spent))
    return found, sum(item not in hits for item in key)


def _cost(args: argparse.Namespace) -> None:
    reward = args.reward or crowd.fair_reward(args.hourly, args.seconds)
    print(crowd.Cost(args.items, args.ratings, reward))


def _export(args: argparse.Namespace) -> None:
    pairs = read_pairs(args.prompts, args.responses, args.reference)
    reward = args.reward or crowd.fair_reward(args.hourly, args.seconds)
    cost = crowd.Cost(len(pairs) + args.checks, args.ratings, reward)
    crowd.write_batch(args.output, pairs, args.seed, cost, crowd.planted(pairs, args.checks, args.seed))
    write_manifest(
        Path(args.output) / "batch.csv",
        module="falsepromise.preference.mturk",
        inputs=[args.prompts, args.responses, args.reference, crowd.TEMPLATE],
        config=vars(cost),
        seed=args.seed,
    )
    log.info("%s", cost)


def _create(args: argparse.Namespace) -> None:
    folder = Path(args.batch)
    about = read_json(folder / "batch.json")
    if args.live and args.spend_usd is None:
        check_money(crowd.Cost(about["items"], about["ratings"], about["reward"]), folder, None)
    with connected(args.live) as client:
        made, there = create(client, folder, not args.anybody, args.days, args.spend_usd if args.live else None)
    log.info("%d HITs made, %d were there, in the %s", made, there, "live market" if args.live else "sandbox")


def _collect(args: argparse.Namespace) -> None:
    with connected(args.live) as client:
        found, without = collect(client, Path(args.batch))
    if not found.votes:
        raise UserError(f"{args.batch}: no ratings yet ({without} items without a HIT); come back later")
    _write_votes(args, found, [Path(args.batch) / "key.jsonl"])
    log.info("%d items without a HIT", without)


def _import(args: argparse.Namespace) -> None:
    found = votes_of_csv(args.results, crowd.read_key(args.batch), args.submissions)
    inputs = [args.results, *([args.submissions] if args.submissions else [])]
    _write_votes(args, found, [*inputs, Path(args.batch) / "key.jsonl"])


def _write_votes(args: argparse.Namespace, found: Ratings, inputs: Sequence[str | Path]) -> None:
    left_out = found.inattentive if args.attentive else []
    votes = [vote for vote in found.votes if vote["rater"] not in left_out]
    if not votes:
        raise UserError(f"{inputs[0]}: no attentive rater gave a rating; leave --attentive out to see all ratings")
    write_jsonl(args.output, votes)
    unreadable = sum(vote["choice"] is None for vote in votes)
    each = Counter(Counter(vote["item"] for vote in votes).values())
    log.info("%d ratings, %d rejected ones left out, %d rows twice", len(found.votes), found.rejected, found.again)
    log.info("items by their number of ratings: %s", ", ".join(f"{n}: {each[n]}" for n in sorted(each)))
    if found.checks:
        log.info(
            "attention checks: %d passed, %d failed; failed more than they passed: %s%s",
            sum(counts["passed"] for counts in found.checks.values()),
            sum(counts["failed"] for counts in found.checks.values()),
            ", ".join(found.inattentive) or "nobody",
            f" ({len(found.votes) - len(votes)} ratings left out)" if left_out else "",
        )
    extra: Record = {"votes": len(votes), "unreadable": unreadable, "items_by_ratings": {str(n): each[n] for n in each}}
    extra |= {"rejected": found.rejected, "rows_twice": found.again, "left_out_as_inattentive": left_out}
    extra["checks"] = {rater: dict(counts) for rater, counts in sorted(found.checks.items())}
    write_manifest(args.output, module="falsepromise.preference.mturk", inputs=inputs, config={}, extra=extra)


def _amount(text: str) -> float:
    """A number of an option that is above 0 and ends: a NaN would pass for less than any limit."""
    with contextlib.suppress(ValueError):
        if 0 < float(text) < 1e9:
            return float(text)
    raise argparse.ArgumentTypeError(f"{text!r:.40} is no number above 0")


def _limit(text: str) -> float:
    return 0.0 if re.fullmatch(r"0(\.0*)?", text) else _amount(text)


def _dollars(text: str) -> float:
    reward = _amount(text)
    if reward < 0.01 or abs(100 * reward - round(100 * reward)) > 1e-6:
        raise argparse.ArgumentTypeError(f"{text!r:.40} is no reward in whole cents")
    return reward


def _count(text: str) -> int:
    if _amount(text) != round(_amount(text)):
        raise argparse.ArgumentTypeError(f"{text!r:.40} is no whole number")
    return int(_amount(text))


def _add_pay(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--ratings", type=_count, default=3, help="ratings an item (default: 3)")
    parser.add_argument("--hourly", type=_amount, default=15.0, help="pay in US dollars an hour (default: 15)")
    parser.add_argument("--seconds", type=_amount, default=120.0, help="expected time a rating (default: 120)")
    parser.add_argument("--reward", type=_dollars, help="US dollars a rating, instead of --hourly and --seconds")


def main(argv: Sequence[str] | None = None) -> None:
    """Print the cost, export, create, collect or import; see the module's help."""
    parser = cli.parser(__doc__)
    verbs = parser.add_subparsers(required=True, metavar="cost|export|create|collect|import")

    cost = verbs.add_parser("cost", help="print what a batch would cost")
    cost.add_argument("--items", type=_count, required=True, help="pairs and attention checks")
    _add_pay(cost)
    cost.set_defaults(run=_cost)

    export = verbs.add_parser("export", help="write a batch")
    export.add_argument("--prompts", type=cli.FileName, required=True, help="prompt records")
    export.add_argument("--responses", type=cli.FileName, required=True, help="replies of the model under study")
    export.add_argument("--reference", type=cli.FileName, required=True, help="replies to compare with (the teacher's)")
    export.add_argument("--seed", type=int, default=0, help="seed of the sides")
    _add_pay(export)
    export.add_argument("--checks", type=int, default=0, help="attention checks to add, rated as often as the pairs")
    export.add_argument("--output", type=cli.FileName, required=True, help="the batch's folder")
    export.set_defaults(run=_export)

    make = verbs.add_parser("create", help="create the HITs")
    make.add_argument("--batch", type=cli.FileName, required=True, help="the batch's folder")
    make.add_argument("--live", action="store_true", help="use the real market, for real money")
    make.add_argument("--spend-usd", type=_limit, help="most US dollars for a live batch")
    make.add_argument("--anybody", action="store_true", help="require no qualifications (to try the sandbox)")
    make.add_argument("--days", type=_count, default=7, help="how long the HITs stay open (default: 7)")
    make.set_defaults(run=_create)

    fetch = verbs.add_parser("collect", help="fetch the ratings")
    fetch.add_argument("--batch", type=cli.FileName, required=True, help="the batch's folder")
    fetch.add_argument("--live", action="store_true", help="use the real market")
    fetch.add_argument("--attentive", action="store_true", help="leave out raters who failed most of their checks")
    fetch.add_argument("--output", type=cli.FileName, required=True, help="vote records")
    fetch.set_defaults(run=_collect)

    read = verbs.add_parser("import", help="read a result CSV")
    read.add_argument("--batch", type=cli.FileName, required=True, help="the batch's folder")
    read.add_argument("--results", type=cli.FileName, required=True, help="the result CSV")
    read.add_argument(
        "--submissions", type=cli.FileName, help="Prolific's export of submissions, with rejections and withdrawals"
    )
    read.add_argument("--attentive", action="store_true", help="leave out raters who failed most of their checks")
    read.add_argument("--output", type=cli.FileName, required=True, help="vote records")
    read.set_defaults(run=_import)

    args = parser.parse_args(argv)
    args.run(args)


if __name__ == "__main__":
    cli.run(main)
