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


# What each figure is drawn from, its number and what it shows.
FIGURES = {
    "fig1": (study.preferences + study.of_tasks("nq"), "1", "preference and knowledge"),
    "fig3": (study.preferences, "3", "the judge's preference"),
    "fig4": (study.capabilities, "4", "benchmarks by amount and by base model"),
    "fig5": (study.of_tasks("toxicity"), "5", "non-toxicity by amount"),
    "fig_style": (study.styles, "style", "style by amount (table 2)"),
    "capability_style": (study.capabilities + study.styles, "beyond", "capability against style"),
}


for figure, (scores, number, shows) in FIGURES.items():

    rule:
        name:
            figure
        input:
            code=closure(f"falsepromise.figures.{figure}"),
            study="<results>/study.json",
            scores=scores,
        output:
            pdf=f"results/figures/{figure}.pdf",
            png=f"results/figures/{figure}.png",
            svg=report(
                f"results/figures/{figure}.svg",
                caption=f"../report/{figure}.rst",
                category="Figures",
                labels={"figure": number, "shows": shows},
            ),
        log:
            f"<logs>/figures/{figure}.log",
        localrule: True
        conda:
            "../../envs/falsepromise.yaml"
        params:
            verb=figure,
        message:
            "Draw {output.pdf}"
        shell:
            "python -m falsepromise.figures.{params.verb} --study {input.study} --scores {input.scores}"
            " --output {output.pdf} > {log} 2>&1"


localrules:
    study,
