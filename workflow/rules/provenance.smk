"""Provenance of results: curation's counts, the prompts word for word, the manifests.

Takes: the funnels below <results>/, resources/prompts/, the manifests of mixtures, models and scores
Gives: results/tables/funnel.*, prompts.*, manifests.*
"""


rule table_funnel:
    input:
        funnels=provenance.funnels(study),
    output:
        csv="<results>/tables/funnel.csv",
        html=in_report("<results>/tables/funnel.html"),
        md="<results>/tables/funnel.md",
        tex="<results>/tables/funnel.tex",
    log:
        "<logs>/tables/funnel.log",
    conda:
        ENVIRONMENT
    params:
        code=code("falsepromise.figures.table_funnel"),
    message:
        "Count what curation dropped"
    shell:
        "python -m falsepromise.figures.table_funnel"
        " --funnels {input.funnels:q}"
        " --output {output.csv:q}"
        " > {log:q} 2>&1"


rule table_prompts:
    output:
        md="<results>/tables/prompts.md",
        html=in_report("<results>/tables/prompts.html"),
        tex="<results>/tables/prompts.tex",
    log:
        "<logs>/tables/prompts.log",
    conda:
        ENVIRONMENT
    params:
        code=code("falsepromise.figures.table_prompts", *(f"prompts/{name}" for name in provenance.PRINTED)),
    message:
        "Print the prompts"
    shell:
        "python -m falsepromise.figures.table_prompts" " --output {output.md:q}" " > {log:q} 2>&1"


rule table_manifests:
    input:
        artifacts=provenance.documented(study),
    output:
        csv="<results>/tables/manifests.csv",
        html=in_report("<results>/tables/manifests.html"),
        md="<results>/tables/manifests.md",
        tex="<results>/tables/manifests.tex",
    log:
        "<logs>/tables/manifests.log",
    conda:
        ENVIRONMENT
    params:
        code=code("falsepromise.figures.table_manifests"),
    message:
        "List what everything was made of"
    shell:
        "python -m falsepromise.figures.table_manifests"
        " --artifacts {input.artifacts:q}"
        " --output {output.csv:q}"
        " > {log:q} 2>&1"


localrules:
    table_funnel,
    table_prompts,
    table_manifests,
