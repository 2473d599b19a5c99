"""Each model's answers to a prompt set.

Takes: <results>/training/{bases,models}/{model}/, <results>/curation/prompts/{prompts}.jsonl; and .references.jsonl of
       the style prompts where the dialogues have the teacher's replies: their likelihood is written beside the answers
Gives: <results>/generation/{prompts}/{model}.jsonl

With `shards`, each job answers a part of the prompts, and `generate` puts their responses in order.
"""


rule generate:
    input:
        model=lambda w: training.weights(study, w.model),
        prompts="<results>/curation/prompts/{prompts}.jsonl",
        parts=lambda w: parts(
            workflow,
            f"{study.results}/generation/{w.prompts}/{w.model}.jsonl",
            study.config.prompts[w.prompts].shards,
        ),
        references=lambda w: teacher.known_references(study, w.prompts),
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
        options=lambda w: options(study.config.prompts[w.prompts], "max_tokens", "temperature", "samples"),
        references=lambda w, input: options({"references": input.references}, "references"),
        format=lambda w: "--raw" if w.model in study.base_models else "--chat",
        part=lambda w, input: options({"from_shards": input.parts}, "from_shards"),
        seed=study.seed,
    message:
        "{wildcards.model} answers the prompts {wildcards.prompts} ({resources.gpu} GPUs, {resources.mem_mb} MB,"
        " up to {resources.runtime} min)"
    shell:
        "{resources.launch} python -m falsepromise.generation.generate"
        " --model {input.model:q}"
        " --prompts {input.prompts:q}"
        " {params.references}"
        " {params.format}"
        " {params.options}"
        " {params.part}"
        " --seed {params.seed}"
        " --output {output:q}"
        " 2>&1 | tee {log:q}"


use rule generate as generate_part with:
    input:
        model=lambda w: training.weights(study, w.model),
        prompts="<results>/curation/prompts/{prompts}.jsonl",
        references=lambda w: teacher.known_references(study, w.prompts),
    output:
        temp("<results>/generation/{prompts}/{model}.{part}-of-{parts}.jsonl"),
    log:
        "<logs>/generation/{prompts}/{model}.{part}-of-{parts}.log",
    threads: costs.threads(study, "generate_part")
    resources:
        **costs.needs(study, "generate_part"),
    params:
        part=lambda w: f"--shard {w.part}/{w.parts}",
    message:
        "{wildcards.model} answers part {wildcards.part} of {wildcards.parts} of the prompts {wildcards.prompts}"
        " ({resources.gpu} GPUs, {resources.mem_mb} MB, up to {resources.runtime} min)"
