"""Tables, and the comparison with the paper, from the expanded study and the score files alone.

Takes: <results>/study.json, <results>/{benchmarks,style,preference}/**/{model}.json
Gives: results/tables/*.{csv,md,html,tex}, results/tables/versus_paper.{md,html}
"""

# What each table is made from, its module, its name in the report and what it shows.
TABLES = {
    "table1": (benchmarks.scores_of_tasks(study, "nq", "cnn"), "table1", "1", "broad against targeted imitation"),
    "table2": (style.scores(study), "table2", "2", "style"),
    "table7": (benchmarks.scores_of_tasks(study, "cnn"), "table7", "7", "summarisation"),
    "summary": (figures.evaluations(study), "summary", "summary", "every score"),
    "agreement": (
        preference.agreements(study),
        "table_agreement",
        "agreement",
        "judges, raters and style against each other",
    ),
    "regression": (
        preference.regressions(study),
        "table_regression",
        "regression",
        "whether style explains the preference",
    ),
    "preference": (
        [*preference.scores(study), *preference.controls(study)],
        "table_preference",
        "preference",
        "preference with the teacher's second answers beside it",
    ),
}


for table, (scores, verb, number, shows) in TABLES.items():

    rule:
        name:
            f"{table}_table" if verb.startswith("table_") else table
        input:
            study="<results>/study.json",
            scores=scores,
        output:
            csv=f"<results>/tables/{table}.csv",
            html=report(
                f"<results>/tables/{table}.html",
                caption=f"../report/{verb}.rst",
                category="Tables",
                labels={"table": number, "shows": shows},
            ),
            md=f"<results>/tables/{table}.md",
            tex=f"<results>/tables/{table}.tex",
        log:
            f"<logs>/tables/{table}.log",
        localrule: True
        conda:
            ENVIRONMENT
        params:
            code=code(f"falsepromise.figures.{verb}"),
            verb=verb,
        message:
            "Write {output.csv}"
        shell:
            "python -m falsepromise.figures.{params.verb}"
            " --study {input.study:q}"
            " --scores {input.scores:q}"
            " --output {output.csv:q}"
            " > {log:q} 2>&1"


rule category_sheet:
    input:
        queries="<results>/curation/clean/{pool}.jsonl",
    output:
        "<results>/curation/{pool}.sheet.csv",
    log:
        "<logs>/curation/{pool}.sheet.log",
    conda:
        ENVIRONMENT
    params:
        code=code("falsepromise.curation.annotate"),
        seed=study.seed,
    message:
        "Draw queries of {wildcards.pool} to sort by hand"
    shell:
        "python -m falsepromise.curation.annotate sheet"
        " --queries {input.queries:q}"
        " --seed {params.seed}"
        " --output {output:q}"
        " > {log:q} 2>&1"


rule category_tally:
    input:
        sheet=files.as_input(tables.category_sheet(study) or "{}"),
    output:
        "<results>/curation/categories.json",
    log:
        "<logs>/curation/categories.log",
    conda:
        ENVIRONMENT
    params:
        code=code("falsepromise.curation.annotate"),
        sheet=lambda w: tables.category_sheet(study),
        who=lambda w: tables.category_options(study),
    message:
        "Count the categories of {params.sheet}"
    shell:
        "python -m falsepromise.curation.annotate tally"
        " --sheet {params.sheet:q}"
        " {params.who}"
        " --output {output:q}"
        " > {log:q} 2>&1"


rule table6:
    input:
        tally="<results>/curation/categories.json",
    output:
        csv="<results>/tables/table6.csv",
        html=report(
            "<results>/tables/table6.html",
            caption="../report/table6.rst",
            category="Tables",
            labels={"table": "6", "shows": "categories of queries"},
        ),
        md="<results>/tables/table6.md",
        tex="<results>/tables/table6.tex",
    log:
        "<logs>/tables/table6.log",
    conda:
        ENVIRONMENT
    params:
        code=code("falsepromise.figures.table6", "paper/numbers.csv"),
        queries=lambda w: tables.category_sources(study),
    message:
        "Write {output.csv}"
    shell:
        "python -m falsepromise.figures.table6"
        " --tally {input.tally:q}"
        " --queries {params.queries:q}"
        " --output {output.csv:q}"
        " > {log:q} 2>&1"


rule versus_paper:
    input:
        study="<results>/study.json",
        scores=figures.evaluations(study),
    output:
        md="<results>/tables/versus_paper.md",
        html=report(
            "<results>/tables/versus_paper.html",
            caption="../report/versus_paper.rst",
            category="Tables",
            labels={"table": "versus", "shows": "each claim of the paper with this run's verdict"},
        ),
    log:
        "<logs>/tables/versus_paper.log",
    conda:
        ENVIRONMENT
    params:
        code=code("falsepromise.figures.versus_paper", "paper/numbers.csv"),
    message:
        "Set this run beside the paper"
    shell:
        "python -m falsepromise.figures.versus_paper"
        " --study {input.study:q}"
        " --scores {input.scores:q}"
        " --output {output.md:q}"
        " > {log:q} 2>&1"


localrules:
    category_sheet,
    category_tally,
    table6,
    versus_paper,
