"""Figures from the expanded study and score files.

Takes: <results>/study.json, <results>/{benchmarks,style,preference}/**/{model}.json
Gives: <results>/figures/fig*.{pdf,svg,png}
       results/figures/, results/tables/: those of the study that was run last
"""


rule study:
    output:
        "<results>/study.json",
    log:
        "<logs>/study.log",
    conda:
        ENVIRONMENT
    params:
        code=code("falsepromise.study.expand"),
        study=lambda w: figures.as_json(study),
    message:
        "Write the expanded study"
    shell:
        "python -m falsepromise.study.expand --json {params.study:q}" " --output {output:q}" " > {log:q} 2>&1"


for figure, row in figures.of_scores(figures.FIGURES).items():

    rule:
        name:
            figure
        input:
            study="<results>/study.json",
            scores=row.scores(study),
        output:
            pdf=f"<results>/figures/{figure}.pdf",
            png=f"<results>/figures/{figure}.png",
            svg=in_report(f"<results>/figures/{figure}.svg"),
        log:
            f"<logs>/figures/{figure}.log",
        localrule: True
        conda:
            ENVIRONMENT
        params:
            code=code(f"falsepromise.figures.{figure}"),
            verb=figure,
        message:
            "Draw {output.pdf}"
        shell:
            "python -m falsepromise.figures.{params.verb}"
            " --study {input.study:q}"
            " --scores {input.scores:q}"
            " --output {output.pdf:q}"
            " > {log:q} 2>&1"


# With the manifest beside the first.
rule shown_figure:
    input:
        first="<results>/figures/{figure}.pdf",
        others=multiext("<results>/figures/{figure}", ".png", ".svg"),
    output:
        first="results/figures/{figure}.pdf",
        others=multiext("results/figures/{figure}", ".png", ".svg"),
    log:
        "<logs>/shown/{figure}.log",
    conda:
        ENVIRONMENT
    message:
        "Show {output.first}"
    shell:
        'cp {input.first:q}* {input.others:q} "$(dirname {output.first:q})" 2> {log:q}'
        " || {{ rm -f {output.first:q}.manifest.json; exit 1; }}"


rule shown_table:
    input:
        first="<results>/tables/{table}.csv",
        others=multiext("<results>/tables/{table}", ".html", ".md", ".tex"),
    output:
        first="results/tables/{table}.csv",
        others=multiext("results/tables/{table}", ".html", ".md", ".tex"),
    log:
        "<logs>/shown/{table}.log",
    conda:
        ENVIRONMENT
    message:
        "Show {output.first}"
    shell:
        'cp {input.first:q}* {input.others:q} "$(dirname {output.first:q})" 2> {log:q}'


use rule shown_table as shown_prompts with:
    input:
        first="<results>/tables/prompts.md",
        others=multiext("<results>/tables/prompts", ".html", ".tex"),
    output:
        first="results/tables/prompts.md",
        others=multiext("results/tables/prompts", ".html", ".tex"),
    log:
        "<logs>/shown/prompts.log",


use rule shown_table as shown_comparison with:
    input:
        first="<results>/tables/versus_paper.md",
        others=multiext("<results>/tables/versus_paper", ".html"),
    output:
        first="results/tables/versus_paper.md",
        others=multiext("results/tables/versus_paper", ".html"),
    log:
        "<logs>/shown/versus_paper.log",


localrules:
    study,
    shown_comparison,
    shown_figure,
    shown_prompts,
    shown_table,
