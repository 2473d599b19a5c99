"""Imitation models, fine-tuned from base models, as folders in the hub's format.

Takes: <results>/curation/mixtures/{mixture}.s{seed}.jsonl, <results>/curation/pretraining/text.jsonl
Gives: <results>/training/blocks/{tokenizer}/{mixture}.s{seed}/, tokens with their loss mask
       <results>/training/models/{model}/, fine-tuned

An unfinished run's state is in <results>/training/checkpoints/{model}/, which no rule declares: a
failed or killed job keeps it, and the next one goes on from there.
"""


rule blocks:
    input:
        tokenizer=lambda w: training.tokenizer(study, w.tokenizer),
        records=lambda w: training.records(study, w.mixture, w.seed),
    output:
        directory("<results>/training/blocks/{tokenizer}/{mixture}.s{seed}"),
    log:
        "<logs>/training/blocks/{tokenizer}/{mixture}.s{seed}.log",
    conda:
        ENVIRONMENT
    resources:
        **costs.needs(study, "blocks"),
    params:
        code=code("falsepromise.training.blocks"),
        kind=lambda w: "text" if w.mixture == "pretraining" else "dialogues",
        options=lambda w: training.block_options(study, w.tokenizer, w.mixture),
    message:
        "Turn {wildcards.mixture} (seed {wildcards.seed}) into tokens"
    shell:
        "python -m falsepromise.training.blocks"
        " --tokenizer {input.tokenizer:q}"
        " --{params.kind} {input.records:q}"
        " {params.options}"
        " --output {output:q}"
        " > {log:q} 2>&1"


rule train:
    input:
        base=lambda w: training.base(study, w.model),
        blocks=lambda w: training.blocks(study, w.model),
        replay=lambda w: training.replay(study, w.model),
    output:
        directory("<results>/training/models/{model}"),
    log:
        "<logs>/training/models/{model}.log",
    conda:
        ENVIRONMENT
    threads: costs.threads(study, "train")
    resources:
        **costs.needs(study, "train"),
    params:
        code=code("falsepromise.training.train"),
        recipe=lambda w: training.recipe(study, w.model),
        tokens=lambda w: training.tokens(study, w.model),
        seed=lambda w: study.models[w.model].seed,
        replay=lambda w, input: options({"replay": input.replay}, "replay"),
    message:
        "Fine-tune {wildcards.model} ({resources.gpu} GPUs, {resources.mem_mb} MB, up to {resources.runtime} min)"
    shell:
        "{resources.launch} python -m falsepromise.training.train"
        " --base {input.base:q}"
        " --blocks {input.blocks:q}"
        " {params.tokens}"
        " {params.replay}"
        " --recipe {params.recipe:q}"
        " --seed {params.seed}"
        " {resources.mesh}"
        " --checkpoints {resources.checkpoints:q}"
        " --output {output:q}"
        " 2>&1 | tee {log:q}"
