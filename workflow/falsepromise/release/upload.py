"""Upload release folders to the hub; without --yes, list what would be uploaded.

A dry run prepares every file with `huggingface_hub` as an upload does (names, sizes, hashes), checks
names, cards and checksums, and sends nothing. With --yes the repositories are made (private unless
--public) and the folders uploaded; the token is read from HF_TOKEN.

    python -m falsepromise.release.upload --namespace ME --models results/release/quickstart/models/*
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx2
import yaml
from huggingface_hub import CommitOperationAdd, DatasetCard, HfApi, ModelCard
from huggingface_hub.errors import HfHubHTTPError, HFValidationError
from huggingface_hub.utils import validate_repo_id

from falsepromise.core import cli
from falsepromise.core.errors import UserError
from falsepromise.core.progress import track
from falsepromise.core.records import atomic_open, read_text
from falsepromise.figures.table import markdown_table
from falsepromise.release.model import SUMS

NOBODY = "your-name"


@dataclass(frozen=True)
class Upload:
    """One folder and the repository that it becomes; `files` are ready to be committed."""

    folder: Path
    repository: str
    kind: str
    files: list[CommitOperationAdd]

    @property
    def size(self) -> int:
        return sum(file.upload_info.size for file in self.files)


def prepare(folder: Path, namespace: str, kind: str, prefix: str = "") -> Upload:
    """Check a folder and prepare its files.

    Args:
        folder: A release folder.
        namespace: The user or organization on the hub.
        kind: "model" or "dataset".
        prefix: Of the repository's name, before the folder's.

    Raises:
        UserError: there is no such folder, the hub would not take the name or the card, a checksum is wrong, or the
            files are not those that the checksums list.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; `snakemake --cores 2 release` makes those of a study")
    repository = f"{namespace}/{prefix}{folder.name}"
    try:
        validate_repo_id(repository)
    except HFValidationError as error:
        raise UserError(f"{folder}: the hub takes no repository {repository!r}: {error}") from error
    card = folder / "README.md"
    if not card.exists():
        raise UserError(f"{folder}: no README.md; expected a folder that release.model or release.data wrote")
    try:
        loaded = (ModelCard if kind == "model" else DatasetCard).load(card)
    except (yaml.YAMLError, ValueError, TypeError, KeyError, AttributeError) as error:
        why = " ".join(str(error).split())[:300]
        raise UserError(f"{card}: can't be read as a card: {why}; make the folder anew") from error
    if loaded.data.to_dict().get("license") is None:
        raise UserError(f"{card}: its metadata name no license; make the folder anew")
    # Hidden files are no part of a release: Snakemake leaves one in each folder that a rule makes.
    paths = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    files = [CommitOperationAdd(path.name, path) for path in track(paths, f"preparing {folder.name}", unit="files")]
    listed = _listed(folder / SUMS)
    if missing := sorted(listed.keys() - {path.name for path in paths}):
        raise UserError(f"{folder}: {', '.join(missing[:3])} of {SUMS} missing; make the folder anew")
    for file in files:
        name, found = file.path_in_repo, file.upload_info.sha256.hex()
        if name != SUMS and listed.get(name) != found:
            wanted = listed.get(name, "no checksum")
            raise UserError(f"{folder / name}: sha256 is {found}, {SUMS} has {wanted}; make the folder anew")
    return Upload(folder, repository, kind, files)


def _listed(sums: Path) -> dict[str, str]:
    """The SHA-256 of each file that a list of checksums has."""
    listed = {}
    for number, line in enumerate(read_text(sums).splitlines(), 1):
        digest, two_spaces, name = line.partition("  ")
        if not two_spaces:
            raise UserError(f"{sums}, line {number}: is {line[:80]!r}, expected a SHA-256 and a name; make it anew")
        listed[name] = digest
    return listed


def send(api: HfApi, upload: Upload, private: bool) -> str:
    """Make the repository, if it isn't there, and commit the files; the commit's address.

    Raises:
        UserError: it is to be private, and a public one is there, which nothing makes private.
    """
    api.create_repo(upload.repository, repo_type=upload.kind, private=private, exist_ok=True)
    if private and not api.repo_info(upload.repository, repo_type=upload.kind).private:
        raise UserError(f"{upload.repository}: is public on the hub; give --public or another --prefix")
    commit = api.create_commit(
        upload.repository,
        upload.files,
        commit_message=f"Upload {upload.folder.name}",
        repo_type=upload.kind,
    )
    return str(commit.commit_url)


def preview(uploads: Sequence[Upload]) -> str:
    """What would be uploaded, as Markdown."""
    rows = [[u.repository, u.kind, str(len(u.files)), f"{u.size / 1e6:,.1f} MB", str(u.folder)] for u in uploads]
    total = sum(u.size for u in uploads)
    head = (
        f"# What would be uploaded\n\n{len(uploads)} repositories, {total / 1e6:,.1f} MB. Nothing was sent; "
        "`python -m falsepromise.release.upload ... --yes` does.\n\n"
    )
    return head + markdown_table(["Repository", "Kind", "Files", "Size", "From"], rows) + "\n"


def main(argv: Sequence[str] | None = None) -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--namespace", default=NOBODY, help="user or organization on the hub")
    parser.add_argument("--models", type=Path, nargs="*", default=[], help="folders of release.model")
    parser.add_argument("--datasets", type=Path, nargs="*", default=[], help="folders of release.data")
    parser.add_argument("--prefix", default="", help="prefix of the repositories' names, before the folders' names")
    parser.add_argument("--yes", action="store_true", help="upload; without it nothing is sent")
    parser.add_argument("--public", action="store_true", help="make the repositories public")
    parser.add_argument("--endpoint", help="another hub's address")
    parser.add_argument("--output", type=Path, help="write the plan here as well")
    args = parser.parse_args(argv)
    if not args.models and not args.datasets:
        parser.error("--models or --datasets are needed")
    if args.yes and args.namespace == NOBODY:
        parser.error("--namespace is needed")
    uploads = [prepare(folder, args.namespace, "model", args.prefix) for folder in args.models]
    uploads += [prepare(folder, args.namespace, "dataset", args.prefix) for folder in args.datasets]
    for (name, kind), count in Counter((upload.repository.lower(), upload.kind) for upload in uploads).items():
        if count > 1:  # the second would write over files of the first
            raise UserError(f"{name}: {count} folders would become this {kind}; upload them with different --prefix")
    text = preview(uploads)
    if args.output:
        with atomic_open(args.output) as stream:
            stream.write(text)
    if not args.yes:
        print(text)
        return
    token = os.environ.get("HF_TOKEN")
    if not token:
        raise UserError("uploading wants a token: set it in the environment variable HF_TOKEN")
    api = HfApi(endpoint=args.endpoint, token=token)
    for upload in uploads:
        try:
            print(send(api, upload, private=not args.public))
        except HfHubHTTPError as error:
            raise UserError(f"{upload.repository}: the hub refused it: {error.server_message or error}") from error
        except (httpx2.TransportError, ConnectionError) as error:
            raise UserError(f"{upload.repository}: the hub can't be reached: {error}; try again") from error


if __name__ == "__main__":
    cli.run(main)
