"""Tables, and the comparison with the paper, from the expanded study and the score files alone.

Takes: <results>/study.json, <results>/{benchmarks,style,preference}/**/{model}.json
Gives: results/tables/table*.{csv,md,tex}, results/tables/versus_paper.md
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
    summary,
    table1,
    table2,
    table7,
    versus_paper,
