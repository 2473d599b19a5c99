"""Folders for the hub of what the paper released: `snakemake --cores 2 release`. It uploads nothing.

Takes: <results>/training/models/{model}/ with its scores, <results>/curation/{prompts,mixtures}/
Gives: results/release/<study>/{models,prompts,mixtures}/, each folder with a card and checksums
       results/release/<study>/plan.md, what an upload would send
"""


rule release_model:
    input:
        study="<results>/study.json",
        model="<results>/training/models/{model}",
        base=lambda w: training.base(study, w.model),
        scores=lambda w: release.scores(study, w.model),
        funnels=lambda w: release.funnels(study, study.models[w.model].mixture),
    output:
        directory(f"results/release/{study.name}/models/{{model}}"),
    log:
        "<logs>/release/{model}.log",
    wildcard_constraints:
        model=one_of(study.trained),
    conda:
        ENVIRONMENT
    params:
        code=code("falsepromise.release.model"),
    message:
        "Gather {wildcards.model} for the hub"
    shell:
        "python -m falsepromise.release.model"
        " --study {input.study:q}"
        " --model {input.model:q}"
        " --base {input.base:q}"
        " --scores {input.scores:q}"
        " --funnels {input.funnels:q}"
        " --output {output:q}"
        " > {log:q} 2>&1"


rule release_prompts:
    input:
        study="<results>/study.json",
        data="<results>/curation/prompts/{prompts}.jsonl",
        funnels="<results>/curation/prompts/{prompts}.funnel.csv",
    output:
        directory(f"results/release/{study.name}/prompts/{{prompts}}"),
    log:
        "<logs>/release/prompts-{prompts}.log",
    conda:
        ENVIRONMENT
    params:
        code=code("falsepromise.release.data"),
        kind="prompts",
    message:
        "Gather {input.data} for the hub"
    shell:
        "python -m falsepromise.release.data"
        " --kind {params.kind}"
        " --study {input.study:q}"
        " --data {input.data:q}"
        " --funnels {input.funnels:q}"
        " --output {output:q}"
        " > {log:q} 2>&1"


use rule release_prompts as release_mixture with:
    input:
        study="<results>/study.json",
        data="<results>/curation/mixtures/{mixture}.s{seed}.jsonl",
        funnels=lambda w: release.funnels(study, w.mixture),
    output:
        directory(f"results/release/{study.name}/mixtures/{{mixture}}.s{{seed}}"),
    log:
        "<logs>/release/mixture-{mixture}.s{seed}.log",
    params:
        code=code("falsepromise.release.data"),
        kind="mixture",


rule release:
    input:
        models=[f"results/release/{study.name}/models/{model}" for model in study.trained],
        datasets=release.data(study),
    output:
        f"results/release/{study.name}/plan.md",
    log:
        "<logs>/release/plan.log",
    conda:
        ENVIRONMENT
    params:
        code=code("falsepromise.release.upload"),
        prefix=lambda w: f"{study.name}-",
    message:
        "Say what an upload would send: {output}"
    shell:
        "python -m falsepromise.release.upload"
        " --models {input.models:q}"
        " --datasets {input.datasets:q}"
        " --prefix {params.prefix:q}"
        " --output {output:q}"
        " > {log:q} 2>&1"


localrules:
    release,
    release_mixture,
    release_model,
    release_prompts,
