"""Figures, from the expanded study and the score files alone.

Takes: <results>/study.json, <results>/{benchmarks,style,preference}/**/{model}.json
Gives: results/figures/fig*.{pdf,svg,png}
"""


rule study:
    input:
        code=closure("falsepromise.study.expand"),
    output:
        "<results>/study.json",
    log:
        "<logs>/study.log",
    conda:
        "../../envs/falsepromise.yaml"
    params:
        study=figures.as_json(study),
    message:
        "Write the expanded study"
    shell:
        "python -m falsepromise.study.expand --json {params.study:q} --output {output} > {log} 2>&1"


# What each figure is drawn from, its number and what it shows.
FIGURES = {
    "fig1": (preference.scores(study) + benchmarks.scores_of_tasks(study, "nq"), "1", "preference and knowledge"),
    "fig3": (preference.scores(study), "3", "the judge's preference"),
    "fig4": (benchmarks.capabilities(study), "4", "benchmarks by amount and by base model"),
    "fig5": (benchmarks.scores_of_tasks(study, "toxicity"), "5", "non-toxicity by amount"),
    "fig_style": (style.scores(study), "style", "style by amount (table 2)"),
    "capability_style": (benchmarks.capabilities(study) + style.scores(study), "beyond", "capability against style"),
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
