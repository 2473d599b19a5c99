"""Imitation models, fine-tuned from base models, as folders in the hub's format.

Takes: <results>/curation/mixtures/{mixture}.s{seed}.jsonl, <results>/curation/pretraining/text.jsonl
Gives: <results>/training/blocks/{tokenizer}/{mixture}.s{seed}/, tokens with their loss mask
       <results>/training/models/{model}/, fine-tuned

An unfinished run's state is in <results>/training/checkpoints/{model}/, which no rule declares: a
failed or killed job keeps it, and the next one goes on from there.
"""


rule blocks:
    input:
        code=closure("falsepromise.training.blocks"),
        tokenizer=study.tokenizer_folder,
        records=study.blocks_input,
    output:
        directory("<results>/training/blocks/{tokenizer}/{mixture}.s{seed}"),
    log:
        "<logs>/training/blocks/{tokenizer}/{mixture}.s{seed}.log",
    conda:
        "../../envs/falsepromise.yaml"
    resources:
        **study.needs("blocks"),
    params:
        kind=lambda w: "text" if w.mixture == "pretraining" else "dialogues",
        options=study.block_options,
    message:
        "Turn {wildcards.mixture} (seed {wildcards.seed}) into tokens"
    shell:
        "python -m falsepromise.training.blocks --tokenizer {input.tokenizer} --{params.kind} {input.records}"
        " {params.options} --output {output} > {log} 2>&1"


rule train:
    input:
        code=closure("falsepromise.training.train"),
        base=study.base_of,
        blocks=study.blocks_of,
        replay=study.replay_of,
    output:
        directory("<results>/training/models/{model}"),
    log:
        "<logs>/training/models/{model}.log",
    conda:
        "../../envs/falsepromise.yaml"
    threads: study.cpus("train")
    resources:
        **study.needs("train"),
    params:
        recipe=study.recipe_of,
        tokens=study.tokens_of,
        seed=study.seed_of,
        replay=lambda w, input: f"--replay {input.replay}" if input.replay else "",
    message:
        "Fine-tune {wildcards.model} ({resources.gpu} GPUs, {resources.mem_mb} MB, up to {resources.runtime} min)"
    shell:
        "{resources.launch} python -m falsepromise.training.train --base {input.base}"
        " --blocks {input.blocks} {params.tokens} {params.replay} --recipe {params.recipe:q} --seed {params.seed}"
        " {resources.mesh} --checkpoints {resources.checkpoints} --output {output} 2>&1 | tee {log}"
