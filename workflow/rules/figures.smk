"""Figures, from the expanded study and the score files alone.

Takes: <results>/study.json, <results>/{benchmarks,style,preference}/**/{model}.json
Gives: results/figures/fig*.{pdf,svg,png}
"""


rule study:
    input:
        code=closure("falsepromise.core.study"),
    output:
        "<results>/study.json",
    log:
        "<logs>/study.log",
    conda:
        "../../envs/falsepromise.yaml"
    params:
        study=study.as_json,
    message:
        "Write the expanded study"
    shell:
        "python -m falsepromise.core.study --json {params.study:q} --output {output} > {log} 2>&1"


rule fig4:
    input:
        code=closure("falsepromise.figures.fig4"),
        study="<results>/study.json",
        scores=study.capabilities,
    output:
        pdf="results/figures/fig4.pdf",
        png="results/figures/fig4.png",
        svg=report(
            "results/figures/fig4.svg",
            caption="../report/fig4.rst",
            category="Figures",
            labels={"figure": "4", "shows": "benchmarks by amount and by base model"},
        ),
    log:
        "<logs>/figures/fig4.log",
    conda:
        "../../envs/falsepromise.yaml"
    params:
        verb="fig4",
    message:
        "Draw {output.pdf}"
    shell:
        "python -m falsepromise.figures.{params.verb} --study {input.study} --scores {input.scores}"
        " --output {output.pdf} > {log} 2>&1"


use rule fig4 as fig1 with:
    input:
        code=closure("falsepromise.figures.fig1"),
        study="<results>/study.json",
        scores=study.preferences + study.of_tasks("nq"),
    output:
        pdf="results/figures/fig1.pdf",
        png="results/figures/fig1.png",
        svg=report(
            "results/figures/fig1.svg",
            caption="../report/fig1.rst",
            category="Figures",
            labels={"figure": "1", "shows": "preference and knowledge"},
        ),
    log:
        "<logs>/figures/fig1.log",
    params:
        verb="fig1",


use rule fig4 as fig3 with:
    input:
        code=closure("falsepromise.figures.fig3"),
        study="<results>/study.json",
        scores=study.preferences,
    output:
        pdf="results/figures/fig3.pdf",
        png="results/figures/fig3.png",
        svg=report(
            "results/figures/fig3.svg",
            caption="../report/fig3.rst",
            category="Figures",
            labels={"figure": "3", "shows": "the judge's preference"},
        ),
    log:
        "<logs>/figures/fig3.log",
    params:
        verb="fig3",


use rule fig4 as fig5 with:
    input:
        code=closure("falsepromise.figures.fig5"),
        study="<results>/study.json",
        scores=study.of_tasks("toxicity"),
    output:
        pdf="results/figures/fig5.pdf",
        png="results/figures/fig5.png",
        svg=report(
            "results/figures/fig5.svg",
            caption="../report/fig5.rst",
            category="Figures",
            labels={"figure": "5", "shows": "non-toxicity by amount"},
        ),
    log:
        "<logs>/figures/fig5.log",
    params:
        verb="fig5",


use rule fig4 as fig_style with:
    input:
        code=closure("falsepromise.figures.fig_style"),
        study="<results>/study.json",
        scores=study.styles,
    output:
        pdf="results/figures/fig_style.pdf",
        png="results/figures/fig_style.png",
        svg=report(
            "results/figures/fig_style.svg",
            caption="../report/fig_style.rst",
            category="Figures",
            labels={"figure": "style", "shows": "style by amount (table 2)"},
        ),
    log:
        "<logs>/figures/fig_style.log",
    params:
        verb="fig_style",


use rule fig4 as capability_style with:
    input:
        code=closure("falsepromise.figures.capability_style"),
        study="<results>/study.json",
        scores=study.capabilities + study.styles,
    output:
        pdf="results/figures/capability_style.pdf",
        png="results/figures/capability_style.png",
        svg=report(
            "results/figures/capability_style.svg",
            caption="../report/capability_style.rst",
            category="Figures",
            labels={"figure": "beyond", "shows": "capability against style"},
        ),
    log:
        "<logs>/figures/capability_style.log",
    params:
        verb="capability_style",


localrules:
    study,
    fig4,
    fig1,
    fig3,
    fig5,
    fig_style,
    capability_style,
