"""The outputs and captions of the report, for all files of rules.

Takes: nothing
Gives: in_report(file), `config["report"]` for the templates of workflow/report/
"""

import sys

config["report"] = opening.Report(study)
given = {word.partition("=")[0] for word in sys.argv}
at_work = "--report" not in given or "--report-after-run" in given
if "--report" in given:
    opening.keep_json_in_scripts()


def in_report(file):
    """An output that the report shows if it exists."""
    if not (at_work or os.path.exists(file.replace("<results>", study.results))):
        return file
    row = opening.row_of(file)
    kind, category = ("figure", "Figures") if file.endswith(".svg") else ("table", "Tables")
    labels = {kind: row.number, "shows": row.shows}
    return report(file, caption="../report/shown.rst", category=row.category or category, labels=labels)
