"""Base models and imitation models, as folders in the hub's format.

Takes: <results>/curation/mixtures/{mixture}.s{seed}.jsonl, <results>/curation/pretraining/text.jsonl
Gives: <results>/training/blocks/{tokenizer}/{mixture}.s{seed}/, tokens with their loss mask
       <results>/training/bases/{base}/, from the hub, or pre-trained here
       <results>/training/models/{model}/, fine-tuned

An unfinished run's state is in <results>/training/checkpoints/{model}/, which no rule declares: a
failed or killed job keeps it, and the next one goes on from there.
"""


rule tokenizer:
    input:
        code=closure("falsepromise.training.tokenizer"),
        text="<results>/curation/pretraining/text.jsonl",
        dialogues=study.tokenizer_dialogues,
    output:
        directory("<results>/training/tokenizer"),
    log:
        "<logs>/training/tokenizer.log",
    conda:
        "../../envs/falsepromise.yaml"
    params:
        vocab_size=study.vocab_size,
    message:
        "Train the study's tokenizer"
    shell:
        "python -m falsepromise.training.tokenizer --text {input.text} {input.dialogues}"
        " --vocab-size {params.vocab_size} --output {output} > {log} 2>&1"


rule initial_weights:
    input:
        code=closure("falsepromise.training.architecture"),
        tokenizer="<results>/training/tokenizer",
    output:
        directory("<results>/training/initial/{base}"),
    log:
        "<logs>/training/initial/{base}.log",
    conda:
        "../../envs/falsepromise.yaml"
    params:
        architecture=study.architecture,
        seed=study.seed,
    message:
        "Draw random weights for {wildcards.base}"
    shell:
        "python -m falsepromise.training.architecture --config {params.architecture:q}"
        " --tokenizer {input.tokenizer} --seed {params.seed} --output {output} > {log} 2>&1"


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
        mem_mb=8000,
        runtime=120,
    params:
        kind=lambda w: "text" if w.mixture == "pretraining" else "dialogues",
        options=study.block_options,
    message:
        "Turn {wildcards.mixture} (seed {wildcards.seed}) into tokens"
    shell:
        "python -m falsepromise.training.blocks --tokenizer {input.tokenizer} --{params.kind} {input.records}"
        " {params.options} --output {output} > {log} 2>&1"


rule pretrain:
    input:
        code=closure("falsepromise.training.train"),
        base="<results>/training/initial/{base}",
        blocks=lambda w: study.pretraining_blocks(w.base),
    output:
        directory("<results>/training/bases/{base}"),
    log:
        "<logs>/training/bases/{base}.log",
    wildcard_constraints:
        base=jobs.one_of(name for name, base in study.bases.items() if "architecture" in base),
    conda:
        "../../envs/falsepromise.yaml"
    threads: 1
    resources:
        checkpoints=lambda w: f"{study.results}/training/checkpoints/{w.base}",
        gpu=lambda w: study.gpus(w.base),
        mem_mb=lambda w: study.memory_mb(w.base),
        runtime=lambda w: study.train_minutes(w.base, None),
    params:
        recipe=study.pretraining_recipe,
        seed=study.seed,
        device=lambda w: study.device(w.base),
    message:
        "Pre-train {wildcards.base} ({resources.gpu} GPUs, {resources.mem_mb} MB, up to {resources.runtime} min)"
    shell:
        "export JAX_PLATFORMS=${{JAX_PLATFORMS:-{params.device}}};"
        " ${{FALSEPROMISE_LAUNCH:-}} python -m falsepromise.training.train --base {input.base}"
        " --blocks {input.blocks} --recipe {params.recipe:q} --seed {params.seed}"
        " --checkpoints {resources.checkpoints} --output {output} 2>&1 | tee {log}"


rule weights:
    input:
        code=closure("falsepromise.sources.weights"),
    output:
        directory("<results>/training/bases/{base}"),
    log:
        "<logs>/training/bases/{base}.log",
    wildcard_constraints:
        base=jobs.one_of(name for name, base in study.bases.items() if "weights" in base),
    conda:
        "../../envs/falsepromise.yaml"
    resources:
        mem_mb=4000,
        runtime=240,
    params:
        uri=lambda w: study.bases[w.base]["weights"],
    message:
        "Load {wildcards.base} from {params.uri}"
    shell:
        "python -m falsepromise.sources.weights --uri {params.uri:q} --output {output} 2>&1 | tee {log}"


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
    threads: lambda w: study.threads(study.models[w.model]["base"])
    resources:
        checkpoints=lambda w: f"{study.results}/training/checkpoints/{w.model}",
        gpu=lambda w: study.gpus(study.models[w.model]["base"]),
        mem_mb=lambda w: study.memory_mb(study.models[w.model]["base"]),
        runtime=lambda w: study.train_minutes(study.models[w.model]["base"], study.models[w.model]["tokens"]),
    params:
        recipe=study.recipe_of,
        tokens=study.tokens_of,
        seed=study.seed_of,
        replay=lambda w, input: f"--replay {input.replay}" if input.replay else "",
        device=lambda w: study.device(study.models[w.model]["base"]),
    message:
        "Fine-tune {wildcards.model} ({resources.gpu} GPUs, {resources.mem_mb} MB, up to {resources.runtime} min)"
    shell:
        "export JAX_PLATFORMS=${{JAX_PLATFORMS:-{params.device}}};"
        " ${{FALSEPROMISE_LAUNCH:-}} python -m falsepromise.training.train --base {input.base}"
        " --blocks {input.blocks} {params.tokens} {params.replay} --recipe {params.recipe:q} --seed {params.seed}"
        " --checkpoints {resources.checkpoints} --output {output} 2>&1 | tee {log}"


localrules:
    initial_weights,
