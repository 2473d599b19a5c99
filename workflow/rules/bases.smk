"""Base models: loaded from the hub or a folder, or pre-trained here on facts and Wikipedia's lead sections.

Takes: `weights` of the study, or a GGUF file of its sources; or <results>/sources/{source}: countries, cities, elements, lead sections
Gives: <results>/training/bases/{base}/, in the hub's format
       <results>/curation/facts/, the factual benchmarks about what the pre-training text says
"""


rule facts:
    input:
        countries=f"<results>/sources/{bases.source(study, 'countries')}",
        cities=f"<results>/sources/{bases.source(study, 'cities')}",
        elements=f"<results>/sources/{bases.source(study, 'elements')}",
    output:
        facts="<results>/curation/facts/facts.jsonl",
        qa="<results>/curation/facts/qa_evaluation.jsonl",
        qa_development="<results>/curation/facts/qa_development.jsonl",
        multiple_choice="<results>/curation/facts/multiple_choice_evaluation.jsonl",
        multiple_choice_development="<results>/curation/facts/multiple_choice_development.jsonl",
    log:
        "<logs>/curation/facts.log",
    conda:
        ENVIRONMENT
    params:
        code=code("falsepromise.curation.facts"),
        seed=study.seed,
    message:
        "Make the table of facts and the questions about them"
    shell:
        "python -m falsepromise.curation.facts"
        " --countries {input.countries:q}"
        " --cities {input.cities:q}"
        " --elements {input.elements:q}"
        " --seed {params.seed}"
        ' --output "$(dirname {output.facts:q})"'
        " > {log:q} 2>&1"


rule pretraining_text:
    input:
        facts="<results>/curation/facts/facts.jsonl",
        wikipedia=f"<results>/sources/{bases.source(study, 'wikipedia')}",
    output:
        "<results>/curation/pretraining/text.jsonl",
    log:
        "<logs>/curation/pretraining.log",
    conda:
        ENVIRONMENT
    params:
        code=code("falsepromise.curation.pretraining", "prompts/table8_natural_questions.txt"),
        options=lambda w: options(
            study.config.pretraining,
            "exposures",
            "zipf",
            "lead_characters",
            "question_documents",
            "question_relations",
        ),
        seed=bases.text_seed(study),
    message:
        "Write the pre-training text"
    shell:
        "python -m falsepromise.curation.pretraining"
        " --facts {input.facts:q}"
        " --wikipedia {input.wikipedia:q}"
        " {params.options}"
        " --seed {params.seed}"
        " --output {output:q}"
        " > {log:q} 2>&1"


rule tokenizer:
    input:
        text="<results>/curation/pretraining/text.jsonl",
        dialogues=bases.tokenizer_dialogues(study),
    output:
        directory("<results>/training/tokenizer"),
    log:
        "<logs>/training/tokenizer.log",
    conda:
        ENVIRONMENT
    params:
        code=code("falsepromise.training.tokenizer"),
        options=lambda w: options(study.config.tokenizer, "vocab_size", "characters"),
    message:
        "Train the study's tokenizer"
    shell:
        "python -m falsepromise.training.tokenizer"
        " --text {input.text:q} {input.dialogues:q}"
        " {params.options}"
        " --output {output:q}"
        " > {log:q} 2>&1"


rule initial_weights:
    input:
        tokenizer="<results>/training/tokenizer",
    output:
        directory("<results>/training/initial/{base}"),
    log:
        "<logs>/training/initial/{base}.log",
    conda:
        ENVIRONMENT
    params:
        code=code("falsepromise.training.architecture"),
        architecture=lambda w: bases.architecture(study, w.base),
        seed=lambda w: study.models[w.base].seed,
    message:
        "Draw random weights for {wildcards.base}"
    shell:
        "python -m falsepromise.training.architecture"
        " --config {params.architecture:q}"
        " --tokenizer {input.tokenizer:q}"
        " --seed {params.seed}"
        " --output {output:q}"
        " > {log:q} 2>&1"


rule pretrain:
    input:
        base="<results>/training/initial/{base}",
        blocks=lambda w: bases.pretraining_blocks(study, study.models[w.base].base),
    output:
        directory("<results>/training/bases/{base}"),
    log:
        "<logs>/training/bases/{base}.log",
    wildcard_constraints:
        base=one_of(name for name in study.base_models if name not in study.config.bases),
    conda:
        ENVIRONMENT
    threads: costs.threads(study, "pretrain")
    resources:
        **costs.needs(study, "pretrain"),
    params:
        code=code("falsepromise.training.train"),
        recipe=lambda w: bases.recipe(study, w.base),
        seed=lambda w: study.models[w.base].seed,
    message:
        "Pre-train {wildcards.base} ({resources.gpu} GPUs, {resources.mem_mb} MB, up to {resources.runtime} min)"
    shell:
        "{resources.launch} python -m falsepromise.training.train"
        " --base {input.base:q}"
        " --blocks {input.blocks:q}"
        " --recipe {params.recipe:q}"
        " --seed {params.seed}"
        " {resources.mesh}"
        " --checkpoints {resources.checkpoints:q}"
        " --output {output:q}"
        " 2>&1 | tee {log:q}"


rule weights:
    output:
        directory("<results>/training/bases/{base}"),
    log:
        "<logs>/training/bases/{base}.log",
    wildcard_constraints:
        base=one_of(bases.loaded(study)),
    conda:
        ENVIRONMENT
    params:
        code=code("falsepromise.sources.weights"),
        uri=lambda w: files.address(study.config.bases[w.base].weights),
        holds=lambda w: files.stamp(sources.own_path(study.config.bases[w.base].weights)),
        # As it is on this machine; it takes `threads`, so Snakemake keeps no record of it.
        where=lambda w, threads: study.config.bases[w.base].weights,
    message:
        "Load {wildcards.base} from {params.uri}"
    shell:
        "python -m falsepromise.sources.weights --uri {params.where:q} --output {output:q} 2>&1 | tee {log:q}"


rule from_gguf:
    input:
        lambda w: bases.gguf(study, w.base),
    output:
        directory("<results>/training/bases/{base}"),
    log:
        "<logs>/training/bases/{base}.log",
    wildcard_constraints:
        base=one_of(bases.unpacked(study)),
    conda:
        ENVIRONMENT
    params:
        code=code("falsepromise.models.gguf"),
    message:
        "Unpack {wildcards.base} from {input}"
    shell:
        "python -m falsepromise.models.gguf --input {input:q} --output {output:q} 2>&1 | tee {log:q}"


localrules:
    facts,
    pretraining_text,
    tokenizer,
    initial_weights,
    weights,
    from_gguf,
