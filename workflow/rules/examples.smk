"""Examples to read: answers side by side, dialogues, and the page on which raters compare answers.

Takes: <results>/generation/, <results>/curation/
Gives: results/figures/fig2, fig6, fig7.{pdf,svg,png}, <results>/browse.html
"""


rule fig2:
    input:
        prompts=f"<results>/curation/prompts/{study.style_prompts}.jsonl",
        responses=f"<results>/generation/{study.style_prompts}/{examples.best(study)}.jsonl",
        reference=teacher.references(study, study.style_prompts),
        marks=files.as_input(*examples.marks(study)),
    output:
        pdf="<results>/figures/fig2.pdf",
        png="<results>/figures/fig2.png",
        svg=in_report("<results>/figures/fig2.svg"),
    log:
        "<logs>/figures/fig2.log",
    conda:
        ENVIRONMENT
    params:
        code=code("falsepromise.figures.fig2"),
        names=lambda w: examples.names(study),
        marks=lambda w: options(study.config.style, "marks"),
        holds=lambda w: files.stamp(*examples.marks(study)),
        foot=lambda w: examples.answers_foot(study),
    message:
        "Draw {output.pdf}"
    shell:
        "python -m falsepromise.figures.fig2"
        " --prompts {input.prompts:q}"
        " --responses {input.responses:q}"
        " --reference {input.reference:q}"
        " --names {params.names:q}"
        " {params.marks}"
        " --foot {params.foot:q}"
        " --output {output.pdf:q}"
        " > {log:q} 2>&1"


rule fig7:
    input:
        prompts=f"<results>/curation/prompts/{study.style_prompts}.jsonl",
        responses=f"<results>/generation/{study.style_prompts}/{examples.best(study)}.jsonl",
        reference=teacher.references(study, study.style_prompts),
    output:
        pdf="<results>/figures/fig7.pdf",
        png="<results>/figures/fig7.png",
        svg=in_report("<results>/figures/fig7.svg"),
    log:
        "<logs>/figures/fig7.log",
    conda:
        ENVIRONMENT
    params:
        code=code("falsepromise.figures.fig7", *examples.page_files()),
        foot=lambda w: examples.page_foot(study),
    message:
        "Take the picture {output.pdf}"
    shell:
        "python -m falsepromise.figures.fig7"
        " --prompts {input.prompts:q}"
        " --responses {input.responses:q}"
        " --reference {input.reference:q}"
        " --foot {params.foot:q}"
        " --output {output.pdf:q}"
        " > {log:q} 2>&1"


rule fig6:
    input:
        dialogues=examples.dialogues(study),
    output:
        pdf="<results>/figures/fig6.pdf",
        png="<results>/figures/fig6.png",
        svg=in_report("<results>/figures/fig6.svg"),
    log:
        "<logs>/figures/fig6.log",
    conda:
        ENVIRONMENT
    params:
        code=code("falsepromise.figures.fig6"),
        seed=study.seed,
        foot=lambda w: examples.foot(study),
    message:
        "Draw {output.pdf}"
    shell:
        "python -m falsepromise.figures.fig6"
        " --dialogues {input.dialogues:q}"
        " --seed {params.seed}"
        " --foot {params.foot:q}"
        " --output {output.pdf:q}"
        " > {log:q} 2>&1"


# The whole page is one file beside the report, which links it: inside, it would double the report's size.
rule browse:
    input:
        study="<results>/study.json",
        prompts=examples.prompt_sets(study),
        reference=examples.references(study),
        responses=examples.answers(study),
        scores=examples.marks_of_answers(study),
        questions=examples.questions(study),
    output:
        "<results>/browse.html",
    log:
        "<logs>/browse.log",
    conda:
        ENVIRONMENT
    params:
        code=code("falsepromise.figures.browse", *examples.browse_files()),
        benchmarks=examples.read_benchmarks(study),
    message:
        "Lay out all answers in {output}"
    shell:
        "python -m falsepromise.figures.browse"
        " --study {input.study:q}"
        " --prompts {input.prompts:q}"
        " --reference {input.reference:q}"
        " --responses {input.responses:q}"
        " --scores {input.scores:q}"
        " --benchmarks {params.benchmarks:q}"
        " --questions {input.questions:q}"
        " --output {output:q}"
        " > {log:q} 2>&1"


localrules:
    browse,
    fig2,
    fig6,
    fig7,
