"""What a reader wants to read: answers side by side, dialogues, prompts, and what curation dropped.

Takes: <results>/generation/, <results>/curation/, the prompts of resources/prompts/
Gives: results/figures/fig2, fig6, fig7.{pdf,svg,png}, results/tables/funnel.*, prompts.*
"""


rule fig2:
    input:
        code=closure("falsepromise.figures.fig2"),
        prompts=f"<results>/curation/prompts/{study.style_prompts}.jsonl",
        responses=f"<results>/generation/{study.style_prompts}/{study.best}.jsonl",
        reference=study.references(study.style_prompts),
        marks=study.marks,
    output:
        pdf="results/figures/fig2.pdf",
        png="results/figures/fig2.png",
        svg=report(
            "results/figures/fig2.svg",
            caption="../report/fig2.rst",
            category="Figures",
            labels={"figure": "2", "shows": "answers side by side"},
        ),
    log:
        "<logs>/figures/fig2.log",
    conda:
        "../../envs/falsepromise.yaml"
    params:
        names=[study.reference_label(study.style_prompts), study.models[study.best]["label"]],
        marks=lambda w, input: f"--marks {input.marks}" if input.marks else "",
    message:
        "Draw {output.pdf}"
    shell:
        "python -m falsepromise.figures.fig2 --prompts {input.prompts} --responses {input.responses}"
        " --reference {input.reference} --names {params.names:q} {params.marks} --output {output.pdf} > {log} 2>&1"


rule fig7:
    input:
        code=closure("falsepromise.figures.fig7"),
        page=[f"workflow/falsepromise/preference/page/{name}" for name in ("app.js", "index.html", "style.css")],
        prompts=f"<results>/curation/prompts/{study.style_prompts}.jsonl",
        responses=f"<results>/generation/{study.style_prompts}/{study.best}.jsonl",
        reference=study.references(study.style_prompts),
    output:
        pdf="results/figures/fig7.pdf",
        png="results/figures/fig7.png",
        svg=report(
            "results/figures/fig7.svg",
            caption="../report/fig7.rst",
            category="Figures",
            labels={"figure": "7", "shows": "the page on which raters compare answers"},
        ),
    log:
        "<logs>/figures/fig7.log",
    conda:
        "../../envs/falsepromise.yaml"
    params:
        foot=study.page_foot,
    message:
        "Take the picture {output.pdf}"
    shell:
        "python -m falsepromise.figures.fig7 --prompts {input.prompts} --responses {input.responses}"
        " --reference {input.reference} --foot {params.foot:q} --output {output.pdf} > {log} 2>&1"


rule fig6:
    input:
        code=closure("falsepromise.figures.fig6"),
        dialogues=study.example_dialogues,
    output:
        pdf="results/figures/fig6.pdf",
        png="results/figures/fig6.png",
        svg=report(
            "results/figures/fig6.svg",
            caption="../report/fig6.rst",
            category="Figures",
            labels={"figure": "6", "shows": "dialogues"},
        ),
    log:
        "<logs>/figures/fig6.log",
    conda:
        "../../envs/falsepromise.yaml"
    params:
        seed=study.seed,
    message:
        "Draw {output.pdf}"
    shell:
        "python -m falsepromise.figures.fig6 --dialogues {input.dialogues} --seed {params.seed}"
        " --output {output.pdf} > {log} 2>&1"


rule table_funnel:
    input:
        code=closure("falsepromise.figures.table_funnel"),
        funnels=study.funnels,
    output:
        csv=report(
            "results/tables/funnel.csv",
            caption="../report/table_funnel.rst",
            category="Data",
            labels={"table": "funnel", "shows": "records kept and dropped"},
        ),
        md="results/tables/funnel.md",
        tex="results/tables/funnel.tex",
    log:
        "<logs>/tables/funnel.log",
    conda:
        "../../envs/falsepromise.yaml"
    message:
        "Count what curation dropped"
    shell:
        "python -m falsepromise.figures.table_funnel --funnels {input.funnels} --output {output.csv} > {log} 2>&1"


rule table_prompts:
    input:
        code=closure("falsepromise.figures.table_prompts"),
        prompts=[f"resources/prompts/{name}" for name in jobs.PRINTED],
    output:
        md=report(
            "results/tables/prompts.md",
            caption="../report/prompts.rst",
            category="Data",
            labels={"table": "3, 4, 5, 8, 9", "shows": "prompts"},
        ),
        tex="results/tables/prompts.tex",
    log:
        "<logs>/tables/prompts.log",
    conda:
        "../../envs/falsepromise.yaml"
    message:
        "Print the prompts"
    shell:
        "python -m falsepromise.figures.table_prompts --prompts $(dirname {input.prompts[0]})"
        " --output {output.md} > {log} 2>&1"


localrules:
    fig2,
    fig6,
    fig7,
    table_funnel,
    table_prompts,
