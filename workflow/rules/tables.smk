"""Tables, and the comparison with the paper, from the expanded study and score files.

Takes: <results>/study.json, <results>/{benchmarks,style,preference}/**/{model}.json
Gives: results/tables/*.{csv,md,html,tex}, results/tables/versus_paper.{md,html}
"""

for table, row in figures.of_scores(figures.TABLES).items():

    rule:
        name:
            f"{table}_table" if row.module else table
        input:
            study="<results>/study.json",
            scores=row.scores(study),
        output:
            csv=f"<results>/tables/{table}.csv",
            html=in_report(f"<results>/tables/{table}.html"),
            md=f"<results>/tables/{table}.md",
            tex=f"<results>/tables/{table}.tex",
        log:
            f"<logs>/tables/{table}.log",
        localrule: True
        conda:
            ENVIRONMENT
        params:
            code=code(f"falsepromise.figures.{row.module or table}"),
            verb=row.module or table,
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
        holds=lambda w: files.stamp(tables.category_sheet(study) or ""),
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
        html=in_report("<results>/tables/table6.html"),
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
        json="<results>/tables/versus_paper.json",
        html=in_report("<results>/tables/versus_paper.html"),
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
