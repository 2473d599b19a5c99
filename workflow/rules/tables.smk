"""Tables, and the comparison with the paper, from the expanded study and the score files alone.

Takes: <results>/study.json, <results>/{benchmarks,style,preference}/**/{model}.json
Gives: results/tables/*.{csv,md,tex}, results/tables/versus_paper.md
"""


rule table1:
    input:
        code=closure("falsepromise.figures.table1"),
        study="<results>/study.json",
        scores=study.of_tasks("nq", "cnn"),
    output:
        csv=report(
            "results/tables/table1.csv",
            caption="../report/table1.rst",
            category="Tables",
            labels={"table": "1", "shows": "broad against targeted imitation"},
        ),
        md="results/tables/table1.md",
        tex="results/tables/table1.tex",
    log:
        "<logs>/tables/table1.log",
    conda:
        "../../envs/falsepromise.yaml"
    params:
        verb="table1",
    message:
        "Write {output.csv}"
    shell:
        "python -m falsepromise.figures.{params.verb} --study {input.study} --scores {input.scores}"
        " --output {output.csv} > {log} 2>&1"


use rule table1 as table2 with:
    input:
        code=closure("falsepromise.figures.table2"),
        study="<results>/study.json",
        scores=study.styles,
    output:
        csv=report(
            "results/tables/table2.csv",
            caption="../report/table2.rst",
            category="Tables",
            labels={"table": "2", "shows": "style"},
        ),
        md="results/tables/table2.md",
        tex="results/tables/table2.tex",
    log:
        "<logs>/tables/table2.log",
    params:
        verb="table2",


rule category_sheet:
    input:
        code=closure("falsepromise.curation.annotate"),
        queries="<results>/curation/clean/{pool}.jsonl",
    output:
        "<results>/curation/{pool}.sheet.csv",
    log:
        "<logs>/curation/{pool}.sheet.log",
    conda:
        "../../envs/falsepromise.yaml"
    params:
        seed=study.seed,
    message:
        "Draw queries of {wildcards.pool} to sort by hand"
    shell:
        "python -m falsepromise.curation.annotate sheet --queries {input.queries} --seed {params.seed}"
        " --output {output} > {log} 2>&1"


rule category_tally:
    input:
        code=closure("falsepromise.curation.annotate"),
        sheet=study.category_sheet or [],
    output:
        "<results>/curation/categories.json",
    log:
        "<logs>/curation/categories.log",
    conda:
        "../../envs/falsepromise.yaml"
    params:
        who=study.category_options,
    message:
        "Count the categories of {input.sheet}"
    shell:
        "python -m falsepromise.curation.annotate tally --sheet {input.sheet} {params.who} --output {output}"
        " > {log} 2>&1"


rule table6:
    input:
        code=closure("falsepromise.figures.table6"),
        tally="<results>/curation/categories.json",
        paper="resources/paper/numbers.csv",
    output:
        csv=report(
            "results/tables/table6.csv",
            caption="../report/table6.rst",
            category="Tables",
            labels={"table": "6", "shows": "categories of queries"},
        ),
        md="results/tables/table6.md",
        tex="results/tables/table6.tex",
    log:
        "<logs>/tables/table6.log",
    conda:
        "../../envs/falsepromise.yaml"
    params:
        queries=study.categories_of,
    message:
        "Write {output.csv}"
    shell:
        "python -m falsepromise.figures.table6 --tally {input.tally} --paper {input.paper}"
        " --queries {params.queries:q} --output {output.csv} > {log} 2>&1"


use rule table1 as table7 with:
    input:
        code=closure("falsepromise.figures.table7"),
        study="<results>/study.json",
        scores=study.of_tasks("cnn"),
    output:
        csv=report(
            "results/tables/table7.csv",
            caption="../report/table7.rst",
            category="Tables",
            labels={"table": "7", "shows": "summarisation"},
        ),
        md="results/tables/table7.md",
        tex="results/tables/table7.tex",
    log:
        "<logs>/tables/table7.log",
    params:
        verb="table7",


use rule table1 as summary with:
    input:
        code=closure("falsepromise.figures.summary"),
        study="<results>/study.json",
        scores=study.evaluations,
    output:
        csv=report(
            "results/tables/summary.csv",
            caption="../report/summary.rst",
            category="Tables",
            labels={"table": "summary", "shows": "every score"},
        ),
        md="results/tables/summary.md",
        tex="results/tables/summary.tex",
    log:
        "<logs>/tables/summary.log",
    params:
        verb="summary",


use rule table1 as agreement_table with:
    input:
        code=closure("falsepromise.figures.table_agreement"),
        study="<results>/study.json",
        scores=study.agreements,
    output:
        csv=report(
            "results/tables/agreement.csv",
            caption="../report/table_agreement.rst",
            category="Tables",
            labels={"table": "agreement", "shows": "judges, raters and style against each other"},
        ),
        md="results/tables/agreement.md",
        tex="results/tables/agreement.tex",
    log:
        "<logs>/tables/agreement.log",
    params:
        verb="table_agreement",


use rule table1 as regression_table with:
    input:
        code=closure("falsepromise.figures.table_regression"),
        study="<results>/study.json",
        scores=study.regressions,
    output:
        csv=report(
            "results/tables/regression.csv",
            caption="../report/table_regression.rst",
            category="Tables",
            labels={"table": "regression", "shows": "whether style explains the preference"},
        ),
        md="results/tables/regression.md",
        tex="results/tables/regression.tex",
    log:
        "<logs>/tables/regression.log",
    params:
        verb="table_regression",


rule versus_paper:
    input:
        code=closure("falsepromise.figures.versus_paper"),
        study="<results>/study.json",
        scores=study.evaluations,
        paper="resources/paper/numbers.csv",
    output:
        report(
            "results/tables/versus_paper.md",
            caption="../report/versus_paper.rst",
            category="Tables",
            labels={"table": "versus", "shows": "each claim of the paper with this run's verdict"},
        ),
    log:
        "<logs>/tables/versus_paper.log",
    conda:
        "../../envs/falsepromise.yaml"
    message:
        "Set this run beside the paper"
    shell:
        "python -m falsepromise.figures.versus_paper --study {input.study} --scores {input.scores}"
        " --paper {input.paper} --output {output} > {log} 2>&1"


localrules:
    category_sheet,
    category_tally,
    summary,
    table1,
    table2,
    table6,
    table7,
    agreement_table,
    regression_table,
    versus_paper,
