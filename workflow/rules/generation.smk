"""Each model's answers to a prompt set.

Takes: <results>/training/{bases,models}/{model}/, <results>/curation/prompts/{prompts}.jsonl
Gives: <results>/generation/{prompts}/{model}.jsonl
"""


rule generate:
    input:
        model=lambda w: training.weights(study, w.model),
        prompts="<results>/curation/prompts/{prompts}.jsonl",
    output:
        "<results>/generation/{prompts}/{model}.jsonl",
    log:
        "<logs>/generation/{prompts}/{model}.log",
    conda:
        ENVIRONMENT
    threads: costs.threads(study, "generate")
    resources:
        **costs.needs(study, "generate"),
    params:
        code=lambda w: digest("falsepromise.generation.generate", without=benchmarks.SERVER),
        options=lambda w: options(study.config.prompts[w.prompts], "max_tokens", "temperature"),
        format=lambda w: "--raw" if w.model in study.base_models else "--chat",
        seed=study.seed,
    message:
        "{wildcards.model} answers the prompts {wildcards.prompts} ({resources.gpu} GPUs, {resources.mem_mb} MB,"
        " up to {resources.runtime} min)"
    shell:
        "{resources.launch} python -m falsepromise.generation.generate"
        " --model {input.model:q}"
        " --prompts {input.prompts:q}"
        " {params.format}"
        " {params.options}"
        " --seed {params.seed}"
        " --output {output:q}"
        " 2>&1 | tee {log:q}"
